//! Bad configuration: every problem at once, with file, line and column, exit 3, and nothing started.

use std::{fs, net::TcpListener, path::PathBuf};

use fabric_tests::{Fabric, TOP, pki::Pki, process};
use relay_core::identity::Role;
use tempfile::TempDir;

/// Exit code of a configuration that cannot be used.
const BAD: Option<i32> = Some(3);

/// A directory with certificates and a file to be checked.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::create(dir.path());
        pki.issue("s", Role::Syndic, "aws");
        pki.issue("m", Role::Minion, "aws");
        pki.issue("t", Role::TopMaster, "core");
        fs::write(dir.path().join("policy.yaml"), "{version: 1, allow: {any: {ops: ['*']}}}\n").unwrap();
        Place { dir }
    }

    fn file(&self, text: &str) -> PathBuf {
        let file = self.dir.path().join("config.yaml");
        fs::write(&file, text).unwrap();
        file
    }

    /// Checks a configuration, and tries to serve it: both say the same, and neither starts anything.
    fn refused(&self, binary: &str, text: &str) -> Vec<String> {
        let file = self.file(text);
        let file = file.to_str().unwrap();
        let (code, said) = process::run(binary, &["check-config", "--config", file]);
        assert_eq!(code, BAD, "{said}");
        assert_eq!(process::run(binary, &["serve", "--config", file]), (BAD, said.clone()));
        assert!(!self.dir.path().join("state").exists(), "something was started");
        said.lines().map(|line| line.replace(file, "FILE")).collect()
    }
}

fn assert_told(lines: &[String], expected: &[(&str, &str)]) {
    for (place, words) in expected {
        let told = lines.iter().any(|line| line.starts_with(&format!("FILE{place}")) && line.contains(words));
        assert!(told, "nothing at {place:?} about {words:?} in:\n{}", lines.join("\n"));
    }
    assert_eq!(lines.len(), expected.len(), "{}", lines.join("\n"));
}

#[test]
fn a_syndic_is_told_every_mistake_at_once() {
    let place = Place::new();
    let text = "id: s\nregion: aws\nfabric: test.example\nlisten: 0.0.0.0:0\nadmin: 0.0.0.0:1\nstate_dir: state\n\
                tls: {ca: ca/ca.crt, cert: syndic/nobody.pem, key: syndic/s.key}\nlisten_backlog: 3\n\
                parents:\n  - {id: t, region: core, address: \"127.0.0.1\"}\nspool_max_bytes: lots\n";
    let lines = place.refused("syndic", text);
    assert_told(
        &lines,
        &[
            (":5:8: ", "admin address"),
            (":8:1: ", "listen_backlog"),
            (":10:36: ", "port"),
            (":11:18: ", "lots"),
        ],
    );
}

#[test]
fn an_unreadable_certificate_is_told_with_its_path() {
    let place = Place::new();
    let config = |cert: &str, key: &str| {
        format!(
            "id: m\nregion: aws\nfabric: test.example\nparents:\n  - {{id: s, region: aws, address: \"127.0.0.1:1\"}}\n\
             state_dir: state\ntls: {{ca: ca/ca.crt, cert: {cert}, key: {key}}}\n"
        )
    };
    let lines = place.refused("minion", &config("minion/gone.pem", "minion/gone.key"));
    assert_told(&lines, &[(":7:6: ", "gone.pem: cannot be read"), (":7:6: ", "gone.key: cannot be read")]);
    // Somebody else's certificate, and a key that does not fit it.
    let lines = place.refused("minion", &config("syndic/s.pem", "minion/m.key"));
    assert!(
        lines.len() >= 2 && lines.iter().all(|line| line.contains("s.pem") || line.contains("m.key")),
        "{lines:?}"
    );
    fs::write(place.dir.path().join("minion/m.pem"), "no certificate").unwrap();
    let lines = place.refused("minion", &config("minion/m.pem", "minion/m.key"));
    assert!(lines.iter().any(|line| line.contains("m.pem")), "{lines:?}");
}

