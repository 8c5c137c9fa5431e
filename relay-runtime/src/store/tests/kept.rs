//! Plans and schedules.

use super::*;
use crate::store::{MAX_PLANS, MAX_SCHEDULES};

on_both!(
    a_plan_is_kept_and_made_again_it_lives_longer,
    expired_plans_go_with_the_next_one,
    of_too_many_plans_the_first_to_expire_go,
    a_damaged_plan_is_named,
    schedules_are_kept_with_how_they_ran,
    a_name_is_taken_only_from_one_that_may_be_replaced,
    what_is_not_there_is_not_changed,
    there_is_room_for_so_many_schedules,
    a_damaged_schedule_is_named,
);

pub(super) fn plan(n: u32, created: WallMicros) -> StoredPlan {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&n.to_be_bytes());
    StoredPlan {
        id,
        created,
        expires: created + 24 * HOUR,
        request: Bytes::from_static(b"\0any'bytes"),
        targets: set(&[1, 70_000]),
    }
}

pub(super) fn new(name: &str) -> NewSchedule {
    let definition = Bytes::from_static(b"\xffany");
    NewSchedule { name: name.into(), definition, paused: false, passed: THEN, replace: false }
}

pub(super) fn run(n: u64) -> ScheduleRun {
    ScheduleRun { at: THEN + n, jid: Some(Jid::from_micros(THEN + n)), error: None }
}

fn stored(new: &NewSchedule) -> StoredSchedule {
    let NewSchedule { name, definition, paused, passed, .. } = new.clone();
    StoredSchedule { name, definition, paused, passed, last: None }
}

async fn a_plan_is_kept_and_made_again_it_lives_longer(kind: Kind) {
    let bench = Bench::new(kind).await;
    let first = plan(1, THEN);
    bench.store.put_plan(first.clone()).await.unwrap();
    let next = bench.other().await;
    assert_eq!(next.plan(first.id).await.unwrap(), Some(first.clone()), "it outlives its owner");
    assert_eq!(next.plan([9; 32]).await.unwrap(), None);
    let again = plan(1, THEN + HOUR);
    bench.store.put_plan(again.clone()).await.unwrap();
    let kept = bench.store.plan(first.id).await.unwrap();
    assert_eq!(kept, Some(StoredPlan { expires: again.expires, ..first }));
}

async fn expired_plans_go_with_the_next_one(kind: Kind) {
    let bench = Bench::new(kind).await;
    let (old, young) = (plan(1, THEN), plan(2, THEN + 1));
    bench.store.put_plan(old.clone()).await.unwrap();
    bench.store.put_plan(young.clone()).await.unwrap();
    let next = plan(3, old.expires);
    bench.store.put_plan(next.clone()).await.unwrap();
    assert_eq!(bench.store.plan(old.id).await.unwrap(), None);
    for kept in [young, next] {
        assert_eq!(bench.store.plan(kept.id).await.unwrap(), Some(kept));
    }
    // One that had expired itself is new again.
    let again = plan(2, THEN + 100 * HOUR);
    bench.store.put_plan(again.clone()).await.unwrap();
    assert_eq!(bench.store.plan(again.id).await.unwrap(), Some(again));
}

async fn of_too_many_plans_the_first_to_expire_go(kind: Kind) {
    let bench = Bench::new(kind).await;
    let puts: Vec<_> =
        (0..MAX_PLANS as u32).map(|n| bench.store.put_plan(plan(n, THEN + u64::from(n)))).collect();
    for put in puts {
        put.await.unwrap();
    }
    // The new one stays, although it expires first.
    let last = StoredPlan { expires: THEN + 10 * HOUR, ..plan(MAX_PLANS as u32, THEN) };
    bench.store.put_plan(last.clone()).await.unwrap();
    let kept = async |n| bench.store.plan(plan(n, 0).id).await.unwrap().is_some();
    assert!(!kept(0).await);
    assert!(kept(1).await && kept(MAX_PLANS as u32 - 1).await && kept(MAX_PLANS as u32).await);
    assert_eq!(bench.number("SELECT count(*) FROM plans").await, MAX_PLANS as i64);
}

async fn a_damaged_plan_is_named(kind: Kind) {
    let bench = Bench::new(kind).await;
    let plan = plan(1, THEN);
    bench.store.put_plan(plan.clone()).await.unwrap();
    bench.damage("UPDATE plans SET targets = {00ff}").await;
    let error = bench.store.plan(plan.id).await.unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { row, .. } if row.contains("00000001")), "{error}");
}

