//! Jobs from the command line: who is missing and where, signals, running some again, the list and its figures.

use std::collections::BTreeMap;

use fabric_tests::{Fabric, TOP, process, until};
use serde_json::{Value, json};

use crate::console::Console;

/// Who has no outcome yet, and how each is held: `held` and the tier.
async fn outstanding(console: &Console, jid: &str) -> BTreeMap<String, (String, String)> {
    let told = console.json(&["jobs", "outstanding", jid]).await;
    let of = |minion: &Value, key: &str| minion[key].as_str().unwrap().to_owned();
    let minions = told["minions"].as_array().unwrap().iter();
    minions.map(|minion| (of(minion, "id"), (of(minion, "held"), of(minion, "tier")))).collect()
}

async fn held(console: &Console, jid: &str, expected: &[(&str, &str, &str)]) {
    let expected: BTreeMap<String, (String, String)> =
        expected.iter().map(|(id, held, tier)| ((*id).into(), ((*held).into(), (*tier).into()))).collect();
    until(&format!("{expected:?}"), async || (outstanding(console, jid).await == expected).then_some(()))
        .await;
}

/// A job's outcomes, by minion.
async fn outcomes(console: &Console, jid: &str) -> BTreeMap<String, String> {
    let ran = console.run(&["jobs", "watch", jid, "--out", "jsonl"]).await;
    let lines = ran.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let returns = lines.filter(|line| line["event"] == "returns");
    let each = returns.flat_map(|line| {
        let outcome = line["outcome"].as_str().unwrap().to_owned();
        let minions = line["minions"].as_array().unwrap().clone();
        minions.into_iter().map(move |id| (id.as_str().unwrap().to_owned(), outcome.clone()))
    });
    each.collect()
}

fn text(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(id, outcome)| ((*id).into(), (*outcome).into())).collect()
}

#[tokio::test]
async fn outstanding_names_who_is_missing_and_where_each_is_held() {
    let builder = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "a").minion("aws-1", "b");
    let mut fabric = builder.minion("aws-1", "c").delivery_ms(60_000).start().await;
    let console = Console::of(&fabric);
    let body = fabric.witness().command();
    fabric.kill9("c");
    fabric.minion_is("c", false).await;
    let jid = console.order(&["*", "cmd.run", &body, "--batch", "1", "--queue", "1h"]).await;
    fabric.started_in_all(1).await;
    let first = fabric.witness().starts()[0].minion.to_string();
    let other = if first == "a" { "b" } else { "a" };
    let (runs, waits, down) = (
        (first.as_str(), "running", "minion"),
        (other, "window", "top_master"),
        ("c", "offline", "top_master"),
    );
    held(&console, &jid, &[runs, waits, down]).await;
    let said = console.run(&["jobs", "outstanding", &jid]).await;
    assert_eq!(said.code, 0);
    for words in [
        "waits for a place in the batch",
        "is down; waits until it returns",
        "minion, at aws-1",
        ": 3 outstanding",
    ] {
        assert!(said.out.contains(words), "nothing about {words:?}: {}", said.out);
    }
    fabric.restart(TOP).await;
    fabric.syndic_is("aws-1", true).await;
    held(&console, &jid, &[runs, waits, down]).await;

    // A later job that has its turn on each minion waits where the one before was sent.
    let second = console.order(&["a,b", "cmd.run", &body, "--serial-per-minion"]).await;
    held(&console, &second, &[(&first, "serial", "top_master"), (other, "running", "minion")]).await;
    assert_eq!(console.run(&["jobs", "cancel", &second]).await.code, 0);

    fabric.witness().open(&first);
    held(&console, &jid, &[(other, "running", "minion"), down]).await;
    fabric.witness().open_all();
    held(&console, &jid, &[down]).await;
    // Queued: long after what its delivery would have been allowed, it gets it when it is back.
    fabric.restart("c").await;
    assert_eq!(console.closed(&jid).await.0, 0);
    let over = console.run(&["jobs", "outstanding", &jid]).await;
    assert!(over.code == 0 && over.out.contains("every target has its outcome"), "{over:?}");
    console.run(&["jobs", "outstanding", "20200101000000000000"]).await.refused(&["20200101000000000000"]);
}

