//! Schedules: each time runs once, whoever is killed in between; what is paused, removed or missed does not run.

use std::collections::{BTreeMap, BTreeSet};

use fabric_tests::{Fabric, TOP, until};
use relay_core::{
    ids::RequestId,
    schedule::request_id,
    time::{Millis, WallMicros},
};
use relay_proto::{
    Code,
    operator::{JobHead, SubmitRequest},
};
use relay_runtime::{
    clock::wall,
    store::{NewSchedule, SqliteStore, Store},
};
use serde_json::{Value, json};

use crate::console::Console;

const SECOND: WallMicros = 1_000_000;
const HOUR: Millis = 60 * 60 * 1_000;

async fn fabric() -> Fabric {
    Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2).start().await
}

/// Adds a schedule that pings all, and gives it as it is kept.
async fn add(console: &Console, name: &str, when: &[&str]) -> Value {
    console.json(&[&["schedule", "add", name], when, &["--", "*", "test.ping"]].concat()).await
}

async fn named(console: &Console, name: &str) -> Value {
    console.json(&["schedule", "show", name]).await
}

/// The jobs of a schedule; nothing while nobody answers.
async fn runs(fabric: &Fabric, name: &str) -> Option<Vec<JobHead>> {
    let jobs = fabric.operator().jobs().await.ok()?;
    let of = format!("schedule:{name} (by tester)");
    Some(jobs.into_iter().filter(|head| head.caller == of).collect())
}

/// Waits until it has run so often, and gives how often it has.
async fn has_run(fabric: &Fabric, name: &str, least: usize) -> usize {
    until(&format!("{least} runs of {name}"), async || {
        runs(fabric, name).await.map(|runs| runs.len()).filter(|runs| *runs >= least)
    })
    .await
}

/// Lets seconds pass in which `name` does not run: another schedule shows that they were run.
async fn rests(fabric: &Fabric, console: &Console, name: &str, ticks: &str) {
    add(console, ticks, &["--every", "1s"]).await;
    // One run may have been under way.
    has_run(fabric, ticks, 2).await;
    let before = runs(fabric, name).await.unwrap().len();
    has_run(fabric, ticks, 5).await;
    assert_eq!(runs(fabric, name).await.unwrap().len(), before, "{name} ran");
    assert_eq!(console.run(&["schedule", "remove", ticks]).await.code, 0);
}

/// The job that was ordered for each nominal time of a schedule that runs every second.
async fn by_time(fabric: &Fabric, name: &str, made: WallMicros) -> BTreeMap<WallMicros, u64> {
    let mut found = BTreeMap::new();
    for nominal in (made / SECOND..=wall() / SECOND).map(|second| second * SECOND) {
        let RequestId(id) = request_id(name, made, nominal);
        // Another body under the run's own request id: the top master says which job has it, and orders nothing.
        let request = SubmitRequest {
            request_id: id.to_be_bytes().to_vec(),
            target: "*".into(),
            function: "test.version".into(),
            args: br#"{"args":[],"kwargs":{}}"#.to_vec(),
            ..SubmitRequest::default()
        };
        match fabric.operator().submit(request).await {
            Err(error) if Code::of(&error) == Some(Code::RequestReused) => {
                let jid = error.message().split("(job ").nth(1).and_then(|rest| rest.split(')').next());
                let jid: relay_core::ids::Jid = jid.unwrap().parse().unwrap();
                assert_eq!(found.insert(nominal, jid.micros()), None);
            }
            Err(error) => panic!("{error}"),
            // No run had this id.
            Ok(_) => {}
        }
    }
    found
}

/// When a schedule was made.
async fn made(fabric: &Fabric, name: &str) -> WallMicros {
    let kept = fabric.operator().schedules().await.unwrap();
    kept.into_iter().find(|kept| kept.name == name).unwrap().made
}

fn store(fabric: &mut Fabric) -> SqliteStore {
    let file = fabric.daemon(TOP).dir().join("state").join("store.sqlite");
    SqliteStore::open(&file).unwrap()
}

