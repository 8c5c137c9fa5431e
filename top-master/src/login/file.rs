//! The password file as a way to log in: read again when it has changed.

use std::{
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use relay_runtime::{passwords::Passwords, secret::Secret};
use tokio::sync::OwnedSemaphorePermit;
use tracing::{info, warn};

use super::{
    account::{Standing, Verdict},
    apart::apart,
};

/// A file, and what it held when it was read last.
#[derive(Clone)]
pub struct File(Arc<Inner>);

struct Inner {
    path: PathBuf,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    mark: Option<Mark>,
    /// Nothing: it cannot be used, and why.
    users: Option<Result<Arc<Passwords>, String>>,
}

/// What changes with a file's content: device, inode, size, and the times of its last changes in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark([i128; 5]);

impl File {
    /// Not read yet.
    pub fn new(path: PathBuf) -> File {
        File(Arc::new(Inner { path, read: Mutex::default() }))
    }

    /// What it holds now. A file that is gone, broken or open to others holds nobody: then nobody logs in, and who has logged in
    /// waits until it is good again.
    fn users(&self) -> Result<Arc<Passwords>, String> {
        let Inner { path, read } = &*self.0;
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at before it is read: if it changes meanwhile, it is read again.
        let mark = std::fs::metadata(path).ok().map(|about| {
            let time = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
            let times = (time(about.mtime(), about.mtime_nsec()), time(about.ctime(), about.ctime_nsec()));
            Mark([about.dev().into(), about.ino().into(), about.size().into(), times.0, times.1])
        });
        match &read.users {
            Some(users) if read.mark == mark => users.clone(),
            _ => {
                let users = Passwords::read(path).map(Arc::new).map_err(|e| e.to_string());
                match &users {
                    Ok(users) => info!(file = %path.display(), users = users.len(), "password file read"),
                    Err(why) => {
                        warn!(why, "the password file can't be used: who logged in with it is suspended")
                    }
                }
                *read = Read { mark, users: Some(users.clone()) };
                users
            }
        }
    }

    /// Whether this is the user's password; on a thread where that may take its time.
    pub async fn check(&self, user: String, password: Secret, turn: OwnedSemaphorePermit) -> Verdict {
        let file = self.clone();
        let checked = apart(turn, move || match file.users() {
            Ok(users) => users.check(&user, &password).map_or(Verdict::Wrong, Verdict::Right),
            Err(why) => Verdict::Unable(why),
        });
        checked.await.unwrap_or_else(Verdict::Unable)
    }

    /// How a user's account stands.
    pub fn standing(&self, user: &str) -> Standing {
        match self.users() {
            Ok(users) => users.account(user).cloned().map_or(Standing::Gone, Standing::Good),
            Err(_) => Standing::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_check_that_nobody_waits_for_keeps_its_turn() {
        let file = File::new("/nowhere/users".into());
        let turns = Arc::new(Semaphore::new(1));
        {
            // Whoever reads the file waits here.
            let _reading = file.0.read.lock().unwrap();
            let turn = turns.clone().try_acquire_owned().unwrap();
            let mut check = Box::pin(file.check("alice".into(), Secret::new("word".into()), turn));
            assert!(check.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            drop(check);
            assert_eq!(turns.available_permits(), 0, "the thread still works");
        }
        let _turn = turns.acquire().await.unwrap();
    }
}