async fn schedules_are_kept_with_how_they_ran(kind: Kind) {
    let bench = Bench::new(kind).await;
    let (b, a) = (new("b"), new("a'; --"));
    assert_eq!(bench.store.put_schedule(b.clone()).await.unwrap(), Put::Kept);
    assert_eq!(bench.store.put_schedule(a.clone()).await.unwrap(), Put::Kept);
    assert_eq!(bench.store.schedules().await.unwrap(), [stored(&a), stored(&b)]);
    assert!(bench.store.schedule_ran("b", run(5), THEN + 4).await.unwrap());
    assert!(bench.store.pause_schedule("b", true, THEN + 6).await.unwrap());
    let failed = ScheduleRun { at: THEN + 7, jid: None, error: Some("no targets".into()) };
    assert!(bench.store.schedule_ran("a'; --", failed.clone(), 0).await.unwrap());
    let next = bench.other().await;
    let ran = [
        StoredSchedule { last: Some(failed), ..stored(&a) },
        StoredSchedule { last: Some(run(5)), paused: true, passed: THEN + 6, ..stored(&b) },
    ];
    assert_eq!(next.schedules().await.unwrap(), ran, "they outlive their owner; no time comes back");
}

async fn a_name_is_taken_only_from_one_that_may_be_replaced(kind: Kind) {
    let bench = Bench::new(kind).await;
    let first = new("s");
    bench.store.put_schedule(first.clone()).await.unwrap();
    bench.store.schedule_ran("s", run(5), THEN + 5).await.unwrap();
    let ran = StoredSchedule { last: Some(run(5)), passed: THEN + 5, ..stored(&first) };
    let other = NewSchedule { definition: Bytes::from_static(b"other"), paused: true, ..first };
    assert_eq!(bench.store.put_schedule(other.clone()).await.unwrap(), Put::Taken);
    assert_eq!(bench.store.schedules().await.unwrap(), [ran]);
    let other = NewSchedule { replace: true, ..other };
    assert_eq!(bench.store.put_schedule(other.clone()).await.unwrap(), Put::Kept);
    let replaced = StoredSchedule { last: Some(run(5)), ..stored(&other) };
    assert_eq!(bench.store.schedules().await.unwrap(), [replaced]);
}

async fn what_is_not_there_is_not_changed(kind: Kind) {
    let bench = Bench::new(kind).await;
    bench.store.put_schedule(new("s")).await.unwrap();
    assert!(!bench.store.schedule_ran("S", run(1), 0).await.unwrap());
    assert!(!bench.store.pause_schedule("", true, 0).await.unwrap());
    assert!(!bench.store.remove_schedule("s ").await.unwrap());
    assert_eq!(bench.store.schedules().await.unwrap(), [stored(&new("s"))]);
    assert!(bench.store.remove_schedule("s").await.unwrap());
    assert!(!bench.store.remove_schedule("s").await.unwrap());
    assert_eq!(bench.store.schedules().await.unwrap(), []);
}

async fn there_is_room_for_so_many_schedules(kind: Kind) {
    let bench = Bench::new(kind).await;
    let names: Vec<String> = (0..MAX_SCHEDULES).map(|n| n.to_string()).collect();
    let puts: Vec<_> = names.iter().map(|name| bench.store.put_schedule(new(name))).collect();
    for put in puts {
        assert_eq!(put.await.unwrap(), Put::Kept);
    }
    assert_eq!(bench.store.put_schedule(new("one more")).await.unwrap(), Put::Full);
    let replacing = NewSchedule { replace: true, ..new("7") };
    assert_eq!(bench.store.put_schedule(replacing).await.unwrap(), Put::Kept);
    bench.store.remove_schedule("8").await.unwrap();
    assert_eq!(bench.store.put_schedule(new("one more")).await.unwrap(), Put::Kept);
}

async fn a_damaged_schedule_is_named(kind: Kind) {
    let bench = Bench::new(kind).await;
    bench.store.put_schedule(new("nightly")).await.unwrap();
    bench.damage("UPDATE schedules SET last = 1, last_error = {text}").await;
    let error = bench.store.schedules().await.unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { row, .. } if row.contains("nightly")), "{error}");
}
