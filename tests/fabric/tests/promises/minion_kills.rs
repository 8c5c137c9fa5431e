//! kill -9 of a minion process before, after and during a running command: at most one start, and no end is lost.

use fabric_tests::{Fabric, process, until};
use relay_core::outcome::{Outcome, Reason};

async fn solo() -> Fabric {
    Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "solo").minion("aws-1", "other").start().await
}

#[tokio::test]
async fn killed_before_the_job_it_starts_once_after_the_restart() {
    let mut fabric = solo().await;
    fabric.witness().open_all();
    fabric.kill9("solo");
    let request = fabric.job("*", "cmd.run").args([fabric.witness().command()]).delivery_ms(30_000);
    let mut job = request.submit().await.unwrap();
    job.until(&fabric, "end on the other", |job| job.answer("other").is_some()).await;
    assert!(job.answer("solo").is_none(), "the one that is down may still come: {:?}", job.slots());
    fabric.restart("solo").await;
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 2)].into());
    fabric.check(&mut [&mut job]).await;
}

#[tokio::test]
async fn down_beyond_the_delivery_deadline_it_is_not_started_whatever_else_runs() {
    let mut fabric = solo().await;
    fabric.kill9("solo");
    until("the top master to see it down", async || (!fabric.up().await.contains_key("solo")).then_some(()))
        .await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 1).await;
    job.until(&fabric, "say that solo was not started", |job| job.answer("solo").is_some()).await;
    assert_eq!(job.outcome("solo"), (Outcome::NotStarted, Reason::Unreachable));
    assert!(job.answer("other").is_none(), "the other one still runs");
    fabric.restart("solo").await;
    fabric.witness().open_all();
    fabric.check(&mut [&mut job]).await;
    assert_eq!(fabric.witness().starts().len(), 1, "not_started means that it never will");
}

#[tokio::test]
async fn killed_while_a_command_runs_the_command_goes_on_and_its_end_arrives() {
    let mut fabric = solo().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 2).await;
    fabric.kill9("solo");
    fabric.witness().open_all();
    job.until(&fabric, "end on the other", |job| job.answer("other").is_some()).await;
    let pid = fabric.witness().pid(job.jid(), "solo");
    until("the command to end without its minion", async || (!process::lives(pid)).then_some(())).await;
    fabric.restart("solo").await;
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 2)].into());
    assert_eq!(job.value("solo"), serde_json::json!("done by solo"));
    fabric.check(&mut [&mut job]).await;
}

#[tokio::test]
async fn restarted_while_its_command_still_runs_it_waits_for_that_one() {
    let mut fabric = solo().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 2).await;
    for _ in 0..2 {
        fabric.restart("solo").await;
        fabric.all_up().await;
    }
    assert!(job.answer("solo").is_none());
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 2)].into());
    fabric.check(&mut [&mut job]).await;
}

#[tokio::test]
async fn a_killed_runner_takes_its_command_along_and_the_minion_says_interrupted() {
    let fabric = solo().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 2).await;
    let body = fabric.witness().pid(job.jid(), "solo");
    process::kill9(process::parent(body).unwrap());
    job.until(&fabric, "end on solo", |job| job.answer("solo").is_some()).await;
    assert_eq!(job.outcome("solo"), (Outcome::Interrupted, Reason::ProcessDied));
    assert!(!process::lives(body), "nothing of it may run when it is said to be interrupted");
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.outcome("other").0, Outcome::Ok);
    fabric.check(&mut [&mut job]).await;
}

#[tokio::test]
async fn killed_in_a_built_in_function_it_is_interrupted_and_never_started_again() {
    let mut fabric = solo().await;
    let mut job = fabric.job("solo", "test.sleep").args([3600]).submit().await.unwrap();
    job.until(&fabric, "be seen running", |job| job.running() == 1).await;
    fabric.restart("solo").await;
    job.closed(&fabric).await;
    assert_eq!(job.outcome("solo"), (Outcome::Interrupted, Reason::ProcessDied));
    fabric.check(&mut [&mut job]).await;
}

#[tokio::test]
async fn killed_again_and_again_at_any_moment_nothing_runs_twice() {
    let mut fabric = solo().await;
    fabric.witness().open_all();
    let mut jobs = Vec::new();
    for round in 0..8 {
        let request = fabric.job("*", "cmd.run").args([fabric.witness().command()]).delivery_ms(30_000);
        jobs.push(request.submit().await.unwrap());
        // The moment of the kill goes through all steps of a job by itself: nothing is waited for.
        for _ in 0..round * 40 {
            tokio::task::yield_now().await;
        }
        fabric.restart("solo").await;
    }
    for job in &mut jobs {
        job.closed(&fabric).await;
        let (outcome, _) = job.outcome("solo");
        assert!(matches!(outcome, Outcome::Ok | Outcome::Interrupted), "{:?}", job.slots());
        assert_eq!(job.outcome("other").0, Outcome::Ok);
    }
    fabric.check(&mut jobs.iter_mut().collect::<Vec<_>>()).await;
}
