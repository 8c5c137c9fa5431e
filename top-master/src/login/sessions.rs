//! The logins that are open: which token opens what, until when.
//!
//! Owns the limits of a token (idle, absolute, how many) and that both are looked at before a use counts as one. Time comes in as
//! arguments: two clocks, since a wall clock can be set back and a monotonic one starts anew with the process; whichever says first
//! that a login is over is believed. What is kept is [`super::record`]'s; who may log in, [`super::account`]'s.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use relay_core::{
    access::{Caller, How},
    time::{Millis, WallMicros},
};
use tokio_util::sync::CancellationToken;

use super::token::Digest;

/// Logins of one user that are open at once; one more ends the one that was used longest ago.
pub const MAX_PER_USER: usize = 32;
/// Logins in all; some 500 bytes each.
pub const MAX_LOGINS: usize = 10_000;
/// How much earlier than a login's last use it may seem to be. More, and the clock was set back: its limits can't be told.
const CLOCK_TOLERANCE: WallMicros = 5 * 60 * 1_000_000;

/// How long a token lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Without being used.
    pub idle: Millis,
    /// In any case.
    pub most: Millis,
}

/// Both clocks, read together.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The process's own clock.
    pub clock: Millis,
    /// Microseconds since 1970 UTC.
    pub wall: WallMicros,
}

/// What is known of a login, wherever it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub caller: Arc<Caller>,
    /// What the account was when he logged in: another one ends the login.
    pub stamp: [u8; 32],
    /// Since when.
    pub since: WallMicros,
    /// Until when, in any case.
    pub until: WallMicros,
    /// When it was used last.
    pub used: WallMicros,
}

/// Who makes a call, and how long that may last.
#[derive(Debug, Clone)]
pub struct Session {
    /// Who.
    pub caller: Arc<Caller>,
    /// The login it is made with; nothing with a certificate.
    pub token: Option<Digest>,
    /// Until when, in microseconds since 1970 UTC; 0: as long as the certificate counts.
    pub until: WallMicros,
    /// Cancelled when the login is over.
    pub over: CancellationToken,
    /// Keeps the login in use.
    pub used: Option<Arc<Use>>,
}

/// Reads the process's clock.
pub type Ticks = Arc<dyn Fn() -> Millis + Send + Sync>;

/// A call under way: the login is not idle before it has ended.
pub struct Use {
    calls: Arc<Calls>,
    now: Ticks,
}

impl std::fmt::Debug for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.calls.fmt(f)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.calls.last.fetch_max((self.now)(), Ordering::Relaxed);
        self.calls.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Calls {
    open: AtomicUsize,
    last: AtomicU64,
}

#[derive(Debug)]
struct Held {
    login: Login,
    /// When it ends by the process's clock.
    ends: Millis,
    calls: Arc<Calls>,
    over: CancellationToken,
    /// The last use that was written down.
    written: Millis,
    /// Nobody can tell now whether its user may still log in.
    suspended: bool,
}

impl Held {
    fn is_over(&self, limits: Limits, now: Now) -> bool {
        let idle = self.calls.open.load(Ordering::Relaxed) == 0
            && now.clock.saturating_sub(self.calls.last.load(Ordering::Relaxed)) >= limits.idle;
        idle || now.clock >= self.ends || now.wall >= self.login.until
    }
}

/// The open logins.
pub struct Sessions {
    limits: Limits,
    held: HashMap<Digest, Held>,
    /// Reads the process's clock, for the end of calls.
    now: Ticks,
}

