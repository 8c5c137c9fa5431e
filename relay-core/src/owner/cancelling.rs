//! Cancels: signed once for the whole fabric, however many minions there are.
//!
//! The store knows that a job was cancelled and not the signature: after a restart, or under a new owner, it is signed again before
//! it is sent again. So it is once half of its time is over, for the tiers below hold it and send it to whoever comes up.

use super::*;
use crate::{job::CancelSpec, signing::Span};

/// For how long a cancel counts: as long as the longest job, which is what keys are listed for.
pub const CANCEL_COUNTS: Millis = MAX_WAIT;
/// What is left of a cancel's time when it is signed anew.
const RENEWED_BEFORE: Millis = CANCEL_COUNTS / 2;

/// Until when the cancel counts that was signed; of none, it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sealed {
    until: Millis,
    /// What stands in it. Minions read it by their own clocks: where this one was wrong when it was signed and has been put right
    /// since, nobody heeds it.
    span: Span,
}

impl Sealed {
    /// Whether it counts for longer than this.
    fn lasts(&self, now: Millis, wall: WallMicros, longer: Millis) -> bool {
        let until = wall.saturating_add(longer.saturating_mul(1_000));
        now + longer < self.until && self.span.not_before <= wall && until < self.span.not_after
    }
}

impl Owner {
    /// An operator cancels a job; `None` if there is no such open job. To be told once its commit is durable.
    pub fn cancel(&mut self, jid: Jid) -> Option<Cancelling> {
        let epoch = self.jobs.get(&jid).filter(|j| !j.closed)?.head.epoch;
        let sealed = self.seal_cancel(jid);
        let (never_sent, sending) = self.tier.cancel(jid, Bytes::new());
        let outstanding =
            never_sent.len() + self.tier.works.get(&jid).map_or(0, |w| w.ledger.in_flight().len());
        self.note(jid, "cancelled", outstanding);
        if !sealed {
            self.owe_cancel(jid);
            self.note(jid, "no key to sign its cancel with yet: sent once there is one", outstanding);
        }
        let sendings = sending.filter(|_| sealed).into_iter().collect();
        let ticket = self.next_ticket;
        self.persist(vec![Write::Cancel(jid, epoch)], Waiting { sendings, ..Waiting::default() }, false);
        self.record(jid, Arc::new(Answer::by_tier(Outcome::Cancelled, Reason::BeforeStart)), &never_sent);
        Some(Cancelling { outstanding, ticket })
    }

    /// Sees to it that a job's cancel is signed, for a while yet. False: it is not, and no minion would heed it.
    pub(super) fn seal_cancel(&mut self, jid: Jid) -> bool {
        let Owner { rule, jobs, tier, now, wall, .. } = self;
        // One that is not durable may still get another jid.
        let job = jobs.get_mut(&jid).filter(|job| job.token.is_none());
        let Some((job, work)) = job.zip(tier.works.get_mut(&jid)) else { return false };
        if job.cancel.lasts(*now, *wall, RENEWED_BEFORE) {
            return true;
        }
        let span = Span { not_before: *wall, not_after: *wall + CANCEL_COUNTS * 1_000 };
        let spec = CancelSpec { fabric: rule.fabric.clone(), jid, epoch: rule.epoch, span };
        if let Ok(seal) = rule.seal.seal_cancel(&spec) {
            work.seal = seal;
            job.cancel = Sealed { until: *now + CANCEL_COUNTS, span };
        }
        job.cancel.lasts(*now, *wall, 0)
    }

    /// Somebody has not been sent a job's cancel, which could not be signed.
    pub(super) fn owe_cancel(&mut self, jid: Jid) {
        if let Some(job) = self.jobs.get_mut(&jid) {
            job.cancel_owed = true;
        }
    }

    /// Cancels that are not signed yet, or not for long any more, are signed and sent.
    pub(super) fn renew_cancels(&mut self, now: Millis) {
        let due = |(jid, job): (&Jid, &OpenJob)| {
            let cancelled = self.tier.works.get(jid).is_some_and(|work| work.cancelled);
            let due = !job.closed
                && cancelled
                && (job.cancel_owed || !job.cancel.lasts(now, self.wall, RENEWED_BEFORE));
            due.then_some((*jid, job.cancel))
        };
        let due: Vec<(Jid, Sealed)> = self.jobs.iter().filter_map(due).collect();
        for (jid, before) in due {
            let sealed = self.seal_cancel(jid);
            let Some(job) = self.jobs.get_mut(&jid) else { continue };
            // Perhaps signed already, for one who came up in between: the others are owed it still.
            let renewed = sealed && (std::mem::take(&mut job.cancel_owed) || job.cancel != before);
            if let Some(work) = self.tier.works.get(&jid).filter(|_| renewed) {
                let sent = &(work.ledger.in_flight() | work.ledger.unknown()) & self.tier.up();
                self.offer_job(now, jid, &sent);
            }
        }
    }
}
