//! The commands on real files.

use std::path::PathBuf;

use clap::Parser;

use super::*;
use crate::output::Format;

const GOOD: &str = "\
version: 1
fabric: acme.example
top_masters:
  - {id: top-1, address: \"top-1:4510\", region: core}
regions:
  - name: east
    provider: aws
    syndics:
      - {id: e1, address: \"e1:4510\"}
      - {id: e2, address: \"e2:4510\"}
    minions: {count: 1000, patterns: [\"east-*\"]}
";

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    command: TopologyCommand,
}

/// Files in a directory of their own.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Desk {
        Desk(tempfile::tempdir().unwrap())
    }
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
    /// The exit code of a command line; words that name a file of the desk stand for its path.
    fn code(&self, words: &[&str]) -> anyhow::Result<u8> {
        let path = |word: &&str| match self.0.path().join(word) {
            path if path.is_file() => path.into_os_string(),
            _ => (*word).into(),
        };
        let line = Line::try_parse_from(std::iter::once("topology".into()).chain(words.iter().map(path)))?;
        Ok(run(line.command, &Output::to_stdout(Format::Json))?.code())
    }
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let desk = Desk::new();
    desk.file("good", GOOD);
    desk.file("same", &GOOD.replace("{id: e1,", "{weight: 100, id: e1,"));
    desk.file("other", &GOOD.replace("count: 1000", "count: 900"));
    desk.file("short", &GOOD.replace("count: 1000", "count: 9000"));
    desk.file("bad", &GOOD.replace("provider: aws", "provider: awz"));
    let table: &[(&[&str], u8)] = &[
        (&["validate", "good"], 0),
        (&["validate", "short"], 0),
        (&["validate", "short", "--strict"], 3),
        (&["validate", "bad"], 3),
        (&["validate", "nowhere"], 3),
        (&["plan", "good", "same"], 0),
        (&["plan", "good", "other"], 2),
        (&["plan", "good", "bad"], 3),
        (&["plan", "bad", "good"], 3),
        (&["show", "good"], 0),
        (&["show", "bad"], 3),
        (&["render", "good", "--graph", "dot"], 0),
        (&["render", "good", "--firewall", "json", "--region", "core"], 0),
        (&["render", "bad", "--graph", "dot"], 3),
    ];
    for (words, code) in table {
        assert_eq!(desk.code(words).unwrap(), *code, "{words:?}");
    }
    assert!(desk.code(&["render", "good"]).is_err(), "what to render has to be said");
    assert!(desk.code(&["render", "good", "--graph", "dot", "--firewall", "json"]).is_err());
    let error = desk.code(&["render", "good", "--firewall", "json", "--region", "west"]).unwrap_err();
    assert!(error.to_string().ends_with("there are: east, core"), "{error}");
}

#[test]
fn every_problem_has_its_place() {
    let desk = Desk::new();
    let bad = GOOD.replace("provider: aws", "provider: awz").replace("count: 1000", "cuont: 1000");
    let errors = load_topology(&desk.file("bad.yaml", &bad)).unwrap_err();
    let data = problems(&errors.file, &errors.problems);
    let places: Vec<(u64, u64)> =
        data.iter().map(|p| (p["line"].as_u64().unwrap(), p["column"].as_u64().unwrap())).collect();
    assert_eq!(places, [(7, 15), (11, 14), (11, 15)], "{data:#?}");
    assert!(errors.to_string().contains("bad.yaml:7:15: \"awz\" is not known here"), "{errors}");
}

#[test]
fn the_reference_fabric_is_good_and_shown() {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../topology.yaml"));
    let topology = load_topology(&file).unwrap();
    let text = show::text(&topology, &crate::output::Paint::PLAIN);
    assert!(
        text.starts_with("acme.example, 2 top masters, 4 regions, 8 syndics, 5000 minions expected\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "\n  syndic-aws-1 syndic-aws-1.aws.acme.example:4510 (aws, carries 1000, weight 100)\n"
        ),
        "{text}"
    );
    assert!(text.contains("\n  syndic-aws-1 (also)\n"), "{text}");
}
