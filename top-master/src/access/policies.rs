//! The policy's file: read at the start, and again whenever it changes or somebody says so (SIGHUP). One that is wrong is told of, and the
//! rules that held before hold on: an edit that goes wrong neither locks everybody out nor lets anybody in.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use relay_core::{access::Policy, time::WallMicros};
use relay_runtime::{
    clock::wall,
    config::{self, ConfigErrors},
};
use sha2::{Digest, Sha256};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The file is looked at this often. (A look is one stat.)
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The rules that hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    /// What they say.
    pub policy: Policy,
    /// As they were written.
    pub text: String,
    /// SHA-256 of that, in hexadecimal.
    pub digest: String,
    /// Since when.
    pub since: WallMicros,
    /// The file's name in messages; its directory is nobody's business who is refused something.
    pub shown: String,
}

/// The rules that hold, and why the file does not, if it does not.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// What holds.
    pub active: Arc<Active>,
    /// The file's problems, a line each.
    pub problem: Option<String>,
}

/// The policy of this process. Copies are the same one.
#[derive(Clone)]
pub struct Policies(Arc<Inner>);

struct Inner {
    file: PathBuf,
    standing: watch::Sender<Standing>,
}

/// What shows that a file may be another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Policies {
    /// Reads the file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(file: &Path) -> Result<Policies, ConfigErrors> {
        let active = Arc::new(read(file)?);
        for warning in &active.policy.warnings {
            warn!("{}", warning.in_file(&active.shown));
        }
        let standing = watch::Sender::new(Standing { active, problem: None });
        Ok(Policies(Arc::new(Inner { file: file.to_owned(), standing })))
    }

    /// The rules that hold now.
    pub fn active(&self) -> Arc<Active> {
        self.0.standing.borrow().active.clone()
    }

    /// Them and the file's problem, now and whenever they change.
    pub fn subscribe(&self) -> watch::Receiver<Standing> {
        self.0.standing.subscribe()
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.0.file
    }

    /// Follows the file until stopped.
    pub async fn follow(self, token: CancellationToken) {
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut seen = None;
        loop {
            let told = async {
                match &mut hangup {
                    Some(hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            };
            let asked = tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = told => true,
            };
            let now = look(&self.0.file);
            if asked || seen.is_some_and(|seen| seen != now) || seen.is_none() {
                self.read_again().await;
            }
            seen = Some(now);
        }
    }

    /// Takes the file as it is now, if it is good.
    pub async fn read_again(&self) {
        let file = self.0.file.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || read(&file)).await else { return };
        let before = self.0.standing.borrow().clone();
        match read {
            Ok(new) if new.digest == before.active.digest => {
                self.0.standing.send_if_modified(|standing| standing.problem.take().is_some());
            }
            Ok(new) => {
                info!(digest = new.digest, file = %self.0.file.display(), "another policy holds from now on");
                for warning in &new.policy.warnings {
                    warn!("{}", warning.in_file(&new.shown));
                }
                self.0.standing.send_replace(Standing { active: Arc::new(new), problem: None });
            }
            Err(errors) => {
                let problem = Some(errors.to_string());
                if before.problem != problem {
                    error!(
                        digest = before.active.digest,
                        "the policy is not taken, the former one holds: {errors}"
                    );
                    self.0.standing.send_replace(Standing { problem, ..before });
                }
            }
        }
    }

    /// Rules from text, of no file.
    #[cfg(test)]
    pub(crate) fn of_text(text: &str) -> Policies {
        let policy = config::parse_policy(text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let active = Arc::new(active(policy, text.to_owned(), Path::new("policy.yaml")));
        Policies(Arc::new(Inner {
            file: "policy.yaml".into(),
            standing: watch::Sender::new(Standing { active, problem: None }),
        }))
    }
}

fn read(file: &Path) -> Result<Active, ConfigErrors> {
    config::load_policy(file).map(|(text, policy)| active(policy, text, file))
}

fn active(policy: Policy, text: String, file: &Path) -> Active {
    let digest = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let shown = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    Active { policy, text, digest, since: wall(), shown }
}

fn look(file: &Path) -> Option<Seen> {
    let found = fs::metadata(file).ok()?;
    Some(Seen {
        inode: found.ino(),
        length: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "{version: 1, allow: {any: {alice: ['*']}}}\n";
    const OTHER: &str = "{version: 1, allow: {any: {bob: ['*']}}}\n";

    #[tokio::test]
    async fn a_wrong_policy_leaves_the_former_one_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("policy.yaml");
        fs::write(&file, ONE).unwrap();
        let policies = Policies::load(&file).unwrap();
        let news = policies.subscribe();
        let first = policies.active();
        fs::write(&file, "version: 1\nalow: {}\n").unwrap();
        policies.read_again().await;
        let standing = news.borrow().clone();
        assert_eq!(standing.active, first);
        assert!(standing.problem.is_some_and(|p| p.contains("policy.yaml:2:1: ") && p.contains("\"allow\"")));
        fs::write(&file, OTHER).unwrap();
        policies.read_again().await;
        assert!(policies.active().digest != first.digest && news.borrow().problem.is_none());
        // Gone is wrong, too.
        fs::remove_file(&file).unwrap();
        policies.read_again().await;
        assert!(policies.active().text == OTHER && news.borrow().problem.is_some());
    }

    #[tokio::test]
    async fn what_did_not_change_is_no_news() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("policy.yaml");
        fs::write(&file, ONE).unwrap();
        let policies = Policies::load(&file).unwrap();
        let news = policies.subscribe();
        policies.read_again().await;
        assert!(!news.has_changed().unwrap());
    }

    #[test]
    fn there_is_no_start_without_a_good_policy() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Policies::load(&dir.path().join("policy.yaml")).is_err());
    }
}
