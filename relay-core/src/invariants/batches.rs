//! I12: how many run a job at once, and that nothing is started after a batch is stopped.
//!
//! Owns what must be remembered of grants, offers and executions to check it, and judges each observation as it comes: a
//! limit that was exceeded for a moment only was exceeded. The limits themselves are the observer's own reading of what the
//! operator asked for, not the owner's.

use std::collections::{BTreeMap, BTreeSet};

use super::{Slot, Trace, Violation, found};
use crate::{
    ids::{Jid, MinionId, RegionName},
    owner::{HOP_GRACE, HOPS},
    time::Millis,
};

/// How much later than its offer says a job may start and still be said to have started in time: each hop has one grace to
/// write it down and carry it.
pub const START_GRACE: Millis = HOPS * HOP_GRACE;

/// What a job's batch promises, in numbers of targets. An empty one promises nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Running at once, over all regions.
    pub at_once: Option<u64>,
    /// What each region adds to that.
    pub regions: BTreeMap<RegionName, RegionLimits>,
    /// How many targets have had their turn after each stage of a canary.
    pub stages: Vec<u64>,
    /// Nothing is started once so many are known to have failed.
    pub max_failures: Option<u64>,
    /// Nothing is started once so many are known to have answered for themselves.
    pub until: Option<u64>,
    /// It starts nowhere before what was granted there earlier is over.
    pub serial: bool,
}

/// What a job's batch promises of one region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegionLimits {
    /// The job's targets there.
    pub members: BTreeSet<MinionId>,
    /// Running at once.
    pub at_once: Option<u64>,
    /// Nothing is started there once so many of them are known to have failed.
    pub max_failures: Option<u64>,
}

/// What the owner knows of a job, in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Knowledge {
    /// Targets that have an outcome, `unknown` included.
    pub decided: BTreeSet<MinionId>,
    /// Executions that failed.
    pub failed: BTreeSet<MinionId>,
    /// Targets that have an outcome of their own, not a tier's word.
    pub answered: BTreeSet<MinionId>,
}

#[derive(Debug, Clone, Default)]
struct Batch {
    limits: Limits,
    granted: BTreeSet<MinionId>,
    /// What this owner knows; one that was restarted may know less.
    known: Knowledge,
    /// Whoever was ever known to have an outcome.
    decided: BTreeSet<MinionId>,
    /// Those that began in time.
    running: BTreeSet<MinionId>,
}

/// Everything observed of batches.
#[derive(Debug, Clone, Default)]
pub(super) struct Batches {
    jobs: BTreeMap<Jid, Batch>,
    /// The first grant of each slot, in order.
    grants: BTreeMap<Slot, u64>,
    /// Until when a slot may start.
    offers: BTreeMap<Slot, Millis>,
    late: u32,
    breaches: Vec<String>,
}

impl Batches {
    pub(super) fn limited(&mut self, jid: Jid, limits: Limits) {
        self.jobs.entry(jid).or_default().limits = limits;
    }

    pub(super) fn known(&mut self, jid: Jid, known: Knowledge) {
        let Some(batch) = self.jobs.get_mut(&jid) else { return };
        batch.decided.extend(known.decided.iter().cloned());
        batch.known = known;
    }

    pub(super) fn granted(&mut self, slot: Slot) {
        let Some(batch) = self.jobs.get_mut(&slot.0) else { return };
        let no = self.grants.len() as u64;
        if !batch.granted.insert(slot.1.clone()) {
            return;
        }
        // Whoever got an outcome without a grant got it when the job was given up: nobody is granted after that.
        let (turn, decided) = (batch.granted.len() as u64, batch.decided.len() as u64);
        let before = batch.limits.stages.iter().filter(|end| **end < turn).max();
        if let Some(before) = before.filter(|before| decided < **before) {
            let (jid, minion) = &slot;
            let what = format!(
                "job {jid}: {minion} is the {turn}th to be granted, and of the {before} of earlier stages"
            );
            self.breaches.push(format!("{what} only {decided} have outcomes"));
        }
        self.grants.insert(slot, no);
    }

    pub(super) fn offered(&mut self, slot: Slot, until: Millis) {
        if let Some(batch) = self.jobs.get(&slot.0)
            && let Some(why) = batch.is_over(&slot.1)
        {
            let (jid, minion) = &slot;
            self.breaches.push(format!("job {jid}: {minion} is offered it with time to start, but {why}"));
        }
        self.offered_before(slot, until);
    }

    pub(super) fn offered_before(&mut self, slot: Slot, until: Millis) {
        let last = self.offers.entry(slot).or_default();
        *last = until.max(*last);
    }

