use std::sync::Mutex;

use relay_core::{
    Members,
    ids::{Epoch, Jid, RegionName, RequestId},
    ledger::GroupNo,
    outcome::Answer,
    owner::GroupRow,
    time::WallMicros,
};
use relay_runtime::store::{
    Area, FunctionStats, JobFilter, JobSummary, JobView, KnownRequest, NewRevision, NewSchedule, PlanId,
    Pruned, Put, PutRecord, Ran, Record, Recovered, Revision, RevisionEnd, RevisionPut, ScheduleRun,
    StoreError, StoredPlan, StoredSchedule, Which,
};

use super::*;

/// Notes the tickets it is asked to commit; the first `refusals` of them fail.
struct Grudging {
    asked: Mutex<Vec<u64>>,
    refusals: Mutex<u32>,
}

fn unused<T: Send + 'static>() -> StoreFuture<T> {
    Box::pin(async { Err(StoreError::Closed) })
}

impl Store for Grudging {
    fn begin(&self) -> StoreFuture<Recovered> {
        unused()
    }
    fn commit(&self, ticket: u64, _: Vec<Write>) -> StoreFuture<(), WriteError> {
        self.asked.lock().unwrap().push(ticket);
        let mut refusals = self.refusals.lock().unwrap();
        let refused = *refusals > 0;
        *refusals = refusals.saturating_sub(1);
        Box::pin(async move { if refused { Err(WriteError::Failed("full".into())) } else { Ok(()) } })
    }
    fn job(&self, _: Jid, _: u64) -> StoreFuture<Option<JobView>> {
        unused()
    }
    fn request(&self, _: RequestId) -> StoreFuture<Option<KnownRequest>> {
        unused()
    }
    fn answers(&self, _: Jid, _: GroupNo) -> StoreFuture<Vec<(GroupNo, Arc<Answer>)>> {
        unused()
    }
    fn jobs(&self, _: JobFilter, _: usize, _: Option<Jid>) -> StoreFuture<Vec<JobSummary>> {
        unused()
    }
    fn stats(&self, _: JobFilter) -> StoreFuture<Vec<FunctionStats>> {
        unused()
    }
    fn history(&self, _: &str, _: usize) -> StoreFuture<Vec<Ran>> {
        unused()
    }
    fn prune(&self, _: u64, _: WallMicros) -> StoreFuture<Pruned> {
        unused()
    }
    fn prune_before(&self, _: WallMicros) -> StoreFuture<Pruned> {
        unused()
    }
    fn put_plan(&self, _: StoredPlan) -> StoreFuture<()> {
        unused()
    }
    fn plan(&self, _: PlanId) -> StoreFuture<Option<StoredPlan>> {
        unused()
    }
    fn put_schedule(&self, _: NewSchedule) -> StoreFuture<Put> {
        unused()
    }
    fn schedules(&self) -> StoreFuture<Vec<StoredSchedule>> {
        unused()
    }
    fn pause_schedule(&self, _: &str, _: bool, _: WallMicros) -> StoreFuture<bool> {
        unused()
    }
    fn schedule_ran(&self, _: &str, _: ScheduleRun, _: WallMicros) -> StoreFuture<bool> {
        unused()
    }
    fn remove_schedule(&self, _: &str) -> StoreFuture<bool> {
        unused()
    }
    fn put_revision(&self, _: NewRevision) -> StoreFuture<RevisionPut> {
        unused()
    }
    fn revision(&self, _: Which) -> StoreFuture<Option<Revision>> {
        unused()
    }
    fn revisions(&self, _: usize, _: Option<u64>) -> StoreFuture<Vec<Revision>> {
        unused()
    }
    fn stage_revision(&self, _: u64, _: Vec<RegionName>) -> StoreFuture<bool> {
        unused()
    }
    fn end_revision(&self, _: u64, _: RevisionEnd) -> StoreFuture<bool> {
        unused()
    }
    fn record(&self, _: Area, _: bytes::Bytes) -> StoreFuture<Option<Record>> {
        unused()
    }
    fn records(&self, _: Area, _: bytes::Bytes, _: usize) -> StoreFuture<Vec<Record>> {
        unused()
    }
    fn put_records(&self, _: Vec<PutRecord>) -> StoreFuture<bool> {
        unused()
    }
    fn close(&self) -> futures_core::future::BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

fn cancel() -> Vec<Write> {
    vec![Write::Cancel(Jid::from_micros(1), Epoch(1))]
}

#[tokio::test]
async fn an_acceptance_waits_for_the_minions_it_may_name() {
    let store = Arc::new(Grudging { asked: Mutex::default(), refusals: Mutex::new(1) });
    let mut commits = Commits::new(store.clone());
    commits.begin(1, vec![Write::Minions(Vec::new())], false);
    commits.begin(2, cancel(), true);
    commits.begin(3, cancel(), false);
    assert_eq!(*store.asked.lock().unwrap(), [1], "the acceptance and what comes behind it are held back");
    for ticket in [1, 2, 3] {
        let done = commits.next().await;
        assert_eq!((done.ticket, done.result), (ticket, Ok(())));
    }
    assert_eq!(*store.asked.lock().unwrap(), [1, 1, 2, 3], "1 was refused once, and tried again first");
    assert_eq!(commits.stalled, None);
}

#[tokio::test]
async fn what_may_fail_fails_and_the_rest_is_tried_again() {
    let store = Arc::new(Grudging { asked: Mutex::default(), refusals: Mutex::new(2) });
    let mut commits = Commits::new(store.clone());
    commits.begin(1, cancel(), true);
    commits.begin(2, cancel(), false);
    assert!(matches!(commits.next().await, Done { ticket: 1, result: Err(WriteError::Failed(_)) }));
    assert!(matches!(commits.next().await, Done { ticket: 2, result: Ok(()) }));
}

/// Nobody leaves an outcome but those who were unknown.
#[tokio::test]
async fn who_was_unknown_and_is_known_now_is_reported() {
    let store = Arc::new(Grudging { asked: Mutex::default(), refusals: Mutex::default() });
    let (audit, reported) = Audit::double();
    let mut commits = Commits::new(store).reporting(audit);
    let (some, none) = ([7].into_iter().collect(), Members::new());
    let row =
        |no, added: &Members| GroupRow { no, answer: None, members: none.clone(), added: added.clone() };
    let returns = |seq, rows| Write::Returns { jid: Jid::from_micros(1), epoch: Epoch(1), seq, at: 1, rows };
    commits.begin(1, vec![returns(1, vec![row(0, &some)])], false);
    assert!(reported.events().is_empty());
    commits.begin(2, vec![returns(2, vec![row(0, &none), row(1, &some)])], false);
    let events = reported.events();
    assert_eq!(
        (events.len(), events[0].kind, &*events[0].details["outcomes"]),
        (1, Kind::UnknownResolved, "1")
    );
}
