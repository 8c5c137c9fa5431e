//! A batch on real processes: never more at once than it allows, over all regions, whatever dies; and it comes to its end.

use std::collections::BTreeSet;

use fabric_tests::{Fabric, Job};
use relay_core::{
    batch::{BatchRule, BatchSize},
    outcome::{Outcome, Reason},
    topology::Share,
};

async fn two_regions() -> Fabric {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("azure-1", "azure");
    builder.minions("aws-1", 5).minions("azure-1", 5).delivery_ms(30_000).start().await
}

fn window(count: u32) -> BatchRule {
    BatchRule { size: BatchSize::Window(Share::Count(count)), ..BatchRule::default() }
}

async fn submit(fabric: &Fabric, rule: &BatchRule) -> Job {
    let body = fabric.witness().command();
    fabric
        .job("*", "cmd.run")
        .args([body])
        .batch(rule)
        .run_ms(30_000)
        .submit()
        .await
        .expect("an accepted job")
}

/// Those whose body has started and was not let go.
fn running(fabric: &Fabric, job: &Job, let_go: &BTreeSet<String>) -> usize {
    let starts = fabric.witness().starts();
    starts.iter().filter(|s| s.jid == job.jid() && !let_go.contains(s.minion.as_str())).count()
}

/// Lets bodies end one by one, and sees after each that no more run than may; `between` is done after each.
async fn through(
    fabric: &mut Fabric,
    job: &mut Job,
    limit: usize,
    mut between: impl AsyncFnMut(&mut Fabric, usize),
) {
    let mut let_go = BTreeSet::new();
    let all = job.targets().len();
    for done in 0..all {
        let least = (done + limit).min(all);
        fabric.started(job, least).await;
        assert!(running(fabric, job, &let_go) <= limit, "{done} are done");
        let starts = fabric.witness().starts();
        let next = starts.iter().find(|s| s.jid == job.jid() && !let_go.contains(s.minion.as_str()));
        let next = next.expect("one that runs").minion.to_string();
        fabric.witness().open(&next);
        let_go.insert(next);
        between(fabric, done).await;
    }
    job.closed(fabric).await;
    assert_eq!(job.counts(), [("ok", all)].into());
    fabric.check(&mut [job]).await;
    assert_eq!(fabric.witness().starts().len(), all, "each once");
}

#[tokio::test]
async fn a_window_slides_over_both_regions_and_is_never_exceeded() {
    let mut fabric = two_regions().await;
    let mut job = submit(&fabric, &window(3)).await;
    through(&mut fabric, &mut job, 3, async |_, _| ()).await;
}

#[tokio::test]
async fn it_holds_and_goes_on_when_syndics_and_the_top_master_are_killed_in_mid_batch() {
    let mut fabric = two_regions().await;
    let mut job = submit(&fabric, &window(3)).await;
    through(&mut fabric, &mut job, 3, async |fabric, done| match done {
        1 => fabric.restart("aws-1").await,
        3 => fabric.restart("top").await,
        5 => fabric.restart("azure-1").await,
        6 => fabric.restart("top").await,
        _ => (),
    })
    .await;
}

#[tokio::test]
async fn failures_stop_it_and_both_kinds_are_told_apart() {
    let fabric = two_regions().await;
    let rule = BatchRule { max_failures: Some(Share::Count(3)), ..window(2) };
    let mut job = fabric.job("*", "cmd.run").args(["exit 7"]).batch(&rule).submit().await.unwrap();
    job.closed(&fabric).await;
    let counts = job.counts();
    let failed = counts["failed"];
    assert!((3..=4).contains(&failed), "three, and at most the one that ran beside the third: {counts:?}");
    assert_eq!(counts["not_started"], 10 - failed);
    let stopped = job.targets().iter().find(|id| job.outcome(id.as_str()).0 == Outcome::NotStarted).unwrap();
    assert_eq!(job.outcome(stopped.as_str()).1, Reason::BatchStopped);
}

#[tokio::test]
async fn an_offline_minion_never_holds_the_window() {
    let builder = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 3).minion("aws-1", "away");
    let mut fabric = builder.delivery_ms(1_000).start().await;
    fabric.witness().open_all();
    fabric.kill9("away");
    fabric.minion_is("away", false).await;
    let mut job = submit(&fabric, &window(1)).await;
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 3), ("not_started", 1)].into());
    assert_eq!(job.outcome("away"), (Outcome::NotStarted, Reason::Unreachable));
}

#[tokio::test]
async fn a_queued_job_is_delivered_when_its_minion_comes_back() {
    let builder = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "here").minion("aws-1", "away");
    let mut fabric = builder.delivery_ms(1_000).start().await;
    fabric.witness().open_all();
    fabric.kill9("away");
    fabric.minion_is("away", false).await;
    let rule = BatchRule { queue: Some(3_600_000), ..BatchRule::default() };
    let mut job = submit(&fabric, &rule).await;
    job.until(&fabric, "have the answer of those who are there", |job| job.counts() == [("ok", 1)].into())
        .await;
    fabric.restart("away").await;
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 2)].into());
}

#[tokio::test]
async fn a_canary_waits_for_its_approval_also_over_a_restart() {
    let mut fabric = two_regions().await;
    fabric.witness().open_all();
    let size = BatchSize::Canary(vec![Share::Count(1), Share::Percent(50)]);
    let mut job = submit(&fabric, &BatchRule { size, approve: true, ..BatchRule::default() }).await;
    job.until(&fabric, "have its first answer", |job| job.counts() == [("ok", 1)].into()).await;
    fabric.restart("top").await;
    fabric.operator().approve_when_asked(job.jid()).await;
    job.until(&fabric, "have the answers of half", |job| job.counts() == [("ok", 5)].into()).await;
    fabric.restart("top").await;
    fabric.operator().approve_when_asked(job.jid()).await;
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 10)].into());
    fabric.check(&mut [&mut job]).await;
}

#[tokio::test]
async fn serial_jobs_have_their_turn_on_each_minion_one_after_the_other() {
    let fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2).start().await;
    let rule = BatchRule { serial: true, ..BatchRule::default() };
    let (mut first, mut second) = (submit(&fabric, &rule).await, submit(&fabric, &rule).await);
    fabric.started(&first, 2).await;
    let id = first.targets().iter().next().expect("a target").to_string();
    fabric.witness().open(&id);
    fabric.started(&second, 1).await;
    let starts = fabric.witness().starts();
    let of_second: Vec<&str> =
        starts.iter().filter(|s| s.jid == second.jid()).map(|s| s.minion.as_str()).collect();
    assert_eq!(of_second, [id.as_str()], "only where the first has ended");
    fabric.witness().open_all();
    first.closed(&fabric).await;
    second.closed(&fabric).await;
    fabric.check(&mut [&mut first, &mut second]).await;
}
