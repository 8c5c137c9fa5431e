//! When the owner declares an outcome that nobody reported.
//!
//! Owns, for each lot of members that were sent a job together, the check for those that fell silent before anything
//! said they had started, and the bound at which every slot gets a value (I6). Who is not sent the job at all is
//! [`crate::window`]'s.

use crate::{
    Members,
    ledger::Ledger,
    outcome::{Answer, Outcome, Reason},
    time::Millis,
};

/// Hops between the owner and a minion, here and back, in a tree of one level of syndics.
pub const HOPS: u64 = 2;
/// Grace per hop, twice: for a return to be written and sent on.
pub const HOP_GRACE: Millis = 2_500;
/// After the delivery deadline, members that are down and were never seen running are looked for this often; one that
/// is found twice in a row is declared, so a minion that merely reconnects is not.
pub const SILENCE_CHECK: Millis = 3_000;

/// Those who were sent the job with one deadline.
#[derive(Debug)]
struct Lot {
    members: Members,
    since: Millis,
    deliver_by: Millis,
    bound: Millis,
    /// When nothing of it can run any more, however late a message was read on its way.
    over_at: Millis,
    next_check: Millis,
    silent: Members,
}

#[derive(Debug)]
pub(super) struct Timing {
    run_limit: Millis,
    /// What comes over a link that was silent for this long is not taken: so late may a message be, per hop.
    dead_after: Millis,
    hops: u64,
    lots: Vec<Lot>,
}

/// What is due.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Outcomes to declare.
    pub declared: Vec<(Answer, Members)>,
    /// Those where nothing of the job can run any more.
    pub over: Members,
}

impl Timing {
    pub(super) fn new(run_limit: Millis, dead_after: Millis, hops: u64) -> Timing {
        Timing { run_limit, dead_after, hops, lots: Vec::new() }
    }

    /// Members are being sent the job, to be delivered by then.
    pub(super) fn sending(&mut self, now: Millis, deliver_by: Millis, members: &Members) {
        if members.is_empty() {
            return;
        }
        match self.lots.iter_mut().find(|lot| lot.deliver_by == deliver_by) {
            Some(lot) => lot.members |= members,
            None => {
                let bound = now.max(deliver_by) + self.run_limit + 2 * HOP_GRACE * self.hops;
                self.lots.push(Lot {
                    members: members.clone(),
                    since: now,
                    deliver_by,
                    bound,
                    over_at: bound + self.hops * self.dead_after,
                    next_check: deliver_by,
                    silent: Members::new(),
                });
            }
        }
    }

    /// Since when the first of these members is being sent it.
    pub(super) fn since(&self, members: &Members) -> Option<Millis> {
        let first = members.min()?;
        self.lots.iter().find(|lot| lot.members.contains(first)).map(|lot| lot.since)
    }

    /// Where something that was sent may still run, unless an outcome says that it does not.
    pub(super) fn may_run(&self, now: Millis) -> Members {
        let live = self.lots.iter().filter(|lot| now < lot.over_at);
        live.fold(Members::new(), |all, lot| all | &lot.members)
    }

    /// What must be declared now.
    pub(super) fn declare(&mut self, now: Millis, ledger: &Ledger, up: &Members) -> Due {
        let mut due = Due::default();
        let open = ledger.in_flight() | ledger.unknown();
        for lot in &mut self.lots {
            lot.declare(now, ledger, up, &mut due);
        }
        self.lots.retain(|lot| now < lot.over_at && !lot.members.is_disjoint(&open));
        due.declared.retain(|(_, members)| !members.is_empty());
        due
    }

    /// When [`Timing::declare`] has something to say next, at the latest; `None` when nothing is outstanding.
    pub(super) fn next(&self, ledger: &Ledger) -> Option<Millis> {
        let next = |lot: &Lot| match lot.members.is_disjoint(ledger.in_flight()) {
            true => lot.over_at,
            false => lot.bound.min(lot.next_check),
        };
        self.lots.iter().map(next).min()
    }
}

impl Lot {
    fn declare(&mut self, now: Millis, ledger: &Ledger, up: &Members, due: &mut Due) {
        let in_flight = ledger.in_flight() & &self.members;
        let never_seen = &in_flight - ledger.started();
        if now >= self.bound {
            let started = &in_flight - &never_seen;
            due.declared.push((Answer::bare(Outcome::Unknown, Reason::NoReport), started));
            due.declared.push((Answer::bare(Outcome::Unknown, Reason::ConnectionLost), never_seen));
        } else if now >= self.next_check {
            self.next_check = now + SILENCE_CHECK;
            let silent = never_seen - up;
            let twice = &silent & &self.silent;
            self.silent = silent;
            due.declared.push((Answer::bare(Outcome::Unknown, Reason::ConnectionLost), twice));
        }
        if now >= self.over_at {
            due.over |= &self.members;
        }
    }
}
