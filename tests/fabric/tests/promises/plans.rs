//! What is decided before a job runs: plans that bind what is run, subsets, the guard against jobs without a batch; and
//! the ends that are asked for beforehand.

use std::{collections::BTreeSet, fs};

use fabric_tests::{Fabric, TOP};
use relay_core::identity::Role;
use serde_json::{Value, json};

use crate::console::Console;

async fn region() -> Fabric {
    Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 4).minion("aws-1", "solo").start().await
}

fn words(of: &Value) -> BTreeSet<&str> {
    of.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// The minions of a job that is over, by outcome.
async fn ran_on(console: &Console, jid: &str) -> Vec<(String, String)> {
    let shown = console.run(&["jobs", "watch", jid, "--out", "jsonl"]).await;
    let mut ran: Vec<(String, String)> = Vec::new();
    for line in shown.out.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["event"] == "returns" {
            let outcome = line["outcome"].as_str().unwrap();
            ran.extend(words(&line["minions"]).iter().map(|id| (id.to_string(), outcome.to_owned())));
        }
    }
    ran.sort();
    ran
}

async fn plan(console: &Console, words: &[&str]) -> Value {
    console.json(&[&["run", "--plan"], words].concat()).await
}

fn id(plan: &Value) -> &str {
    plan["plan_id"].as_str().unwrap()
}