/// Why a login cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Sessions {
    /// None yet.
    pub fn new(limits: Limits, now: Ticks) -> Sessions {
        Sessions { limits, held: HashMap::new(), now }
    }

    /// How long a login lasts without being used.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.limits.idle)
    }

    /// What a new login of this user is.
    pub fn login(&self, caller: Arc<Caller>, stamp: [u8; 32], now: Now) -> Login {
        let until = now.wall + self.limits.most * 1_000;
        Login { caller, stamp, since: now.wall, until, used: now.wall }
    }

    /// Opens a login; gives those that it ends.
    ///
    /// # Errors
    /// There are too many already.
    pub fn open(&mut self, digest: Digest, login: Login, now: Now) -> Result<Vec<Digest>, Full> {
        if self.held.len() >= MAX_LOGINS {
            return Err(Full);
        }
        let ended = self.beyond(&login.caller);
        self.hold(digest, login, now);
        Ok(ended)
    }

    /// Those of a user that have no room beside one more.
    fn beyond(&mut self, caller: &Caller) -> Vec<Digest> {
        let same = |held: &Held| {
            (held.login.caller.name(), held.login.caller.how()) == (caller.name(), caller.how())
        };
        let mut his: Vec<(Millis, Digest)> = self
            .held
            .iter()
            .filter(|(_, held)| same(held))
            .map(|(digest, held)| (held.calls.last.load(Ordering::Relaxed), *digest))
            .collect();
        his.sort_unstable();
        let more = (his.len() + 1).saturating_sub(MAX_PER_USER);
        let ended: Vec<Digest> = his.into_iter().take(more).map(|(_, digest)| digest).collect();
        ended.iter().for_each(|digest| drop(self.end(digest)));
        ended
    }

    /// Takes up what was kept. False: it is over.
    pub fn restore(&mut self, digest: Digest, login: Login, now: Now) -> bool {
        let idle = now.wall.saturating_sub(login.used) >= self.limits.idle * 1_000;
        let back = now.wall + CLOCK_TOLERANCE < login.used;
        if idle || back || now.wall >= login.until || self.held.len() >= MAX_LOGINS {
            return false;
        }
        self.hold(digest, login, now);
        true
    }

    fn hold(&mut self, digest: Digest, login: Login, now: Now) {
        // Of a configuration that has become stricter, the stricter one counts.
        let left = (login.until.saturating_sub(now.wall) / 1_000).min(self.limits.most);
        let last = now.clock.saturating_sub(now.wall.saturating_sub(login.used) / 1_000);
        let calls = Arc::new(Calls { open: AtomicUsize::new(0), last: AtomicU64::new(last) });
        let over = CancellationToken::new();
        self.held.insert(
            digest,
            Held { login, ends: now.clock + left, calls, over, written: last, suspended: false },
        );
    }

    /// Uses a login; nothing if there is none, or not any more.
    pub fn take(&self, digest: &Digest, now: Now) -> Option<Session> {
        let held = self.held.get(digest).filter(|held| !held.suspended && !held.is_over(self.limits, now))?;
        held.calls.open.fetch_add(1, Ordering::Relaxed);
        held.calls.last.fetch_max(now.clock, Ordering::Relaxed);
        Some(Session {
            caller: held.login.caller.clone(),
            token: Some(*digest),
            until: held.login.until,
            over: held.over.clone(),
            used: Some(Arc::new(Use { calls: held.calls.clone(), now: self.now.clone() })),
        })
    }

    /// Ends a login, and every call made with it; gives what it was.
    pub fn end(&mut self, digest: &Digest) -> Option<Login> {
        let held = self.held.remove(digest)?;
        held.over.cancel();
        Some(held.login)
    }

    /// Ends those that are over by time.
    pub fn expire(&mut self, now: Now) -> Vec<(Digest, Login)> {
        let over = self.held.iter().filter(|(_, held)| held.is_over(self.limits, now));
        let over: Vec<Digest> = over.map(|(digest, _)| *digest).collect();
        over.into_iter().filter_map(|digest| Some((digest, self.end(&digest)?))).collect()
    }

    /// Those whose last use is to be written down: it has moved by an eighth of the idle time since it was, so that a top master
    /// that takes over ends none of them much too early.
    pub fn take_moved(&mut self, now: Now) -> Vec<(Digest, Login)> {
        let step = (self.limits.idle / 8).max(1);
        let mut moved = Vec::new();
        for (digest, held) in &mut self.held {
            let last = match held.calls.open.load(Ordering::Relaxed) {
                0 => held.calls.last.load(Ordering::Relaxed),
                _ => now.clock,
            };
            if last.saturating_sub(held.written) >= step {
                held.written = last;
                held.login.used = now.wall.saturating_sub(now.clock.saturating_sub(last) * 1_000);
                moved.push((*digest, held.login.clone()));
            }
        }
        moved
    }

    /// The users who are logged in, each once for each way, with the logins of each.
    pub fn users(&self) -> HashMap<(String, How), Vec<Digest>> {
        let mut users: HashMap<(String, How), Vec<Digest>> = HashMap::new();
        for (digest, held) in &self.held {
            let caller = &held.login.caller;
            users.entry((caller.name().to_owned(), caller.how())).or_default().push(*digest);
        }
        users
    }

    /// What a login is.
    pub fn get(&self, digest: &Digest) -> Option<&Login> {
        self.held.get(digest).map(|held| &held.login)
    }

    /// A login opens nothing from now on, and calls made with it end; until it is resumed.
    pub fn suspend(&mut self, digest: &Digest) {
        if let Some(held) = self.held.get_mut(digest).filter(|held| !held.suspended) {
            held.suspended = true;
            std::mem::take(&mut held.over).cancel();
        }
    }

    /// It opens what it did again.
    pub fn resume(&mut self, digest: &Digest) {
        if let Some(held) = self.held.get_mut(digest) {
            held.suspended = false;
        }
    }

    /// A login's user is in other groups now.
    pub fn regroup(&mut self, digest: &Digest, caller: Arc<Caller>) {
        if let Some(held) = self.held.get_mut(digest) {
            held.login.caller = caller;
        }
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
