//! `relayctl passwd`: the file of users whose passwords a top master checks itself. Works on the file alone, on the machine that
//! has it; a running top master sees the change within a second.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use relay_runtime::{
    passwords::{self, MAX_FILE_BYTES, Passwords},
    secret::read_private,
};
use zeroize::Zeroizing;

use crate::{contexts::write_whole, exit::Exit, output::Output, prompt};

/// A user's and a group's number.
type Owner = (u32, u32);

/// Whose password, and where.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PasswdArgs {
    /// The file, as `login: {password_file: …}` of the top master names it; made if it is not there
    pub file: PathBuf,
    /// The user
    pub user: String,
    /// The groups he is in from now on. Default: as before
    #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
    pub groups: Option<Vec<String>>,
    /// Lock him out: his logins end, until he gets a password again
    #[arg(long, conflicts_with = "remove")]
    pub lock: bool,
    /// Remove him from the file: his logins end
    #[arg(long, conflicts_with = "groups")]
    pub remove: bool,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl passwd /etc/relay/users alice --groups ops,dba
  relayctl passwd /etc/relay/users ci                  with the password on standard input
  relayctl passwd /etc/relay/users alice --lock
  relayctl passwd /etc/relay/users alice --remove

The password is typed, or read from standard input; never from the command line.";

/// Changes the file.
///
/// # Errors
/// It cannot be read or written, or what it would hold is wrong.
pub fn run(args: PasswdArgs, out: &Output) -> anyhow::Result<Exit> {
    let place = || args.file.display().to_string();
    let said = changed(&args).with_context(place)?;
    out.say(&format!("{}: {said}", place()))?;
    Ok(Exit::Ok)
}

fn changed(args: &PasswdArgs) -> anyhow::Result<String> {
    let user = &args.user;
    passwords::check_name("user", user).map_err(|e| anyhow!(e))?;
    if !args.remove && !args.lock {
        // Nobody else waits while somebody types.
        let secret = prompt::new_password(&format!("New password of {user}: "))?;
        return change(args, |groups| passwords::line(user, &secret, groups).map(Some), "has a new password");
    }
    match args.remove {
        true => change(args, |_| Ok(None), "is removed"),
        false => change(args, |groups| passwords::locked_line(user, groups).map(Some), "is locked out"),
    }
}

fn change(
    args: &PasswdArgs,
    line: impl FnOnce(&[String]) -> Result<Option<String>, String>,
    done: &str,
) -> anyhow::Result<String> {
    let PasswdArgs { file, user, groups, .. } = args;
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The file is replaced as a whole, so its directory stands for it.
    let lock = File::open(dir).with_context(|| dir.display().to_string())?;
    lock.lock().context("cannot wait for others who change it")?;
    let (text, owner) = current(file)?;
    let former = Passwords::parse(&text).map_err(|problems| {
        let wrong: Vec<String> =
            problems.iter().map(|p| p.in_file(&file.display().to_string()).to_string()).collect();
        anyhow!("nothing was changed:\n{}", wrong.join("\n"))
    })?;
    let there = text.lines().any(|line| line.trim().split(':').next() == Some(user));
    if args.remove && !there {
        bail!("there is no user {user}: nothing was changed");
    }
    let groups = match groups {
        Some(groups) => groups.iter().filter(|g| !g.is_empty()).cloned().collect(),
        None => former.account(user).map(|account| account.groups.clone()).unwrap_or_default(),
    };
    let line = line(&groups).map_err(|e| anyhow!(e))?;
    let text = Zeroizing::new(passwords::with_line(&text, user, line.as_deref()));
    write_whole(file, &text).context("cannot be written")?;
    if let Some((uid, gid)) = owner {
        // It stays the top master's.
        chown(file, Some(uid), Some(gid)).context("is written, but its owner is another one now")?;
    }
    Ok(format!("{user} {done}"))
}

/// What is in the file, and whose it is; nothing if there is none.
fn current(file: &Path) -> anyhow::Result<(Zeroizing<String>, Option<Owner>)> {
    match fs::metadata(file) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((Zeroizing::default(), None)),
        Err(e) => Err(e.into()),
        Ok(about) => {
            let text = read_private(file, MAX_FILE_BYTES).map_err(|why| anyhow!("{why}"))?;
            Ok((text, Some((about.uid(), about.gid()))))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use relay_runtime::secret::Secret;

    use super::*;

    fn args(file: &Path, user: &str, groups: Option<&str>) -> PasswdArgs {
        let groups = groups.map(|g| g.split(',').map(str::to_owned).collect());
        PasswdArgs { file: file.into(), user: user.into(), groups, lock: false, remove: false }
    }

    fn put(file: &Path, user: &str, groups: Option<&str>) -> anyhow::Result<String> {
        let secret = Secret::new("correct horse".into());
        change(&args(file, user, groups), |groups| passwords::line(user, &secret, groups).map(Some), "ok")
    }

    #[test]
    fn users_come_and_go_and_keep_their_groups() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users");
        put(&file, "alice", Some("ops,dba")).unwrap();
        put(&file, "bob", None).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        put(&file, "alice", None).unwrap();
        let users = Passwords::read(&file).unwrap();
        assert_eq!(users.account("alice").unwrap().groups, ["ops", "dba"]);
        changed(&PasswdArgs { lock: true, ..args(&file, "alice", None) }).unwrap();
        assert!(Passwords::read(&file).unwrap().account("alice").is_none());
        changed(&PasswdArgs { remove: true, ..args(&file, "bob", None) }).unwrap();
        assert_eq!(Passwords::read(&file).unwrap().len(), 1);
        changed(&PasswdArgs { remove: true, ..args(&file, "bob", None) }).unwrap_err();
    }

    #[test]
    fn a_file_that_is_wrong_or_for_others_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users");
        for (text, mode, why) in [("nonsense\n", 0o600, "nothing was changed"), ("", 0o644, "chmod 600")] {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let error = format!("{:#}", put(&file, "alice", None).unwrap_err());
            assert!(error.contains(why), "{error}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }
}
