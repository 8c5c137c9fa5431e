//! The order in which things become durable, and what may leave only then.
//!
//! One commit of outcomes is under way at a time; what comes meanwhile is in the next. It is bounded, so that nobody's
//! acceptance or answer waits for another's bulk: what is more stays dirty ([`dirty`]) and goes with later ones, job by job
//! a change of its own each time. A batch of returns is acknowledged once everything is durable that was dirty when it
//! had been taken, and nothing that waits is passed over for ever: every other commit begins with what waits longest.

use super::dirty::{Portion, Room};
use super::*;
use crate::relay::MAX_UNACKED_BATCHES;

/// What one commit of outcomes holds: bodies, and [`ROW_BYTES`] for each row. A store takes a millisecond or two for it, and the
/// next acceptance waits so long.
pub const MAX_COMMIT_BYTES: usize = 128 << 10;

/// The same while small jobs come: beside bulk, all on one machine, the slowest of them took three fifths to four fifths of the time that
/// they did with 128 KiB. Bulk pays for it, by a third with 48 KiB and twofold with 20, so it is not always so.
pub const SHORT_COMMIT_BYTES: usize = 48 << 10;

/// Commits are short for so long after a job was accepted, or a small one had something to commit beside a large one: longer than the
/// steps of a small job are apart.
pub const SHORT_FOR: Millis = 100;

/// A job that has no more than this to commit goes before those that have, in a commit without them.
pub const SMALL_BYTES: usize = 16 << 10;

/// An owner that has nothing to commit asks its store so often whether it still is the owner. One that was replaced while
/// it was cut off from everything but its syndics would keep them for itself otherwise.
pub const FENCE_CHECK: Millis = 5_000;

/// How much one commit of outcomes holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitRule {
    /// Bytes, but one row at least.
    pub bytes: usize,
    /// The same while small jobs come, see [`SHORT_FOR`].
    pub short: usize,
    /// A job with at most so many bytes to commit goes before those that have more.
    pub small: usize,
}

impl Default for CommitRule {
    fn default() -> CommitRule {
        CommitRule { bytes: MAX_COMMIT_BYTES, short: SHORT_COMMIT_BYTES, small: SMALL_BYTES }
    }
}

/// A write that changes nothing, and is refused like any other once another owner has begun.
fn proof() -> Write {
    Write::Minions(Vec::new())
}

/// An acknowledgement. At most [`MAX_UNACKED_BATCHES`] for each link.
#[derive(Debug)]
pub(super) struct Owed {
    /// Up to which batch of the link.
    up_to: u64,
    /// How many batches there had been, of all links: what they left dirty must be durable first.
    at: u64,
}

impl Owner {
    /// The events of one turn are in: let jobs go on, and commit the outcomes they brought, if no such commit is under way.
    pub fn end_turn(&mut self, now: Millis, wall: WallMicros) {
        (self.now, self.wall) = (now, wall);
        self.advance(now);
        if self.fenced || self.committing || (self.dirty.is_empty() && self.owed.is_empty()) {
            return;
        }
        let (mut writes, mut changes) = (Vec::new(), Vec::new());
        let line = self.line_up();
        let CommitRule { bytes, short, .. } = self.rule.commits;
        let mut room = Room::new(if now < self.short_until { short } else { bytes });
        for jid in line {
            self.gather(wall, jid, &mut room, &mut writes, &mut changes);
        }
        let acks = self.covered();
        if writes.is_empty() && acks.is_empty() {
            return;
        }
        if writes.is_empty() {
            // All known already, or of jobs that are not: it may be another owner that knows them.
            writes.push(proof());
        }
        self.committing = true;
        self.persist(writes, Waiting { acks, changes, outcomes: true, ..Waiting::default() }, false);
    }

