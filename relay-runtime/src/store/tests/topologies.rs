//! Revisions of the topology: numbered under compare-and-set, one at a time, kept with how they ended.

use super::*;
use crate::store::MAX_REVISIONS;

on_both!(
    a_revision_is_kept_as_it_was_asked_for,
    only_what_was_planned_on_the_active_one_is_staged,
    one_is_staged_at_a_time,
    its_regions_are_kept_as_it_goes,
    the_former_one_is_superseded_in_the_same_moment,
    one_that_is_rolled_back_leaves_the_active_one,
    the_newest_come_first_without_texts,
    of_too_many_revisions_the_oldest_go,
    a_former_owner_stages_nothing,
    a_damaged_revision_is_named,
);

fn new(planned_on: u64) -> NewRevision {
    NewRevision {
        planned_on,
        digest: "00ff".into(),
        text: "version: 1 # 'ü' \u{1}\n".into(),
        caller: "alice".into(),
        applied: THEN,
        commit: "c0ffee".into(),
        author: "Bob'; -- <bob@acme.example>".into(),
        message: "one more syndic\n".into(),
        rollback_of: 3,
        max_lost_percent: 5,
        settle_ms: 30_000,
        watched: set(&[1, 70_000]),
    }
}

fn names(names: &[&str]) -> Vec<RegionName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// Stages one on the active one and makes it the active one.
async fn activated(bench: &Bench, planned_on: u64) -> u64 {
    let RevisionPut::Staged(number) = bench.store.put_revision(new(planned_on)).await.unwrap() else {
        panic!("not staged on {planned_on}")
    };
    assert!(bench.store.end_revision(number, RevisionEnd::Active).await.unwrap());
    number
}

/// Number and state of all, newest first.
async fn states(bench: &Bench) -> Vec<(u64, RevisionState)> {
    let all = bench.store.revisions(MAX_REVISIONS, None).await.unwrap();
    all.into_iter().map(|revision| (revision.number, revision.state)).collect()
}

async fn a_revision_is_kept_as_it_was_asked_for(kind: Kind) {
    let bench = Bench::new(kind).await;
    assert_eq!(bench.store.put_revision(new(0)).await.unwrap(), RevisionPut::Staged(1));
    let kept = Revision {
        number: 1,
        new: new(0),
        regions: Vec::new(),
        state: RevisionState::Staging,
        why: String::new(),
    };
    let next = bench.other().await;
    assert_eq!(next.revision(Which::Number(1)).await.unwrap(), Some(kept.clone()), "it outlives its owner");
    assert_eq!(next.revision(Which::Staging).await.unwrap(), Some(kept));
    assert_eq!(next.revision(Which::Active).await.unwrap(), None);
    for nobody in [0, 2, u64::MAX] {
        assert_eq!(next.revision(Which::Number(nobody)).await.unwrap(), None);
    }
}

async fn only_what_was_planned_on_the_active_one_is_staged(kind: Kind) {
    let bench = Bench::new(kind).await;
    assert_eq!(bench.store.put_revision(new(1)).await.unwrap(), RevisionPut::Moved(0));
    activated(&bench, 0).await;
    assert_eq!(bench.store.put_revision(new(0)).await.unwrap(), RevisionPut::Moved(1));
    assert_eq!(bench.store.put_revision(new(2)).await.unwrap(), RevisionPut::Moved(1));
    assert_eq!(bench.store.put_revision(new(1)).await.unwrap(), RevisionPut::Staged(2));
}

async fn one_is_staged_at_a_time(kind: Kind) {
    let bench = Bench::new(kind).await;
    let held = bench.hold().await;
    let both = [bench.store.put_revision(new(0)), bench.store.put_revision(new(0))];
    drop(held);
    let [first, second] = both;
    assert_eq!(first.await.unwrap(), RevisionPut::Staged(1));
    assert_eq!(second.await.unwrap(), RevisionPut::Busy(1));
}

async fn its_regions_are_kept_as_it_goes(kind: Kind) {
    let bench = Bench::new(kind).await;
    bench.store.put_revision(new(0)).await.unwrap();
    for regions in [&["aws"][..], &["aws", "on-prem"], &["aws"]] {
        assert!(bench.store.stage_revision(1, names(regions)).await.unwrap());
        let staging = bench.store.revision(Which::Staging).await.unwrap().unwrap();
        assert_eq!(staging.regions, names(regions));
    }
    assert!(!bench.store.stage_revision(2, names(&["gcp"])).await.unwrap());
    bench.store.end_revision(1, RevisionEnd::Active).await.unwrap();
    assert!(!bench.store.stage_revision(1, names(&["gcp"])).await.unwrap(), "it is over");
    let active = bench.store.revision(Which::Active).await.unwrap().unwrap();
    assert_eq!(active.regions, names(&["aws"]));
}

