//! A syndic below a syndic: the same promises, one tier further down.

use fabric_tests::{Fabric, TOP, until};
use relay_core::outcome::Outcome;

async fn deep() -> Fabric {
    let builder = Fabric::builder().syndic("upper", "aws").syndic_below("lower", "upper");
    builder.minions("lower", 3).minion("upper", "near").delivery_ms(30_000).start().await
}

#[tokio::test]
async fn any_tier_may_be_killed_with_a_job_in_flight() {
    let mut fabric = deep().await;
    let mut jobs = Vec::new();
    for killed in ["lower", "upper", TOP] {
        let mut job = fabric.witnessed("*").await;
        fabric.started(&job, 4).await;
        fabric.kill9(killed);
        fabric.witness().open_all();
        fabric.restart(killed).await;
        job.closed(&fabric).await;
        assert_eq!(job.counts(), [("ok", 4)].into(), "{killed}");
        fabric.witness().close_all();
        fabric.all_up().await;
        jobs.push(job);
    }
    fabric.check(&mut jobs.iter_mut().collect::<Vec<_>>()).await;
    assert_eq!(fabric.witness().starts().len(), 12);
}

#[tokio::test]
async fn a_lower_tier_that_is_gone_costs_its_own_minions_an_outcome_and_nobody_else() {
    let mut fabric = deep().await;
    fabric.kill9("lower");
    until("its minions to be down", async || (fabric.up().await.len() == 1).then_some(())).await;
    fabric.witness().open_all();
    let request = fabric.job("*", "cmd.run").args([fabric.witness().command()]).delivery_ms(2_000);
    let mut job = request.submit().await.unwrap();
    job.until(&fabric, "end at the upper tier", |job| job.answer("near").is_some()).await;
    assert_eq!(job.slots().len(), 1, "nobody else can have answered yet");
    job.closed(&fabric).await;
    for id in fabric.ids("lower-m") {
        assert_eq!(job.outcome(id).0, Outcome::NotStarted, "{id}");
    }
    fabric.restart("lower").await;
    fabric.all_up().await;
    let mut after = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(after.counts(), [("ok", 4)].into());
    fabric.check(&mut [&mut job, &mut after]).await;
    assert_eq!(fabric.witness().starts().len(), 1);
}
