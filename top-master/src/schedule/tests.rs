//! Schedules as operators put them, and their runs against a clock that the test holds.

use relay_core::{owner::Batches, topology::Share};

use super::*;
use crate::{access::test_caller, daemon::testing::Bench, operator::Defaults};

const MINUTE: WallMicros = 60_000_000;

async fn bench() -> Bench {
    Bench::new(&["aws-a"], Defaults { delivery: 1_000, run: 1_000, ..Defaults::default() }).await
}

fn schedule(name: &str) -> wire::Schedule {
    let job = wire::SubmitRequest {
        target: "*".into(),
        function: "test.ping".into(),
        ..wire::SubmitRequest::default()
    };
    wire::Schedule { name: name.into(), every_ms: 60_000, job: Some(job), ..wire::Schedule::default() }
}

fn put(schedule: wire::Schedule, replace: bool) -> wire::PutScheduleRequest {
    wire::PutScheduleRequest { schedule: Some(schedule), replace }
}

fn scheduler(bench: &Bench) -> Scheduler {
    Scheduler { service: bench.service.clone(), entries: Vec::new(), looked: 0 }
}

async fn jobs(bench: &Bench) -> usize {
    bench.service.store.jobs(Default::default(), 100, None).await.unwrap().len()
}

async fn only(bench: &Bench) -> StoredSchedule {
    bench.service.store.schedules().await.unwrap().remove(0)
}

#[tokio::test]
async fn schedules_are_kept_shown_paused_and_removed() {
    let bench = bench().await;
    let service = &bench.service;
    let put_as = |schedule, replace| service.keep_schedule(test_caller("alice"), put(schedule, replace));
    let kept = put_as(schedule("ping"), false).await.unwrap();
    assert_eq!((kept.max_running, kept.missed.as_str(), kept.caller.as_str()), (1, "skip", "alice"));
    assert!(kept.next > wall() && kept.next <= wall() + MINUTE && kept.last == 0, "{kept:?}");
    assert!(put_as(schedule("ping"), false).await.unwrap_err().message().contains("--replace"));
    put_as(wire::Schedule { splay_ms: 5, ..schedule("ping") }, true).await.unwrap();
    let nonsense = [
        wire::Schedule { job: None, ..schedule("x") },
        wire::Schedule { cron: "61 * * * *".into(), every_ms: 0, ..schedule("x") },
        wire::Schedule { job: Some(wire::SubmitRequest::default()), ..schedule("x") },
    ];
    for wrong in nonsense {
        let error = put_as(wrong, false).await.unwrap_err();
        assert_eq!(Code::of(&error), Some(Code::Invalid), "{error:?}");
    }

    let bench = bench.restart(&["aws-a"]).await;
    let service = &bench.service;
    let listed = service.schedules().await.unwrap();
    assert_eq!((listed.len(), listed[0].splay_ms), (1, 5));
    let paused = service.hold_schedule("ping", true).await.unwrap();
    assert!(paused.paused && paused.next == 0);
    let run = wire::RunScheduleRequest { name: "ping".into(), request_id: vec![1; 16] };
    let ran = service.run_now(test_caller("bob"), run.clone()).await.unwrap();
    assert!(service.run_now(test_caller("bob"), run).await.unwrap().known);
    assert_eq!(service.schedules().await.unwrap()[0].last_jid, ran.jid);
    assert_eq!(service.forget_schedule("ping").await.unwrap().name, "ping");
    let gone = service.forget_schedule("ping").await.unwrap_err();
    assert_eq!(Code::of(&gone), Some(Code::NotFound));
    assert!(service.schedules().await.unwrap().is_empty());
}

#[tokio::test]
async fn each_time_runs_once_whoever_dies_in_between() {
    let bench = bench().await;
    let request = put(wire::Schedule { max_running: 9, ..schedule("ping") }, false);
    let next = bench.service.keep_schedule(test_caller("alice"), request).await.unwrap().next;
    let mut first = scheduler(&bench);
    first.pass(true, next - 1).await.unwrap();
    assert_eq!(jobs(&bench).await, 0);
    // Submitted, and dead before it is noted.
    let entry = &first.entries[0];
    let lost = entry.submit(&bench.service, next, next).await.unwrap();
    assert_eq!(jobs(&bench).await, 1);

    let bench = bench.restart(&["aws-a"]).await;
    let mut second = scheduler(&bench);
    for now in [next, next + 1, next + MINUTE / 2] {
        second.pass(false, now).await.unwrap();
        second.pass(true, now).await.unwrap();
    }
    assert_eq!(jobs(&bench).await, 1);
    let noted = only(&bench).await;
    assert_eq!((noted.passed, noted.last.unwrap().jid), (next, lost.jid));
    second.pass(false, next + MINUTE).await.unwrap();
    assert_eq!(jobs(&bench).await, 2);
    let caller = &bench.service.store.jobs(Default::default(), 1, None).await.unwrap()[0].caller;
    assert_eq!(caller, "schedule:ping (by alice)");
}

