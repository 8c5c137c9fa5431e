//! Stores as a whole: checked, exported and imported, each kind into each.

use std::io::Cursor;

use prost::Message;
use relay_core::{
    audit::{Entry, Event, Kind as Happening},
    batch::BatchRule,
};
use relay_proto::operator as wire;

use super::{
    super::maintenance::{Findings, MaintenanceError, StorePlace, table::TABLES},
    *,
};
use crate::config::parse_topology;

mod damage;
mod exports;

on_both!(a_whole_store_is_clean, stale_requests_are_no_problem, every_table_is_listed);

const TOPOLOGY: &str = include_str!("../../../../topology.yaml");
/// What the check takes for now: request ids of a day ago are fresh.
const NOW: WallMicros = THEN + 24 * HOUR;

impl Place {
    fn whole(&self) -> StorePlace {
        match self {
            Place::File(_) => StorePlace::Sqlite(self.path()),
            Place::Database(database) => StorePlace::Postgres(database.config()),
        }
    }
}

impl Bench {
    async fn check(&self) -> Findings {
        self.place.whole().check(NOW).await.unwrap()
    }

    /// A bench with some of everything, as a top master would have written it.
    async fn full(kind: Kind) -> Bench {
        let mut bench = Bench::new(kind).await;
        bench
            .commit(vec![Write::Minions((0..3).map(|no| record(no, &format!("m{no}"))).collect())])
            .await
            .unwrap();
        bench.open_job().await;
        bench.resolved_job().await;
        bench.strange_job().await;
        bench.pruned_job().await;
        bench.beside_jobs().await;
        bench
    }

    /// Job 1 is open: two of three have answered, in one change each.
    async fn open_job(&mut self) {
        let jid = self.accept(1).await;
        self.commit(vec![Write::Sent(mark(jid, u64::MAX, &[0, 1, 2]), self.epoch)]).await.unwrap();
        let (one, two) = (answer("1"), answer("\"the second one\""));
        self.commit(vec![self.change(jid, 1, vec![row(0, Some(&one), &[0])])]).await.unwrap();
        self.commit(vec![self.change(jid, 2, vec![row(1, Some(&two), &[2])])]).await.unwrap();
    }

    /// Job 2 closed with an unknown target, which was resolved later; job 3 with one that is unknown still.
    async fn resolved_job(&mut self) {
        let (ok, lost) = (answer("true"), Arc::new(Answer::bare(Outcome::Unknown, Reason::NoReport)));
        for n in [2, 3] {
            let jid = self.accept(n).await;
            let rows = vec![row(0, Some(&ok), &[0, 1]), row(1, Some(&lost), &[2])];
            self.commit(vec![self.change(jid, 1, rows)]).await.unwrap();
            self.close(jid, THEN + 5, &[(Outcome::Ok, 2), (Outcome::Unknown, 1)]).await;
        }
        let jid = head(2, self.epoch).job.jid;
        let all = GroupRow { added: set(&[2]), ..row(0, None, &[0, 1, 2]) };
        self.commit(vec![self.change(jid, 2, vec![all, row(1, None, &[])])]).await.unwrap();
        self.close(jid, THEN + 9, &[(Outcome::Ok, 3)]).await;
    }

    /// Job 4 has a batch and values at their limits: texts with zero bytes, long arguments, a shortened answer.
    async fn strange_job(&mut self) {
        let spec = JobSpec {
            function: "a\0b\u{1}c".into(),
            args: vec![b'x'; MAX_SUMMARY_ARGS + 1].into(),
            ..head(4, self.epoch).spec
        };
        let head = JobHead {
            target: "\0*".into(),
            inventory_version: u64::MAX,
            batch: BatchRule { ..canary() },
            ..head_of(spec, 4, self.epoch)
        };
        let jid = head.job.jid;
        self.commit(vec![Write::Accept(Box::new(head))]).await.unwrap();
        self.commit(vec![Write::Approve(jid, self.epoch, 1), Write::Cancel(jid, self.epoch)]).await.unwrap();
        let odd = Arc::new(Answer {
            retcode: i32::MIN,
            by_tier: true,
            truncated: Some([7; 32]),
            body: vec![0xff; 100_000].into(),
            ..Answer::bare(Outcome::Failed, Reason::None)
        });
        self.commit(vec![self.change(jid, 1, vec![row(0, Some(&odd), &[1])])]).await.unwrap();
        // Unknown and resolved between two commits: both are of one change.
        let lost = Arc::new(Answer::bare(Outcome::Unknown, Reason::NoReport));
        let resolved = GroupRow { added: set(&[2]), ..row(0, None, &[1, 2]) };
        let left = GroupRow { added: set(&[2]), ..row(1, Some(&lost), &[]) };
        self.commit(vec![self.change(jid, 2, vec![resolved, left])]).await.unwrap();
    }

    /// Job 5 is forgotten, its request is not.
    async fn pruned_job(&mut self) {
        let jid = self.accept(5).await;
        self.close(jid, 1, &[]).await;
        assert_eq!(self.store.prune_before(2).await.unwrap().jobs, 1);
    }