#[tokio::test]
async fn a_plan_shows_what_would_run_and_its_id_runs_exactly_that_also_after_a_restart() {
    let mut fabric = region().await;
    let console = Console::of(&fabric);
    fabric.witness().open_all();
    fabric.kill9("solo");
    fabric.minion_is("solo", false).await;
    let body = fabric.witness().command();
    let order = ["*", "cmd.run", &body, "--batch", "canary:1,50%", "--max-failures", "2", "-t", "20s"];
    let planned = plan(&console, &order).await;
    assert_eq!(words(&planned["minions"]).len(), 5);
    assert_eq!(
        (&planned["targets"], &planned["up"], &planned["down"]),
        (&json!(5), &json!(4), &json!(["solo"]))
    );
    let syndic = json!({"region": "aws", "syndic": "aws-1", "targets": 5, "up": 4, "down": 1});
    assert_eq!(planned["syndics"], json!([syndic]));
    let upto: Vec<u64> =
        planned["stages"].as_array().unwrap().iter().map(|s| s["upto"].as_u64().unwrap()).collect();
    assert_eq!((upto[0], *upto.last().unwrap()), (1, 5), "{planned}");
    assert_eq!(planned["estimated_ms"], Value::Null, "no such job has run");
    assert_eq!(
        plan(&console, &order).await["plan_id"],
        planned["plan_id"],
        "the same order is the same plan"
    );
    assert!(fabric.operator().jobs().await.unwrap().is_empty() && fabric.witness().starts().is_empty());

    fabric.restart(TOP).await;
    fabric.restart("solo").await;
    fabric.all_up().await;
    let ran = console.run(&["run", "--plan-id", id(&planned), "--out", "json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(fabric.witness().starts().len(), 5);
    let head = &fabric.operator().jobs().await.unwrap()[0];
    assert_eq!((head.targets, head.target.as_str(), head.function.as_str()), (5, "*", "cmd.run"));
    let rule = relay_proto::batch::decode(head.batch.clone().unwrap()).unwrap();
    assert_eq!(rule.max_failures, Some(relay_core::topology::Share::Count(2)));
    // Now there is a history to estimate from.
    let again = plan(&console, &order).await;
    assert!(
        again["estimated_ms"].as_u64().is_some_and(|ms| ms > 0) && again["estimated_from"] == 1,
        "{again}"
    );
    let line = planned["command"].as_str().unwrap();
    assert_eq!(line, format!("relayctl run --plan-id {}", id(&planned)));
}

#[tokio::test]
async fn a_plan_that_has_moved_is_refused_with_the_difference_and_nothing_runs() {
    let mut fabric = region().await;
    let console = Console::of(&fabric);
    fabric.witness().open_all();
    let body = fabric.witness().command();
    let grain = |id: &'static str, value: &'static str| {
        let console = &console;
        async move {
            let ran = console.run(&["run", id, "grains.setval", "tier", value]).await;
            assert_eq!(ran.code, 0, "{ran:?}");
        }
    };
    grain("aws-1-m-00", "front").await;
    grain("aws-1-m-01", "front").await;
    let front = async |count: usize| {
        fabric_tests::until("the grains to be known", async || {
            let found = fabric.operator().minions("G@tier:front").await.ok()?;
            (found.len() == count).then_some(())
        })
        .await;
    };
    front(2).await;
    let planned = plan(&console, &["G@tier:front", "cmd.run", &body]).await;
    let run = ["run", "--plan-id", id(&planned)];
    grain("aws-1-m-02", "front").await;
    front(3).await;
    console.run(&run).await.refused(&["the plan has moved: 1 new (aws-1-m-02)", "plan again"]);
    grain("aws-1-m-00", "back").await;
    front(2).await;
    console.run(&run).await.refused(&["1 new (aws-1-m-02), 1 gone (aws-1-m-00)"]);
    // As it was planned, it may run again.
    grain("aws-1-m-00", "front").await;
    grain("aws-1-m-02", "back").await;
    front(2).await;
    assert!(fabric.witness().starts().is_empty());
    assert_eq!(console.run(&run).await.code, 0);
    assert_eq!(fabric.witness().starts().len(), 2);

    let all = plan(&console, &["*", "cmd.run", &body]).await;
    // Whoever tries again because the answer was lost hears of the job that stands, also if the plan has moved since.
    let again = ["run", "--plan-id", id(&all), "--request-id", &"5a".repeat(16), "--async", "--out", "json"];
    let first = console.run(&again).await;
    assert_eq!((first.code, &first.json()["known"]), (4, &json!(false)), "{first:?}");
    newcomer(&mut fabric).await;
    let second = console.run(&again).await;
    assert_eq!((second.code, &second.json()["known"]), (4, &json!(true)), "{second:?}");
    assert_eq!(second.json()["jid"], first.json()["jid"]);
    let before = fabric.operator().jobs().await.unwrap().len();
    console.run(&["run", "--plan-id", id(&all)]).await.refused(&["1 new (newcomer)"]);
    // A plan is the same plan only if all of it is: another argument has another id.
    let nearly = plan(&console, &["*", "cmd.run", "true"]).await;
    assert_ne!(id(&nearly), id(&plan(&console, &["*", "cmd.run", "false"]).await));
    for (wrong, told) in [("00".repeat(32), "there is no such plan"), ("12".into(), "64 hexadecimal digits")]
    {
        let ran = console.run(&["run", "--plan-id", &wrong]).await;
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{ran:?}");
        assert!(ran.err.contains(told), "{ran:?}");
    }
    assert_eq!(fabric.operator().jobs().await.unwrap().len(), before, "nothing ran");
}

/// A minion that nobody knew comes.
async fn newcomer(fabric: &mut Fabric) {
    fabric.pki().issue("newcomer", Role::Minion, "aws");
    let config = fabric.twin("solo").dir().join("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replacen("id: \"solo\"", "id: \"newcomer\"", 1)).unwrap();
    fabric.daemon("solo-twin").start();
    fabric.minion_is("newcomer", true).await;
}

#[tokio::test]
async fn the_same_seed_chooses_the_same_minions() {
    let fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 12).start().await;
    let console = Console::of(&fabric);
    let mut chosen = BTreeSet::new();
    for seed in ["1", "2", "3"] {
        let mut same = BTreeSet::new();
        for _ in 0..2 {
            let jid = console.order(&["*", "test.ping", "--subset", "4", "--seed", seed]).await;
            assert_eq!(console.closed(&jid).await.0, 0);
            same.insert(ran_on(&console, &jid).await);
        }
        let planned = plan(&console, &["*", "test.ping", "--subset", "4", "--seed", seed]).await;
        let ran = same.first().unwrap();
        assert_eq!((same.len(), ran.len()), (1, 4), "{same:?}");
        assert_eq!(words(&planned["minions"]), ran.iter().map(|(id, _)| id.as_str()).collect());
        chosen.extend(same);
    }
    assert!(chosen.len() > 1, "seeds choose: {chosen:?}");
    let drawn = console.run(&["run", "*", "test.ping", "--subset", "4"]).await;
    assert!(drawn.err.contains("chooses the same 4"), "{drawn:?}");
    let all = console.order(&["*", "test.ping", "--subset", "50"]).await;
    console.closed(&all).await;
    assert_eq!(ran_on(&console, &all).await.len(), 12, "no more than there are");
    console.run(&["run", "*", "test.ping", "--seed", "4"]).await.refused(&["--subset N"]);
}

