//! The audit log: what was decided outlives the owner that decided it, and whoever changes or cuts a copy is found out.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fabric_tests::{Fabric, TOP, etcd::Etcd, postgres::Database, until};
use serde_json::Value;

use super::{
    console::{Console, Ran},
    takeover::{owns, roles, stands_by},
};

/// A fabric whose owner was killed in between, with jobs before and after.
async fn killed_once() -> Fabric {
    let mut fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2).start().await;
    for _ in 0..3 {
        fabric.run("*", "test.ping", &[]).await;
    }
    fabric.kill9(TOP);
    let config = fabric.dir().join(TOP).join("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text + "audit: {file: audit.jsonl}\n").unwrap();
    fabric.restart(TOP).await;
    fabric.all_up().await;
    fabric.run("*", "test.echo", &["hello"]).await;
    fabric
}

fn key(fabric: &Fabric) -> String {
    key_of(fabric, TOP)
}

fn key_of(fabric: &Fabric, top: &str) -> String {
    fabric.dir().join(top).join("state/audit/key.vkey").display().to_string()
}

/// The log as a file.
async fn export(console: &Console, fabric: &Fabric, name: &str) -> PathBuf {
    let path = fabric.dir().join(name);
    let ran = console.run(&["audit", "export", &path.display().to_string()]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    path
}

async fn verify(console: &Console, fabric: &Fabric, path: &Path, more: &[&str]) -> Ran {
    let (path, key) = (path.display().to_string(), key(fabric));
    let words = ["--out", "json", "audit", "verify", &path, "--key", &key];
    console.run(&[&words, more].concat()).await
}

/// The records that are said to be wrong.
fn named(ran: &Ran) -> Vec<u64> {
    let problems = ran.json()["problems"].clone();
    problems.as_array().unwrap().iter().filter_map(|problem| problem["record"].as_u64()).collect()
}

fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter(|line: &Value| line.get("checkpoint").is_none()).collect()
}

#[tokio::test]
async fn what_was_decided_outlives_the_owner_and_can_be_proven() {
    let fabric = killed_once().await;
    let console = Console::of(&fabric);
    let path = export(&console, &fabric, "export.jsonl").await;
    let ran = verify(&console, &fabric, &path, &[]).await;
    assert_eq!((ran.code, ran.json()["clean"].as_bool()), (0, Some(true)), "{ran:?}");
    assert_eq!(ran.json()["proven"], ran.json()["records"], "all of it is signed");
    let records = records(&path);
    let of = |kind: &str| records.iter().filter(|record| record["kind"] == kind).count();
    assert_eq!((of("job"), of("takeover")), (4, 2), "{records:#?}");
    let last = records.iter().rfind(|record| record["kind"] == "job").unwrap();
    assert_eq!(
        (&last["who"], &last["how"], &last["details"]["function"]),
        (&"tester".into(), &"certificate".into(), &"test.echo".into())
    );
    let tail = console.run(&["audit", "tail", "-n", "200", "--kind", "takeover"]).await;
    assert_eq!((tail.code, tail.out.lines().count()), (0, 2), "{tail:?}");
    // The output has all of it, also what was decided before it was asked for.
    let output = fabric.dir().join(TOP).join("audit.jsonl");
    until("the output to have the log", async || {
        let ran = verify(&console, &fabric, &output, &[]).await;
        (ran.code == 0 && ran.json()["proven"].as_u64() >= Some(records.len() as u64)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_changed_byte_is_named_and_a_cut_end_is_noticed() {
    let fabric = killed_once().await;
    let console = Console::of(&fabric);
    let kept = console.run(&["audit", "checkpoint"]).await;
    assert_eq!(kept.code, 0, "{kept:?}");
    let checkpoint = fabric.dir().join("kept.checkpoint");
    fs::write(&checkpoint, &kept.out).unwrap();
    let checkpoint = checkpoint.display().to_string();
    fabric.run("*", "test.ping", &[]).await;
    let path = export(&console, &fabric, "export.jsonl").await;
    let ran = verify(&console, &fabric, &path, &["--checkpoint", &checkpoint]).await;
    assert_eq!(ran.code, 0, "{ran:?}");

    let text = fs::read_to_string(&path).unwrap();
    let second = text.lines().position(|line| line.contains("\"kind\":\"job\"")).unwrap();
    let mut lines: Vec<String> = text.lines().map(|line| line.to_owned() + "\n").collect();
    lines[second] = lines[second].replacen("tester", "tesser", 1);
    let changed = fabric.dir().join("changed.jsonl");
    fs::write(&changed, lines.concat()).unwrap();
    let ran = verify(&console, &fabric, &changed, &[]).await;
    assert_eq!((ran.code, named(&ran)), (1, vec![second as u64]), "{ran:?}");

    // Cut before what was signed, and with nothing in it that says so.
    let cut: String = text.lines().take(3).map(|line| line.to_owned() + "\n").collect();
    let short = fabric.dir().join("cut.jsonl");
    fs::write(&short, cut).unwrap();
    let ran = verify(&console, &fabric, &short, &["--checkpoint", &checkpoint]).await;
    assert!(ran.code == 1 && ran.out.contains("are missing"), "{ran:?}");
    let ran = console.run(&["audit", "verify", &short.display().to_string(), "--key", "nowhere"]).await;
    ran.refused(&["nowhere"]);
}

/// One log over two top masters: each signs with its own key, and neither begins anew.
#[tokio::test]
async fn whoever_takes_over_goes_on_with_the_log() {
    let (Some(etcd), Some(database)) = (Etcd::start(1).await, Database::start().await) else { return };
    let builder = Fabric::builder().top_masters(2).syndic("aws-1", "aws").minions("aws-1", 2);
    let builder = builder.registry(&etcd.setting()).store(&database.setting()).delivery_ms(40_000);
    let mut fabric = builder.start().await;
    let [owner, other] = roles(&fabric).await;
    // Back and forth: at the end the one owns that the console asks.
    let turns = if owner.1 == TOP { [(owner, other), (other, owner)].to_vec() } else { vec![(owner, other)] };
    fabric.run("*", "test.ping", &[]).await;
    for (killed, next) in turns.iter().copied() {
        stands_by(&fabric, next, killed.1).await;
        fabric.kill9(killed.1);
        owns(&fabric, next).await;
        fabric.restart(killed.1).await;
        fabric.all_up().await;
        fabric.run("*", "test.ping", &[]).await;
    }
    let console = Console::of(&fabric);
    let path = export(&console, &fabric, "export.jsonl").await;
    let ran = verify(&console, &fabric, &path, &["--key", &key_of(&fabric, "top-2")]).await;
    assert_eq!((ran.code, ran.json()["clean"].as_bool()), (0, Some(true)), "{ran:?}");
    let records = records(&path);
    let takeovers: Vec<&str> = records
        .iter()
        .filter(|record| record["kind"] == "takeover")
        .filter_map(|record| record["who"].as_str())
        .collect();
    assert_eq!(takeovers.len(), turns.len() + 1, "{takeovers:?}");
    assert_eq!(records.iter().filter(|record| record["kind"] == "job").count(), turns.len() + 1);
}