    /// What is dirty in jobs that stand. The others' waits until they do.
    fn committable(&self) -> impl Iterator<Item = (Jid, &Dirty)> {
        let stands = |jid: &Jid| self.jobs.get(jid).is_none_or(|job| job.token.is_none());
        self.dirty.iter().filter(move |(jid, _)| stands(jid)).map(|(jid, dirty)| (*jid, dirty))
    }

    /// The jobs that are in the next commit, as long as there is room. Those with the fewest bytes go first; but small
    /// ones do so without the others only every other time, and otherwise what has waited longest goes before all.
    fn line_up(&mut self) -> Vec<Jid> {
        let mut line: Vec<(usize, Jid)> =
            self.committable().map(|(jid, dirty)| (dirty.bytes(), jid)).collect();
        line.sort_unstable();
        let small = line.partition_point(|(bytes, _)| *bytes <= self.rule.commits.small);
        let any_small = line[..small].iter().any(|(bytes, _)| *bytes > 0);
        let beside = any_small && small < line.len();
        if beside {
            self.commits_short(self.now);
        }
        let alone = beside && !self.large_is_next;
        self.large_is_next = alone;
        if alone {
            line.truncate(small);
        }
        let mut line: Vec<Jid> = line.into_iter().map(|(_, jid)| jid).collect();
        let since = |jid: &Jid| self.dirty.get(jid).and_then(Dirty::since).unwrap_or(u64::MAX);
        let oldest = (0..line.len()).min_by_key(|place| since(&line[*place]));
        if let Some(oldest) = oldest.filter(|_| !alone) {
            line[..=oldest].rotate_right(1);
        }
        line
    }

    /// Somebody small is about: who follows him soon is not to wait for long commits.
    pub(super) fn commits_short(&mut self, now: Millis) {
        self.short_until = now.saturating_add(SHORT_FOR);
    }

    /// Puts into the commit what there is room for.
    fn gather(
        &mut self,
        wall: WallMicros,
        jid: Jid,
        room: &mut Room,
        writes: &mut Vec<Write>,
        changes: &mut Vec<Change>,
    ) {
        let Some(dirty) = self.dirty.get_mut(&jid) else { return };
        let (Some(job), Some(work)) = (self.jobs.get_mut(&jid), self.tier.works.get(&jid)) else {
            self.dirty.remove(&jid);
            return;
        };
        let epoch = job.head.epoch;
        let Portion { rows, answers } = dirty.take(&work.ledger, room);
        let is_last = dirty.is_empty();
        if rows.is_empty() && !is_last {
            return;
        }
        if !rows.is_empty() {
            job.seq += 1;
            writes.push(Write::Returns { jid, epoch, seq: job.seq, at: wall, rows });
        }
        // The close comes last. It comes again with each change after it, and counts what is durable by then.
        let closes = if job.closed { !answers.is_empty() } else { is_last };
        if work.ledger.is_complete() && closes {
            job.closed = true;
            writes.push(Write::Close { jid, epoch, at: wall, counts: dirty.counts(&work.ledger) });
        }
        changes.push(Change { jid, seq: job.seq, at: wall, answers, closed: job.closed });
        if is_last {
            self.dirty.remove(&jid);
        }
    }

    /// Everything of a batch was written into the ledger: it is to be acknowledged.
    pub(super) fn owe(&mut self, link: LinkId, up_to: u64) {
        let (at, owed) = (self.batches, self.owed.entry(link).or_default());
        // More than a syndic has under way: it sends them again and again, and is told of the last only.
        let full = owed.len() >= MAX_UNACKED_BATCHES;
        let before = if full { owed.pop_back() } else { None };
        let up_to = before.map_or(up_to, |before| up_to.max(before.up_to));
        owed.push_back(Owed { up_to, at });
    }

