//! What a restart makes of a topology that is half applied.

use std::sync::atomic::{AtomicU64, Ordering};

use relay_core::topology::stage::MIN_SETTLE_RESUMED;
use relay_runtime::store::{NewRevision, RevisionEnd, RevisionState, Which};

use super::*;

/// Kills a top master that has half applied a topology. It is staged anew as revision 3, with a change that no call brings
/// about, at the same place.
async fn killed_half_way(change: fn(&mut NewRevision)) -> tempfile::TempDir {
    let bench = bench(&file(&["aws-1"], 1, "aws-a")).await;
    drop(half_applied(&bench).await);
    let directory = bench.stop().await;
    let store = relay_runtime::store::SqliteStore::open(&directory.path().join("store")).unwrap();
    store.begin().await.unwrap();
    let Revision { mut new, regions, .. } = store.revision(Which::Staging).await.unwrap().unwrap();
    assert_eq!(regions.len(), 2);
    store.end_revision(2, RevisionEnd::RolledBack("staged anew".into())).await.unwrap();
    change(&mut new);
    store.put_revision(new).await.unwrap();
    store.stage_revision(3, regions).await.unwrap();
    store.close().await;
    directory
}

/// A top master that goes on with it, for which 5 s pass from one look to the next. Beside it the time that has passed.
async fn resumed(directory: tempfile::TempDir, up: Vec<&'static str>) -> (Bench, Arc<AtomicU64>) {
    let time = Arc::new(AtomicU64::new(0));
    let looked = time.clone();
    let now: Now = Arc::new(move || looked.fetch_add(5_000, Ordering::Relaxed));
    let setting = Setting { up, now: Some(now), ..Setting::default() };
    (Bench::with(directory, MINIONS, limits(), setting).await, time)
}

/// Waits until a revision is over.
async fn ended(bench: &Bench, number: u64) -> Revision {
    loop {
        let revision = bench.service.store.revision(Which::Number(number)).await.unwrap().unwrap();
        if revision.state != RevisionState::Staging {
            return revision;
        }
    }
}

#[tokio::test]
async fn a_half_applied_one_goes_on_after_a_restart_when_everybody_is_back() {
    let directory = killed_half_way(|new| new.settle_ms = 1).await;
    let (bench, time) = resumed(directory, MINIONS.to_vec()).await;
    let mut active = bench.service.topology.0.active.subscribe();
    active.wait_for(|number| *number == 3).await.unwrap();
    assert!(time.load(Ordering::Relaxed) > MIN_SETTLE_RESUMED, "{time:?}");
    assert_eq!(
        states(&bench).await,
        [(3, "active".into()), (2, "rolled_back".into()), (1, "superseded".into())]
    );
    assert_eq!(submit(&bench, 1).await.0, 4);
}

#[tokio::test]
async fn a_half_applied_one_is_rolled_back_after_a_restart_when_too_many_stay_away() {
    let directory = killed_half_way(|new| new.settle_ms = 1).await;
    let (bench, time) = resumed(directory, vec!["aws-a", "gcp-a"]).await;
    let ended = ended(&bench, 3).await;
    // The operator asked for a millisecond. Who dials again after the restart is not lost.
    assert!(time.load(Ordering::Relaxed) > MIN_SETTLE_RESUMED, "{time:?}");
    assert_eq!(ended.state, RevisionState::RolledBack);
    assert_eq!(ended.why, "region aws: 2 of the 3 minions that were up are lost, more than 5 %");
    let mut effective = bench.service.topology.effective();
    let former = |e: &Option<Effective>| {
        e.as_ref().is_some_and(|e| e.topology.syndic(&"aws-1".parse().unwrap()).is_some())
    };
    let effective = effective.wait_for(former).await.unwrap().clone().unwrap();
    assert_eq!((effective.number, effective.regions_done.len()), (3, 0), "the number never goes back");
    assert_eq!(submit(&bench, 1).await.0, 1);
    // The next owner begins with that, too.
    let bench = start(bench.stop().await, &file(&["aws-1"], 1, "no"), Vec::new()).await;
    assert_eq!(bench.service.topology.effective().borrow().as_ref().unwrap().number, 3);
    let heard = heard(apply(&bench, request(&file(&["aws-1"], 5, "*"), 1)).await.unwrap()).await;
    assert_eq!(done(&heard).number, 4);
}

#[tokio::test]
async fn a_staged_text_that_is_not_understood_is_rolled_back_in_words() {
    let directory = killed_half_way(|new| new.text.push_str("newer: true\n")).await;
    let bench = start(directory, &file(&["aws-1"], 1, "no"), MINIONS.to_vec()).await;
    let ended = ended(&bench, 3).await;
    assert!(ended.state == RevisionState::RolledBack && ended.why.contains("newer"), "{}", ended.why);
    assert_eq!(submit(&bench, 1).await.0, 1);
}