#[tokio::test]
async fn outstanding_tells_what_was_lost_on_its_way_from_what_waits_for_an_approval() {
    let builder = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "a").minion("aws-1", "frozen");
    let mut fabric = builder.delivery_ms(60_000).start().await;
    let console = Console::of(&fabric);
    fabric.stop("frozen");
    let jid = console.order(&["*", "test.ping"]).await;
    held(&console, &jid, &[("frozen", "lost", "minion")]).await;
    fabric.cont("frozen");
    console.closed(&jid).await;
    fabric.minion_is("frozen", true).await;

    let canary = ["*", "test.ping", "--batch", "canary:1,100%", "--approve"];
    let jid = console.order(&canary).await;
    until("the canary to wait", async || {
        let held = outstanding(&console, &jid).await;
        (held.len() == 1 && held.values().all(|(held, _)| held == "approval")).then_some(())
    })
    .await;
    let listed = console.json(&["jobs", "list", "--state", "open"]).await;
    assert_eq!((listed[0]["jid"].as_str(), &listed[0]["awaits_approval"]), (Some(&*jid), &json!(true)));
    assert_eq!(console.run(&["jobs", "approve", &jid]).await.code, 0);
    assert_eq!(console.closed(&jid).await.0, 0);
    assert_eq!(console.run(&["jobs", "approve", &jid]).await.code, 3);
}

#[tokio::test]
async fn a_signal_reaches_what_runs_and_only_the_failed_are_run_again() {
    let fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 3).start().await;
    let console = Console::of(&fabric);
    let body = fabric.witness().command();
    let jid = console.order(&["*", "cmd.run", &body]).await;
    fabric.started_in_all(3).await;
    fabric.witness().open("aws-1-m-00");
    let running = [("aws-1-m-01", "running", "minion"), ("aws-1-m-02", "running", "minion")];
    held(&console, &jid, &running).await;
    let killed = console.run(&["jobs", "kill", &jid, "--signal", "KILL"]).await;
    assert_eq!(killed.code, 0, "{killed:?}");
    assert!(killed.err.contains(&format!("SIGKILL to job {jid} on 2 minions")), "{killed:?}");
    assert_eq!(console.closed(&jid).await.0, 1);
    for start in fabric.witness().starts().iter().filter(|start| start.minion.as_str() != "aws-1-m-00") {
        assert!(!process::lives(start.pid), "{start:?}");
    }
    let failed = [("aws-1-m-00", "ok"), ("aws-1-m-01", "failed"), ("aws-1-m-02", "failed")];
    assert_eq!(outcomes(&console, &jid).await, text(&failed));
    console.run(&["jobs", "kill", &jid]).await.refused(&["runs nowhere"]);

    fabric.witness().open_all();
    let again = console.run(&["jobs", "rerun", &jid, "--only", "failed", "--async", "--out", "json"]).await;
    assert_eq!(again.code, 4, "{again:?}");
    assert!(
        again.err.contains("again on 2 minions, failed in job") && again.err.contains("aws-1-m-[01-02]"),
        "{again:?}"
    );
    let second = again.json()["jid"].as_str().unwrap().to_owned();
    assert_eq!(console.closed(&second).await.0, 0);
    assert_eq!(outcomes(&console, &second).await, text(&[("aws-1-m-01", "ok"), ("aws-1-m-02", "ok")]));
    assert_eq!(fabric.witness().starts().len(), 5, "nobody else");
    console.run(&["jobs", "rerun", &second, "--only", "failed"]).await.refused(&["nothing to run again"]);
}

#[tokio::test]
async fn a_job_is_cancelled_once_and_what_is_no_job_is_said_so() {
    let fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2).start().await;
    let console = Console::of(&fabric);
    let jid = console.order(&["*", "test.sleep", "3600"]).await;
    held(&console, &jid, &[("aws-1-m-00", "running", "minion"), ("aws-1-m-01", "running", "minion")]).await;
    let cancelled = console.json(&["jobs", "cancel", &jid]).await;
    assert_eq!(cancelled, json!({"jid": jid, "outstanding": 2}));
    assert_eq!(console.closed(&jid).await.0, 1);
    assert_eq!(
        outcomes(&console, &jid).await,
        text(&[("aws-1-m-00", "cancelled"), ("aws-1-m-01", "cancelled")])
    );
    let over = console.run(&["jobs", "cancel", &jid]).await;
    assert!(over.code == 0 && over.out.contains("has ended already"), "{over:?}");
    for command in ["cancel", "watch", "show", "outstanding", "kill", "rerun", "approve"] {
        let words = ["jobs", command, "20200101000000000000"];
        console.run(&words).await.refused(&["20200101000000000000"]);
        for wrong in ["12", "2020010100000000000x", "20201301000000000000"] {
            let ran = console.run(&["jobs", command, wrong]).await;
            assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{command} {wrong}: {ran:?}");
            assert!(ran.err.contains(wrong), "{command} {wrong}: {ran:?}");
        }
    }
}

