//! The syndic's rules: a top master to what is below it, a minion to what is above it.
//!
//! Owns the spool's meaning (not its bytes): which sends were begun, which returns no parent has yet. Folds equal
//! answers, acknowledges a return only when it is durable, and keeps it until the parent that owns the job has it.
//! A relay never says `unknown`: that is the owner's. Links, files and clocks belong to the syndic crate, which is
//! told by [`RelayEffect`]s.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    Members,
    fold::FlushRule,
    ids::{Incarnation, Jid, MinionId},
    ledger::Ledger,
    message::{Dispatch, Down, LinkId, ReturnBatch, ReturnGroup, RosterUpdate, Running, Up},
    outcome::{Answer, Outcome, Reason},
    roster::Roster,
    seat::HeartbeatRule,
    tier::{DIRECT, Placement, SendMark, Sending, Tier, Work},
    time::{Millis, WallMicros},
};

mod acks;
mod children;
mod commit;
mod effect;
mod homes;
mod journals;
mod parents;
mod reports;
mod uplink;
pub use acks::{ACK_LAST, ACK_PACE, ACK_SOON};
use acks::{Ack, Acks};
pub use effect::*;
use homes::Homes;
use uplink::Uplink;
pub use uplink::{MAX_UNACKED_BATCHES, MAX_UNACKED_BYTES, ParentNo};

/// How long work is remembered after its delivery window, if nobody asks for it any more. Send marks must outlive any
/// offer that could still claim "never sent": the owner offers as `reoffer` once the window is over.
pub const WORK_RETAIN: Millis = 2 * 60 * 60 * 1_000;
/// Jobs known at once. Twice an owner's limit, for two owners.
pub const MAX_WORKS: usize = 2 * crate::job::MAX_OPEN_JOBS;
/// What a child is told to wait when its returns can't be taken.
pub const BUSY_RETRY: Millis = 1_000;
/// Roster changes are gathered for this long, so that an attach storm is a few deltas and not thousands.
pub const ROSTER_PACE: Millis = 20;
/// Parents that a spool may tell apart: a former version had an uplink to each, and the configuration has at most a few.
const MAX_SPOOLED_PARENTS: usize = 64;
/// New evidence of running jobs is passed on after at most this long.
pub const TELL_PACE: Millis = 1_000;

/// The relay's settings.
#[derive(Debug, Clone, Copy)]
pub struct RelayRule {
    /// How many parents are configured.
    pub parents: usize,
    /// When a fold is flushed.
    pub flush: FlushRule,
    /// Heartbeats of the children.
    pub heartbeat: HeartbeatRule,
    /// Heartbeats with the parent: [`RelayRule::uplink_of`].
    pub uplink: HeartbeatRule,
    /// Bytes of unacknowledged returns, in memory and on disk; beyond it minions keep theirs.
    pub spool_max_bytes: usize,
}

/// How often a parent is asked for a sign of life, at least: there are few syndics, so this costs nothing.
const UPLINK_INTERVAL: Millis = 2_000;
/// A parent that is silent for so long is left. A standby has taken over from a frozen owner in about this time, and its jobs wait
/// 10 s for the syndics.
const UPLINK_DEAD_AFTER: Millis = 7_000;

impl RelayRule {
    /// The rule for the parent, where `children` is that for the children: never slower than it.
    pub fn uplink_of(children: HeartbeatRule) -> HeartbeatRule {
        HeartbeatRule {
            interval: children.interval.min(UPLINK_INTERVAL),
            dead_after: children.dead_after.min(UPLINK_DEAD_AFTER),
        }
    }
}

#[derive(Debug, Default)]
struct Waiting {
    sendings: Vec<Sending>,
    /// Since when they wait.
    since: Millis,
    /// It holds "send begun" marks of this job.
    marks: Option<Jid>,
    acks: Acks,
    batches: Vec<(ParentNo, u64)>,
}

/// What the relay remembers of a job besides the tier's work.
#[derive(Debug, Clone, Copy)]
struct Errand {
    parent: ParentNo,
    forget_at: Millis,
    /// Batches not acknowledged by the parent that speak of this job.
    spooled: usize,
    /// The open fold speaks of it.
    folding: bool,
    /// It came here more than once, for more and more members: its window waits for what those before have answered.
    windowed: bool,
}

impl Errand {
    fn new(now: Millis, parent: ParentNo) -> Errand {
        Errand { parent, forget_at: now + WORK_RETAIN, spooled: 0, folding: false, windowed: false }
    }
}

