//! The order in which things become durable, and what may leave only then.
//!
//! One commit of outcomes is under way at a time; what comes meanwhile is in the next.

use super::*;

/// An owner that has nothing to commit asks its store so often whether it still is the owner. One that was replaced while
/// it was cut off from everything but its syndics would keep them for itself otherwise.
pub const FENCE_CHECK: Millis = 5_000;

/// A write that changes nothing, and is refused like any other once another owner has begun.
fn proof() -> Write {
    Write::Minions(Vec::new())
}

impl Owner {
    /// The events of one turn are in: let jobs go on, and commit the outcomes they brought, if no such commit is under way.
    pub fn end_turn(&mut self, now: Millis, wall: WallMicros) {
        (self.now, self.wall) = (now, wall);
        self.advance(now);
        if self.fenced || self.committing || (self.dirty.is_empty() && self.owed.is_empty()) {
            return;
        }
        let mut writes = Vec::new();
        let mut changes = Vec::new();
        let unaccepted = |owner: &Owner, jid: &Jid| owner.jobs.get(jid).is_some_and(|j| j.token.is_some());
        let ready: Vec<Jid> = self.dirty.keys().filter(|jid| !unaccepted(self, jid)).copied().collect();
        for jid in ready {
            let Some(dirty) = self.dirty.remove(&jid) else { continue };
            self.gather(wall, jid, dirty, &mut writes, &mut changes);
        }
        let acks = std::mem::take(&mut self.owed);
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

    fn gather(
        &mut self,
        wall: WallMicros,
        jid: Jid,
        mut dirty: Dirty,
        writes: &mut Vec<Write>,
        changes: &mut Vec<Change>,
    ) {
        let (Some(job), Some(work)) = (self.jobs.get_mut(&jid), self.tier.works.get(&jid)) else { return };
        let epoch = job.head.epoch;
        let row = |no: GroupNo| {
            let members = work.ledger.groups().get(no as usize).map(|g| g.members.clone());
            let added = dirty.added.get(&no).map(|(_, members)| members.clone()).unwrap_or_default();
            let answer = dirty.new_rows.remove(&no);
            GroupRow { no, answer, members: members.unwrap_or_default(), added }
        };
        let rows: Vec<GroupRow> = dirty.rows.into_iter().map(row).collect();
        if !rows.is_empty() {
            job.seq += 1;
            writes.push(Write::Returns { jid, epoch, seq: job.seq, at: wall, rows });
        }
        let counts = work.ledger.counts();
        if work.ledger.is_complete() && (!job.closed || !dirty.added.is_empty()) {
            job.closed = true;
            writes.push(Write::Close { jid, epoch, at: wall, counts });
        }
        let answers = dirty.added.into_iter().map(|(no, (answer, members))| (no, answer, members)).collect();
        changes.push(Change { jid, seq: job.seq, at: wall, answers, closed: job.closed });
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
            return; // a late return came while the last commit was under way: the next commit comes here again
        }
        let Some(work) = self.tier.works.get(&jid) else { return };
        self.serial.remove(&jid);
        let (targets, unresolved) = (work.ledger.targets().len(), !work.ledger.unknown().is_empty());
        self.note(jid, "closed", targets);
        if !unresolved {
            self.drop_job(jid);
            return;
        }
        let waiting: Vec<Jid> = self.jobs.iter().filter(|(_, j)| j.closed).map(|(jid, _)| *jid).collect();
        for old in waiting.iter().take(waiting.len().saturating_sub(MAX_UNRESOLVED)) {
            self.drop_job(*old);
        }
    }

    /// The store can't be written: nothing is accepted, and returns stay below. `None` when it works again.
    pub fn set_stalled(&mut self, why: Option<String>) {
        self.stalled = why;
    }
}
