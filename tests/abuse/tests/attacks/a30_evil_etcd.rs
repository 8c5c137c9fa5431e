//! a30: somebody else has a client of our etcd, and does with our keys what he likes. Jobs, outcomes and who may command are not
//! in it: the worst that it costs is an owner for a while (CVE-2026-33413).

use std::process::Command;

use abuse_tests::region::{Pulse, SYNDIC, serves_on};
use fabric_tests::{Fabric, TOP, etcd::Etcd, postgres::Database, until};

/// etcd's own client.
struct Evil {
    endpoint: String,
}

impl Evil {
    fn of(etcd: &Etcd) -> Evil {
        let setting = etcd.setting();
        let endpoint = setting.split('"').find(|part| part.starts_with("http")).expect("an endpoint");
        Evil { endpoint: endpoint.to_owned() }
    }

    fn does(&self, words: &[&str]) -> Option<String> {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.endpoint]).args(words);
        let output = command.output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn keys(&self) -> Vec<String> {
        let listed = self.does(&["get", "", "--from-key", "--keys-only"]).unwrap_or_default();
        listed.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

/// An owner that answers.
async fn owned(fabric: &Fabric) {
    until("an owner", async || fabric.operator().status().await.ok().map(drop)).await;
}

#[tokio::test]
async fn another_client_of_our_etcd_gets_no_job_and_stops_none_for_long() {
    let (Some(etcd), Some(database)) = (Etcd::start(1).await, Database::start().await) else { return };
    let builder = Fabric::builder().syndic(SYNDIC, "aws").minions(SYNDIC, 2);
    let builder = builder.registry(&etcd.setting()).store(&database.setting());
    let mut fabric = builder.start().await;
    let evil = Evil::of(&etcd);
    let Some(_) = evil.does(&["endpoint", "status"]) else {
        eprintln!(
            "SKIPPED: no etcdctl here, so nothing of a registry in other hands is tested: apt-get install -y etcd-client"
        );
        return;
    };
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 2).await;
    let pulse = Pulse::of(&fabric);
    let keys = evil.keys();
    assert!(keys.iter().any(|key| key.contains("leaders")), "the keys were found: {keys:?}");
    let garbage = "\u{1b}[2J{\"listen\":\"127.0.0.1:1\",\"operators\":\"\u{202e}\"";
    let long = "x".repeat(500_000);
    // Every value is garbage, empty, or far too large; then strangers' keys.
    for value in [garbage, "", &long, "18446744073709551615", "null"] {
        for key in &keys {
            evil.does(&["put", "--", key, value]);
        }
    }
    let prefix = keys
        .iter()
        .find_map(|key| key.split("/leaders").next().filter(|p| *p != key.as_str()))
        .unwrap_or("/relay");
    for key in [
        "top-masters/evil",
        "top-masters/../x",
        "syndics/top/evil",
        "syndics/evil/aws-1",
        "leaders/evil",
        "what/is/this",
        "",
    ] {
        evil.does(&["put", "--", &format!("{prefix}/{key}"), garbage]);
    }
    // He makes himself the leader, for as long as he likes, and takes it away again.
    for key in keys.iter().filter(|key| key.contains("leaders")) {
        evil.does(&["put", "--", key, "{\"id\":\"evil\"}"]);
        evil.does(&["put", "--", key, "evil"]);
    }
    // Everything goes; every lease is revoked; history is compacted away.
    evil.does(&["del", "", "--from-key"]);
    for lease in evil.does(&["lease", "list"]).unwrap_or_default().lines().skip(1) {
        evil.does(&["lease", "revoke", lease.trim()]);
    }
    let status = evil.does(&["endpoint", "status", "--write-out=json"]).unwrap_or_default();
    let revision = status.split("\"revision\":").nth(1).and_then(|text| text.split([',', '}']).next());
    if let Some(revision) = revision {
        evil.does(&["compact", revision]);
    }
    // Whoever owns after that finishes the job: each minion once.
    fabric.witness().open_all();
    owned(&fabric).await;
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 2)].into());
    fabric.check(&mut [&mut job]).await;
    assert_eq!(fabric.witness().starts().len(), 2, "each started once");
    // The other way round: what he puts in while nobody looks, an owner that starts makes nothing of.
    fabric.kill9(TOP);
    for key in &keys {
        evil.does(&["put", "--", key, garbage]);
    }
    pulse_ends(pulse);
    // A leader's key without a lease stays for ever: an operator has to remove it, and is told so.
    evil.does(&["del", "", "--from-key"]);
    fabric.daemon(TOP).start();
    fabric.daemon(TOP).ready().await;
    owned(&fabric).await;
    fabric.all_up().await;
    serves_on(&mut fabric).await;
}

/// The top master was killed by the test itself at the end, so of the pulse only the syndic's and the minions' part counts.
fn pulse_ends(pulse: Pulse) {
    pulse.unbroken_but_for(TOP);
}
