//! What all the store's tests begin with.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use bytes::Bytes;
use relay_core::{
    Members,
    batch::{BatchRule, BatchSize, RegionBatch},
    ids::{Epoch, Incarnation, RequestId},
    inventory::Record,
    job::JobSpec,
    outcome::{Answer, Outcome, Reason},
    owner::{GroupRow, JobHead},
    tier::SendMark,
    topology::Share,
};
use tempfile::TempDir;

use super::{
    super::{ChangeView, JobState, MAX_READ_BODY_BYTES, MAX_SUMMARY_ARGS},
    *,
};

mod changes;
mod commits;
mod files;
mod kept;
mod lists;
mod migration;
mod model;
mod pruning;
mod reads;

/// A moment in 2026.
const THEN: WallMicros = 1_795_246_616_000_000;
const HOUR: WallMicros = 3_600 * 1_000_000;

struct Bench {
    directory: TempDir,
    store: SqliteStore,
    epoch: Epoch,
    ticket: u64,
}

impl Bench {
    /// A new store that has begun.
    async fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.db")).unwrap();
        let epoch = store.begin().await.unwrap().epoch;
        Bench { directory, store, epoch, ticket: 0 }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("store.db")
    }

    fn head(&self, n: u64) -> JobHead {
        head(n, self.epoch)
    }

    async fn commit(&mut self, writes: Vec<Write>) -> Result<(), WriteError> {
        self.ticket += 1;
        self.store.commit(self.ticket, writes).await
    }

    async fn accept(&mut self, n: u64) -> Jid {
        let head = self.head(n);
        let jid = head.job.jid;
        self.commit(vec![Write::Accept(Box::new(head))]).await.unwrap();
        jid
    }

    async fn close(&mut self, jid: Jid, at: WallMicros, counts: &[(Outcome, u64)]) {
        let close = Write::Close { jid, epoch: self.epoch, at, counts: counts.iter().copied().collect() };
        self.commit(vec![close]).await.unwrap();
    }

    fn returns(&self, jid: Jid, rows: Vec<GroupRow>) -> Write {
        self.change(jid, 1, rows)
    }

    fn change(&self, jid: Jid, seq: u64, rows: Vec<GroupRow>) -> Write {
        Write::Returns { jid, epoch: self.epoch, seq, at: THEN + seq, rows }
    }

    /// The newest jobs, whatever they are.
    async fn list(&self, limit: usize) -> Vec<JobSummary> {
        self.store.jobs(JobFilter::default(), limit, None).await.unwrap()
    }

    /// All of a job.
    async fn view(&self, jid: Jid) -> JobView {
        self.store.job(jid, 0).await.unwrap().unwrap()
    }

    /// Runs on the store's thread, between requests.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> T + Send + 'static,
    ) -> T {
        self.store.ask(move |server| Ok(work(&server.connection))).await.unwrap()
    }

    /// Holds the thread, so that what is asked for meanwhile waits together. Goes on when the sender is dropped.
    async fn hold(&self) -> std::sync::mpsc::Sender<()> {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (began, holding) = oneshot::channel();
        let wait = move |_: &mut Server| {
            assert!(began.send(()).is_ok(), "the test waits");
            let _ = held.recv();
            Ok(())
        };
        assert!(self.store.queue.try_send(work(wait).0).is_ok());
        holding.await.unwrap();
        release
    }
}

fn set(members: &[u32]) -> Members {
    members.iter().copied().collect()
}

fn head(n: u64, epoch: Epoch) -> JobHead {
    let spec = JobSpec {
        jid: Jid::from_micros(THEN + n),
        fabric: "test".into(),
        function: "test.ping".into(),
        args: Bytes::from_static(b"{\"args\":[],\"kwargs\":{}}"),
        caller: "root".into(),
        run_limit: 60_000,
    };
    head_of(spec, n, epoch)
}

fn head_of(spec: JobSpec, request: u64, epoch: Epoch) -> JobHead {
    JobHead {
        job: Arc::new(relay_proto::envelope::seal(&spec)),
        spec,
        request_id: RequestId(u128::from(request) + (1 << 100)),
        request_digest: [1; 32],
        target: "*".into(),
        targets: set(&[0, 1, 2]),
        inventory_version: 7,
        created: THEN,
        delivery_limit: 10_000,
        batch: Default::default(),
        epoch,
    }
}

fn answer(body: &str) -> Arc<Answer> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Arc::new(Answer { body, ..Answer::bare(Outcome::Ok, Reason::None) })
}

fn row(no: GroupNo, answer: Option<&Arc<Answer>>, members: &[u32]) -> GroupRow {
    GroupRow { no, answer: answer.cloned(), members: set(members), added: set(members) }
}

fn canary() -> BatchRule {
    let region = RegionBatch { cap: Some(Share::Percent(20)), ..RegionBatch::default() };
    BatchRule {
        size: BatchSize::Canary(vec![Share::Count(1), Share::Percent(100)]),
        approve: true,
        max_failures: Some(Share::Percent(3)),
        regions: [("aws".parse().unwrap(), region)].into(),
        ..BatchRule::default()
    }
}

fn mark(jid: Jid, via: u64, members: &[u32]) -> SendMark {
    SendMark { jid, via: Incarnation(via), members: set(members) }
}

fn record(no: u32, id: &str) -> Record {
    Record {
        no,
        id: id.parse().unwrap(),
        region: "aws".parse().unwrap(),
        syndic: "aws-1".parse().unwrap(),
        incarnation: Incarnation(u64::MAX),
        incarnation_seq: 3,
        grains: "{\"os\":\"Debian\"}".into(),
        up: true,
        since: THEN,
    }
}