#[tokio::test]
async fn each_time_runs_once_although_the_top_master_is_killed_again_and_again() {
    let mut fabric = fabric().await;
    let console = Console::of(&fabric);
    let kept = add(&console, "often", &["--every", "1s", "--max-running", "5"]).await;
    assert_eq!((&kept["every_ms"], &kept["paused"]), (&json!(1000), &json!(false)));
    let mut seen = 0;
    for yields in [0, 40, 400, 4_000] {
        seen = has_run(&fabric, "often", seen + 1).await;
        // Somewhere between a submission and the note of it.
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        fabric.restart(TOP).await;
    }
    has_run(&fabric, "often", seen + 2).await;
    assert_eq!(console.run(&["schedule", "pause", "often"]).await.code, 0);
    let made = made(&fabric, "often").await;
    rests(&fabric, &console, "often", "ticks").await;
    let jobs = runs(&fabric, "often").await.unwrap();
    let by_time = by_time(&fabric, "often", made).await;
    let of_times: BTreeSet<u64> = by_time.values().copied().collect();
    assert_eq!(of_times.len(), by_time.len(), "a job of its own for each time: {by_time:?}");
    assert_eq!(of_times, jobs.iter().map(|head| head.jid).collect(), "and no job but those");
    until("all runs to be over", async || {
        runs(&fabric, "often").await?.iter().all(|head| head.closed > 0).then_some(())
    })
    .await;
    for head in runs(&fabric, "often").await.unwrap() {
        let ok =
            head.outcomes.iter().map(|count| (count.outcome.as_str(), count.minions)).collect::<Vec<_>>();
        assert_eq!(ok, [("ok", 2)], "{head:?}");
    }
    assert_eq!(named(&console, "often").await["last_error"], Value::Null);
}

