//! Jobs on a healthy fabric: every target once, folded answers, targets by glob, list and grain, wrong calls.

use fabric_tests::{Fabric, process, witness::Start};
use relay_core::outcome::Outcome;
use relay_proto::Code;
use serde_json::json;

async fn two_regions() -> Fabric {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("azure-1", "azure");
    builder.minions("aws-1", 4).minions("azure-1", 3).start().await
}

#[tokio::test]
async fn every_target_answers_once() {
    let fabric = two_regions().await;
    let mut ping = fabric.run("*", "test.ping", &[]).await;
    assert_eq!((ping.targets().len(), ping.counts()), (7, [("ok", 7)].into()));

    let mut all = fabric.witnessed("*").await;
    fabric.started(&all, 7).await;
    fabric.witness().open_all();
    all.closed(&fabric).await;
    assert_eq!(all.counts(), [("ok", 7)].into());
    assert_eq!(all.value("aws-1-m-02"), json!("done by aws-1-m-02"));

    fabric.check(&mut [&mut ping, &mut all]).await;
}

#[tokio::test]
async fn equal_answers_cross_the_uplink_as_one_body_per_connection() {
    let fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 40).start().await;
    let figures =
        || ["relay_uplink_bytes_total", "relay_return_batches_total"].map(|m| fabric.metric("aws-1", m, ""));
    let before = figures();
    let mut echo = fabric.run("*", "test.echo", &[&"x".repeat(4_096)]).await;
    let after = figures();
    assert_eq!(echo.counts(), [("ok", 40)].into());
    let [bytes, batches] = [after[0] - before[0], after[1] - before[1]];
    assert!((1.0..20.0).contains(&batches), "{batches} batches for forty answers given at once");
    // Beside the body: heartbeats, and a few dozen bytes around each group.
    let bound = 4_096.0 + batches * 300.0 + 2_048.0;
    assert!(bytes < bound, "{bytes} bytes for {batches} batches, more than {bound}");
    fabric.check(&mut [&mut echo]).await;
}

#[tokio::test]
async fn targets_are_found_by_glob_list_and_grain() {
    let fabric = two_regions().await;
    let aws = fabric.ids("aws-1-m").to_vec();
    for (target, expected) in [
        ("aws-1-m-0[01]", aws[..2].to_vec()),
        ("L@aws-1-m-03,aws-1-m-01", vec![aws[1].clone(), aws[3].clone()]),
        ("G@site:aws-1 and not *-02", vec![aws[0].clone(), aws[1].clone(), aws[3].clone()]),
        ("G@kernel:Linux and G@site:aws-1", aws.clone()),
    ] {
        let mut job = fabric.run(target, "grains.item", &["id"]).await;
        let answered: Vec<String> = job.slots().keys().map(ToString::to_string).collect();
        assert_eq!(answered, expected, "{target}");
        assert_eq!(job.value(&expected[0])["id"], json!(expected[0]), "{target}");
        fabric.check(&mut [&mut job]).await;
    }
}

#[tokio::test]
async fn a_target_without_a_match_is_an_error_with_the_nearest_ids() {
    let fabric = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "web-01").start().await;
    let refused = async |target: &str| {
        fabric
            .job(target, "test.ping")
            .submit()
            .await
            .err()
            .unwrap_or_else(|| panic!("{target} was accepted"))
    };
    let glob = refused("wev-*").await;
    assert_eq!(Code::of(&glob), Some(Code::NoMatch), "{glob}");
    let list = refused("L@web-O1").await;
    assert_eq!(Code::of(&list), Some(Code::Invalid), "{list}");
    for status in [glob, list] {
        assert!(status.message().contains("nearest: web-01"), "{status}");
    }
    let syntax = refused("web-01 and").await;
    assert_eq!(Code::of(&syntax), Some(Code::Invalid), "{syntax}");
    assert!(fabric.operator().jobs().await.unwrap().is_empty(), "what is refused leaves no job");
}

#[tokio::test]
async fn a_wrong_call_is_a_failed_answer_with_the_usage() {
    let fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2).start().await;
    for (function, args, words) in [
        ("test.pong", &[][..], ["test.pong", "Usage: MODULE.FUNCTION"]),
        ("cmd.run", &[][..], ["cmd.run CMD", "cmd"]),
        ("test.sleep", &["soon"][..], ["test.sleep", "soon"]),
    ] {
        let mut job = fabric.run("*", function, args).await;
        assert_eq!(job.counts(), [("failed", 2)].into(), "{function}");
        let text = job.value("aws-1-m-00").as_str().unwrap_or_default().to_owned();
        assert!(words.iter().all(|word| text.contains(word)), "{function}: {text}");
        fabric.check(&mut [&mut job]).await;
    }
}

#[tokio::test]
async fn a_command_that_runs_too_long_is_timed_out_and_dead() {
    let fabric = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "slow").start().await;
    let request = fabric.job("*", "cmd.run").args([fabric.witness().command()]).run_ms(500);
    let mut job = request.submit().await.unwrap();
    job.closed(&fabric).await;
    assert_eq!(job.outcome("slow").0, Outcome::TimedOut);
    assert!(!process::lives(fabric.witness().pid(job.jid(), "slow")), "the command still runs");
    fabric.check(&mut [&mut job]).await;
}

#[tokio::test]
async fn the_checker_sees_what_would_break_a_promise() {
    let mut fabric =
        Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "run").minion("aws-1", "off").start().await;
    fabric.kill9("off");
    // A job sent on its dead link would be `lost`, and who is lost may have started.
    fabric.minion_is("off", false).await;
    fabric.witness().open_all();
    let mut job = fabric.witnessed("*").await;
    job.closed(&fabric).await;
    fabric.check(&mut [&mut job]).await;
    let start = fabric.witness().starts().remove(0);
    let off = Start { minion: "off".parse().unwrap(), ..start.clone() };
    let unknown = Start { jid: start.jid.next(), ..start.clone() };
    for (pretended, expected) in
        [(start, &["I1"][..]), (off, &["I1", "I11"]), (unknown, &["I1", "I5", "I11"])]
    {
        fabric.witness().pretend(&pretended);
        let broken: Vec<_> = fabric.violations(&[&mut job]).await.iter().map(|v| v.invariant).collect();
        assert_eq!(broken, expected, "after pretending {pretended:?}");
    }
}
