//! kill -9 of the top master: what was accepted goes on, what was asked twice runs once.

use fabric_tests::{Fabric, TOP};
use relay_core::outcome::Outcome;
use relay_proto::{Code, operator::SubmitRequest};

async fn region() -> Fabric {
    Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 4).delivery_ms(30_000).start().await
}

#[tokio::test]
async fn killed_with_a_job_in_flight_the_same_job_ends_and_can_be_watched() {
    let mut fabric = region().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 4).await;
    fabric.witness().open("aws-1-m-00");
    job.until(&fabric, "return from one", |job| job.slots().len() == 1).await;
    fabric.kill9(TOP);
    // This one ends while nobody is there: its return waits in the spool.
    fabric.witness().open("aws-1-m-01");
    fabric.restart(TOP).await;
    job.until(&fabric, "return from another", |job| job.slots().len() == 2).await;
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 4)].into());
    fabric.check(&mut [&mut job]).await;
    assert_eq!(fabric.witness().starts().len(), 4);
}

#[tokio::test]
async fn killed_right_after_accepting_it_finishes_the_job() {
    let mut fabric = region().await;
    fabric.witness().open_all();
    let mut jobs = Vec::new();
    for round in 0..6 {
        jobs.push(fabric.witnessed("*").await);
        for _ in 0..round * 40 {
            tokio::task::yield_now().await;
        }
        fabric.restart(TOP).await;
        fabric.all_up().await;
    }
    for job in &mut jobs {
        job.closed(&fabric).await;
        assert_eq!(job.counts(), [("ok", 4)].into(), "{:?}", job.slots());
    }
    fabric.check(&mut jobs.iter_mut().collect::<Vec<_>>()).await;
    assert_eq!(fabric.witness().starts().len(), 24);
}

#[tokio::test]
async fn the_same_request_is_the_same_job_and_another_body_is_an_error() {
    let mut fabric = region().await;
    fabric.witness().open_all();
    let request = |function: &str| SubmitRequest {
        request_id: [7; 16].to_vec(),
        target: "*".into(),
        function: function.into(),
        args: format!("{{\"args\":[\"{}\"],\"kwargs\":{{}}}}", fabric.witness().command()).into(),
        delivery_timeout_ms: 0,
        run_timeout_ms: 0,
        ..SubmitRequest::default()
    };
    let (same, other) = (request("cmd.run"), request("cmd.run_all"));
    let first = fabric.operator().submit(same.clone()).await.unwrap();
    assert!(!first.known);
    for _ in 0..2 {
        let again = fabric.operator().submit(same.clone()).await.unwrap();
        assert_eq!((again.jid, again.known, again.targets), (first.jid, true, 4));
        let refused = fabric.operator().submit(other.clone()).await.unwrap_err();
        assert_eq!(Code::of(&refused), Some(Code::RequestReused), "{refused}");
        fabric.restart(TOP).await;
        fabric.all_up().await;
    }
    assert_eq!(fabric.operator().jobs().await.unwrap().len(), 1);
    fabric_tests::until("the job to be closed", async || {
        fabric.operator().jobs().await.ok()?.first().filter(|job| job.closed > 0).map(|_| ())
    })
    .await;
    assert_eq!(fabric.witness().starts().len(), 4, "the job ran once");
}

#[tokio::test]
async fn a_client_killed_before_the_answer_gets_the_same_job_by_its_request_id() {
    let mut fabric = region().await;
    fabric.witness().open_all();
    let request = fabric.job("*", "cmd.run").args([fabric.witness().command()]).request;
    // The answer is lost at some moment of the acceptance: with the client, or with the top master.
    let submit = fabric.operator().submit(request.clone());
    let _ = tokio::time::timeout(std::time::Duration::from_millis(5), submit).await;
    fabric.restart(TOP).await;
    fabric.all_up().await;
    let first = fabric.operator().submit(request.clone()).await.unwrap();
    let second = fabric.operator().submit(request).await.unwrap();
    assert_eq!((first.jid, second.known), (second.jid, true));
    assert_eq!(fabric.operator().jobs().await.unwrap().len(), 1);
    fabric.started_in_all(4).await;
}

#[tokio::test]
async fn terminated_it_ends_with_0_and_goes_on_after_the_restart() {
    let mut fabric = region().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 4).await;
    for name in [TOP, "aws-1", "aws-1-m"] {
        assert_eq!(fabric.daemon(name).terminate().await, Some(0), "{name}");
        fabric.restart(name).await;
    }
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert!(job.slots().keys().all(|id| job.outcome(id.as_str()).0 == Outcome::Ok), "{:?}", job.slots());
    fabric.check(&mut [&mut job]).await;
}
