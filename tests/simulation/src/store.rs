//! The store as the top master's core is promised it: transactions, request ids, fencing by epoch, rows of answers.
//!
//! It outlives every process. It also is where a slot's history is witnessed: each commit says which slots changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use relay_core::{
    Members,
    ids::{Epoch, Incarnation, Jid, MinionId, RequestId},
    invariants::{Observation, Order, Verdict},
    inventory::{Inventory, Record},
    leaves::Leaves,
    ledger::{AnswerKey, Group, GroupNo},
    outcome::{Answer, Outcome},
    owner::{GroupRow, JobHead, StoredJob, Write, WriteError},
    time::Millis,
};

use crate::{minion::TOLERANCE, sabotage::Sabotage};

/// A job in the store.
#[derive(Debug)]
pub struct Kept {
    head: JobHead,
    sent: BTreeMap<Incarnation, Members>,
    rows: BTreeMap<GroupNo, (Arc<Answer>, Members)>,
    slots: BTreeMap<u32, GroupNo>,
    closed: bool,
    cancelled: bool,
    seq: u64,
    approved: u32,
    /// What each change said, for watchers.
    changes: Vec<Telling>,
}

/// What one change of a job's answers says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// Its number.
    pub seq: u64,
    /// Who newly has which outcome.
    pub told: Vec<(MinionId, Verdict)>,
}

/// The store.
#[derive(Debug, Default)]
pub struct Store {
    /// The newest owner's.
    pub epoch: Epoch,
    sabotage: Sabotage,
    minions: BTreeMap<u32, Record>,
    jobs: BTreeMap<Jid, Kept>,
    requests: BTreeMap<RequestId, (Jid, [u8; 32])>,
}

fn epoch_of(write: &Write) -> Option<(Jid, Epoch)> {
    match write {
        Write::Minions(_) => None,
        Write::Accept(head) => Some((head.job.jid, head.epoch)),
        Write::Sent(mark, epoch) => Some((mark.jid, *epoch)),
        Write::Returns { jid, epoch, .. }
        | Write::Cancel(jid, epoch)
        | Write::Approve(jid, epoch, _)
        | Write::Close { jid, epoch, .. } => Some((*jid, *epoch)),
    }
}

impl Store {
    /// An empty store.
    pub fn new(sabotage: Sabotage) -> Store {
        Store { sabotage, ..Store::default() }
    }

    /// One transaction: all of it or nothing. Says what it changed.
    ///
    /// `ours` is the epoch under which the writer began, for writes that carry none. As in the real stores, a transaction
    /// without any write is not looked at.
    pub fn commit(
        &mut self,
        now: Millis,
        ours: Epoch,
        writes: &[Write],
    ) -> Result<Vec<Observation>, WriteError> {
        let epochs: Vec<(Jid, Epoch)> = writes.iter().filter_map(epoch_of).collect();
        let fenced = self.sabotage != Sabotage::Unfenced && !writes.is_empty();
        if fenced && epochs.iter().map(|(_, epoch)| *epoch).chain([ours]).any(|epoch| epoch < self.epoch) {
            return Err(WriteError::Fenced);
        }
        writes.iter().try_for_each(|write| self.refusal(write))?;
        let wrote = |(jid, epoch)| Observation::Wrote { jid, epoch, newest: self.epoch };
        let mut seen: Vec<Observation> = epochs.into_iter().map(wrote).collect();
        writes.iter().for_each(|write| self.apply(now, write, &mut seen));
        Ok(seen)
    }

    fn refusal(&self, write: &Write) -> Result<(), WriteError> {
        let Write::Accept(head) = write else { return Ok(()) };
        if let Some(&(jid, digest)) = self.requests.get(&head.request_id) {
            let targets = self.jobs.get(&jid).map_or(0, |kept| kept.head.targets.len());
            return Err(WriteError::RequestKnown { jid, targets, same: digest == head.request_digest });
        }
        match self.jobs.contains_key(&head.job.jid) {
            true => Err(WriteError::JidTaken(head.job.jid)),
            false => Ok(()),
        }
    }

