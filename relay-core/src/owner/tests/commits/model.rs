//! A store that looks at each commit: rows in order, each member in one row, changes without a gap, counts that are true.

use super::*;

#[derive(Debug, Default)]
pub(super) struct Kept {
    head: Option<JobHead>,
    sent: BTreeMap<Incarnation, Members>,
    rows: Vec<(Arc<Answer>, Members)>,
    seq: u64,
    closed: bool,
    /// Up to which change watchers were told, and of whom.
    told: u64,
    told_of: Members,
}

impl Kept {
    fn done(&self) -> Members {
        self.rows.iter().fold(Members::new(), |all, (_, members)| all | members)
    }

    fn counts(&self) -> BTreeMap<Outcome, u64> {
        let mut counts = BTreeMap::new();
        for (answer, members) in self.rows.iter().filter(|(_, members)| !members.is_empty()) {
            *counts.entry(answer.outcome).or_default() += members.len();
        }
        counts
    }

    fn row(&mut self, row: &GroupRow) {
        assert!(row.added.is_subset(&row.members), "{row:?}");
        let no = row.no as usize;
        match &row.answer {
            Some(answer) => {
                assert_eq!(no, self.rows.len(), "a new row is the next");
                self.rows.push((answer.clone(), row.members.clone()));
            }
            None => self.rows[no].1 = row.members.clone(),
        }
    }

    fn returns(&mut self, seq: u64, rows: &[GroupRow]) {
        assert_eq!(seq, self.seq + 1, "changes are numbered one by one");
        self.seq = seq;
        let before = self.done();
        rows.iter().for_each(|row| self.row(row));
        assert!(rows.iter().any(|row| !row.added.is_empty()), "a change tells of somebody");
        let sum: u64 = self.rows.iter().map(|(_, members)| members.len()).sum();
        assert_eq!(sum, self.done().len(), "nobody is in two rows: {:?}", self.rows);
        assert!(before.is_subset(&self.done()), "nobody loses his outcome");
    }
}

#[derive(Debug, Default)]
pub(super) struct Model {
    minions: BTreeMap<u32, Record>,
    pub(super) jobs: BTreeMap<Jid, Kept>,
}

impl Model {
    pub(super) fn commit(&mut self, writes: &[Write]) {
        writes.iter().for_each(|write| self.apply(write));
    }

    fn apply(&mut self, write: &Write) {
        match write {
            Write::Minions(records) => self.minions.extend(records.iter().map(|r| (r.no, r.clone()))),
            Write::Accept(head) => {
                let kept = Kept { head: Some((**head).clone()), ..Kept::default() };
                self.jobs.insert(head.job.jid, kept);
            }
            Write::Sent(mark, _) => {
                let kept = self.jobs.get_mut(&mark.jid).expect("a job");
                *kept.sent.entry(mark.via).or_default() |= &mark.members;
            }
            Write::Returns { jid, seq, rows, .. } => {
                self.jobs.get_mut(jid).expect("a job").returns(*seq, rows);
            }
            Write::Close { jid, counts, .. } => {
                let kept = self.jobs.get_mut(jid).expect("a job");
                assert_eq!(*counts, kept.counts(), "it counts what is stored");
                assert_eq!(kept.done(), kept.head.as_ref().unwrap().targets, "the close comes last");
                kept.closed = true;
            }
            Write::Cancel(..) | Write::Approve(..) => {}
        }
    }

    /// Watchers are told of a change.
    pub(super) fn tell(&mut self, change: &Change) {
        let kept = self.jobs.get_mut(&change.jid).expect("a job");
        let next = kept.told + u64::from(!change.answers.is_empty());
        assert_eq!(change.seq, next, "no gap, and no repeat");
        assert!(next <= kept.seq, "it is durable");
        kept.told = next;
        for (_, _, members) in &change.answers {
            kept.told_of |= members;
        }
        if change.closed {
            assert_eq!(kept.told_of, kept.head.as_ref().unwrap().targets, "who hears the end heard of all");
        }
    }

    /// Whether somebody who was sent the job has a final outcome.
    pub(super) fn has_final(&self, jid: Jid, member: u32) -> bool {
        let is_in = |(answer, members): &(Arc<Answer>, Members)| {
            answer.outcome.is_final() && members.contains(member)
        };
        self.jobs.get(&jid).is_some_and(|kept| kept.rows.iter().any(is_in))
    }

    /// Whom a job was sent to.
    pub(super) fn sent(&self, jid: Jid) -> Members {
        let sent = self.jobs.get(&jid).into_iter().flat_map(|kept| kept.sent.values());
        sent.fold(Members::new(), |all, members| all | members)
    }

    /// Each job's rows.
    pub(super) fn rows(&self, jid: Jid) -> Vec<Members> {
        self.jobs[&jid].rows.iter().map(|(_, members)| members.clone()).collect()
    }

    pub(super) fn is_closed(&self, jid: Jid) -> bool {
        self.jobs[&jid].closed
    }

    /// What a new owner finds. Watchers read up to there before they are told more.
    pub(super) fn recovered(&mut self) -> (Inventory, Vec<StoredJob>) {
        let mut inventory = Inventory::new();
        self.minions.values().for_each(|record| drop(inventory.restore(record.clone()).unwrap()));
        let mut stored = Vec::new();
        for kept in self.jobs.values_mut() {
            (kept.told, kept.told_of) = (kept.seq, kept.done());
            let unresolved = kept.counts().contains_key(&Outcome::Unknown);
            if kept.closed && !unresolved {
                continue;
            }
            let group = |(answer, members): &(Arc<Answer>, Members)| Group {
                key: AnswerKey::of(answer),
                members: members.clone(),
            };
            stored.push(StoredJob {
                head: kept.head.clone().unwrap(),
                sent: kept.sent.clone().into_iter().collect(),
                groups: kept.rows.iter().map(group).collect(),
                closed: kept.closed,
                cancelled: false,
                seq: kept.seq,
                approved: 0,
            });
        }
        (inventory, stored)
    }
}