async fn the_former_one_is_superseded_in_the_same_moment(kind: Kind) {
    use RevisionState::{Active, Superseded};
    let bench = Bench::new(kind).await;
    let first = activated(&bench, 0).await;
    assert_eq!(states(&bench).await, [(1, Active)]);
    activated(&bench, first).await;
    assert_eq!(states(&bench).await, [(2, Active), (1, Superseded)]);
    assert!(!bench.store.end_revision(1, RevisionEnd::Active).await.unwrap(), "it is not staging");
    assert_eq!(states(&bench).await, [(2, Active), (1, Superseded)]);
}

async fn one_that_is_rolled_back_leaves_the_active_one(kind: Kind) {
    use RevisionState::{Active, RolledBack};
    let bench = Bench::new(kind).await;
    activated(&bench, 0).await;
    bench.store.put_revision(new(1)).await.unwrap();
    let end = RevisionEnd::RolledBack("aws: 3 of 10 minions are lost".into());
    assert!(bench.store.end_revision(2, end).await.unwrap());
    assert_eq!(states(&bench).await, [(2, RolledBack), (1, Active)]);
    let rolled_back = bench.store.revision(Which::Number(2)).await.unwrap().unwrap();
    assert_eq!(rolled_back.why, "aws: 3 of 10 minions are lost");
    assert_eq!(
        bench.store.put_revision(new(1)).await.unwrap(),
        RevisionPut::Staged(3),
        "2 is never used again"
    );
}

async fn the_newest_come_first_without_texts(kind: Kind) {
    let bench = Bench::new(kind).await;
    for number in 0..4 {
        activated(&bench, number).await;
    }
    let page = async |limit, before| -> Vec<u64> {
        let page = bench.store.revisions(limit, before).await.unwrap();
        assert!(page.iter().all(|revision| revision.new.text.is_empty() && revision.new.digest == "00ff"));
        page.into_iter().map(|revision| revision.number).collect()
    };
    assert_eq!(page(2, None).await, [4, 3]);
    assert_eq!(page(9, Some(3)).await, [2, 1]);
    assert!(page(9, Some(1)).await.is_empty());
    assert!(page(0, None).await.is_empty());
}

async fn of_too_many_revisions_the_oldest_go(kind: Kind) {
    let bench = Bench::new(kind).await;
    activated(&bench, 0).await;
    let rolled_back = |number| bench.store.end_revision(number, RevisionEnd::RolledBack("lost".into()));
    let rounds: Vec<_> =
        (2..=MAX_REVISIONS as u64 + 3).map(|n| (bench.store.put_revision(new(1)), rolled_back(n))).collect();
    for (put, end) in rounds {
        assert!(matches!(put.await.unwrap(), RevisionPut::Staged(_)) && end.await.unwrap());
    }
    let kept = async |number| bench.store.revision(Which::Number(number)).await.unwrap().is_some();
    assert!(kept(1).await, "the active one stays");
    assert!(!kept(2).await && !kept(3).await && kept(4).await);
    assert_eq!(bench.number("SELECT count(*) FROM topologies").await, MAX_REVISIONS as i64 + 1);
}

async fn a_former_owner_stages_nothing(kind: Kind) {
    let bench = Bench::new(kind).await;
    activated(&bench, 0).await;
    bench.store.put_revision(new(1)).await.unwrap();
    bench.other().await.begin().await.unwrap();
    let fenced = Err(StoreError::Fenced);
    assert_eq!(bench.store.put_revision(new(1)).await.map(drop), fenced);
    assert_eq!(bench.store.stage_revision(2, names(&["aws"])).await.map(drop), fenced);
    assert_eq!(bench.store.end_revision(2, RevisionEnd::Active).await.map(drop), fenced);
    let staging = bench.store.revision(Which::Staging).await.unwrap().unwrap();
    assert!(staging.number == 2 && staging.regions.is_empty());
}

async fn a_damaged_revision_is_named(kind: Kind) {
    let bench = Bench::new(kind).await;
    bench.store.put_revision(new(0)).await.unwrap();
    for damage in ["regions = '[\"no region\"]'", "state = 'done'", "watched = {00ff}", "author = {text}"] {
        bench.damage(&format!("UPDATE topologies SET {damage}")).await;
        let error = bench.store.revision(Which::Number(1)).await.unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { row, .. } if row == "topologies of 1"), "{error}");
        let undo = "UPDATE topologies SET regions = '[]', state = 'staging', author = '', watched = {3a30000000000000}";
        bench.damage(undo).await;
        bench.store.revision(Which::Number(1)).await.unwrap();
    }
}
