//! What every store promises, tried on each of them: one suite, a file and a database.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use bytes::Bytes;
use relay_core::{
    Members,
    batch::{BatchRule, BatchSize, RegionBatch},
    ids::{Epoch, Incarnation, Jid, RegionName, RequestId},
    inventory::Record,
    job::{Job, JobSpec},
    leaves::Leaves,
    ledger::GroupNo,
    merkle::TargetRoot,
    outcome::{Answer, Outcome, Reason},
    owner::{GroupRow, JobHead, Write, WriteError},
    signing::{KeyId, NoKey, Signature, Span},
    tier::SendMark,
    time::WallMicros,
    topology::Share,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{postgres::tests::server::Database, steps::Cutoffs, *};

/// Makes each test one of the file and one of the database.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::store::tests::Kind::Sqlite).await
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                if crate::store::postgres::tests::server::is_here() {
                    super::$name(crate::store::tests::Kind::Postgres).await
                }
            })*
        }
    };
}

mod changes;
mod commits;
mod damage;
mod kept;
mod lists;
mod maintenance;
mod model;
mod pruning;
mod reads;
mod records;
mod topologies;

/// A moment in 2026.
pub(super) const THEN: WallMicros = 1_795_246_616_000_000;
pub(super) const HOUR: WallMicros = 3_600 * 1_000_000;

/// Which store.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

/// Where a store's data are. They go with it.
pub(super) enum Place {
    File(TempDir),
    Database(Database),
}

impl Place {
    pub(super) fn new(kind: Kind) -> Place {
        match kind {
            Kind::Sqlite => Place::File(tempfile::tempdir().unwrap()),
            Kind::Postgres => Place::Database(Database::new()),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        match self {
            Place::File(directory) => directory.path().join("store.db"),
            Place::Database(_) => panic!("a database has no path"),
        }
    }

    /// One more handle on the same data.
    pub(super) async fn open(&self) -> Opened {
        match self {
            Place::File(_) => Opened::Sqlite(Arc::new(SqliteStore::open(&self.path()).unwrap())),
            Place::Database(database) => {
                Opened::Postgres(Arc::new(PostgresStore::open(&database.config()).await.unwrap()))
            }
        }
    }
}

#[derive(Clone)]
pub(super) enum Opened {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

impl Opened {
    pub(super) fn store(&self) -> Arc<dyn Store> {
        match self {
            Opened::Sqlite(store) => store.clone(),
            Opened::Postgres(store) => store.clone(),
        }
    }
}

pub(super) struct Bench {
    pub(super) place: Place,
    pub(super) opened: Opened,
    pub(super) store: Arc<dyn Store>,
    pub(super) epoch: Epoch,
    pub(super) ticket: u64,
}

impl Bench {
    /// A new store that has begun.
    pub(super) async fn new(kind: Kind) -> Bench {
        let place = Place::new(kind);
        let opened = place.open().await;
        let epoch = opened.store().begin().await.unwrap().epoch;
        Bench { place, store: opened.store(), opened, epoch, ticket: 0 }
    }

    /// Another process on the same data, which has not begun.
    pub(super) async fn other(&self) -> Arc<dyn Store> {
        self.place.open().await.store()
    }

    pub(super) fn head(&self, n: u64) -> JobHead {
        head(n, self.epoch)
    }

    pub(super) async fn commit(&mut self, writes: Vec<Write>) -> Result<(), WriteError> {
        self.ticket += 1;
        self.store.commit(self.ticket, writes).await
    }

    pub(super) async fn accept(&mut self, n: u64) -> Jid {
        let head = self.head(n);
        let jid = head.job.jid;
        self.commit(vec![Write::Accept(Box::new(head))]).await.unwrap();
        jid
    }

    pub(super) async fn close(&mut self, jid: Jid, at: WallMicros, counts: &[(Outcome, u64)]) {
        let close = Write::Close { jid, epoch: self.epoch, at, counts: counts.iter().copied().collect() };
        self.commit(vec![close]).await.unwrap();
    }

    pub(super) fn returns(&self, jid: Jid, rows: Vec<GroupRow>) -> Write {
        self.change(jid, 1, rows)
    }

    pub(super) fn change(&self, jid: Jid, seq: u64, rows: Vec<GroupRow>) -> Write {
        Write::Returns { jid, epoch: self.epoch, seq, at: THEN + seq, rows }
    }

    /// The newest jobs, whatever they are.
    pub(super) async fn list(&self, limit: usize) -> Vec<JobSummary> {
        self.store.jobs(JobFilter::default(), limit, None).await.unwrap()
    }

