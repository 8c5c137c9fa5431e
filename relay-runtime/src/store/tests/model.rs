//! Any sequence of writes, with restarts in between, against a store made of maps.

use proptest::prelude::*;
use relay_core::{
    ledger::{AnswerKey, Group},
    owner::StoredJob,
};

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Accept {
        jid: u64,
        request: u64,
        digest: u8,
    },
    Sent {
        jid: u64,
        via: u64,
        members: Vec<u32>,
    },
    /// A new answer, if `no` is not there yet; else new members for it.
    Returns {
        jid: u64,
        no: u32,
        unknown: bool,
        members: Vec<u32>,
    },
    /// The last answers once more, as after a commit whose end was not heard of.
    Again {
        jid: u64,
    },
    Cancel {
        jid: u64,
    },
    Approve {
        jid: u64,
        stages: u32,
    },
    Close {
        jid: u64,
        at: u64,
    },
    Minion {
        no: u32,
        incarnation: u64,
    },
    /// The handle is dropped without a word, and another owner begins.
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let members = || prop::collection::vec(0u32..200_000, 0..5);
    let jid = || 0u64..4;
    prop_oneof![
        3 => (jid(), 0u64..5, 0u8..2).prop_map(|(jid, request, digest)| Op::Accept { jid, request, digest }),
        2 => (jid(), any::<u64>(), members()).prop_map(|(jid, via, members)| Op::Sent { jid, via: via % 3 + (u64::MAX - 5) * (via % 2), members }),
        4 => (jid(), 0u32..4, any::<bool>(), members())
            .prop_map(|(jid, no, unknown, members)| Op::Returns { jid, no, unknown, members }),
        1 => jid().prop_map(|jid| Op::Again { jid }),
        1 => jid().prop_map(|jid| Op::Cancel { jid }),
        1 => (jid(), 0u32..4).prop_map(|(jid, stages)| Op::Approve { jid, stages }),
        2 => (jid(), 0u64..9).prop_map(|(jid, at)| Op::Close { jid, at }),
        1 => (0u32..3, any::<u64>()).prop_map(|(no, incarnation)| Op::Minion { no, incarnation }),
        1 => Just(Op::Restart),
    ]
}

#[derive(Debug, Clone)]
struct ModelJob {
    head: JobHead,
    sent: BTreeMap<i64, Members>,
    groups: Vec<(Arc<Answer>, Members)>,
    closed: Option<u64>,
    unresolved: bool,
    cancelled: bool,
    changes: Vec<ChangeView>,
    last: Option<Write>,
    approved: u32,
}

impl ModelJob {
    fn counts(&self) -> BTreeMap<Outcome, u64> {
        let mut counts = BTreeMap::new();
        for (answer, members) in self.groups.iter().filter(|(_, m)| !m.is_empty()) {
            *counts.entry(answer.outcome).or_default() += members.len();
        }
        counts
    }

    fn stored(&self) -> StoredJob {
        let group = |(answer, members): &(Arc<Answer>, Members)| Group {
            key: AnswerKey::of(answer),
            members: members.clone(),
        };
        StoredJob {
            head: self.head.clone(),
            sent: self.sent.iter().map(|(via, m)| (Incarnation(*via as u64), m.clone())).collect(),
            groups: self.groups.iter().map(group).collect(),
            closed: self.closed.is_some(),
            cancelled: self.cancelled,
            seq: self.seq(),
            approved: self.approved,
        }
    }

    fn seq(&self) -> u64 {
        self.changes.last().map_or(0, |change| change.seq)
    }
}

#[derive(Debug, Default)]
struct Model {
    epoch: Epoch,
    jobs: BTreeMap<Jid, ModelJob>,
    requests: BTreeMap<RequestId, (Jid, [u8; 32])>,
    minions: BTreeMap<u32, Record>,
}

impl Model {
    fn begin(&mut self) {
        self.epoch.0 += 1;
        for job in self.jobs.values_mut().filter(|j| j.closed.is_none() || j.unresolved) {
            job.head.epoch = self.epoch;
        }
    }