    async fn beside_jobs(&self) {
        let request = wire::SubmitRequest { target: "*".into(), ..Default::default() };
        let plan = StoredPlan {
            id: [0xfe; 32],
            created: THEN,
            expires: THEN + HOUR,
            request: request.encode_to_vec().into(),
            targets: set(&[1, 2]),
        };
        self.store.put_plan(plan).await.unwrap();
        for name in ["nightly", "a\u{1}\0z"] {
            let schedule = wire::Schedule { name: name.into(), ..Default::default() };
            let definition = schedule.encode_to_vec().into();
            let (name, passed) = (name.into(), THEN);
            let new = NewSchedule { name, definition, paused: true, passed, replace: false };
            self.store.put_schedule(new).await.unwrap();
        }
        let run = ScheduleRun { at: THEN + 3, jid: None, error: Some("nobody\0matches".into()) };
        assert!(self.store.schedule_ran("nightly", run, THEN + 3).await.unwrap());
        let put = async |area, key: &[u8], value: &[u8]| {
            let (key, value) = (Bytes::copy_from_slice(key), Some(Bytes::copy_from_slice(value)));
            let put = PutRecord { area, key, expect: Expect::Absent, value };
            assert!(self.store.put_records(vec![put]).await.unwrap());
        };
        put(Area::Token, b"\0'", b"\xff\0").await;
        put(Area::Login, &[0xff; MAX_RECORD_KEY], b"").await;
        let mut prev = None;
        for seq in 0..3u64 {
            let event = Event::new(Happening::Job, "root", "certificate").about(seq);
            let entry = Entry { seq, prev, at: THEN, epoch: self.epoch, event };
            put(Area::Audit, &seq.to_be_bytes(), &entry.encode()).await;
            prev = Some(entry.leaf());
        }
        for (planned_on, message) in [(0, "the first"), (1, "the same again")] {
            let put = self.store.put_revision(revision(planned_on, message)).await.unwrap();
            assert_eq!(put, RevisionPut::Staged(planned_on + 1));
            let regions = vec!["aws".parse().unwrap()];
            assert!(self.store.stage_revision(planned_on + 1, regions).await.unwrap());
            assert!(self.store.end_revision(planned_on + 1, RevisionEnd::Active).await.unwrap());
        }
    }
}

fn revision(planned_on: u64, message: &str) -> NewRevision {
    NewRevision {
        planned_on,
        digest: parse_topology(TOPOLOGY).unwrap().digest(),
        text: TOPOLOGY.into(),
        caller: "root".into(),
        applied: THEN,
        commit: "0123".into(),
        author: "root".into(),
        message: message.into(),
        rollback_of: 0,
        max_lost_percent: 10,
        settle_ms: 5_000,
        watched: set(&[0, 1]),
    }
}

async fn a_whole_store_is_clean(kind: Kind) {
    let empty = Bench::new(kind).await.check().await;
    assert_eq!((&empty.problems[..], empty.rows.len()), (&[][..], 0));
    let bench = Bench::full(kind).await;
    let found = bench.check().await;
    assert_eq!(found.problems, []);
    let counted: Vec<(&str, u64)> = TABLES.iter().map(|t| (t.name, found.rows[t.name])).collect();
    let expected = [
        ("minions", 3),
        ("jobs", 4),
        ("requests", 5),
        ("batches", 1),
        ("sends", 1),
        ("answers", 8),
        ("members", 8),
        ("changes", 11),
        ("plans", 1),
        ("schedules", 2),
        ("topologies", 2),
        ("records", 5),
    ];
    assert_eq!(counted, expected);
}

async fn stale_requests_are_no_problem(kind: Kind) {
    let bench = Bench::full(kind).await;
    let long_after = THEN + (KEEP_REQUESTS_HOURS + 1) * HOUR;
    let found = bench.place.whole().check(long_after).await.unwrap();
    assert_eq!((found.problems.len(), found.stale_requests), (0, 1));
    assert_eq!(bench.check().await.stale_requests, 0);
}

/// What is in the database and not in the list would be lost on the way.
async fn every_table_is_listed(kind: Kind) {
    let bench = Bench::new(kind).await;
    for table in TABLES {
        bench
            .execute(&format!("SELECT {} FROM {} ORDER BY {}", table.names(), table.name, table.key[0]))
            .await;
    }
    let (tables, columns) = match kind {
        Kind::Sqlite => (
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('owner')
                AND name NOT LIKE 'sqlite%'",
            "SELECT count(*) FROM sqlite_schema t, pragma_table_info(t.name) WHERE t.type = 'table'
                AND t.name NOT IN ('owner') AND t.name NOT LIKE 'sqlite%'",
        ),
        Kind::Postgres => (
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'relay' AND tablename NOT IN ('owner', 'marks', 'store')",
            "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'relay'
                AND table_name NOT IN ('owner', 'marks', 'store')",
        ),
    };
    assert_eq!(bench.number(tables).await, TABLES.len() as i64);
    let listed: usize = TABLES.iter().map(|table| table.columns.len()).sum();
    assert_eq!(bench.number(columns).await, listed as i64);
}