#[test]
fn a_top_master_is_told_of_ports_in_use_and_duplicates() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = format!(
        "id: t\nregion: core\nfabric: test.example\nlisten: {address}\noperators: 127.0.0.1:0\nadmin: 127.0.0.1:0\n\
         state_dir: state\ntls: {{ca: ca/ca.crt, cert: top-master/t.pem, key: top-master/t.key}}\ntrust: {{dir: ca/trust}}\npolicy: policy.yaml\n"
    );
    let lines = place.refused("top-master", &text);
    assert!(
        lines.len() == 1 && lines[0].contains(&address.to_string()) && lines[0].contains("in use"),
        "{lines:?}"
    );
    let twice = text.replace(&address.to_string(), "127.0.0.1:7001").replace("127.0.0.1:0", "127.0.0.1:7001");
    let lines = place.refused("top-master", &(twice + "id: t\n"));
    let port = "this port is already taken by the address at 4:9";
    assert_told(&lines, &[(":5:12: ", port), (":6:8: ", port), (":11:1: ", "a second time (first at 1:1)")]);
}

#[test]
fn wrong_command_lines_are_told_too() {
    for (binary, arguments) in [
        ("top-master", &["serve"][..]),
        ("syndic", &["serve", "--config"][..]),
        ("minion", &["serve", "--config", "/nowhere/minion.yaml"][..]),
        ("minion", &["serve", "--config", "x", "--count", "many"][..]),
        ("syndic", &["fly"][..]),
    ] {
        let (code, said) = process::run(binary, arguments);
        assert!(code == BAD && !said.is_empty(), "{binary} {arguments:?}: {code:?} {said}");
    }
}

#[test]
fn a_topology_is_told_every_mistake_at_once_and_nothing_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("topology.yaml");
    let text = r#"version: 1
fabric: test.example
top_masters:
  - {id: top-1, address: "top-1:1", region: aws}
regions:
  - name: aws
    provider: aws
    minions: {count: 5, patterns: ["aws-*"]}
    syndics:
      - {id: a, address: "a:1", parents: [b]}
      - {id: b, address: "b:1", parents: [a]}
  - name: empty
    provider: other
    minions: {count: 5, patterns: ["empty-*"]}
    syndics: []
  - name: aws
    provider: aws
    minions: {count: 5, patterns: ["more-*"]}
    syndics:
      - {id: d, address: "d:1"}
      - {id: d, address: "e:1"}
"#;
    fs::write(&file, text).unwrap();
    let (topology, trial) = (file.to_str().unwrap(), dir.path().join("trial"));
    let home = dir.path().to_str().unwrap();
    let arguments =
        ["dev", "up", "--topology", topology, "--dir", trial.to_str().unwrap(), "--name", "never"];
    let (code, said) = process::run_at_home("relayctl", &arguments, home);
    assert_eq!(code, BAD, "{said}");
    for words in [
        ":10:",
        ":15:14: there is no syndic",
        ":16:",
        ":21:",
        "loop: a -> b -> a",
        "the id d is used a second time",
    ] {
        assert!(said.contains(words), "nothing about {words:?} in:\n{said}");
    }
    assert!(!trial.exists(), "something was started");
}

#[tokio::test]
async fn a_second_process_on_the_same_ports_is_refused_and_the_first_goes_on() {
    let mut fabric = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "solo").start().await;
    for (name, binary) in [(TOP, "top-master"), ("aws-1", "syndic")] {
        let config = fabric.daemon(name).dir().join("config.yaml");
        let (code, said) = process::run(binary, &["serve", "--config", config.to_str().unwrap()]);
        assert!(code == BAD && said.contains("in use"), "{said}");
    }
    let mut ping = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(ping.counts(), [("ok", 1)].into());
    fabric.check(&mut [&mut ping]).await;
}
