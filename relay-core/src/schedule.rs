//! Jobs at times: which time is due, which was missed, and when the next one comes.
//!
//! Owns a schedule's rule as it is checked ([`Rule::check`]) and the decision ([`Rule::due`]). What the job is, keeping
//! the rule and its state, and submitting are the top master's. Times of day are UTC. The same rule and the same nominal
//! time give the same run, always: its beginning ([`Rule::begins`]) and its request id ([`request_id`]) are computed from
//! them, so whoever crashed between a submission and its own note of it submits the same again, and nothing runs twice.

mod when;

use sha2::{Digest, Sha256};

use crate::{
    ids::RequestId,
    time::{Millis, WallMicros},
};
pub use when::{MAX_CRON_BYTES, MIN_EVERY, When};

/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest splay: a day. What is later than that is another time.
pub const MAX_SPLAY: Millis = 24 * 60 * 60 * 1_000;
/// Most runs of one schedule that may be asked to be open at once.
pub const MAX_RUNNING: u32 = 100;
/// A time that is later than this when it is looked at was missed. Well over the second between two looks, so that a
/// busy top master or one that restarts is not too late, and under the minute between two times of the fastest cron.
pub const GRACE: Millis = 30_000;
/// How far behind the settled time the clock may stand (it was put right) before the schedule begins anew from the
/// clock. Below that it waits, and repeats nothing.
pub const MAX_STEP_BACK: Millis = 60 * 60 * 1_000;

const MICROS: u64 = 1_000;

/// When a job is to run, checked.
#[derive(Debug, Clone)]
pub struct Rule {
    name: String,
    when: When,
    splay: Millis,
    max_running: u32,
    missed: Missed,
}

/// What happens to times that passed while nobody could run them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missed {
    /// Nothing.
    #[default]
    Skip,
    /// One run for all of them, as soon as it can be.
    Once,
}

/// A rule as it was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Draft<'a> {
    /// The name.
    pub name: &'a str,
    /// Cron expression, or empty.
    pub cron: &'a str,
    /// Interval, or 0.
    pub every: Millis,
    /// Splay.
    pub splay: Millis,
    /// Runs open at once; 0 for one.
    pub max_running: u32,
    /// "skip" or "once"; empty for "skip".
    pub missed: &'a str,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The name.
    #[error(
        "{0:?} is no name for a schedule: 1 to {MAX_NAME_BYTES} letters, digits, '-', '_' and '.' (nightly-report)"
    )]
    Name(String),
    /// Both or none of expression and interval.
    #[error(
        "a schedule has either a cron expression (--cron '0 3 * * *') or an interval (--every 30m), and not both"
    )]
    When,
    /// The expression can't be read.
    #[error(
        "cron expression {text:?}: {why}; five fields in UTC, minute hour day month weekday, as in '30 3 * * mon'"
    )]
    Cron {
        /// The expression.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// The expression is fine, but no such day comes.
    #[error("cron expression {0:?}: no such time ever comes")]
    Never(String),
    /// The interval.
    #[error("an interval of {0} ms: from {MIN_EVERY} ms to a year")]
    Every(Millis),
    /// The splay.
    #[error("a splay of {0} ms: at most a day ({MAX_SPLAY} ms)")]
    Splay(Millis),
    /// The number of runs.
    #[error("at most {0} runs at once: from 1 to {MAX_RUNNING}")]
    Running(u32),
    /// The policy.
    #[error("{0:?} is no policy for missed times: skip, or once")]
    Missed(String),
}

/// What is to be done about a schedule now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing, until this moment (`None`: it never comes again).
    Wait(Option<WallMicros>),
    /// Run it for this nominal time; it and all before it are settled then.
    Run(WallMicros),
    /// This nominal time and those before it were missed, and settled by that.
    Missed(WallMicros, MissedWhy),
    /// The clock was put back: everything up to this moment is settled anew.
    Settle(WallMicros),
}

/// Why a time was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissedWhy {
    /// Nobody looked in time.
    Late,
    /// As many runs were open as may be.
    Running(u32),
}

impl std::fmt::Display for MissedWhy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MissedWhy::Late => f.write_str("missed: nobody could run it at its time"),
            MissedWhy::Running(n) => write!(f, "missed: {n} earlier runs were still open"),
        }
    }
}

impl Missed {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Missed::Skip => "skip",
            Missed::Once => "once",
        }
    }
}