#[tokio::test]
async fn until_and_deadline_close_the_job_and_what_runs_is_known_later() {
    for (mut fabric, end) in [(region().await, ["--until", "40%"]), (region().await, ["--deadline", "1s"])] {
        let console = Console::of(&fabric);
        let body = fabric.witness().command();
        let jid = console.order(&[&["*", "cmd.run", &body][..], &end].concat()).await;
        fabric.started_in_all(5).await;
        fabric.witness().open("aws-1-m-00");
        fabric.witness().open("aws-1-m-01");
        let (code, _) = console.closed(&jid).await;
        let ran = ran_on(&console, &jid).await;
        let unknown = ran.iter().filter(|(_, outcome)| outcome == "unknown").count();
        assert_eq!((code, ran.len()), (2, 5), "{end:?}: {ran:?}");
        assert!(unknown >= 3, "{end:?}: {ran:?}");
        fabric.restart(TOP).await;
        fabric.witness().open_all();
        fabric_tests::until("what was unknown to be known", async || {
            let head = fabric.operator().jobs().await.ok()?.pop()?;
            let ok = head.outcomes.iter().find(|count| count.outcome == "ok")?.minions;
            (ok == 5).then_some(())
        })
        .await;
        assert_eq!(console.closed(&jid).await.0, 0);
        assert_eq!(fabric.witness().starts().len(), 5, "each once");
    }
}

const GUARDED: &str = r#"version: 1
fabric: test.example
top_masters:
  - {id: top, address: "top:1", region: aws}
unbatched_limit: 50%
regions:
  - name: aws
    provider: aws
    syndics:
      - {id: aws-1, address: "aws-1:1"}
    minions: {count: 4, patterns: ["aws-*"]}
"#;

#[tokio::test]
async fn a_job_too_wide_for_no_batch_is_refused_unless_its_targets_are_counted() {
    let builder = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 4).topology(GUARDED);
    let fabric = builder.start().await;
    let console = Console::of(&fabric);
    let wide = |more: &[&'static str]| [&["run", "*", "test.ping"], more].concat();
    let told = ["4 of 4 minions at once, without a batch", "--batch 10%", "--confirm 4"];
    console.run(&wide(&[])).await.refused(&told);
    console.run(&wide(&["--confirm", "3"])).await.refused(&told);
    console.run(&wide(&["--confirm", "5"])).await.refused(&told);
    assert!(fabric.operator().jobs().await.unwrap().is_empty(), "nothing ran");
    // What is planned is looked at before it runs, and then the guard stands.
    let planned = plan(&console, &["*", "test.ping"]).await;
    console.run(&["run", "--plan-id", id(&planned)]).await.refused(&told);
    assert_eq!(console.run(&["run", "--plan-id", id(&planned), "--confirm", "4"]).await.code, 0);
    assert_eq!(console.run(&wide(&["--confirm", "4"])).await.code, 0);
    assert_eq!(console.run(&wide(&["--batch", "2"])).await.code, 0);
    assert_eq!(console.run(&["run", "aws-1-m-0[01]", "test.ping"]).await.code, 0, "half is not too wide");

    // On a terminal the number is asked for, and typed.
    for (typed, code, jobs) in [("3\r", 3, 4), ("x\r", 3, 4), ("4\r", 0, 5)] {
        let mut run = console.start_on_terminal(&wide(&[]));
        run.shows("the question", |out| out.contains("type how many they are:").then_some(())).await;
        run.types(typed);
        let ran = run.ended().await;
        assert_eq!((ran.code, fabric.operator().jobs().await.unwrap().len()), (code, jobs), "{ran:?}");
    }
}