    fn apply(&mut self, now: Millis, write: &Write, seen: &mut Vec<Observation>) {
        match write {
            Write::Minions(records) => {
                self.minions.extend(records.iter().map(|record| (record.no, record.clone())));
            }
            Write::Accept(head) => self.accept((**head).clone(), seen),
            Write::Sent(mark, _) => {
                let names = self.names(&mark.members).into_iter();
                seen.extend(names.map(|minion| Observation::Granted((mark.jid, minion))));
                if let Some(kept) = self.jobs.get_mut(&mark.jid) {
                    *kept.sent.entry(mark.via).or_default() |= &mark.members;
                }
            }
            Write::Returns { jid, seq, rows, .. } => {
                if let Some(kept) = self.jobs.get_mut(jid) {
                    kept.seq = *seq;
                }
                self.returns(*jid, rows, seen);
                self.change(*jid, *seq, rows, seen);
            }
            Write::Approve(jid, _, stages) => {
                if let Some(kept) = self.jobs.get_mut(jid) {
                    kept.approved = *stages;
                }
            }
            Write::Cancel(jid, _) => {
                if let Some(kept) = self.jobs.get_mut(jid) {
                    kept.cancelled = true;
                }
            }
            Write::Close { jid, .. } => {
                if let Some(kept) = self.jobs.get_mut(jid) {
                    kept.closed = true;
                    seen.push(Observation::Closed(*jid, now));
                }
            }
        }
    }

    fn accept(&mut self, head: JobHead, seen: &mut Vec<Observation>) {
        let jid = head.job.jid;
        self.requests.insert(head.request_id, (jid, head.request_digest));
        seen.push(Observation::Recorded { jid, targets: self.names(&head.targets) });
        seen.push(Observation::Ordered(jid, self.order(&head)));
        let (sent, rows, slots) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        self.jobs.insert(
            jid,
            Kept {
                head,
                sent,
                rows,
                slots,
                closed: false,
                cancelled: false,
                seq: 0,
                approved: 0,
                changes: Vec::new(),
            },
        );
    }

    fn returns(&mut self, jid: Jid, rows: &[GroupRow], seen: &mut Vec<Observation>) {
        let Some(kept) = self.jobs.get_mut(&jid) else {
            seen.push(Observation::BrokenLedger(format!("store: returns for job {jid}, which is not there")));
            return;
        };
        for row in rows {
            let known = kept.rows.get_mut(&row.no);
            match (known, &row.answer) {
                (Some((_, members)), _) if self.sabotage == Sabotage::KeepUnknown => *members |= &row.members,
                (Some((_, members)), _) => *members = row.members.clone(),
                (None, Some(answer)) => {
                    drop(kept.rows.insert(row.no, (answer.clone(), row.members.clone())));
                }
                (None, None) => {
                    let what = format!("store: job {jid}: row {} has members and no answer", row.no);
                    seen.push(Observation::BrokenLedger(what));
                }
            }
        }
        let (before, trouble) = kept.reslot();
        seen.extend(trouble.map(|what| Observation::BrokenLedger(format!("store: job {jid}: {what}"))));
        for (no, row) in &self.jobs[&jid].slots {
            if before.get(no) != Some(row)
                && let Some(minion) = self.minions.get(no)
            {
                let verdict = Verdict::of(&self.jobs[&jid].rows[row].0);
                seen.push(Observation::Slot((jid, minion.id.clone()), verdict));
            }
        }
    }

    /// Keeps what a change says.
    fn change(&mut self, jid: Jid, seq: u64, rows: &[GroupRow], seen: &mut Vec<Observation>) {
        let Some(kept) = self.jobs.get(&jid) else { return };
        let answer = |row: &GroupRow| row.answer.clone().or_else(|| Some(kept.rows.get(&row.no)?.0.clone()));
        let told = rows.iter().filter_map(|row| Some((Verdict::of(&*answer(row)?), self.names(&row.added))));
        let told: Vec<(MinionId, Verdict)> = told
            .flat_map(|(verdict, names)| names.into_iter().map(move |id| (id, verdict.clone())))
            .collect();
        seen.push(Observation::Changed { jid, seq, told: told.clone() });
        if let Some(kept) = self.jobs.get_mut(&jid) {
            kept.changes.push(Telling { seq, told });
        }
    }

    /// A job as a watcher reads it: the changes after one, up to which one it goes, and whether the job is closed.
    pub fn watched(&self, jid: Jid, after: u64) -> Option<(Vec<Telling>, u64, bool)> {
        let kept = self.jobs.get(&jid)?;
        let changes = kept.changes.iter().filter(|change| change.seq > after).cloned().collect();
        Some((changes, kept.seq, kept.closed))
    }

    /// The names of targets.
    pub fn names(&self, members: &Members) -> BTreeSet<MinionId> {
        members.iter().filter_map(|no| self.minions.get(&no)).map(|record| record.id.clone()).collect()
    }

