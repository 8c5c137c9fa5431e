//! When the owner declares an outcome that nobody reported.
//!
//! Owns the three moments of a job: the delivery deadline (`not_started` for what was never sent), the check for
//! members that fell silent before anything said they had started, and the bound at which every slot gets a value (I6).

use crate::{
    Members,
    outcome::{Answer, Outcome, Reason},
    tier::Work,
    time::Millis,
};

/// Hops between the owner and a minion, here and back.
pub const HOPS: u64 = 2;
/// Grace per hop, twice: for a return to be written and sent on.
pub const HOP_GRACE: Millis = 2_500;
/// After the delivery deadline, members that are down and were never seen running are looked for this often; one that
/// is found twice in a row is declared, so a minion that merely reconnects is not.
pub const SILENCE_CHECK: Millis = 3_000;

#[derive(Debug)]
pub(super) struct Timing {
    deliver_by: Millis,
    bound: Millis,
    next_check: Millis,
    silent: Members,
}

impl Timing {
    pub(super) fn new(deliver_by: Millis, run_limit: Millis) -> Timing {
        let bound = deliver_by + run_limit + 2 * HOP_GRACE * HOPS;
        Timing { deliver_by, bound, next_check: deliver_by, silent: Members::new() }
    }

    /// What must be declared now.
    pub(super) fn declare(&mut self, now: Millis, work: &Work, up: &Members) -> Vec<(Answer, Members)> {
        let mut declared = Vec::new();
        if now < self.deliver_by {
            return declared;
        }
        let unsent = work.ledger.unsent().clone();
        declared.push((Answer::by_tier(Outcome::NotStarted, Reason::Unreachable), unsent));
        if now >= self.bound {
            let started = work.ledger.started().clone();
            let never_seen = work.ledger.in_flight() - &started;
            declared.push((Answer::bare(Outcome::Unknown, Reason::NoReport), started));
            declared.push((Answer::bare(Outcome::Unknown, Reason::ConnectionLost), never_seen));
        } else if now >= self.next_check {
            self.next_check = now + SILENCE_CHECK;
            let silent = (work.ledger.in_flight() - work.ledger.started()) - up;
            let twice = &silent & &self.silent;
            self.silent = silent;
            declared.push((Answer::bare(Outcome::Unknown, Reason::ConnectionLost), twice));
        }
        declared.retain(|(_, members)| !members.is_empty());
        declared
    }

    /// When [`Timing::declare`] has something to say next, at the latest; `None` when nothing is outstanding.
    pub(super) fn next(&self, work: &Work) -> Option<Millis> {
        if work.ledger.is_complete() {
            return None;
        }
        let silence = if work.ledger.in_flight().is_empty() { self.bound } else { self.next_check };
        let delivery = if work.ledger.unsent().is_empty() { self.bound } else { self.deliver_by };
        Some(self.bound.min(silence).min(delivery))
    }
}
