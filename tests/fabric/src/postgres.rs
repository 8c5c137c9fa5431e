//! A PostgreSQL of a test's own for the top master's store: from the system's programs, in a directory that goes with it, reached
//! by a socket in it, and never a service of the system.

use std::{
    fs,
    io::{self, Write},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::{Pid, User, geteuid},
};
use tempfile::TempDir;

use crate::{netns::Host, wait::until};

/// Debian's place for the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Who owns the database in it.
const USER: &str = "relay";
/// The database that every new server has.
const DATABASE: &str = "postgres";

/// One server. It ends with the thread that started it.
#[derive(Debug)]
pub struct Database {
    programs: PathBuf,
    postmaster: Option<Child>,
    /// Where it also listens, besides its socket.
    host: Option<Host>,
    dir: TempDir,
}

impl Database {
    /// Starts one. Nothing, and a line on stderr, where PostgreSQL is not installed.
    ///
    /// # Panics
    /// It is installed and does not start.
    pub async fn start() -> Option<Database> {
        Database::started(None).await
    }

    /// The same on a host, where others reach it by its address.
    ///
    /// # Panics
    /// As [`Database::start`].
    pub async fn start_on(host: &Host) -> Option<Database> {
        Database::started(Some(host.clone())).await
    }

    async fn started(host: Option<Host>) -> Option<Database> {
        let Some(programs) = programs() else {
            // Straight to stderr: the test harness would swallow what is printed.
            let _ = io::stderr().write_all(
                b"SKIPPED: no PostgreSQL here, so no top master is tested on it: apt-get install -y postgresql\n",
            );
            return None;
        };
        let dir = tempfile::Builder::new().prefix("relay-pg-").tempdir().expect("a temporary directory");
        let mut database = Database { programs, postmaster: None, host, dir };
        database.lay_out();
        database.restart().await;
        Some(database)
    }

    fn lay_out(&self) {
        if let Some(user) = other_user() {
            chown(self.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .expect("the user's directory");
        }
        let mut initdb = self.program("initdb");
        // A killed process loses nothing that the system has, so nothing is synced.
        initdb.args(["-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-U", USER, "-D"]);
        let done = initdb.arg(self.data()).output().expect("initdb");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        if self.host.is_some() {
            let rules = fs::OpenOptions::new().append(true).open(self.data().join("pg_hba.conf"));
            writeln!(rules.expect("the server's rules"), "host all all all trust").expect("one more of them");
        }
    }

    /// Starts it after [`Database::kill9`], and waits until it lets people in.
    ///
    /// # Panics
    /// It does not, in time.
    pub async fn restart(&mut self) {
        until("PostgreSQL to let people in", async || {
            let ended = self.postmaster.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(Some(_))));
            if ended {
                // Also when it ended at once: what the killed one's children still hold is free a moment later.
                self.postmaster = Some(self.postmaster());
            }
            let asked =
                self.program("pg_isready").args(["-q", "-d", DATABASE, "-h"]).arg(self.path()).status();
            asked.is_ok_and(|status| status.success()).then_some(())
        })
        .await;
    }

    fn postmaster(&self) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path().join("log"));
        let mut postgres = self.program("postgres");
        postgres.arg("-D").arg(self.data()).arg("-k").arg(self.path());
        let listen = self.host.as_ref().map(|host| host.ip().to_string()).unwrap_or_default();
        postgres.arg("-c").arg(format!("listen_addresses={listen}"));
        postgres.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
        postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("a log file"));
        // SAFETY: prctl is async-signal-safe, and nothing is allocated between fork and exec.
        unsafe {
            postgres.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
        }
        let postmaster = match &self.host {
            Some(host) => host.within(|| postgres.spawn()),
            None => postgres.spawn(),
        };
        postmaster.expect("postgres")
    }

    /// kill -9 of all its processes, in the middle of whatever they do.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill9(&mut self) {
        let mut postmaster = self.postmaster.take().expect("PostgreSQL runs");
        let pid = postmaster.id() as i32;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        // The first of them, so that it starts no others.
        for pid in [pid].into_iter().chain(children) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        postmaster.wait().expect("its end");
    }

    /// What a top master's configuration says of it: the value of `store`.
    pub fn setting(&self) -> String {
        let (host, plain) = match &self.host {
            // The network is the test's own, and nobody else is in it.
            Some(host) => (host.ip().to_string(), ", plain: anywhere"),
            None => (self.path().display().to_string(), ""),
        };
        format!("{{postgres: {{host: \"{host}\", database: {DATABASE}, user: {USER}{plain}}}}}")
    }

    /// What a query gives, as text.
    ///
    /// # Panics
    /// The server refuses it.
    pub fn query(&self, sql: &str) -> String {
        let mut psql = self.program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-U", USER, "-d", DATABASE, "-c", sql, "-h"]).arg(self.path());
        let done = psql.output().expect("psql");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// One of its programs, as its user.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        // Not ours: it may not be able to go there.
        command.current_dir(self.path()).process_group(0);
        if let Some(user) = other_user() {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.postmaster.is_some() {
            self.kill9();
        }
    }
}

/// Who runs it if we are root, as whom it refuses to run.
fn other_user() -> Option<User> {
    geteuid().is_root().then(|| User::from_name("postgres").ok().flatten().expect("the package's user"))
}

/// The directory of the newest version's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.max_by_key(|path| number(path))?.join("bin");
    newest.join("initdb").is_file().then_some(newest)
}
