//! A top master whose store is a PostgreSQL: both killed in the middle of a job, nothing lost and nothing run twice.

use fabric_tests::{Fabric, TOP, postgres::Database};

#[tokio::test]
async fn killed_top_master_and_killed_database_lose_nothing_and_repeat_nothing() {
    let Some(mut database) = Database::start().await else { return };
    let builder = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 5).delivery_ms(30_000);
    let mut fabric = builder.store(&database.setting()).start().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 5).await;
    fabric.witness().open("aws-1-m-00");
    job.until(&fabric, "return from one", |job| job.slots().len() == 1).await;
    fabric.kill9(TOP);
    // This one ends while nobody is there: its return waits in the spool.
    fabric.witness().open("aws-1-m-01");
    fabric.restart(TOP).await;
    job.until(&fabric, "return from another", |job| job.slots().len() == 2).await;

    database.kill9();
    // And this one while nothing can be written: its return waits in the top master and below.
    fabric.witness().open("aws-1-m-02");
    database.restart().await;
    job.until(&fabric, "return from a third", |job| job.slots().len() == 3).await;
    // Both at once.
    fabric.kill9(TOP);
    database.kill9();
    fabric.witness().open("aws-1-m-03");
    database.restart().await;
    fabric.restart(TOP).await;
    fabric.all_up().await;
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 5)].into());

    let mut after = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(after.counts(), [("ok", 5)].into());
    fabric.check(&mut [&mut job, &mut after]).await;
    assert_eq!(fabric.witness().starts().len(), 5, "each started once");
    // It was there that all of it was kept.
    assert_eq!(database.query("SELECT count(*) FROM relay.jobs WHERE closed IS NOT NULL"), "2");
    assert!(!fabric.dir().join(TOP).join("state/store.sqlite").exists());
}
