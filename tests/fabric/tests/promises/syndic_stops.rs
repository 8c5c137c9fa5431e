//! A syndic that hangs (SIGSTOP) beyond the time after which it counts as dead: its own minions pay, and nobody else.

use fabric_tests::{Fabric, Job};
use relay_core::outcome::{Outcome, Reason};

async fn two_regions() -> Fabric {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("azure-1", "azure");
    builder.minions("aws-1", 3).minions("azure-1", 3).start().await
}

async fn submit(fabric: &Fabric) -> Job {
    let request = fabric.job("*", "cmd.run").args([fabric.witness().command()]).run_ms(2_000);
    request.submit().await.expect("an accepted job")
}

#[tokio::test]
async fn the_other_region_is_not_delayed_and_late_returns_resolve() {
    let mut fabric = two_regions().await;
    let mut running = submit(&fabric).await;
    fabric.started(&running, 6).await;
    fabric.stop("aws-1");
    // Sent into a connection that nobody reads: nobody can say whether it arrived.
    let mut sent = submit(&fabric).await;
    fabric.witness().open_all();
    for job in [&mut running, &mut sent] {
        job.until(&fabric, "have the returns of azure", |job| job.slots().len() == 3).await;
        assert!(job.order().iter().all(|id| id.as_str().starts_with("azure")), "{:?}", job.order());
    }
    fabric.syndic_is("aws-1", false).await;
    // Not sent at all: the top master knows by now that nobody is there.
    let mut unsent = submit(&fabric).await;
    for job in [&mut running, &mut sent, &mut unsent] {
        job.closed(&fabric).await;
    }
    for id in fabric.ids("aws-1-m") {
        assert_eq!(running.outcome(id).0, Outcome::Unknown);
        assert_eq!(sent.outcome(id), (Outcome::Unknown, Reason::ConnectionLost));
        assert_eq!(unsent.outcome(id), (Outcome::NotStarted, Reason::Unreachable));
    }
    fabric.cont("aws-1");
    running.until(&fabric, "be resolved", |job| job.counts() == [("ok", 6)].into()).await;
    let known = |job: &Job| !job.counts().contains_key("unknown");
    sent.until(&fabric, "be resolved", known).await;
    assert_eq!(sent.counts()["ok"], 3, "too late to start: {:?}", sent.slots());
    fabric.check(&mut [&mut running, &mut sent, &mut unsent]).await;
}

#[tokio::test]
async fn with_another_syndic_its_minions_move_and_come_back_to_one_place() {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("aws-2", "aws").with_fallback();
    let mut fabric = builder.minions("aws-1", 3).delivery_ms(30_000).start().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 3).await;
    fabric.stop("aws-1");
    fabric_tests::until("the minions to be below aws-2", async || {
        let up = fabric.up().await;
        (up.len() == 3 && up.values().all(|syndic| syndic == "aws-2")).then_some(())
    })
    .await;
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 3)].into());
    // It wakes up, and believes for a moment that they are still its own.
    fabric.cont("aws-1");
    fabric.syndic_is("aws-1", true).await;
    let mut second = fabric.witnessed("*").await;
    second.closed(&fabric).await;
    assert_eq!(second.counts(), [("ok", 3)].into());
    fabric.check(&mut [&mut job, &mut second]).await;
    assert_eq!(fabric.witness().starts().len(), 6);
}
