//! A store that an earlier build wrote.

use rusqlite::{Connection, named_params, params};

use super::*;

/// A store of schema 1 as its build left it: three jobs of owner 4. The first is open with two answers, one of which all
/// have left; the second is closed, with an unknown target; the third is open without any answer.
pub(super) fn schema_1(path: &Path) {
    let c = Connection::open(path).unwrap();
    c.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;").unwrap();
    c.execute_batch(include_str!("../schema_1.sql")).unwrap();
    c.execute_batch("PRAGMA application_id = 0x72656c79; PRAGMA user_version = 1;").unwrap();
    c.execute_batch("UPDATE owner SET epoch = 4").unwrap();
    let closed = Some((THEN + 50, "{\"ok\":2,\"unknown\":1}"));
    for (n, closed) in [(1, None), (2, closed), (3, None)] {
        job(&c, &head(n, Epoch(4)), closed);
    }
    let (ok, lost) = (answer("true"), Arc::new(Answer::bare(Outcome::Unknown, Reason::NoReport)));
    let groups: [(u64, GroupNo, _, &[u32]); 4] =
        [(1, 0, &lost, &[]), (1, 1, &ok, &[0, 2]), (2, 0, &ok, &[0, 1]), (2, 1, &lost, &[2])];
    for (n, no, answer, members) in groups {
        group(&c, head(n, Epoch(4)).job.jid, no, answer, &set(members));
    }
    let sent = params![head(1, Epoch(4)).job.jid.micros() as i64, 5, set_to_blob(&set(&[0, 1, 2]))];
    c.execute("INSERT INTO sends (jid, via, members) VALUES (?1, ?2, ?3)", sent).unwrap();
}

fn job(c: &Connection, head: &JobHead, closed: Option<(WallMicros, &str)>) {
    let sql = "INSERT INTO jobs
            (jid, epoch, created, closed, counts, unresolved, cancelled, dropped, target_count, inventory_version,
             delivery_limit, request_id, request_digest, digest, function, caller, args, target, targets, envelope)
        VALUES (:jid, :epoch, :created, :closed, :counts, :unresolved, 0, 0, 3, :inventory_version,
             :delivery_limit, :request_id, :request_digest, :digest, :function, :caller, :args, :target, :targets,
             :envelope)";
    let row = named_params! {
        ":jid": head.job.jid.micros() as i64,
        ":epoch": head.epoch.0 as i64,
        ":created": head.created as i64,
        ":closed": closed.map(|(at, _)| at as i64),
        ":counts": closed.map(|(_, counts)| counts),
        ":unresolved": closed.is_some(),
        ":inventory_version": head.inventory_version as i64,
        ":delivery_limit": head.delivery_limit as i64,
        ":request_id": head.request_id.0.to_be_bytes(),
        ":request_digest": head.request_digest,
        ":digest": head.job.digest,
        ":function": head.spec.function,
        ":caller": head.spec.caller,
        ":args": &head.spec.args[..],
        ":target": head.target,
        ":targets": set_to_blob(&head.targets),
        ":envelope": &head.job.envelope[..],
    };
    c.execute(sql, row).unwrap();
}

fn group(c: &Connection, jid: Jid, no: GroupNo, answer: &Answer, members: &Members) {
    let (jid, outcome) = (jid.micros() as i64, answer.outcome.word());
    let sql =
        "INSERT INTO answers (jid, no, outcome, reason, retcode, by_tier, digest, truncated, body_size, body)
        VALUES (?1, ?2, ?3, ?4, 0, 0, ?5, NULL, ?6, ?7)";
    let digest = relay_core::ledger::AnswerKey::of(answer).body;
    let (size, body) = (answer.body.len() as i64, &answer.body[..]);
    c.execute(sql, params![jid, no, outcome, answer.reason.word(), digest, size, body]).unwrap();
    let sql = "INSERT INTO members (jid, no, outcome, count, members) VALUES (?1, ?2, ?3, ?4, ?5)";
    let row = params![jid, no, outcome, members.len() as i64, set_to_blob(members)];
    c.execute(sql, row).unwrap();
}

