//! A top master that hangs (SIGSTOP) until its syndics have given it up: the regions run what they hold, and what they
//! returned meanwhile is there when it wakes up.

use fabric_tests::{Fabric, TOP, http, until};

#[tokio::test]
async fn the_regions_run_on_and_the_returns_arrive_when_it_wakes_up() {
    let mut fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 3).start().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 3).await;
    fabric.stop(TOP);
    fabric.witness().open_all();
    until("the syndic to give it up", async || {
        let admin = fabric.daemons().find(|d| d.name() == "aws-1")?.admin();
        http::get(admin, "/readyz").is_ok_and(|(status, _)| status == 503).then_some(())
    })
    .await;
    until("the returns to be in the spool", async || {
        (fabric.metric("aws-1", "relay_spool_bytes", "") > 0.0).then_some(())
    })
    .await;
    fabric.cont(TOP);
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 3)].into());
    fabric.syndic_is("aws-1", true).await;
    let mut after = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(after.counts(), [("ok", 3)].into());
    fabric.check(&mut [&mut job, &mut after]).await;
    assert_eq!(fabric.witness().starts().len(), 3);
}
