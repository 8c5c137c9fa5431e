//! What is promised when the connection, the server or the owner goes away in the middle of it.

use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use relay_core::{
    ids::{Epoch, RequestId},
    owner::JobHead,
};

use super::{
    super::super::tests::{THEN, answer, head, record, row, set},
    server::{self, Database},
    wire::{Cut, Wire},
    *,
};

/// The `n`th commit of a stream of them: a job, and the next change of the first one. Both can be done only once.
fn nth(n: u64, epoch: Epoch) -> Vec<Write> {
    let first = head(1, epoch).job.jid;
    let answer = answer(&n.to_string());
    let row = row(n as u32 - 1, Some(&answer), &[n as u32]);
    let change = Write::Returns { jid: first, epoch, seq: n, at: THEN + n, rows: vec![row] };
    vec![Write::Accept(Box::new(head(n, epoch))), change]
}

/// What the stream's first `done` commits leave, and no other.
async fn holds(store: &PostgresStore, done: u64) {
    let jobs = store.jobs(JobFilter::default(), usize::MAX, None).await.unwrap();
    let jids = (1..=done).rev().map(|n| head(n, Epoch(0)).job.jid);
    assert_eq!(jobs.iter().map(|job| job.jid).collect::<Vec<_>>(), jids.collect::<Vec<_>>());
    let view = store.job(head(1, Epoch(0)).job.jid, 0).await.unwrap();
    let changes = view.map(|view| view.changes).unwrap_or_default();
    let told: Vec<_> = changes.iter().map(|c| (c.seq, c.no, c.members.clone())).collect();
    let expected = (1..=done).map(|n| (n, n as u32 - 1, set(&[n as u32])));
    assert_eq!(told, expected.collect::<Vec<_>>());
}

async fn opened(config: &PostgresConfig) -> (PostgresStore, Epoch) {
    let store = PostgresStore::open(config).await.unwrap();
    let epoch = store.begin().await.unwrap().epoch;
    (store, epoch)
}

#[tokio::test]
async fn a_commit_whose_connection_is_cut_is_done_once() {
    if !server::is_here() {
        return;
    }
    let database = Database::new();
    let wire = Wire::to(&database.config());
    let (store, epoch) = opened(&wire.config(&database.config())).await;
    for (n, cut) in (1..).zip([Cut::BeforeCommit, Cut::AfterCommit, Cut::AfterBytes(0), Cut::AfterCommit]) {
        wire.cut(cut);
        assert_eq!(store.commit(n, nth(n, epoch)).await, Ok(()), "{cut:?}");
        assert!(wire.was_cut(), "{cut:?}");
    }
    holds(&store, 4).await;
}

/// The server keeps the old connection's transaction and its locks until it finds that nobody is there.
#[tokio::test]
async fn a_connection_that_only_falls_silent_is_waited_out() {
    if !server::is_here() {
        return;
    }
    let database = Database::new();
    let wire = Wire::to(&database.config());
    let mut settings = connect::Settings::new(&wire.config(&database.config())).unwrap();
    settings.abandoned = std::time::Duration::from_millis(300);
    let store = PostgresStore::start(settings).await.unwrap();
    let epoch = store.begin().await.unwrap().epoch;
    wire.cut(Cut::Silent);
    assert_eq!(store.commit(1, nth(1, epoch)).await, Ok(()));
    wire.cut(Cut::Silent);
    let next = PostgresStore::open(&database.config()).await.unwrap();
    let late = store.commit(2, nth(2, epoch));
    while !wire.was_cut() {
        tokio::task::yield_now().await;
    }
    let begun = next.begin().await.unwrap();
    // Whichever of the two the server took first, they agree.
    match late.await {
        Ok(()) => assert_eq!(begun.jobs.len(), 2),
        fenced => assert_eq!((fenced, begun.jobs.len()), (Err(WriteError::Fenced), 1)),
    }
}

#[tokio::test]
async fn a_group_whose_answer_is_lost_keeps_its_own_results() {
    if !server::is_here() {
        return;
    }
    let database = Database::new();
    let wire = Wire::to(&database.config());
    let (store, epoch) = opened(&wire.config(&database.config())).await;
    store.commit(1, nth(1, epoch)).await.unwrap();
    let held = store.hold().await;
    let known = store.commit(2, nth(1, epoch));
    let done = store.commit(3, nth(2, epoch));
    let clash = JobHead { request_id: RequestId(9), ..head(1, epoch) };
    let taken = store.commit(4, vec![Write::Accept(Box::new(clash))]);
    wire.cut(Cut::AfterCommit);
    drop(held);
    assert!(matches!(known.await, Err(WriteError::RequestKnown { same: true, .. })));
    assert_eq!((done.await, taken.await), (Ok(()), Err(WriteError::JidTaken(head(1, epoch).job.jid))));
    assert!(wire.was_cut());
    holds(&store, 2).await;
}

#[tokio::test]
async fn other_changes_and_the_begin_are_done_once_too() {
    if !server::is_here() {
        return;
    }
    let database = Database::new();
    let wire = Wire::to(&database.config());
    let store = PostgresStore::open(&wire.config(&database.config())).await.unwrap();
    wire.cut(Cut::AfterCommit);
    assert_eq!(store.begin().await.unwrap().epoch, Epoch(1), "not raised twice");
    let schedule = NewSchedule {
        name: "s".into(),
        definition: b"x".as_slice().into(),
        paused: false,
        passed: 0,
        replace: false,
    };
    wire.cut(Cut::AfterCommit);
    assert_eq!(store.put_schedule(schedule).await.unwrap(), Put::Kept, "not taken by ourselves");
    wire.cut(Cut::AfterCommit);
    assert!(store.remove_schedule("s").await.unwrap());
    wire.cut(Cut::AfterCommit);
    assert_eq!(store.schedules().await.unwrap(), []);
    assert!(wire.was_cut());
}