    pub(super) fn running(&mut self, slot: Slot, now: Millis) {
        let (jid, minion) = slot.clone();
        let Some(until) = self.offers.get(&slot) else {
            if self.jobs.contains_key(&jid) {
                self.breaches
                    .push(format!("job {jid} started on {minion}, which was never offered it with time to"));
            }
            return;
        };
        if now > until + START_GRACE {
            self.late += 1;
            return;
        }
        self.serial(&slot);
        let Some(batch) = self.jobs.get_mut(&jid) else { return };
        batch.running.insert(minion);
        let over = batch.exceeded();
        self.breaches.extend(over.map(|what| format!("job {jid}: {what}")));
    }

    /// What is granted later may run beside a serial job, unless it is serial too.
    fn serial(&mut self, slot: &Slot) {
        let (jid, minion) = slot;
        let is_serial = |jid: &Jid| self.jobs.get(jid).is_some_and(|batch| batch.limits.serial);
        if !is_serial(jid) {
            return;
        }
        let beside =
            self.jobs.iter().filter(|(other, batch)| *other != jid && batch.running.contains(minion));
        let grant = |jid: &Jid| self.grants.get(&(*jid, minion.clone())).copied().unwrap_or(u64::MAX);
        let earlier =
            beside.map(|(other, _)| other).find(|other| is_serial(other) || grant(other) < grant(jid));
        if let Some(other) = earlier {
            let what = format!("job {jid} is serial and started on {minion} while job {other} ran there");
            self.breaches.push(what);
        }
    }

    pub(super) fn over(&mut self, slot: &Slot) {
        if let Some(batch) = self.jobs.get_mut(&slot.0) {
            batch.running.remove(&slot.1);
        }
    }
}

impl Batch {
    /// Why nothing more may be offered to a minion.
    fn is_over(&self, minion: &MinionId) -> Option<String> {
        let reached = |max: Option<u64>, count: u64| max.filter(|max| count >= *max);
        let failed = reached(self.limits.max_failures, self.known.failed.len() as u64);
        if let Some(max) = failed {
            return Some(format!("{max} failures are known"));
        }
        if let Some(until) = reached(self.limits.until, self.known.answered.len() as u64) {
            return Some(format!("{until} answers are known"));
        }
        let (name, here) = self.limits.regions.iter().find(|(_, r)| r.members.contains(minion))?;
        let failed = self.known.failed.intersection(&here.members).count() as u64;
        reached(here.max_failures, failed).map(|max| format!("{max} failures in {name} are known"))
    }

    /// A limit that more run than.
    fn exceeded(&self) -> Option<String> {
        let above = |limit: Option<u64>, count: usize| limit.filter(|limit| count as u64 > *limit);
        let all = self.running.len();
        let whole =
            above(self.limits.at_once, all).map(|limit| format!("{all} run at once, the limit is {limit}"));
        let here = |(name, region): (&RegionName, &RegionLimits)| {
            let count = self.running.intersection(&region.members).count();
            let limit = above(region.at_once, count)?;
            Some(format!("{count} run at once in {name}, the limit there is {limit}"))
        };
        whole.or_else(|| self.limits.regions.iter().find_map(here))
    }
}

impl Trace {
    /// How many executions began after their time, and are not counted by [`i12`].
    pub fn late_starts(&self) -> u32 {
        self.batches.late
    }
}

/// I12: the limit on how many run a job at once is exact, over all regions and in each, at every instant; a stage of a
/// canary begins when all who had their turn before have an outcome; a job that waits its turn on each minion waits; and
/// nothing is started after the failures that stop it are known.
///
/// Running is from the start of the body to its end, by the minion's machine, whether its minion process lives or not. It
/// is counted if it began in its time: by the moment that its offer names, and [`START_GRACE`]. That is the time to start
/// that it left the owner with, and for each hop the silence after which whatever still comes over a link is not taken
/// (a stopped process finds such messages when it goes on). Clocks are not compared across the fabric, so what is left
/// is a tier below whose disk takes longer than the grace to write "send begun" down: it passes on a time that is already
/// old, and the place may have been given to another by then, for else one silent minion holds the window for ever. Such a
/// start is not counted, only told by [`Trace::late_starts`]; an outcome that denies it is still a breach of I11.
///
/// A target declared `unknown` keeps its place until nothing that began in time can run there any more. For the
/// barrier between stages `unknown` is an outcome.
///
/// "Known" is what the ledger of the owner that runs has in memory; from that moment no message with time to start
/// leaves it. Starts after it are therefore at most the offers that had left before (every start must have had one). An
/// owner that is killed before it committed the outcome has forgotten it, and the next one learns it again from the return,
/// which nobody was told is safe.
pub fn i12(trace: &Trace) -> Vec<Violation> {
    found("I12", trace.batches.breaches.iter().cloned())
}