impl Rule {
    /// Checks what was written, against the clock (an expression whose time never comes is refused).
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(draft: Draft<'_>, now: WallMicros) -> Result<Rule, RuleError> {
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=MAX_NAME_BYTES).contains(&draft.name.len()) || !draft.name.chars().all(letters) {
            return Err(RuleError::Name(draft.name.into()));
        }
        let when = When::read(draft.cron.trim(), draft.every)?;
        if when.after(now).is_none() {
            return Err(RuleError::Never(draft.cron.into()));
        }
        let missed = match draft.missed {
            "" | "skip" => Missed::Skip,
            "once" => Missed::Once,
            other => return Err(RuleError::Missed(other.into())),
        };
        match draft {
            Draft { splay, .. } if splay > MAX_SPLAY => Err(RuleError::Splay(splay)),
            Draft { max_running, .. } if max_running > MAX_RUNNING => Err(RuleError::Running(max_running)),
            Draft { name, splay, max_running, .. } => {
                Ok(Rule { name: name.into(), when, splay, max_running: max_running.max(1), missed })
            }
        }
    }

    /// Most runs open at once.
    pub fn max_running(&self) -> u32 {
        self.max_running
    }

    /// What happens to missed times.
    pub fn missed(&self) -> Missed {
        self.missed
    }

    /// When the run of a nominal time begins: later by its part of the splay, and before the next nominal time.
    pub fn begins(&self, nominal: WallMicros) -> WallMicros {
        if self.splay == 0 {
            return nominal;
        }
        let room = self.when.after(nominal).map_or(u64::MAX, |next| next - nominal - 1);
        let splay = (self.splay * MICROS).min(room);
        // The upper half of the product is the hash scaled to 0..=splay.
        let part = (u128::from(self.chance(nominal)) * (u128::from(splay) + 1)) >> 64;
        nominal + part as u64
    }

    fn chance(&self, nominal: WallMicros) -> u64 {
        let [first, ..] = halves(b"splay", &self.name, nominal);
        first
    }

    /// What is to be done now. `settled`: all nominal times up to it have been run or missed. `running`: how many runs
    /// of this schedule are open. At most one run comes of one look, however far the clock has jumped.
    pub fn due(&self, now: WallMicros, settled: WallMicros, running: u32) -> Due {
        if settled > now.saturating_add(MAX_STEP_BACK * MICROS) {
            return Due::Settle(now);
        }
        let Some(nominal) = self.latest(now).filter(|latest| *latest > settled) else {
            return Due::Wait(self.next(settled.max(self.latest(now).unwrap_or(0))));
        };
        let late = now - self.begins(nominal) > GRACE * MICROS;
        let busy = running >= self.max_running;
        match self.missed {
            Missed::Skip if late => Due::Missed(nominal, MissedWhy::Late),
            Missed::Skip if busy => Due::Missed(nominal, MissedWhy::Running(running)),
            // Its turn comes when an earlier run ends.
            Missed::Once if busy => Due::Wait(Some(now)),
            _ => Due::Run(nominal),
        }
    }

    /// The moment at which the first run after `settled` begins.
    pub fn next(&self, settled: WallMicros) -> Option<WallMicros> {
        self.when.after(settled).map(|nominal| self.begins(nominal))
    }

    /// The latest nominal time whose run has begun by now.
    fn latest(&self, now: WallMicros) -> Option<WallMicros> {
        let latest = self.when.at_or_before(now)?;
        if self.begins(latest) <= now { Some(latest) } else { self.when.at_or_before(latest.checked_sub(1)?) }
    }
}

/// The request id of one run: the same for the same schedule (`made`: when it was defined) and nominal time, so that a
/// repeated submission becomes the job that stands already.
pub fn request_id(name: &str, made: WallMicros, nominal: WallMicros) -> RequestId {
    let [high, low] = halves(&made.to_be_bytes(), name, nominal);
    RequestId((u128::from(high) << 64) | u128::from(low))
}

fn halves(salt: &[u8], name: &str, nominal: WallMicros) -> [u64; 2] {
    let mut hash = Sha256::new();
    for part in [b"relay schedule", salt, name.as_bytes(), &nominal.to_be_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let half = |at: usize| digest[at..at + 8].iter().fold(0, |n, byte| (n << 8) | u64::from(*byte));
    [half(0), half(8)]
}

#[cfg(test)]
mod tests;