/// Commits one after the other, each cut after some bytes.
async fn cut_often(cuts: Vec<usize>) {
    let database = Database::new();
    let wire = Wire::to(&database.config());
    let (store, epoch) = opened(&wire.config(&database.config())).await;
    for (n, bytes) in (1..).zip(&cuts) {
        wire.cut(Cut::AfterBytes(*bytes));
        assert_eq!(store.commit(n, nth(n, epoch)).await, Ok(()));
    }
    holds(&store, cuts.len() as u64).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_cut_anywhere_loses_nothing_and_repeats_nothing(cuts in prop::collection::vec(0usize..6_000, 1..12)) {
        if server::is_here() {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(cut_often(cuts));
        }
    }
}

/// Commits until told to stop: how many were acknowledged.
async fn stream(store: &PostgresStore, epoch: Epoch, stop: &AtomicBool) -> u64 {
    let mut n = 1;
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(store.commit(n, nth(n, epoch)).await, Ok(()));
        n += 1;
    }
    n - 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_ended_lose_nothing() {
    if !server::is_here() {
        return;
    }
    let database = Database::new();
    let (store, epoch) = opened(&database.config()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let ended = stop.clone();
    let ending = tokio::task::spawn_blocking(move || {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let ends: u32 = (0..20).map(|_| database.psql(end).parse::<u32>().unwrap()).sum();
        ended.store(true, Ordering::Relaxed);
        (database, ends)
    });
    let done = stream(&store, epoch, &stop).await;
    let (_database, ends) = ending.await.unwrap();
    assert!(ends > 0, "none was ended");
    holds(&store, done).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_mid_commit_loses_nothing_that_was_acknowledged() {
    if !server::is_here() {
        return;
    }
    let server = Arc::new(server::Server::start(&[]));
    let config = server.config("postgres");
    let (store, epoch) = opened(&config).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (killed, ended) = (server.clone(), stop.clone());
    let killing = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            killed.kill();
            killed.restart();
            // Not while the stream is still waiting for the server.
            killed.psql("postgres", "SELECT 1");
        }
        ended.store(true, Ordering::Relaxed);
    });
    let done = stream(&store, epoch, &stop).await;
    killing.await.unwrap();
    holds(&store, done).await;
    let (next, raised) = opened(&config).await;
    assert_eq!(raised, Epoch(epoch.0 + 1));
    holds(&next, done).await;
}

/// Whatever the older owner was told is done is what the next one begins with, and nothing comes after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_owners_the_older_is_fenced_at_any_moment() {
    if !server::is_here() {
        return;
    }
    for round in 0..10 {
        let database = Database::new();
        let (old, epoch) = opened(&database.config()).await;
        let next = PostgresStore::open(&database.config()).await.unwrap();
        let writing = tokio::spawn(async move {
            for n in 1.. {
                match old.commit(n, nth(n, epoch)).await {
                    Ok(()) => {}
                    Err(WriteError::Fenced) => return (old, n - 1),
                    Err(error) => panic!("{error}"),
                }
            }
            unreachable!("commits do not end")
        });
        for _ in 0..round {
            next.schedules().await.unwrap();
        }
        let recovered = next.begin().await.unwrap();
        let (old, done) = writing.await.unwrap();
        assert_eq!(recovered.jobs.len() as u64, done);
        assert!(recovered.jobs.iter().all(|job| job.head.epoch == recovered.epoch));
        let minions = vec![Write::Minions(vec![record(1, "a")])];
        assert_eq!(old.commit(0, minions.clone()).await, Err(WriteError::Fenced));
        assert_eq!(next.commit(0, minions).await, Ok(()));
        holds(&next, done).await;
    }
}

#[tokio::test]
async fn owners_that_begin_together_get_epochs_of_their_own() {
    if !server::is_here() {
        return;
    }
    let database = Database::new();
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(PostgresStore::open(&database.config()).await.unwrap());
    }
    let mut epochs = Vec::new();
    for begun in stores.iter().map(|store| store.begin()).collect::<Vec<_>>() {
        epochs.push(begun.await.unwrap().epoch.0);
    }
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=8).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_lasting_outage_is_told_and_ends_by_itself() {
    if !server::is_here() {
        return;
    }
    let server = server::Server::start(&[]);
    let mut settings = connect::Settings::new(&server.config("postgres")).unwrap();
    settings.patience = std::time::Duration::from_millis(500);
    let store = PostgresStore::start(settings).await.unwrap();
    let epoch = store.begin().await.unwrap().epoch;
    server.kill();
    let waiting: Vec<_> = (1..=3).map(|n| store.commit(n, nth(n, epoch))).collect();
    for failed in waiting {
        let error = failed.await.unwrap_err();
        assert!(
            matches!(&error, WriteError::Failed(why) if why.contains("check that the database runs")),
            "{error}"
        );
    }
    server.restart();
    let mut result = store.commit(1, nth(1, epoch)).await;
    // Within a second after the last try none is made.
    while matches!(&result, Err(WriteError::Failed(_))) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        result = store.commit(1, nth(1, epoch)).await;
    }
    assert_eq!(result, Ok(()));
    holds(&store, 1).await;
}
