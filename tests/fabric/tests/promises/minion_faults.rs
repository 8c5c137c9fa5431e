//! A minion that hangs, and one that comes twice.

use fabric_tests::{Fabric, until};
use relay_core::outcome::Outcome;

#[tokio::test]
async fn a_stopped_minion_delays_nobody_and_its_late_return_resolves() {
    let builder = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 3);
    let mut fabric = builder.minion("aws-1", "frozen").start().await;
    let request = fabric.job("*", "cmd.run").args([fabric.witness().command()]).run_ms(2_000);
    let mut job = request.submit().await.unwrap();
    fabric.started(&job, 4).await;
    fabric.stop("frozen");
    fabric.witness().open_all();
    job.until(&fabric, "end on the others", |job| job.slots().len() == 3).await;
    assert!(job.answer("frozen").is_none());
    until("it to count as down", async || (!fabric.up().await.contains_key("frozen")).then_some(())).await;
    let mut ping = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(ping.outcome("frozen").0, Outcome::NotStarted);
    job.closed(&fabric).await;
    assert_eq!(job.outcome("frozen").0, Outcome::Unknown);
    fabric.cont("frozen");
    job.until(&fabric, "be resolved", |job| job.outcome("frozen").0 == Outcome::Ok).await;
    fabric.check(&mut [&mut job, &mut ping]).await;
}

#[tokio::test]
async fn a_second_minion_of_the_same_id_is_refused_while_the_first_is_up() {
    let builder = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "web");
    let mut fabric = builder.start().await;
    let twin = fabric.twin("web");
    twin.start();
    let why = "why=\"id in use by another journal\"";
    fabric.metric_reaches("aws-1", "relay_link_dropped_total", why, 2.0).await;
    let mut job = fabric.witnessed("*").await;
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 1)].into());
    assert!(!fabric.log("web-twin").contains("started jid="), "the second one ran it");
    fabric.check(&mut [&mut job]).await;
    assert_eq!(fabric.witness().starts().len(), 1);
}

#[tokio::test]
async fn two_processes_on_one_journal_are_refused() {
    let mut fabric = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "web").start().await;
    let config = fabric.daemon("web").dir().join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap().replace("admin: ", "# admin: ");
    let second = config.with_file_name("second.yaml");
    std::fs::write(&second, text).unwrap();
    let (code, said) = fabric_tests::process::run("minion", &["serve", "--config", second.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    assert_eq!(fabric.run("*", "test.ping", &[]).await.counts(), [("ok", 1)].into());
}