    /// All of a job.
    pub(super) async fn view(&self, jid: Jid) -> JobView {
        self.store.job(jid, 0).await.unwrap().unwrap()
    }

    /// Bytes as the database's SQL writes them, from hexadecimal digits.
    fn blob(&self, digits: &str) -> String {
        match self.opened {
            Opened::Sqlite(_) => format!("x'{digits}'"),
            Opened::Postgres(_) => format!("'\\x{digits}'::bytea"),
        }
    }

    /// A text that no store of ours has written, as SQL.
    fn bad_text(&self) -> &'static str {
        match self.opened {
            Opened::Sqlite(_) => "CAST(x'ff' AS TEXT)",
            Opened::Postgres(_) => "chr(1)",
        }
    }

    /// Does something to the database behind the store's back.
    async fn execute(&self, sql: &str) {
        match &self.opened {
            Opened::Sqlite(store) => store.execute(sql.to_owned()).await,
            Opened::Postgres(store) => store.execute(sql.to_owned()).await,
        }
    }

    /// A number from the database.
    async fn number(&self, sql: &'static str) -> i64 {
        match &self.opened {
            Opened::Sqlite(store) => store.number(sql).await,
            Opened::Postgres(store) => store.number(sql).await,
        }
    }

    /// One step of pruning: whether there is more to do, and the jobs that are gone for good.
    async fn prune_step(&self, cutoffs: Cutoffs) -> (bool, u64) {
        let step = match &self.opened {
            Opened::Sqlite(store) => store.prune_step(cutoffs).await,
            Opened::Postgres(store) => store.prune_step(cutoffs).await,
        };
        (step.more, step.jobs)
    }

    /// Holds the store's thread, so that what is asked for meanwhile waits together. Goes on when the sender is dropped.
    pub(super) async fn hold(&self) -> oneshot::Sender<()> {
        match &self.opened {
            Opened::Sqlite(store) => store.hold().await,
            Opened::Postgres(store) => store.hold().await,
        }
    }
}

pub(super) fn set(members: &[u32]) -> Members {
    members.iter().copied().collect()
}

pub(super) fn head(n: u64, epoch: Epoch) -> JobHead {
    let spec = JobSpec {
        jid: Jid::from_micros(THEN + n),
        fabric: "test".into(),
        function: "test.ping".into(),
        args: Bytes::from_static(b"{\"args\":[],\"kwargs\":{}}"),
        caller: "root".into(),
        run_limit: 60_000,
        epoch,
        request: [1; 32],
        targets: TargetRoot { hash: [5; 32], count: 3 },
        span: Span { not_before: THEN, not_after: u64::MAX },
    };
    head_of(spec, n, epoch)
}

/// Sealed by nobody: a store verifies nothing.
fn sealed(spec: &JobSpec) -> Job {
    let nobody = Signature { key: KeyId([0; 8]), bytes: [0; 64] };
    relay_proto::envelope::seal_with(spec, |_| Ok::<_, NoKey>(nobody)).unwrap()
}

pub(super) fn head_of(spec: JobSpec, request: u64, epoch: Epoch) -> JobHead {
    JobHead {
        job: Arc::new(sealed(&spec)),
        spec,
        request_id: RequestId(u128::from(request) + (1 << 100)),
        request_digest: [1; 32],
        target: "*".into(),
        targets: set(&[0, 1, 2]),
        leaves: Leaves::new([2, 0, 1].map(|no| (no, Incarnation(u64::MAX))).to_vec()).encode(),
        inventory_version: 7,
        created: THEN,
        delivery_limit: 10_000,
        batch: Default::default(),
        epoch,
    }
}

pub(super) fn answer(body: &str) -> Arc<Answer> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Arc::new(Answer { body, ..Answer::bare(Outcome::Ok, Reason::None) })
}

pub(super) fn row(no: GroupNo, answer: Option<&Arc<Answer>>, members: &[u32]) -> GroupRow {
    GroupRow { no, answer: answer.cloned(), members: set(members), added: set(members) }
}

pub(super) fn canary() -> BatchRule {
    let region = RegionBatch { cap: Some(Share::Percent(20)), ..RegionBatch::default() };
    BatchRule {
        size: BatchSize::Canary(vec![Share::Count(1), Share::Percent(100)]),
        approve: true,
        max_failures: Some(Share::Percent(3)),
        regions: [("aws".parse().unwrap(), region)].into(),
        ..BatchRule::default()
    }
}

pub(super) fn mark(jid: Jid, via: u64, members: &[u32]) -> SendMark {
    SendMark { jid, via: Incarnation(via), members: set(members) }
}

pub(super) fn record(no: u32, id: &str) -> Record {
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
