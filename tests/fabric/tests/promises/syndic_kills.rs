//! kill -9 of a syndic at each step of a job in flight: nothing is lost, nothing happens twice.

use fabric_tests::{Fabric, Job, until};
use relay_core::outcome::Outcome;

async fn region() -> Fabric {
    Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 4).delivery_ms(30_000).start().await
}

/// The job ends well for everybody, once.
async fn ends_well(fabric: &Fabric, job: &mut Job) {
    fabric.witness().open_all();
    job.closed(fabric).await;
    let all = job.targets().len();
    assert_eq!(job.counts(), [("ok", all)].into());
    fabric.check(&mut [job]).await;
    assert_eq!(fabric.witness().starts().len(), all);
}

#[tokio::test]
async fn killed_before_the_dispatch_it_sends_the_job_after_the_restart() {
    let mut fabric = region().await;
    fabric.kill9("aws-1");
    let mut job = fabric.witnessed("*").await;
    assert_eq!(job.targets().len(), 4, "minions of a syndic that is down are targets");
    fabric.restart("aws-1").await;
    ends_well(&fabric, &mut job).await;
}

#[tokio::test]
async fn killed_while_the_job_runs_the_returns_come_after_the_restart() {
    let mut fabric = region().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 4).await;
    fabric.restart("aws-1").await;
    ends_well(&fabric, &mut job).await;
}

#[tokio::test]
async fn killed_while_down_returns_wait_at_the_minions() {
    let mut fabric = region().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 4).await;
    fabric.kill9("aws-1");
    fabric.witness().open_all();
    until("all commands to end", async || {
        let log = fabric.log("aws-1-m");
        (log.matches("ended jid=").count() == 4).then_some(())
    })
    .await;
    fabric.restart("aws-1").await;
    ends_well(&fabric, &mut job).await;
}

#[tokio::test]
async fn killed_right_after_the_first_returns_none_is_lost_or_counted_twice() {
    let mut fabric = region().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 4).await;
    for id in ["aws-1-m-00", "aws-1-m-01"] {
        fabric.witness().open(id);
        job.until(&fabric, "return from one more", |job| job.answer(id).is_some()).await;
        // At once: its acknowledgements to the minion, or from the top master, may be under way.
        fabric.restart("aws-1").await;
    }
    ends_well(&fabric, &mut job).await;
}

#[tokio::test]
async fn killed_again_and_again_at_any_moment_every_job_ends() {
    let mut fabric = region().await;
    fabric.witness().open_all();
    let mut jobs = Vec::new();
    for round in 0..6 {
        jobs.push(fabric.witnessed("*").await);
        for _ in 0..round * 40 {
            tokio::task::yield_now().await;
        }
        fabric.restart("aws-1").await;
    }
    for job in &mut jobs {
        job.closed(&fabric).await;
        assert_eq!(job.counts(), [("ok", 4)].into(), "{:?}", job.slots());
    }
    fabric.check(&mut jobs.iter_mut().collect::<Vec<_>>()).await;
    assert_eq!(fabric.witness().starts().len(), 24);
}

#[tokio::test]
async fn killed_for_good_its_minions_go_to_another_syndic_and_the_job_ends() {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("aws-2", "aws").with_fallback();
    let mut fabric = builder.minions("aws-1", 3).minion("aws-2", "there").delivery_ms(30_000).start().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 4).await;
    fabric.kill9("aws-1");
    until("the minions to be below aws-2", async || {
        let up = fabric.up().await;
        (up.len() == 4 && up.values().all(|syndic| syndic == "aws-2")).then_some(())
    })
    .await;
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 4)].into());
    let mut second = fabric.witnessed("*").await;
    second.closed(&fabric).await;
    assert_eq!(second.counts(), [("ok", 4)].into());
    fabric.check(&mut [&mut job, &mut second]).await;
    assert_eq!(fabric.witness().starts().len(), 8);
}

#[tokio::test]
async fn killed_for_good_with_nobody_in_its_place_its_minions_get_an_honest_outcome() {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("azure-1", "azure");
    let mut fabric = builder.minions("aws-1", 2).minions("azure-1", 2).start().await;
    let run = async |fabric: &Fabric| {
        let request = fabric.job("*", "cmd.run").args([fabric.witness().command()]).run_ms(2_000);
        request.submit().await.unwrap()
    };
    let mut sent = run(&fabric).await;
    fabric.started(&sent, 4).await;
    fabric.kill9("aws-1");
    fabric.syndic_is("aws-1", false).await;
    let mut unsent = run(&fabric).await;
    fabric.witness().open_all();
    for (job, expected) in [(&mut sent, Outcome::Unknown), (&mut unsent, Outcome::NotStarted)] {
        job.closed(&fabric).await;
        for id in fabric.ids("aws-1-m") {
            assert_eq!(job.outcome(id).0, expected, "{id}");
        }
        assert_eq!(job.counts()["ok"], 2, "the other region");
    }
    // What was unknown is known once somebody can tell.
    fabric.restart("aws-1").await;
    sent.until(&fabric, "be resolved by late returns", |job| job.counts() == [("ok", 4)].into()).await;
    fabric.check(&mut [&mut sent, &mut unsent]).await;
    assert_eq!(fabric.witness().starts().len(), 6);
}