/// The bench of an owner that took a store of schema 1 over, and what it was left.
async fn taken_over() -> (Bench, Recovered) {
    let place = Place::new(Kind::Sqlite);
    schema_1(&place.path());
    let opened = place.open().await;
    let recovered = opened.store().begin().await.unwrap();
    (Bench { place, store: opened.store(), opened, epoch: recovered.epoch, ticket: 0 }, recovered)
}

#[tokio::test]
async fn its_jobs_read_on() {
    let (bench, recovered) = taken_over().await;
    assert_eq!(recovered.epoch, Epoch(5));
    let found: Vec<_> =
        recovered.jobs.iter().map(|j| (j.head.clone(), j.closed, j.seq, j.approved)).collect();
    // Sealed by the owner of that time, and without an order of leaves.
    let heads =
        [1, 2, 3].map(|n| JobHead { epoch: bench.epoch, leaves: Default::default(), ..head(n, Epoch(4)) });
    let [one, two, three] = heads.clone();
    assert_eq!(found, [(one, false, 1, 0), (two, true, 1, 0), (three, false, 0, 0)]);
    assert_eq!(recovered.jobs[0].sent, [(Incarnation(5), set(&[0, 1, 2]))]);
    let told = async |n: usize| {
        let view = bench.view(heads[n].job.jid).await;
        let change = |c: &ChangeView| (c.seq, c.at, c.no, c.members.clone());
        (view.seq, view.changes.iter().map(change).collect::<Vec<_>>())
    };
    assert_eq!(
        told(0).await,
        (1, vec![(1, THEN, 1, set(&[0, 2]))]),
        "nothing is told of whom nobody is left"
    );
    let closed = vec![(1, THEN + 50, 0, set(&[0, 1])), (1, THEN + 50, 1, set(&[2]))];
    assert_eq!(told(1).await, (1, closed));
    assert_eq!(told(2).await, (0, vec![]));
    let list = bench.list(9).await;
    assert_eq!(list.iter().map(|job| job.batch.clone()).collect::<Vec<_>>(), vec![BatchRule::default(); 3]);
}

#[tokio::test]
async fn its_jobs_go_on() {
    let (mut bench, recovered) = taken_over().await;
    let jid = recovered.jobs[0].head.job.jid;
    let more = GroupRow { added: set(&[1]), ..row(1, None, &[0, 1, 2]) };
    bench.commit(vec![bench.change(jid, 2, vec![more])]).await.unwrap();
    bench.close(jid, THEN + 99, &[(Outcome::Ok, 3)]).await;
    let view = bench.store.job(jid, 1).await.unwrap().unwrap();
    assert_eq!((view.seq, view.changes.len(), &view.changes[0].members), (2, 1, &set(&[1])));
    assert_eq!(view.groups[1].answer, answer("true"));
    let old = recovered.jobs[1].head.job.jid;
    bench.commit(vec![Write::Approve(old, bench.epoch, 1)]).await.unwrap();
    assert_eq!(bench.store.prune_before(THEN + 60).await.unwrap().jobs, 1);
    assert_eq!(bench.store.job(old, 0).await.unwrap(), None);
}

#[tokio::test]
async fn it_is_brought_up_to_date_once() {
    let (bench, _) = taken_over().await;
    let schema = |c: &Connection| -> (i64, i64) {
        let version = c.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        (version, c.query_row("SELECT count(*) FROM changes", [], |row| row.get(0)).unwrap())
    };
    assert_eq!(bench.on_thread(schema).await, (4, 3));
    bench.store.close().await;
    let again = Bench { opened: bench.place.open().await, ..bench };
    assert_eq!(again.on_thread(schema).await, (4, 3));
}

/// A store made by this build has the schema of one brought up to date.
#[tokio::test]
async fn an_old_store_ends_up_as_a_new_one() {
    let schema = |c: &Connection| -> Vec<String> {
        let mut all = c.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        all.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    };
    let (old, _) = taken_over().await;
    assert_eq!(old.on_thread(schema).await, Bench::new(Kind::Sqlite).await.on_thread(schema).await);
}