#[tokio::test]
async fn paused_it_rests_resumed_it_goes_on_removed_it_is_gone_and_now_is_now() {
    let mut fabric = fabric().await;
    let console = Console::of(&fabric);
    add(&console, "often", &["--every", "1s"]).await;
    has_run(&fabric, "often", 1).await;
    let paused = console.json(&["schedule", "pause", "often"]).await;
    assert_eq!((&paused["paused"], &paused["next"]), (&json!(true), &Value::Null));
    fabric.restart(TOP).await;
    rests(&fabric, &console, "often", "ticks").await;
    // By hand it runs also while it is paused.
    let before = runs(&fabric, "often").await.unwrap().len();
    let ran = console.run(&["schedule", "run", "often", "--out", "json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(runs(&fabric, "often").await.unwrap().len(), before + 1);
    let jid = relay_core::ids::Jid::from_micros(runs(&fabric, "often").await.unwrap()[0].jid).to_string();
    assert_eq!(named(&console, "often").await["last_jid"], json!(jid));
    let resumed = console.json(&["schedule", "resume", "often"]).await;
    assert_eq!(resumed["paused"], json!(false));
    has_run(&fabric, "often", before + 3).await;
    assert_eq!(console.run(&["schedule", "remove", "often"]).await.code, 0);
    rests(&fabric, &console, "often", "ticks").await;
    assert_eq!(console.json(&["schedule", "list"]).await, json!([]));
    for words in [&["show"][..], &["pause"], &["resume"], &["remove"], &["run"]] {
        let words = [&["schedule"], words, &["often"]].concat();
        console.run(&words).await.refused(&["there is no schedule \"often\""]);
    }
}

#[tokio::test]
async fn a_run_that_is_still_open_makes_the_next_time_a_missed_one() {
    let fabric = fabric().await;
    let console = Console::of(&fabric);
    let body = fabric.witness().command();
    let words = ["schedule", "add", "slow", "--every", "1s", "--", "*", "cmd.run", &body];
    console.json(&words).await;
    fabric.started_in_all(2).await;
    until("a missed time", async || {
        let told = named(&console, "slow").await;
        told["last_error"].as_str().filter(|why| why.contains("1 earlier runs were still open")).map(|_| ())
    })
    .await;
    assert_eq!(fabric.witness().starts().len(), 2, "one run on both");
    fabric.witness().open_all();
    has_run(&fabric, "slow", 3).await;
}

#[tokio::test]
async fn a_time_at_which_nobody_matches_brings_no_job_and_says_why() {
    let fabric = fabric().await;
    let console = Console::of(&fabric);
    let words = ["schedule", "add", "nobody", "--every", "1s", "--", "web*", "test.ping"];
    console.json(&words).await;
    until("the reason", async || {
        let told = named(&console, "nobody").await;
        told["last_error"].as_str().filter(|why| why.contains("no minion matches")).map(|_| ())
    })
    .await;
    assert!(fabric.operator().jobs().await.unwrap().is_empty());
    let listed = console.run(&["schedule", "list"]).await;
    assert!(listed.out.contains("no minion matches"), "{listed:?}");
}

/// As if the top master had been down for two days.
async fn sleeps_two_days(fabric: &mut Fabric) {
    fabric.kill9(TOP);
    let store = store(fabric);
    store.begin().await.unwrap();
    for kept in store.schedules().await.unwrap() {
        let (name, definition, paused) = (kept.name, kept.definition, kept.paused);
        let passed = wall() - 48 * HOUR * 1_000;
        store.put_schedule(NewSchedule { name, definition, paused, passed, replace: true }).await.unwrap();
    }
    store.close().await;
    fabric.restart(TOP).await;
    fabric.all_up().await;
}

#[tokio::test]
async fn times_missed_while_nobody_was_there_are_skipped_or_run_once() {
    let mut fabric = fabric().await;
    let console = Console::of(&fabric);
    // Twelve hours from now, and twelve hours ago: never near, whenever this test runs.
    let hour = (wall() / 1_000 / HOUR + 12) % 24;
    let cron = format!("30 {hour} * * *");
    add(&console, "skips", &["--cron", &cron]).await;
    add(&console, "once", &["--cron", &cron, "--missed", "once"]).await;
    sleeps_two_days(&mut fabric).await;
    has_run(&fabric, "once", 1).await;
    until("the missed times to be told", async || {
        let told = named(&console, "skips").await;
        told["last_error"].as_str().filter(|why| why.contains("nobody could run it")).map(|_| ())
    })
    .await;
    fabric.restart(TOP).await;
    rests(&fabric, &console, "once", "ticks").await;
    assert_eq!(runs(&fabric, "once").await.unwrap().len(), 1, "one run for all of them");
    assert!(runs(&fabric, "skips").await.unwrap().is_empty());
    let next = named(&console, "once").await["next"].as_str().unwrap().to_owned();
    assert!(next.contains(&format!("T{hour:02}:30:00")), "{next}");
}

#[tokio::test]
async fn what_is_no_schedule_is_refused_in_one_sentence() {
    let fabric = fabric().await;
    let console = Console::of(&fabric);
    for (when, told) in [
        (["--cron", "61 * * * *"], "61"),
        (["--cron", "* * * *"], "five fields"),
        (["--cron", "0 0 30 2 *"], "no such time ever comes"),
        (["--cron", "a b c d e"], "cron expression \"a b c d e\""),
        (["--every", "10ms"], "an interval of 10 ms"),
    ] {
        let words = [&["schedule", "add", "odd"], &when[..], &["--", "*", "test.ping"]].concat();
        console.run(&words).await.refused(&[told]);
    }
    let cron = ["--cron", "0 3 * * *"];
    let add =
        |name: &'static str, more: &[&'static str]| [&["schedule", "add", name], &cron[..], more].concat();
    console.run(&add("no name", &["--", "*", "test.ping"])).await.refused(&["\"no name\"", "letters"]);
    console.run(&add("odd", &["--", "web* and (", "test.ping"])).await;
    assert_eq!(console.json(&["schedule", "list"]).await, json!([]), "nothing was kept");
    assert_eq!(console.run(&add("nightly", &["--", "*", "test.ping"])).await.code, 0);
    console.run(&add("nightly", &["--", "*", "test.version"])).await.refused(&["already", "--replace"]);
    assert_eq!(console.run(&add("nightly", &["--replace", "--", "*", "test.version"])).await.code, 0);
    assert_eq!(named(&console, "nightly").await["function"], "test.version");
}