/// One syndic.
#[derive(Debug)]
pub struct Relay {
    rule: RelayRule,
    tier: Tier,
    roster: Roster,
    errands: BTreeMap<Jid, Errand>,
    uplinks: Vec<Uplink>,
    waiting: BTreeMap<u64, Waiting>,
    next_ticket: u64,
    /// Records that may wait for the next group commit.
    lazy: Vec<SpoolRecord>,
    /// Acknowledgements owed to children for what the open folds hold.
    owed: Acks,
    /// Durable, and not told yet.
    acks: Acks,
    /// Children whose heartbeats are to be answered, and when ([`HeartbeatRule::gather`]).
    beats: BTreeSet<LinkId>,
    beats_due: Option<Millis>,
    /// Jobs that have their last answer from here: what is folded of them waits for nothing more.
    finished: BTreeSet<Jid>,
    roster_due: Option<Millis>,
    tell_due: Option<Millis>,
    /// Where minions below belong.
    homes: Homes,
    journals: journals::Journals,
    /// What those below have refused as forged.
    reports: reports::Reports,
    ticked: Millis,
    stalled: bool,
    effects: Vec<RelayEffect>,
}

impl Relay {
    /// A syndic as its spool remembers it.
    pub fn recover(rule: RelayRule, now: Millis, records: Vec<SpoolRecord>) -> Relay {
        let mut numbers = Vec::new();
        let mut relay = Relay {
            rule,
            tier: Tier::default(),
            roster: Roster::default(),
            errands: BTreeMap::new(),
            uplinks: Vec::new(),
            waiting: BTreeMap::new(),
            next_ticket: 0,
            lazy: Vec::new(),
            owed: Acks::default(),
            acks: Acks::default(),
            beats: BTreeSet::new(),
            beats_due: None,
            finished: BTreeSet::new(),
            roster_due: None,
            tell_due: None,
            homes: Homes::default(),
            journals: journals::Journals::default(),
            reports: reports::Reports::default(),
            ticked: now,
            stalled: false,
            effects: Vec::new(),
        };
        for record in records {
            match record {
                SpoolRecord::Member { no, id, incarnation } => numbers.push((no, id, incarnation)),
                SpoolRecord::Sent(mark) => relay.replay_sent(now, mark),
                SpoolRecord::Batch { parent, batch } => relay.replay_batch(now, parent, batch),
                // Nobody can have written that of such a parent, and of the one in whose place it would stand nothing is forgotten.
                SpoolRecord::Acked { parent, .. } if parent >= MAX_SPOOLED_PARENTS => {}
                SpoolRecord::Acked { parent, up_to } => {
                    let gone = relay.uplink(parent).gone(up_to);
                    relay.delivered(gone);
                }
                SpoolRecord::Forget { jid } => relay.forget(jid),
            }
        }
        relay.lazy.clear();
        relay.merge_uplinks();
        relay.roster = Roster::restore(numbers);
        relay
    }

    fn replay_sent(&mut self, now: Millis, mark: SendMark) {
        let work = self.work_of(now, mark.jid);
        work.ledger.extend(&mark.members);
        work.ledger.sent(&mark.members);
        for (_, others) in work.sent_via.iter().filter(|(via, _)| **via != mark.via) {
            work.tainted |= others & &mark.members;
        }
        *work.sent_via.entry(mark.via).or_default() |= mark.members;
    }

    fn replay_batch(&mut self, now: Millis, parent: ParentNo, batch: ReturnBatch) {
        // Twice, if the spool was compacted between a batch's adoption and the write that says so.
        if self.uplink(parent).has(batch.seq) {
            return;
        }
        for group in &batch.groups {
            let work = self.work_of(now, group.jid);
            work.ledger.extend(&group.members);
            work.ledger.record(&group.answer, &group.members);
            let errand = self.errands.entry(group.jid);
            errand.or_insert(Errand::new(now, parent)).spooled += 1;
        }
        self.uplink(parent).restore(batch);
    }

    /// A parent as the spool knows it: it may have had more of them than there are now.
    fn uplink(&mut self, parent: ParentNo) -> &mut Uplink {
        let parent = parent.min(MAX_SPOOLED_PARENTS - 1);
        let known = self.uplinks.len().max(parent + 1);
        self.uplinks.resize_with(known, || Uplink::new(self.rule.flush));
        &mut self.uplinks[parent]
    }

    /// What was spooled for parents that there are no more goes to the last one, behind its own: numbered anew, since each
    /// parent's batches are acknowledged by their numbers.
    fn merge_uplinks(&mut self) {
        let parents = self.rule.parents.clamp(1, MAX_SPOOLED_PARENTS);
        self.uplink(parents - 1);
        for (no, former) in self.uplinks.split_off(parents).into_iter().enumerate() {
            let batches: Vec<ReturnBatch> = former.batches().cloned().collect();
            let Some(last) = batches.last() else { continue };
            let acked = SpoolRecord::Acked { parent: parents + no, up_to: last.seq };
            for batch in batches {
                let batch = self.uplinks[parents - 1].adopt(batch);
                self.lazy.push(SpoolRecord::Batch { parent: parents - 1, batch });
            }
            self.lazy.push(acked);
        }
        self.errands.values_mut().for_each(|errand| errand.parent = errand.parent.min(parents - 1));
    }