    /// The acknowledgements that may be given once what was gathered is durable.
    fn covered(&mut self) -> BTreeMap<LinkId, u64> {
        let oldest = self.committable().filter_map(|(_, dirty)| dirty.since()).min().unwrap_or(u64::MAX);
        let mut acks = BTreeMap::new();
        for (link, owed) in &mut self.owed {
            while let Some(Owed { up_to, .. }) = owed.pop_front_if(|owed| owed.at < oldest) {
                let ack: &mut u64 = acks.entry(*link).or_default();
                *ack = up_to.max(*ack);
            }
        }
        self.owed.retain(|_, owed| !owed.is_empty());
        acks
    }

    fn acknowledge(&mut self, acks: BTreeMap<LinkId, u64>) {
        let ack = |(link, up_to)| Sending::new(vec![link], Down::ReturnsAck { up_to });
        self.effects.extend(acks.into_iter().map(ack).map(OwnerEffect::Send));
    }

    /// Nothing was committed for a while: is it still us who may?
    pub(super) fn prove(&mut self, now: Millis) {
        if self.waiting.is_empty() && now >= self.proved + FENCE_CHECK {
            self.persist(vec![proof()], Waiting::default(), false);
        }
    }

    /// Another owner has begun: nothing that was refused may be shown, acknowledged or sent, nor anything after it.
    fn fence(&mut self) {
        self.fenced = true;
        self.waiting.clear();
        self.dirty.clear();
        self.owed.clear();
        let tokens: Vec<u64> = self.jobs.values_mut().filter_map(|job| job.token.take()).collect();
        let reply = |token| OwnerEffect::Reply { token, result: Err(SubmitError::NotOwner) };
        self.effects.extend(tokens.into_iter().map(reply));
    }

    /// A [`OwnerEffect::Persist`] was done, or (if it may fail, or another owner has begun) was not.
    pub fn persisted(&mut self, now: Millis, ticket: u64, result: Result<(), WriteError>) {
        self.now = now;
        if result == Err(WriteError::Fenced) {
            self.fence();
        }
        let Some(waiting) = self.waiting.remove(&ticket) else { return };
        if waiting.outcomes {
            self.committing = false;
        }
        if let Some(jid) = waiting.accept {
            self.accepted(now, jid, result);
        }
        // The store may have stood still for long: nothing starts later than it was granted for.
        let waited = now.saturating_sub(waiting.since);
        let sendings = waiting.sendings.into_iter().map(|sending| sending.aged(waited));
        self.effects.extend(sendings.map(OwnerEffect::Send));
        self.acknowledge(waiting.acks);
        for change in waiting.changes.iter().filter(|c| c.closed) {
            self.closed(change.jid);
        }
        if !waiting.changes.is_empty() {
            self.effects.push(OwnerEffect::Changed { ticket, changes: waiting.changes });
        }
    }

    pub(super) fn drop_job(&mut self, jid: Jid) {
        self.jobs.remove(&jid);
        self.serial.remove(&jid);
        self.tier.forget(jid);
        self.dirty.remove(&jid);
    }

    fn closed(&mut self, jid: Jid) {
        if self.dirty.contains_key(&jid) {
            return; // late returns came, or there was no room for all of them: a later commit comes here again
        }
        let Some(work) = self.tier.works.get(&jid) else { return };
        self.serial.remove(&jid);
        let (targets, unresolved) = (work.ledger.targets().len(), !work.ledger.unknown().is_empty());
        self.note(jid, "closed", targets);
        if !unresolved {
            self.drop_job(jid);
            return;
        }
        // Those with late returns on their way to the store come here again.
        let idle = |(jid, job): &(&Jid, &OpenJob)| job.closed && !self.dirty.contains_key(jid);
        let waiting: Vec<Jid> = self.jobs.iter().filter(idle).map(|(jid, _)| *jid).collect();
        for old in waiting.iter().take(waiting.len().saturating_sub(MAX_UNRESOLVED)) {
            self.drop_job(*old);
        }
    }

    /// The store can't be written: nothing is accepted, and returns stay below. `None` when it works again.
    pub fn set_stalled(&mut self, why: Option<String>) {
        self.stalled = why;
    }
}
