//! The topology from a git repository: a change is shown and waits, or is applied by itself; what is wrong there changes
//! nothing here.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::PathBuf,
    process::Command,
};

use fabric_tests::{Fabric, TOP, until};
use serde_json::Value;

use crate::console::Console;

/// A region with this batch. Nobody moves by it, so it is applied at once.
fn text(fabric: &Fabric, batch: &str) -> String {
    let (top, syndic) = (fabric.listen(TOP), fabric.listen("aws-1"));
    format!(
        "version: 1
fabric: test.example
top_masters: [{{id: top, address: \"{top}\", region: core}}]
regions:
  - name: aws
    provider: aws
    syndics: [{{id: aws-1, address: \"{syndic}\"}}]
    minions: {{count: 4, patterns: [\"aws-*\"]}}
    batch: {{batch: {batch}}}
"
    )
}

/// A repository with a work tree, to commit in.
struct Origin(PathBuf);

impl Origin {
    fn new(fabric: &Fabric) -> Origin {
        let origin = Origin(fabric.dir().join("origin"));
        fs::create_dir(&origin.0).unwrap();
        origin.git(&["init", "--quiet", "--initial-branch=main", "."]);
        origin
    }

    fn git(&self, arguments: &[&str]) -> String {
        let out = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@test.example", "-c", "commit.gpgSign=false"])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .current_dir(&self.0)
            .output()
            .expect("git is installed");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    /// Commits a topology, and tells the commit.
    fn commit(&self, text: &str, subject: &str) -> String {
        fs::write(self.0.join("topology.yaml"), text).unwrap();
        self.git(&["add", "topology.yaml"]);
        self.git(&["commit", "--quiet", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// A fabric whose top master follows a repository, in which a batch of 4 is committed; that is revision 1.
async fn followed(settings: &str) -> (Fabric, Origin, Console) {
    let mut fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 4).start().await;
    let origin = Origin::new(&fabric);
    let first = text(&fabric, "4");
    origin.commit(&first, "four at once");
    fabric.apply_topology(&first, 0).await;
    let config = fabric.daemon(TOP).dir().join("config.yaml");
    let mut config = OpenOptions::new().append(true).open(config).unwrap();
    writeln!(config, "follow: {{repository: \"{}\", {settings}}}", origin.0.display()).unwrap();
    fabric.daemon(TOP).terminate().await;
    fabric.restart(TOP).await;
    fabric.all_up().await;
    let console = Console::of(&fabric);
    (fabric, origin, console)
}

/// What `relayctl topology follow` says, with its exit code.
async fn follow(console: &Console, more: &[&str]) -> (i32, Value) {
    let ran = console.run(&[&["--out", "json", "topology", "follow"], more].concat()).await;
    (ran.code, ran.json())
}

/// Number, caller, commit and message of the active revision.
async fn active(fabric: &Fabric) -> (u64, String, String, String) {
    let active = fabric.operator().topology(0).await.unwrap();
    (active.number, active.caller, active.commit, active.message)
}

async fn until_active(fabric: &Fabric, number: u64) {
    until("the revision to be active", async || {
        (fabric.operator().topology(0).await.ok()?.number == number).then_some(())
    })
    .await;
}

fn entry(number: u64, caller: &str, commit: &str, message: &str) -> (u64, String, String, String) {
    (number, caller.into(), commit.into(), message.into())
}

#[tokio::test]
async fn a_change_waits_for_an_operator_and_a_bad_one_changes_nothing() {
    // Nobody looks but who is asked to.
    let (fabric, origin, console) = followed("policy: manual, every_s: 86400").await;
    let (code, same) = follow(&console, &["--now"]).await;
    assert_eq!((code, &same["pending"], &same["last_error"]), (0, &false.into(), &"".into()), "{same}");

    let commit = origin.commit(&text(&fabric, "1"), "one at a time");
    let (code, pending) = follow(&console, &["--now"]).await;
    assert_eq!((code, &pending["pending"], &pending["commit"]), (2, &true.into(), &commit.as_str().into()));
    assert_eq!(follow(&console, &[]).await, (2, pending), "it stays to be seen");
    let people = console.run(&["topology", "follow"]).await;
    for part in ["Ada <ada@test.example>: one at a time", "region aws: batch", "4 -> 1", "follow --apply"] {
        assert!(people.out.contains(part), "nothing about {part:?}: {people:?}");
    }
    assert_eq!((active(&fabric).await.0, fabric.operator().at_once("*").await.unwrap()), (1, 4));

    let (code, applied) = follow(&console, &["--apply"]).await;
    assert_eq!((code, &applied["pending"]), (0, &false.into()), "{applied}");
    until_active(&fabric, 2).await;
    assert_eq!(active(&fabric).await, entry(2, "tester", &commit, "one at a time"));
    assert_eq!(fabric.operator().at_once("*").await.unwrap(), 1);

    let bad = origin.commit(&text(&fabric, "none"), "a slip");
    for more in [&["--now"][..], &["--apply"], &[]] {
        let (code, failed) = follow(&console, more).await;
        let error = failed["last_error"].as_str().unwrap();
        assert_eq!((code, &failed["pending"]), (3, &false.into()), "{more:?}: {failed}");
        for part in [&bad[..7], "is not applied", "topology:9:20:", "none"] {
            assert!(error.contains(part), "{more:?}: nothing about {part:?}: {error}");
        }
    }
    assert_eq!(active(&fabric).await.0, 2);
    assert_eq!(fabric.operator().topologies().await.unwrap().len(), 2);
    assert_eq!(fabric.operator().at_once("*").await.unwrap(), 1);
}

#[tokio::test]
async fn by_policy_a_change_is_applied_by_itself_and_a_bad_one_never() {
    let (fabric, origin, console) = followed("policy: auto, every_s: 1").await;
    let commit = origin.commit(&text(&fabric, "2"), "two at once");
    until_active(&fabric, 2).await;
    assert_eq!(active(&fabric).await, entry(2, "git", &commit, "two at once"));
    assert_eq!(fabric.operator().at_once("*").await.unwrap(), 2);

    let bad = origin.commit(&text(&fabric, "none"), "a slip");
    let error = until("the error to be shown", async || {
        let (code, failed) = follow(&console, &[]).await;
        (code == 3).then(|| failed["last_error"].as_str().unwrap().to_owned())
    })
    .await;
    assert!(error.contains(&bad[..7]) && error.contains("topology:9:20:"), "{error}");
    assert_eq!((active(&fabric).await.0, fabric.operator().at_once("*").await.unwrap()), (2, 2));

    let good = origin.commit(&text(&fabric, "3"), "three at once");
    until_active(&fabric, 3).await;
    assert_eq!(active(&fabric).await, entry(3, "git", &good, "three at once"));
    until("the error to be gone", async || (follow(&console, &[]).await.0 == 0).then_some(())).await;
    let mut job = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(job.counts(), [("ok", 4)].into());
    fabric.check(&mut [&mut job]).await;
}
