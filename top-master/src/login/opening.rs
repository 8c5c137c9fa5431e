//! The beginning of a login: from a name and a password to a token.
//!
//! Owns the order of it: is there room, may he try, is it right, is it recorded, is it kept; only then is the token told.

use std::{net::IpAddr, sync::Arc, time::Duration};

use relay_core::{
    access::{Caller, How},
    audit::{Event, Kind},
};
use relay_proto::Code;
use relay_runtime::{
    passwords::{Account, check_name},
    secret::Secret,
    store::PutRecord,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tonic::Status;
use tracing::{info, warn};

use super::{Logins, account::Verdict, record, removed, throttle::Try, token};

/// Passwords that are checked at once: each takes 19 MiB and a core for some 30 ms, and the loop needs one too.
const MAX_CHECKS: usize = 2;
/// Passwords that others (PAM, a directory) check at once.
const MAX_QUESTIONS: usize = 8;
/// Logins that wait for their check; more are told to come back.
const MAX_WAITING: usize = 16;
/// Longest wait for a turn: PAM may take its time ([`super::pam`]), and a thread that it never gives back holds its turn for ever.
const TURN: Duration = Duration::from_secs(30);

/// Those who wait for a check.
pub(super) struct Queue {
    waiting: Semaphore,
    /// Shared with the work itself, which may go on when nobody waits for it any more.
    checks: Arc<Semaphore>,
}

impl Queue {
    /// For the file, and for the others.
    pub(super) fn both() -> [Queue; 2] {
        [Queue::new(MAX_CHECKS), Queue::new(MAX_QUESTIONS)]
    }

    fn new(at_once: usize) -> Queue {
        Queue { waiting: Semaphore::new(MAX_WAITING), checks: Arc::new(Semaphore::new(at_once)) }
    }

    /// A turn to check a password: whoever does the work keeps it until that is done.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Verdict> {
        match timeout(TURN, self.checks.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(Verdict::Unable("this top master is stopping".into())),
            Err(_) => Err(Verdict::Unable(format!("all who check passwords are busy for {TURN:?}"))),
        }
    }
}

/// A login that has just been opened.
pub struct Opened {
    /// Its token: shown this once.
    pub token: Secret,
    /// Until when it lasts at most, in microseconds since 1970 UTC.
    pub until: u64,
    /// How long it lasts without being used.
    pub idle: Duration,
}

impl Logins {
    /// Opens a login for who knows a user's password.
    ///
    /// # Errors
    /// What the caller is told. Whether it was the name or the password that was wrong is not said, nor to be seen from the time.
    pub async fn log_in(
        &self,
        user: &str,
        password: Secret,
        way: &str,
        from: IpAddr,
    ) -> Result<Opened, Status> {
        let how = self.0.accounts.way(way).map_err(|why| Code::Invalid.status(why))?;
        let [file, far] = &self.0.queues;
        let queue = if how == How::File { file } else { far };
        let Ok(_place) = queue.waiting.try_acquire() else {
            return Err(Code::Busy.status("too many log in at once: try again in a few seconds"));
        };
        let tried = self.throttle().begin(user, from, self.0.clock.now());
        let tried = tried.map_err(|wait| self.held_off(user, from, wait))?;
        let verdict = match queue.turn().await {
            Ok(turn) => self.0.accounts.check(how, user, password, turn).await,
            Err(unable) => unable,
        };
        let account = self.judged(verdict, tried, (user, how, from))?;
        let caller = Caller::new(user, account.groups, how);
        let caller = caller.map_err(|e| Code::Denied.status(format!("not let in: {e}")))?;
        let told = Event::new(Kind::Login, user, how.word()).about("login").with("from", from);
        self.0.audit.record(told).await.map_err(|e| Code::Store.status(e.to_string()))?;
        let opened = self.open(Arc::new(caller), account.stamp).await?;
        info!(user, %how, %from, "logged in");
        Ok(opened)
    }

    fn judged(
        &self,
        verdict: Verdict,
        tried: Try,
        (user, how, from): (&str, How, IpAddr),
    ) -> Result<Account, Status> {
        let now = self.0.clock.now();
        match verdict {
            Verdict::Right(account) => {
                self.throttle().right(tried, now);
                Ok(account)
            }
            Verdict::Wrong => {
                warn!(user = clipped(user), %how, %from, "login refused");
                self.0.audit.note(denied(user, from, "wrong user or password").with("way", how));
                Err(Code::Unauthenticated.status("wrong user or password"))
            }
            Verdict::Unable(why) => {
                self.throttle().void(tried, now);
                warn!(%how, why, "nobody can log in");
                Err(Code::Busy
                    .status(format!("nobody can log in by {how} now; the top master's log says why")))
            }
        }
    }

    fn held_off(&self, user: &str, from: IpAddr, wait: u64) -> Status {
        let seconds = wait.div_ceil(1_000);
        warn!(user = clipped(user), %from, seconds, "login held off");
        self.0.audit.note(denied(user, from, "too many failed logins before"));
        let why =
            format!("too many failed logins of this user or from this address: try again in {seconds} s");
        Code::Busy.status(why)
    }

    async fn open(&self, caller: Arc<Caller>, stamp: [u8; 32]) -> Result<Opened, Status> {
        let (token, digest) = token::make(rand::random());
        let (put, until, idle) = {
            let (mut sessions, now) = (self.sessions(), self.now());
            let login = sessions.login(caller, stamp, now);
            let until = login.until;
            let kept = record::put(digest, &login);
            let ended = sessions.open(digest, login, now);
            let ended = ended.map_err(|_| Code::Busy.status("too many logins are open: log out of some"))?;
            let mut puts: Vec<PutRecord> = ended.iter().map(|digest| removed(digest.key())).collect();
            puts.push(kept);
            // Asked for while nobody else changes logins: what is kept changes in the same order.
            (self.0.store.put_records(puts), until, sessions.idle())
        };
        if let Err(error) = put.await {
            self.sessions().end(&digest);
            return Err(crate::operator::store_error(error));
        }
        Ok(Opened { token, until, idle })
    }
}

fn denied(user: &str, from: IpAddr, why: &str) -> Event {
    Event::new(Kind::Deny, clipped(user), "nobody").about("login").with("from", from).with("why", why)
}

/// What a log shows of a name that may be anything, a password typed in the wrong place among it.
fn clipped(user: &str) -> &str {
    if check_name("user", user).is_ok() { user } else { "(no name)" }
}