    /// What was signed, in the words of the invariant.
    fn order(&self, head: &JobHead) -> Order {
        let leaves = Leaves::decode(&head.leaves, &head.targets).unwrap_or_default();
        let named = |(no, incarnation)| self.minions.get(&no).map(|record| (record.id.clone(), incarnation));
        let until = head.spec.span.not_after + TOLERANCE * 1_000;
        Order { digest: head.job.digest, targets: leaves.iter().filter_map(named).collect(), until }
    }

    /// Whether a job is for this minion, under this journal.
    pub fn is_signed_for(&self, jid: Jid, id: &MinionId, incarnation: Incarnation) -> bool {
        let order = self.jobs.get(&jid).map(|kept| self.order(&kept.head));
        order.is_some_and(|order| order.targets.contains(&(id.clone(), incarnation)))
    }

    /// Every job with its targets.
    pub fn jobs(&self) -> BTreeMap<Jid, BTreeSet<MinionId>> {
        self.jobs.iter().map(|(jid, kept)| (*jid, self.names(&kept.head.targets))).collect()
    }

    /// The heads of the jobs that are not closed.
    pub fn open(&self) -> impl Iterator<Item = &JobHead> {
        self.jobs.values().filter(|kept| !kept.closed).map(|kept| &kept.head)
    }

    /// The head of a job.
    pub fn head(&self, jid: Jid) -> Option<&JobHead> {
        self.jobs.get(&jid).map(|kept| &kept.head)
    }

    /// Whether a job is for this minion.
    pub fn is_target(&self, jid: Jid, minion: &MinionId) -> bool {
        let no = self.minions.values().find(|record| record.id == *minion).map(|record| record.no);
        self.jobs.get(&jid).zip(no).is_some_and(|(kept, no)| kept.head.targets.contains(no))
    }

    /// Whether a final outcome of this minion is in.
    pub fn has_final(&self, jid: Jid, minion: &MinionId) -> bool {
        let no = self.minions.values().find(|record| record.id == *minion).map(|record| record.no);
        let kept = self.jobs.get(&jid).zip(no);
        let row = kept.and_then(|(kept, no)| kept.slots.get(&no).and_then(|row| kept.rows.get(row)));
        row.is_some_and(|(answer, _)| answer.outcome.is_final())
    }

    /// A new owner takes over: the next epoch, the inventory, and the jobs that are not over.
    pub fn begin(&mut self) -> (Epoch, Inventory, Vec<StoredJob>) {
        let joins = self.sabotage == Sabotage::SameEpoch && self.epoch.0 > 0;
        self.epoch = if joins { self.epoch } else { Epoch(self.epoch.0 + 1) };
        let mut inventory = Inventory::new();
        for record in self.minions.values() {
            // A record that the inventory wrote itself is in order.
            drop(inventory.restore(record.clone()));
        }
        let open = self.jobs.values().filter(|kept| !kept.closed || kept.has_unknown());
        (self.epoch, inventory, open.map(Kept::stored).collect())
    }
}

impl Kept {
    /// Reads the slots anew from the rows; returns how they were, and what is wrong with them.
    fn reslot(&mut self) -> (BTreeMap<u32, GroupNo>, Option<String>) {
        let (mut slots, mut trouble) = (BTreeMap::new(), None);
        for (no, (_, members)) in &self.rows {
            for member in members {
                if let Some(other) = slots.insert(member, *no) {
                    trouble = Some(format!("member {member} is in the rows {other} and {no}"));
                }
            }
        }
        let before = std::mem::replace(&mut self.slots, slots);
        if let Some(lost) = before.keys().find(|member| !self.slots.contains_key(member)) {
            trouble = Some(format!("member {lost} had an outcome and has none now"));
        }
        (before, trouble)
    }

    fn has_unknown(&self) -> bool {
        self.rows.values().any(|(answer, members)| answer.outcome == Outcome::Unknown && !members.is_empty())
    }

    fn stored(&self) -> StoredJob {
        let group = |(answer, members): &(Arc<Answer>, Members)| Group {
            key: AnswerKey::of(answer),
            members: members.clone(),
        };
        StoredJob {
            head: self.head.clone(),
            sent: self.sent.iter().map(|(via, members)| (*via, members.clone())).collect(),
            groups: self.rows.values().map(group).collect(),
            closed: self.closed,
            cancelled: self.cancelled,
            seq: self.seq,
            approved: self.approved,
        }
    }
}