    fn work_of(&mut self, now: Millis, jid: Jid) -> &mut Work {
        self.errands.entry(jid).or_insert(Errand::new(now, 0));
        let new = || Work::new(None, Default::default(), Members::new());
        self.tier.works.entry(jid).or_insert_with(new)
    }

    fn clamp(&self, parent: ParentNo) -> ParentNo {
        parent.min(self.uplinks.len() - 1)
    }

    /// The records that say the same as the spool will once everything asked for so far is written: for compaction.
    pub fn live_records(&self) -> Vec<SpoolRecord> {
        let member = |(no, id, incarnation): (u32, &MinionId, Incarnation)| SpoolRecord::Member {
            no,
            id: id.clone(),
            incarnation,
        };
        let mut records: Vec<_> = self.roster.numbers().map(member).collect();
        for (&jid, work) in &self.tier.works {
            let mark =
                |(&via, members): (&Incarnation, &Members)| SendMark { jid, via, members: members.clone() };
            records.extend(work.sent_via.iter().map(mark).map(SpoolRecord::Sent));
        }
        for (parent, uplink) in self.uplinks.iter().enumerate() {
            records.extend(uplink.batches().cloned().map(|batch| SpoolRecord::Batch { parent, batch }));
        }
        records
    }

    /// Takes what must be done. Call after each turn of events, after [`Relay::end_turn`].
    pub fn effects(&mut self) -> Vec<RelayEffect> {
        std::mem::take(&mut self.effects)
    }

    // ---- time ----

    /// Time has come to [`Relay::next_deadline`].
    pub fn tick(&mut self, now: Millis) {
        self.ticked = now;
        for link in self.tier.silent(now, self.rule.heartbeat.dead_after) {
            self.effects.push(RelayEffect::Hangup { link, why: "silent" });
        }
        let tell = self.tell_due.is_some_and(|due| due <= now);
        for parent in 0..self.uplinks.len() {
            let uplink = &self.uplinks[parent];
            let Some(link) = uplink.link() else { continue };
            if uplink.is_silent(now, self.rule.uplink.dead_after) {
                self.uplinks[parent].next_beat = now + self.rule.uplink.interval;
                self.effects.push(RelayEffect::Hangup { link, why: "silent" });
            } else if tell || uplink.next_beat <= now {
                self.heartbeat(now, parent);
            }
        }
        if tell {
            self.tell_due = None;
        }
        self.expire(now);
        self.pump(now);
    }

    fn expire(&mut self, now: Millis) {
        let over = |w: &Work| &(w.ledger.unsent() - &w.tainted) & &w.deadlines.passed(now);
        let overdue = self.tier.works.iter().map(|(jid, work)| (*jid, over(work)));
        let overdue: Vec<(Jid, Members)> = overdue.filter(|(_, unsent)| !unsent.is_empty()).collect();
        let answer = Arc::new(Answer::by_tier(Outcome::NotStarted, Reason::Unreachable));
        for (jid, unsent) in overdue {
            self.note(jid, "not started: unreachable", unsent.len());
            self.answer(now, jid, answer.clone(), &unsent);
        }
        let stale = self.errands.iter().filter(|(_, e)| e.forget_at <= now && e.spooled == 0 && !e.folding);
        for jid in stale.map(|(jid, _)| *jid).collect::<Vec<_>>() {
            self.lazy.push(SpoolRecord::Forget { jid });
            self.forget(jid);
        }
    }

    /// When [`Relay::tick`] and [`Relay::end_turn`] must be called next, at the latest. Silence is looked for once a
    /// second, counted from the last tick: however much comes in, this moment does not move away.
    pub fn next_deadline(&self, now: Millis) -> Millis {
        let folds = self.uplinks.iter().filter_map(|u| u.fold.due());
        let unsent = |w: &Work| w.deadlines.first_of(&(w.ledger.unsent() - &w.tainted));
        let works = self.tier.works.values().filter_map(unsent);
        let paced =
            self.roster_due.into_iter().chain(self.tell_due).chain(self.acks.due()).chain(self.reports_due());
        let paced = paced.chain(self.beats_due);
        let beats = self.uplinks.iter().filter(|u| u.link().is_some()).map(|u| u.next_beat);
        folds
            .chain(works)
            .chain(paced)
            .chain(beats)
            .min()
            .unwrap_or(u64::MAX)
            .min(self.ticked + 1_000)
            .max(now)
    }

    // ---- for status and tests ----

    /// The roster of this syndic.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// How many minions are up.
    pub fn minions_up(&self) -> u64 {
        self.tier.up().len()
    }

    /// Each job's ledger, for the invariants.
    pub fn ledgers(&self) -> impl Iterator<Item = (Jid, &Ledger)> {
        self.tier.works.iter().map(|(jid, work)| (*jid, &work.ledger))
    }

    /// How many parents are attached.
    pub fn parents_up(&self) -> usize {
        self.uplinks.iter().filter(|u| u.link().is_some()).count()
    }
}

#[cfg(test)]
mod tests;
