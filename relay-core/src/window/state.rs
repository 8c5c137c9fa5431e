//! How a window stands, for people; and why one is stopped.

use std::fmt;

use super::Window;
use crate::{ledger::Ledger, outcome::Reason, time::Millis};

/// Why nothing more is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// So many executions have failed.
    Failures(u64),
    /// As many as were asked for have answered.
    Enough,
    /// The job's own deadline has passed.
    Deadline,
    /// Nobody approved the next stage in time.
    NotApproved,
}

impl Stop {
    /// What is said of those who were not started for it.
    pub fn reason(self) -> Reason {
        match self {
            Stop::Failures(_) => Reason::BatchStopped,
            Stop::Enough => Reason::Enough,
            Stop::Deadline => Reason::Deadline,
            Stop::NotApproved => Reason::NotApproved,
        }
    }

    /// Whether those who have not answered are not waited for either.
    pub fn closes(self) -> bool {
        matches!(self, Stop::Enough | Stop::Deadline)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Failures(max) => write!(f, "{max} failures reached the limit"),
            Stop::Enough => f.write_str("as many as were asked for have answered"),
            Stop::Deadline => f.write_str("the deadline has passed"),
            Stop::NotApproved => f.write_str("the next stage was not approved in time"),
        }
    }
}

/// How a job's window stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchState {
    /// How many may run at once now; nothing: any number.
    pub window: Option<u64>,
    /// Executions that failed.
    pub failures: u64,
    /// Targets that were not reached, or refused; they do not count as failures.
    pub delivery_failures: u64,
    /// Why nothing more is started.
    pub stopped: Option<Stop>,
    /// The stage of a canary, from 1; 0: there are none.
    pub stage: u32,
    /// How many stages there are.
    pub stages: u32,
    /// It waits for an operator's approval.
    pub awaits_approval: bool,
}

impl Window {
    /// How it stands.
    pub fn state(&self, now: Millis, ledger: &Ledger) -> BatchState {
        let (place, taken) = self.stages.place(ledger);
        BatchState {
            window: self.width(place.upto, taken, ledger),
            failures: self.failures.count(ledger, None),
            delivery_failures: self.failures.undelivered(ledger),
            stopped: self.stopped(now, ledger),
            stage: if self.stages.is_none() { 0 } else { place.no as u32 + 1 },
            stages: self.stages.len(),
            awaits_approval: place.asks,
        }
    }

    fn width(&self, upto: u64, taken: u64, ledger: &Ledger) -> Option<u64> {
        let of = |p: &super::Part| p.auto.as_ref().map_or(p.limit, |auto| auto.limit().min(p.limit));
        let regions = self.parts.iter().fold(0u64, |sum, part| sum.saturating_add(of(part)));
        let stage = match upto {
            u64::MAX => u64::MAX,
            upto => upto.saturating_sub(taken) + self.in_use(ledger).len(),
        };
        let width = regions.min(self.limit).min(stage);
        (width != u64::MAX).then_some(width)
    }
}