    /// The write that an operation stands for, now.
    fn write(&self, op: &Op) -> Write {
        let jid = |n: &u64| Jid::from_micros(THEN + n);
        let set = |m: &Vec<u32>| m.iter().copied().collect::<Members>();
        match op {
            Op::Accept { jid: n, request, digest } => {
                let request_id = head(*request, self.epoch).request_id;
                let batch = if *digest == 0 { BatchRule::default() } else { canary() };
                let head =
                    JobHead { request_id, request_digest: [*digest; 32], batch, ..head(*n, self.epoch) };
                Write::Accept(Box::new(head))
            }
            Op::Sent { jid: n, via, members } => {
                let mark = SendMark { jid: jid(n), via: Incarnation(*via), members: set(members) };
                Write::Sent(mark, self.epoch)
            }
            Op::Returns { jid: n, no, unknown, members } => {
                let there = self.jobs.get(&jid(n)).map_or(0, |j| j.groups.len() as u32);
                let outcome = if *unknown { Outcome::Unknown } else { Outcome::Ok };
                let body = format!("{no}").into();
                let answer = Arc::new(Answer { body, ..Answer::bare(outcome, Reason::None) });
                let no = (*no).min(there);
                let row = GroupRow {
                    no,
                    answer: (no == there).then_some(answer),
                    members: set(members),
                    added: set(members),
                };
                let seq = self.jobs.get(&jid(n)).map_or(0, ModelJob::seq) + 1;
                Write::Returns { jid: jid(n), epoch: self.epoch, seq, at: seq * 7, rows: vec![row] }
            }
            Op::Again { jid: n } => {
                let last = self.jobs.get(&jid(n)).and_then(|job| job.last.clone());
                match last.unwrap_or(Write::Minions(Vec::new())) {
                    Write::Returns { jid, seq, at, rows, .. } => {
                        Write::Returns { jid, epoch: self.epoch, seq, at, rows }
                    }
                    other => other,
                }
            }
            Op::Approve { jid: n, stages } => Write::Approve(jid(n), self.epoch, *stages),
            Op::Cancel { jid: n } => Write::Cancel(jid(n), self.epoch),
            Op::Close { jid: n, at } => {
                let counts = self.jobs.get(&jid(n)).map(ModelJob::counts).unwrap_or_default();
                Write::Close { jid: jid(n), epoch: self.epoch, at: *at, counts }
            }
            Op::Minion { no, incarnation } => {
                let id = format!("m{no}");
                Write::Minions(vec![Record { incarnation: Incarnation(*incarnation), ..record(*no, &id) }])
            }
            Op::Restart => unreachable!("not a write"),
        }
    }