#[tokio::test]
async fn what_is_paused_while_others_run_does_not_run_any_more() {
    let bench = bench().await;
    let mut next = 0;
    for name in ["a", "b"] {
        next =
            bench.service.keep_schedule(test_caller("alice"), put(schedule(name), false)).await.unwrap().next;
    }
    let mut scheduler = scheduler(&bench);
    scheduler.pass(true, next - 1).await.unwrap();
    bench.service.hold_schedule("b", true).await.unwrap();
    // It is in the middle of a pass: what it read is of before.
    scheduler.pass(false, next).await.unwrap();
    scheduler.pass(true, next).await.unwrap();
    let callers: Vec<String> = bench
        .service
        .store
        .jobs(Default::default(), 9, None)
        .await
        .unwrap()
        .into_iter()
        .map(|job| job.caller)
        .collect();
    assert_eq!(callers, ["schedule:a (by alice)"]);
}

#[tokio::test]
async fn a_jump_of_the_clock_brings_no_storm() {
    let bench = bench().await;
    let year = 365 * 24 * 60 * MINUTE;
    for (name, missed) in [("a", "skip"), ("b", "once")] {
        let schedule = wire::Schedule { missed: missed.into(), max_running: 9, ..schedule(name) };
        bench.service.keep_schedule(test_caller("alice"), put(schedule, false)).await.unwrap();
    }
    // Half a minute after a full one: no time is near enough to be in time.
    let late = (wall() + year) / MINUTE * MINUTE + 45_000_000;
    let mut scheduler = scheduler(&bench);
    for look in 0..3 {
        scheduler.pass(true, late + look).await.unwrap();
    }
    assert_eq!(jobs(&bench).await, 1);
    let all = bench.service.store.schedules().await.unwrap();
    assert!(all[0].last.as_ref().unwrap().error.as_ref().unwrap().contains("missed"), "{:?}", all[0]);
    assert!(all[1].last.as_ref().unwrap().jid.is_some());

    // And back: both go on from there.
    let now = wall();
    scheduler.pass(false, now).await.unwrap();
    let all = bench.service.store.schedules().await.unwrap();
    assert_eq!([all[0].passed, all[1].passed], [now, now]);
}

#[tokio::test]
async fn no_more_runs_are_open_than_may_be_and_errors_are_shown() {
    let bench = bench().await;
    let next =
        bench.service.keep_schedule(test_caller("alice"), put(schedule("ping"), false)).await.unwrap().next;
    let mut scheduler = scheduler(&bench);
    scheduler.pass(true, next).await.unwrap();
    scheduler.pass(false, next + MINUTE).await.unwrap();
    assert_eq!(jobs(&bench).await, 1);
    let error = only(&bench).await.last.unwrap().error.unwrap();
    assert!(error.contains("1 earlier runs were still open"), "{error}");

    let nobody = wire::SubmitRequest { target: "nobody*".into(), ..schedule("x").job.unwrap() };
    let request = put(wire::Schedule { job: Some(nobody), ..schedule("ping") }, true);
    let next = bench.service.keep_schedule(test_caller("alice"), request).await.unwrap().next;
    let open = bench.service.store.jobs(Default::default(), 1, None).await.unwrap()[0].jid;
    bench.service.cancel_job(open).await.unwrap();
    bench.service.look(|_| ()).await.unwrap();
    let mut scheduler = self::scheduler(&bench);
    while only(&bench).await.passed < next {
        scheduler.pass(true, next).await.unwrap();
    }
    let shown = bench.service.schedules().await.unwrap().remove(0);
    assert!(
        shown.last_error.contains("no minion matches") || shown.last_error.contains("still open"),
        "{shown:?}"
    );
}

#[tokio::test]
async fn a_job_that_is_too_wide_is_refused_when_it_is_scheduled() {
    let batches = Batches { unbatched_limit: Some(Share::Count(1)), ..Batches::default() };
    let bench = Bench::new(&["aws-a", "aws-b"], Defaults { batches, ..Defaults::default() }).await;
    let put_as = |target: &str, confirmed| {
        let mut wanted = schedule("wide");
        if let Some(job) = &mut wanted.job {
            (job.target, job.confirmed_targets) = (target.into(), confirmed);
        }
        bench.service.keep_schedule(test_caller("alice"), put(wanted, true))
    };
    let refused = put_as("*", 0).await.unwrap_err();
    assert_eq!(Code::of(&refused), Some(Code::TooWide), "{refused:?}");
    for (target, confirmed) in [("aws-a", 0), ("*", 2), ("gcp-*", 0)] {
        put_as(target, confirmed).await.unwrap();
    }
}