#[tokio::test]
async fn the_list_is_filtered_and_paged_figures_are_given_and_jobs_forgotten() {
    let fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2).start().await;
    let console = Console::of(&fabric);
    let mut jids = Vec::new();
    for words in [&["*", "test.ping"][..], &["aws-1-m-00", "test.ping"], &["*", "cmd.run", "exit 1"]] {
        jids.push(console.order(words).await);
        console.closed(jids.last().unwrap()).await;
    }
    let open = console.order(&["*", "test.sleep", "3600"]).await;
    jids.push(open.clone());
    let list = async |more: &[&str]| -> Vec<usize> {
        let listed = console.json(&[&["jobs", "list"], more].concat()).await;
        let place =
            |job: &Value| jids.iter().position(|jid| job["jid"] == **jid).expect("a job of this test");
        listed.as_array().unwrap().iter().map(place).collect()
    };
    for (filter, expected) in [
        (&[][..], &[3, 2, 1, 0][..]),
        (&["--state", "open"], &[3]),
        (&["--state", "closed"], &[2, 1, 0]),
        (&["--state", "failed"], &[2]),
        (&["--state", "ok"], &[1, 0]),
        (&["--state", "cancelled"], &[]),
        (&["--function", "test.*"], &[3, 1, 0]),
        (&["--function", "test.p*", "--state", "ok"], &[1, 0]),
        (&["--target", "m-00"], &[1]),
        (&["--user", "tester", "--limit", "2"], &[3, 2]),
        (&["--user", "nobody"], &[]),
        (&["--since", "1h", "--function", "cmd.run"], &[2]),
        (&["--until", "1h"], &[]),
        (&["--limit", "2", "--before", &jids[2]], &[1, 0]),
        (&["--limit", "1", "--state", "closed", "--before", &jids[2]], &[1]),
    ] {
        assert_eq!(list(filter).await, expected, "{filter:?}");
    }
    let page = console.run(&["jobs", "list", "--limit", "2", "--function", "test.*"]).await;
    let next = format!("relayctl jobs list --limit 2 --function 'test.*' --before {}", jids[1]);
    assert!(page.out.contains(&next), "{page:?}");
    assert_eq!(console.run(&["jobs", "list", "--state", "opne"]).await.code, 3);

    let stats = console.json(&["jobs", "stats", "--state", "closed"]).await;
    let figures: Vec<Value> = stats.as_array().unwrap().iter().map(figures).collect();
    let expected = [json!(["cmd.run", 1, 2, {"failed": 2}]), json!(["test.ping", 2, 3, {"ok": 3}])];
    assert_eq!(figures, expected);

    let ask = console.run(&["jobs", "prune", "--older-than", "1ms"]).await;
    ask.refused(&["--yes"]);
    let forgotten = console.json(&["jobs", "prune", "--older-than", "1ms", "--yes"]).await;
    assert_eq!(forgotten["jobs"], 3);
    assert_eq!(list(&[]).await, [3], "open jobs stay");
    console.run(&["jobs", "show", &jids[0]]).await.refused(&[&jids[0]]);
    assert_eq!(console.run(&["jobs", "cancel", &open]).await.code, 0);
    console.closed(&open).await;
}

fn figures(of: &Value) -> Value {
    let keys = ["function", "jobs", "targets", "outcomes"];
    keys.iter().map(|key| of[key].clone()).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn a_batch_ends_although_three_of_forty_are_stopped_and_nobody_else_is_harmed() {
    const STOPPED: [&str; 3] = ["s0", "s1", "s2"];
    let builder = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 37);
    let mut fabric = STOPPED.iter().fold(builder, |all, id| all.minion("aws-1", id)).start().await;
    let console = Console::of(&fabric);
    let body = format!("{}; sleep 0.3", fabric.witness().command());
    fabric.witness().open_all();
    STOPPED.iter().for_each(|id| fabric.stop(id));
    let limits = ["--batch", "5", "--timeout", "4s", "--delivery-timeout", "2s"];
    let jid = console.order(&[&["*", "cmd.run", &body][..], &limits].concat()).await;
    let (code, _) = console.closed(&jid).await;
    let found = outcomes(&console, &jid).await;
    assert_eq!((code, found.len()), (2, 40), "{found:?}");
    for (id, outcome) in &found {
        match STOPPED.contains(&id.as_str()) {
            true => assert!(["unknown", "not_started"].contains(&outcome.as_str()), "{id}: {outcome}"),
            false => assert_eq!(outcome, "ok", "{id}"),
        }
    }
    // Awake again they do not begin what is over.
    STOPPED.iter().for_each(|id| fabric.cont(id));
    fabric.all_up().await;
    let after = console.run(&["run", "*", "test.ping"]).await;
    assert_eq!(after.code, 0, "{after:?}");
    assert_eq!(fabric.witness().starts().len(), 37, "each of the others once");
}