    fn apply(&mut self, write: &Write) -> Result<(), WriteError> {
        match write {
            Write::Minions(records) => self.minions.extend(records.iter().map(|r| (r.no, r.clone()))),
            Write::Accept(head) => return self.accept(head),
            Write::Sent(mark, _) => {
                if let Some(job) = self.jobs.get_mut(&mark.jid) {
                    *job.sent.entry(mark.via.0 as i64).or_default() |= &mark.members;
                }
            }
            Write::Returns { jid, seq, at, rows, .. } => {
                let Some(job) = self.jobs.get_mut(jid) else { return Ok(()) };
                if *seq == job.seq() {
                    return Ok(());
                }
                job.last = Some(write.clone());
                for row in rows {
                    job.changes.push(ChangeView {
                        seq: *seq,
                        at: *at,
                        no: row.no,
                        members: row.added.clone(),
                    });
                    if let Some(answer) = &row.answer {
                        job.groups.push((answer.clone(), Members::new()));
                    }
                    job.groups[row.no as usize].1 = row.members.clone();
                }
            }
            Write::Approve(jid, _, stages) => {
                if let Some(job) = self.jobs.get_mut(jid) {
                    job.approved = job.approved.max(*stages);
                }
            }
            Write::Cancel(jid, _) => {
                if let Some(job) = self.jobs.get_mut(jid) {
                    job.cancelled = true;
                }
            }
            Write::Close { jid, at, counts, .. } => {
                if let Some(job) = self.jobs.get_mut(jid) {
                    job.closed = job.closed.or(Some(*at));
                    job.unresolved = counts.contains_key(&Outcome::Unknown);
                    if !job.unresolved {
                        job.head.leaves = Bytes::new();
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, head: &JobHead) -> Result<(), WriteError> {
        let jid = head.job.jid;
        if let Some((jid, digest)) = self.requests.get(&head.request_id) {
            let same = *digest == head.request_digest;
            return Err(WriteError::RequestKnown { jid: *jid, targets: 3, same });
        }
        if self.jobs.contains_key(&jid) {
            return Err(WriteError::JidTaken(jid));
        }
        self.requests.insert(head.request_id, (jid, head.request_digest));
        let job = ModelJob {
            head: head.clone(),
            sent: BTreeMap::new(),
            groups: Vec::new(),
            closed: None,
            unresolved: false,
            cancelled: false,
            changes: Vec::new(),
            last: None,
            approved: 0,
        };
        self.jobs.insert(jid, job);
        Ok(())
    }
}

/// Begins a new owner on the same data, and compares all that it gets with the model.
async fn restart(place: &Place, model: &mut Model) -> Arc<dyn Store> {
    let store = place.open().await.store();
    let found = store.begin().await.unwrap();
    model.begin();
    assert_eq!(found.epoch, model.epoch);
    assert_eq!(found.minions, model.minions.values().cloned().collect::<Vec<_>>());
    let expected = model.jobs.values().filter(|j| j.closed.is_none() || j.unresolved).map(ModelJob::stored);
    // StoredJob has no equality; its text shows every field.
    let text = |jobs: &[StoredJob]| format!("{jobs:#?}");
    assert_eq!(text(&found.jobs), text(&expected.collect::<Vec<_>>()));
    store
}

fn bodiless(answer: &Answer) -> Arc<Answer> {
    Arc::new(Answer { body: Bytes::new(), ..answer.clone() })
}

async fn compare_reads(store: &Arc<dyn Store>, model: &Model) {
    let list = store.jobs(JobFilter::default(), 100, None).await.unwrap();
    assert_eq!(
        list.iter().map(|j| j.jid).collect::<Vec<_>>(),
        model.jobs.keys().rev().copied().collect::<Vec<_>>()
    );
    for summary in &list {
        let job = &model.jobs[&summary.jid];
        let view = store.job(summary.jid, 0).await.unwrap().unwrap();
        compare_changes(store, job, &view).await;
        let groups = view.groups.into_iter().map(|g| (bodiless(&g.answer), g.members));
        let expected = job.groups.iter().map(|(answer, members)| (bodiless(answer), members.clone()));
        assert_eq!(groups.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        assert_eq!(
            (view.head, view.closed, view.cancelled, view.approved),
            (job.head.clone(), job.closed, job.cancelled, job.approved)
        );
        assert_eq!(view.counts, job.counts());
        assert_eq!((summary.closed, summary.cancelled), (job.closed, job.cancelled));
        assert_eq!((&summary.batch, summary.approved), (&job.head.batch, job.approved));
        if job.closed.is_none() {
            assert_eq!(summary.counts, view.counts);
        }
    }
    compare_states(store, model).await;
}

async fn compare_states(store: &Arc<dyn Store>, model: &Model) {
    let is = |state, job: &ModelJob| match state {
        JobState::Open => job.closed.is_none(),
        JobState::Closed => job.closed.is_some(),
        JobState::Cancelled => job.cancelled,
        JobState::Has(_) => unreachable!("counts of closed jobs are the owner's"),
    };
    for state in [JobState::Open, JobState::Closed, JobState::Cancelled] {
        let filter = JobFilter { state: Some(state), ..JobFilter::default() };
        let list = store.jobs(filter, 100, None).await.unwrap();
        let expected = model.jobs.iter().rev().filter(|(_, job)| is(state, job)).map(|(jid, _)| *jid);
        assert_eq!(list.iter().map(|j| j.jid).collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{state:?}");
    }
}

/// Whoever has the changes up to some number gets exactly the others, with the bodies they need.
async fn compare_changes(store: &Arc<dyn Store>, job: &ModelJob, whole: &JobView) {
    let told: Vec<_> = job.changes.iter().filter(|change| !change.members.is_empty()).cloned().collect();
    assert_eq!((whole.seq, &whole.changes), (job.seq(), &told));
    for after in 0..=job.seq() + 1 {
        let view = store.job(whole.head.job.jid, after).await.unwrap().unwrap();
        let rest: Vec<_> = told.iter().filter(|change| change.seq > after).cloned().collect();
        assert_eq!((view.seq, &view.changes), (job.seq(), &rest));
        for group in &view.groups {
            let needed = rest.iter().any(|change| change.no == group.no);
            let (answer, _) = &job.groups[group.no as usize];
            let expected = if needed { answer.clone() } else { bodiless(answer) };
            assert_eq!((&group.answer, group.body_left_out), (&expected, !needed));
        }
    }
}

async fn run(kind: Kind, ops: Vec<Op>) {
    let place = Place::new(kind);
    let mut model = Model::default();
    let mut store = restart(&place, &mut model).await;
    for (ticket, op) in (0..).zip(ops) {
        if matches!(op, Op::Restart) {
            drop(store);
            store = restart(&place, &mut model).await;
            continue;
        }
        let write = model.write(&op);
        assert_eq!(store.commit(ticket, vec![write.clone()]).await, model.apply(&write), "{write:?}");
    }
    compare_reads(&store, &model).await;
    drop(store);
    restart(&place, &mut model).await;
}

fn in_a_runtime(kind: Kind, ops: Vec<Op>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(kind, ops));
}

proptest! {
    // Each case opens files and syncs them, or asks a database, some 30 times.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_a_file_gives_back_is_what_was_written(ops in prop::collection::vec(op(), 1..40)) {
        in_a_runtime(Kind::Sqlite, ops);
    }

    #[test]
    fn what_a_database_gives_back_is_what_was_written(ops in prop::collection::vec(op(), 1..40)) {
        if crate::store::postgres::tests::server::is_here() {
            in_a_runtime(Kind::Postgres, ops);
        }
    }
}
