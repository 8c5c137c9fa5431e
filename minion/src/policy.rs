//! The machine's own policy file: read when the minion starts, and again whenever it has changed.
//!
//! It belongs to whoever has the machine, and no job changes it. What it means is `relay_core::allowance`'s. One that has become
//! unreadable, or holds a mistake, changes nothing: what was last read well counts on, so that no slip of an editor ends a blackout.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use relay_core::{allowance::Allowance, document::Problem, outcome::Reason};
use relay_runtime::config::{self, ConfigErrors};
use tracing::{error, info};

/// Bits of a mode by which others than the owner may write.
const FOREIGN_WRITE: u32 = 0o022;

/// What tells one state of a file from another: device, inode, length, and the times at which it was written and changed.
type Stamp = (u64, u64, u64, [i64; 4]);

#[derive(Debug)]
struct Read {
    /// The file as it was looked at last; nothing, if it was not there.
    stamp: Option<Stamp>,
    allowance: Allowance,
}

/// What one minion is allowed.
#[derive(Debug)]
pub struct LocalPolicy {
    path: Option<PathBuf>,
    read: Mutex<Read>,
}

impl LocalPolicy {
    /// No file: everything is allowed.
    pub fn none() -> LocalPolicy {
        LocalPolicy { path: None, read: Mutex::new(Read { stamp: None, allowance: Allowance::default() }) }
    }

    /// By this file.
    ///
    /// # Errors
    /// It is not there, others may write to it, or it holds mistakes: each with its place.
    pub fn open(path: &Path) -> Result<LocalPolicy, ConfigErrors> {
        let stamp = stamp(path);
        let allowance = load(path)?;
        Ok(LocalPolicy { path: Some(path.into()), read: Mutex::new(Read { stamp, allowance }) })
    }

    /// Why a function may not run now, if it may not.
    pub fn objection(&self, function: &str) -> Option<Reason> {
        let path = self.path.as_deref()?;
        // A panic while holding it leaves an allowance that is still whole.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamp(path);
        if read.stamp != now {
            read.stamp = now;
            match load(path) {
                Ok(allowance) => {
                    info!(file = %path.display(), "the policy file has changed");
                    read.allowance = allowance;
                }
                Err(errors) => {
                    error!(%errors, "the policy file has changed and can't be used: the one before counts on")
                }
            }
        }
        read.allowance.objection(function)
    }
}

/// Reads a policy file.
///
/// # Errors
/// As [`LocalPolicy::open`].
pub fn load(path: &Path) -> Result<Allowance, ConfigErrors> {
    let allowance = config::load_allowance(path)?;
    let mode = std::fs::metadata(path).map_or(0, |found| found.mode() & 0o7777);
    if mode & FOREIGN_WRITE != 0 {
        let what = format!("its mode is {mode:04o}: others than its owner may write to it");
        let problem = Problem::anywhere(what, "chmod go-w, and look at what is in it");
        return Err(ConfigErrors::new(path, vec![problem]));
    }
    Ok(allowance)
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
    Some((found.dev(), found.ino(), found.len(), times))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    struct Bench {
        _dir: tempfile::TempDir,
        path: PathBuf,
    }

    impl Bench {
        fn new(text: &str) -> Bench {
            let dir = tempfile::tempdir().unwrap();
            let bench = Bench { path: dir.path().join("policy.yaml"), _dir: dir };
            bench.write(text);
            bench
        }

        /// As an editor does: another file takes its place, so that the change is seen whatever the clock's steps.
        fn write(&self, text: &str) {
            let new = self.path.with_extension("new");
            fs::write(&new, text).unwrap();
            fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).unwrap();
            fs::rename(new, &self.path).unwrap();
        }
    }

    #[test]
    fn a_change_counts_at_once_and_a_mistake_never() {
        let bench = Bench::new("functions: ['test.*']\n");
        let policy = LocalPolicy::open(&bench.path).unwrap();
        assert_eq!(
            [policy.objection("test.ping"), policy.objection("cmd.run")],
            [None, Some(Reason::NotAllowed)]
        );
        bench.write("minion_blackout: true\nminion_blackout_whitelist: [test.ping]\n");
        assert_eq!(
            [policy.objection("test.ping"), policy.objection("cmd.run")],
            [None, Some(Reason::Blackout)]
        );
        for broken in ["minion_blackout: flase\n", "minion_blakout: false\n", "{"] {
            bench.write(broken);
            assert_eq!(policy.objection("cmd.run"), Some(Reason::Blackout), "{broken}");
        }
        fs::remove_file(&bench.path).unwrap();
        assert_eq!(policy.objection("cmd.run"), Some(Reason::Blackout), "gone");
        bench.write("minion_blackout: false\n");
        assert_eq!(policy.objection("cmd.run"), None);
    }

    #[test]
    fn a_minion_does_not_start_with_one_that_it_can_not_trust() {
        let bench = Bench::new("functions: [test.ping]\nminion_blackout_whitelst: []\n");
        let errors = LocalPolicy::open(&bench.path).unwrap_err();
        assert_eq!(errors.problems[0].at.map(|at| (at.line, at.column)), Some((2, 1)));
        assert!(LocalPolicy::open(&bench.path.with_extension("other")).is_err());
        bench.write("functions: [test.ping]\n");
        fs::set_permissions(&bench.path, fs::Permissions::from_mode(0o666)).unwrap();
        let errors = LocalPolicy::open(&bench.path).unwrap_err();
        assert!(errors.to_string().contains("0666"), "{errors}");
    }
}
