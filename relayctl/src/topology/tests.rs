//! The commands on real files.

use std::path::PathBuf;

use clap::Parser;
use relay_core::ids::Jid;
use relay_runtime::config::load_topology;

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
    async fn code(&self, words: &[&str]) -> anyhow::Result<u8> {
        let path = |word: &&str| match self.0.path().join(word) {
            path if path.is_file() => path.into_os_string(),
            _ => (*word).into(),
        };
        let line = Line::try_parse_from(std::iter::once("topology".into()).chain(words.iter().map(path)))?;
        Ok(run(line.command, None, &Output::to_stdout(Format::Json)).await?.code())
    }
}

#[tokio::test]
async fn exit_codes_are_those_of_the_help() {
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
        assert_eq!(desk.code(words).await.unwrap(), *code, "{words:?}");
    }
    assert!(desk.code(&["render", "good"]).await.is_err(), "what to render has to be said");
    assert!(desk.code(&["render", "good", "--graph", "dot", "--firewall", "json"]).await.is_err());
    let error = desk.code(&["render", "good", "--firewall", "json", "--region", "west"]).await.unwrap_err();
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

mod against_a_fabric {
    use super::{super::*, *};
    use crate::topology::{
        fake::{Fake, revision, text},
        plan::PlanArgs,
    };

    #[derive(Debug, Parser)]
    struct Planning {
        #[command(flatten)]
        args: PlanArgs,
    }

    async fn planned(file: &std::path::Path, fabric: &mut Fake) -> u8 {
        let line = Planning::parse_from(["plan".into(), file.as_os_str().to_owned()]);
        plan::run(&line.args, fabric, None, &Output::to_stdout(Format::Json)).await.unwrap().code()
    }

    #[tokio::test]
    async fn the_exit_code_says_whether_something_changes() {
        let desk = Desk::new();
        let mut fabric = Fake::of(vec![revision(4, "active", &text(2))], 60);
        assert_eq!(planned(&desk.file("same", &text(2).replace("# the fabric\n", "")), &mut fabric).await, 0);
        assert_eq!(planned(&desk.file("other", &text(3)), &mut fabric).await, 2);
        assert_eq!(planned(&desk.file("bad", "version: 1\n"), &mut fabric).await, 3);
        assert_eq!(planned(&desk.file("first", &text(2)), &mut Fake::default()).await, 2);
    }

    #[derive(Debug, Parser)]
    struct Rendering {
        #[command(flatten)]
        args: render::RenderArgs,
    }

    #[tokio::test]
    async fn render_without_a_file_is_of_the_active_revision() {
        let args = Rendering::parse_from(["render", "--graph", "mermaid"]).args;
        assert_eq!(args.file(), None);
        let mut fabric =
            Fake::of(vec![revision(1, "superseded", &text(1)), revision(2, "active", &text(3))], 0);
        let picture = render::active(&args, &mut fabric).await.unwrap();
        let same = relay_runtime::config::parse_topology(&text(3)).unwrap();
        assert_eq!(picture, same.picture(relay_core::topology::render::Picture::Mermaid));
        assert!(picture.contains("e3"), "{picture}");
        let error = render::active(&args, &mut Fake::default()).await.unwrap_err().to_string();
        assert!(error.starts_with("no topology is active yet"), "{error}");
        let only = Rendering::parse_from(["render", "--firewall", "json", "--region", "west"]).args;
        let error = render::active(&only, &mut fabric).await.unwrap_err().to_string();
        assert!(error.ends_with("there are: east, core"), "{error}");
    }

    async fn shown(fabric: &mut Fake, syndics: usize) -> String {
        let active = active::Active::of(fabric).await.unwrap();
        let topology = relay_runtime::config::parse_topology(&text(syndics)).unwrap();
        let file = PathBuf::from("new topology.yaml");
        let apply = plan::command(&file, active.number(), Some("prod"));
        let planned = plan::against(fabric, &active, (&file, &topology), apply).await.unwrap();
        planned.text(&crate::output::Paint::PLAIN)
    }

    #[tokio::test]
    async fn people_see_what_moves_which_jobs_it_touches_and_what_to_type() {
        let all: Vec<String> = (0..60).map(|n| format!("m-{n}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let jid = 1_795_246_616_123_456;
        let mut fabric =
            Fake::of(vec![revision(4, "active", &text(2))], 60).running(jid, &all).running(7, &[]);
        let shown = shown(&mut fabric, 3).await;
        let moved = shown.rsplit("0 to remove; ").next().unwrap().split(' ').next().unwrap();
        assert!(shown.contains("minions (those that the top master knows)"), "{shown}");
        let heading = " JID                   FUNCTION  WITHOUT OUTCOME  OF THEM MOVE  IN CHANGED REGIONS\n";
        let row = format!(" {}  cmd.run   60               {moved:<14}60\n", Jid::from_micros(jid));
        assert!(shown.contains(&format!("{heading}{row}")), "{shown}");
        let apply = "\napply it: relayctl topology apply 'new topology.yaml' --planned-on 4 --context prod";
        assert!(shown.ends_with(apply), "{shown}");
        assert!(!shown.contains("only the newest"), "{shown}");
    }

    #[tokio::test]
    async fn what_does_not_change_touches_no_job() {
        let mut fabric = Fake::of(vec![revision(4, "active", &text(2))], 6).running(9, &["m-1"]);
        assert_eq!(shown(&mut fabric, 2).await, "nothing changes: revision 4 means the same");
        let first = shown(&mut Fake::of(Vec::new(), 3), 2).await;
        assert!(first.starts_with("no topology is active yet: this is the first one\n"), "{first}");
        assert!(first.contains("--planned-on 0"), "{first}");
    }

    #[tokio::test]
    async fn a_revision_that_this_program_cannot_read_is_named() {
        let mut fabric = Fake::of(vec![revision(4, "active", &(text(1) + "novelty: 1\n"))], 1);
        let error = active::Active::of(&mut fabric).await.unwrap_err().to_string();
        assert!(error.contains("revision 4:11:1: ") && error.ends_with("upgrade relayctl"), "{error}");
    }
}
