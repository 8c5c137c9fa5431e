//! What counts as a failure of a batch.
//!
//! An execution that did not go well counts. What was not reached, refused or cancelled does not: a region that is away
//! must not stop the others. Between the two is a target that was sent the job and not heard of again: in a canary it
//! counts, for the job may have killed its machine, and that is what a canary is there to find out.

use crate::{
    Members,
    ledger::{AnswerKey, Ledger},
    outcome::{Outcome, Reason},
};

/// How a job's failures are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failures {
    /// Also targets that were sent the job and then lost.
    pub lost_too: bool,
}

impl Failures {
    /// Those that count against `max_failures`, among some or all.
    pub(super) fn count(self, ledger: &Ledger, among: Option<&Members>) -> u64 {
        count(ledger, among, |key| self.is_one(key.outcome, key.reason))
    }

    /// Those that were not reached, or refused, and do not count.
    pub(super) fn undelivered(self, ledger: &Ledger) -> u64 {
        count(ledger, None, |key| match key.outcome {
            Outcome::NotStarted | Outcome::Refused => true,
            Outcome::Unknown => !self.is_one(key.outcome, key.reason),
            _ => false,
        })
    }

    /// Whether an outcome is a failure.
    pub(super) fn is_one(self, outcome: Outcome, reason: Reason) -> bool {
        match outcome {
            Outcome::Failed | Outcome::TimedOut | Outcome::Interrupted => true,
            Outcome::Unknown => {
                reason == Reason::NoReport || self.lost_too && reason == Reason::ConnectionLost
            }
            Outcome::Ok | Outcome::Cancelled | Outcome::Refused | Outcome::NotStarted => false,
        }
    }
}

/// Those who said themselves how it ended.
pub(super) fn answered_for_themselves(ledger: &Ledger) -> u64 {
    count(ledger, None, |key| key.outcome.is_final() && !key.by_tier)
}

fn count(ledger: &Ledger, among: Option<&Members>, which: impl Fn(&AnswerKey) -> bool) -> u64 {
    let groups = ledger.groups().iter().filter(|g| which(&g.key));
    groups.map(|g| among.map_or(g.members.len(), |m| g.members.intersection_len(m))).sum()
}
