//! Cancelling: what runs is killed and dead, what has not started never starts.

use fabric_tests::{Fabric, process, until};
use relay_core::outcome::{Outcome, Reason};
use relay_proto::Code;

#[tokio::test]
async fn what_runs_is_dead_and_what_has_not_started_never_starts() {
    let builder = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "busy");
    let mut fabric = builder.minion("aws-1", "away").delivery_ms(30_000).start().await;
    fabric.kill9("away");
    until("the top master to see it down", async || (!fabric.up().await.contains_key("away")).then_some(()))
        .await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 1).await;
    let reply = fabric.operator().cancel(job.jid().micros()).await.unwrap();
    assert_eq!(reply.outstanding, 2);
    job.closed(&fabric).await;
    assert_eq!(job.outcome("busy"), (Outcome::Cancelled, Reason::WhileRunning));
    assert_eq!(job.outcome("away"), (Outcome::Cancelled, Reason::BeforeStart));
    assert!(!process::lives(fabric.witness().pid(job.jid(), "busy")), "the command still runs");

    fabric.restart("away").await;
    fabric.all_up().await;
    let mut after = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(after.counts(), [("ok", 2)].into());
    fabric.check(&mut [&mut job, &mut after]).await;
    assert_eq!(fabric.witness().starts().len(), 1);
    let over = fabric.operator().cancel(job.jid().micros()).await.unwrap_err();
    assert_eq!(Code::of(&over), Some(Code::NoSuchJob), "{over}");
}

#[tokio::test]
async fn a_built_in_function_is_cancelled_too() {
    let fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2).start().await;
    let mut job = fabric.job("*", "test.sleep").args([3600]).submit().await.unwrap();
    job.until(&fabric, "be seen running", |job| job.running() == 2).await;
    fabric.operator().cancel(job.jid().micros()).await.unwrap();
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("cancelled", 2)].into());
    assert_eq!(job.outcome("aws-1-m-00").1, Reason::WhileRunning);
    fabric.check(&mut [&mut job]).await;
}

#[tokio::test]
async fn a_cancel_reaches_a_minion_that_was_away_while_its_command_ran() {
    let builder = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "solo");
    let mut fabric = builder.start().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 1).await;
    fabric.kill9("solo");
    until("the top master to see it down", async || fabric.up().await.is_empty().then_some(())).await;
    fabric.operator().cancel(job.jid().micros()).await.unwrap();
    fabric.restart("solo").await;
    job.closed(&fabric).await;
    assert_eq!(job.outcome("solo"), (Outcome::Cancelled, Reason::WhileRunning));
    assert!(!process::lives(fabric.witness().pid(job.jid(), "solo")), "the command still runs");
    fabric.check(&mut [&mut job]).await;
}

#[tokio::test]
async fn a_cancel_that_was_confirmed_holds_when_the_top_master_is_killed_at_once() {
    let builder = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "solo").delivery_ms(60_000);
    let mut fabric = builder.start().await;
    fabric.kill9("aws-1");
    fabric.syndic_is("aws-1", false).await;
    let mut jobs = Vec::new();
    for _ in 0..4 {
        let job = fabric.witnessed("*").await;
        fabric.operator().cancel(job.jid().micros()).await.unwrap();
        fabric.restart(fabric_tests::TOP).await;
        jobs.push(job);
    }
    fabric.restart("aws-1").await;
    fabric.all_up().await;
    let after = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(after.counts(), [("ok", 1)].into());
    for job in &mut jobs {
        job.closed(&fabric).await;
        assert_eq!(job.outcome("solo"), (Outcome::Cancelled, Reason::BeforeStart));
    }
    jobs.push(after);
    fabric.check(&mut jobs.iter_mut().collect::<Vec<_>>()).await;
    assert!(fabric.witness().starts().is_empty());
}
