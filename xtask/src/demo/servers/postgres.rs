//! A PostgreSQL, reached by a socket in its directory.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use nix::unistd::{User, geteuid};

use super::{Server, directory};

/// Debian's place for PostgreSQL's programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Who owns the database, and the database that every new server has.
const USER: &str = "relay";
const DATABASE: &str = "postgres";
/// The directory of the newest version's programs.
pub fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.max_by_key(|path| number(path))?.join("bin");
    newest.join("initdb").is_file().then_some(newest)
}

/// What `relayctl dev up --postgres` takes for the one in this directory.
pub fn url(dir: &Path) -> String {
    format!("postgres://{USER}@{}/{DATABASE}", dir.display().to_string().replace('/', "%2F"))
}

/// Starts one in this directory, which is made.
///
/// # Errors
/// It is not installed or does not come up.
pub fn start(dir: &Path) -> anyhow::Result<Server> {
    let programs = programs().context("PostgreSQL is not there")?;
    directory(dir)?;
    let user = other_user()?;
    if let Some(user) = &user {
        chown(dir, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    let data = dir.join("data");
    let program = |name: &str| {
        let mut command = Command::new(programs.join(name));
        command.current_dir(dir);
        if let Some(user) = &user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    };
    let mut initdb = program("initdb");
    initdb.args(["-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-U", USER, "-D"]).arg(&data);
    let done = initdb.output().context("initdb cannot be started")?;
    ensure!(done.status.success(), "initdb ended with {}: {}", done.status, told(&done.stderr));
    let mut postgres = program("postgres");
    postgres.arg("-D").arg(&data).arg("-k").arg(dir);
    postgres.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off"]);
    let mut server = Server::start("PostgreSQL", &mut postgres, dir.join("log"))?;
    server.until(|| {
        let asked = program("pg_isready").args(["-q", "-d", DATABASE, "-h"]).arg(dir).status();
        asked.is_ok_and(|status| status.success())
    })?;
    Ok(server)
}

fn told(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Who runs PostgreSQL if we are root, as whom it refuses to run.
fn other_user() -> anyhow::Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let user = User::from_name("postgres")?;
    Ok(Some(user.context("PostgreSQL does not run as root, and there is no user \"postgres\"")?))
}
