//! Applying and rolling back on a scripted fabric: who is asked, what is sent, what is said when it is lost.

use clap::Parser;
use relay_proto::{Code, operator::topology_progress::Event};
use tokio::sync::mpsc;

use super::*;
use crate::{
    api::CallError,
    output::Format,
    run::{signals::Signal, terminal::tests::Answers},
    topology::{
        fake::{Fake, lost, region, revision, step, text},
        rollback::{self, RollbackArgs},
    },
};

const OUT: Format = Format::Jsonl;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ApplyArgs,
}

#[derive(Parser)]
struct Back {
    #[command(flatten)]
    args: RollbackArgs,
}

struct Desk(tempfile::TempDir);

impl Desk {
    fn with(syndics: usize) -> Desk {
        let desk = Desk(tempfile::tempdir().unwrap());
        std::fs::write(desk.0.path().join("topology.yaml"), text(syndics)).unwrap();
        desk
    }
    async fn apply(&self, words: &[&str], fabric: &mut Fake, ask: &mut Answers) -> anyhow::Result<u8> {
        let file = self.0.path().join("topology.yaml").display().to_string();
        let line = Line::try_parse_from([&["apply", &file], words].concat())?;
        Ok(run(&line.args, fabric, ask, None, &Output::to_stdout(OUT)).await?.code())
    }
}

async fn back(words: &[&str], fabric: &mut Fake) -> anyhow::Result<u8> {
    let line = Back::try_parse_from([&["rollback"], words].concat())?;
    Ok(rollback::run(&line.args, fabric, &mut Answers::default(), None, &Output::to_stdout(OUT))
        .await?
        .code())
}

fn goes_well(
    number: u64,
    state: &str,
) -> Result<Vec<Result<relay_proto::operator::TopologyProgress, CallError>>, CallError> {
    Ok(vec![
        step(Event::Accepted(revision(number, "staging", ""))),
        region("east", 4, false),
        region("east", 4, true),
        step(Event::Done(revision(number, state, ""))),
    ])
}

fn fabric() -> Fake {
    Fake::of(vec![revision(1, "superseded", &text(1)), revision(2, "active", &text(2))], 40)
}

#[tokio::test]
async fn what_was_planned_on_is_sent_and_the_end_is_the_exit_code() {
    for (state, code) in [("active", 0), ("rolled_back", 1)] {
        let mut fabric = Fake { applies: [goes_well(3, state)].into(), ..fabric() };
        let words = [
            "--yes",
            "--planned-on",
            "2",
            "-m",
            "more",
            "--max-lost",
            "7%",
            "--settle",
            "2s",
            "--commit",
            "abc",
        ];
        let ended = Desk::with(3).apply(&words, &mut fabric, &mut Answers::default()).await.unwrap();
        assert_eq!(ended, code, "{state}");
        let sent = &fabric.asked[0];
        assert_eq!((sent.planned_on, sent.max_lost_percent, sent.settle_ms), (2, 7, 2000));
        assert_eq!(
            (sent.text.as_str(), sent.message.as_str(), sent.commit.as_str()),
            (text(3).as_str(), "more", "abc")
        );
    }
}

#[tokio::test]
async fn it_is_asked_where_somebody_is_and_refused_where_nobody_is() {
    let desk = Desk::with(3);
    let error = desk.apply(&[], &mut fabric(), &mut Answers::default()).await.unwrap_err().to_string();
    assert!(error.contains("--yes"), "{error}");
    let mut ask = Answers::of(["n"]);
    let error = desk.apply(&[], &mut fabric(), &mut ask).await.unwrap_err().to_string();
    assert_eq!((error.as_str(), ask.asked.len()), ("nothing was applied", 1));
    let mut fabric = Fake { applies: [goes_well(3, "active")].into(), ..fabric() };
    assert_eq!(desk.apply(&[], &mut fabric, &mut Answers::of(["y"])).await.unwrap(), 0);
    assert_eq!(fabric.asked.len(), 1);
}

#[tokio::test]
async fn nothing_to_change_is_not_applied_and_a_bad_file_is_refused() {
    let desk = Desk::with(2);
    assert_eq!(desk.apply(&[], &mut fabric(), &mut Answers::default()).await.unwrap(), 0);
    std::fs::write(desk.0.path().join("topology.yaml"), "version: 1\n").unwrap();
    assert_eq!(desk.apply(&["--yes"], &mut fabric(), &mut Answers::default()).await.unwrap(), 3);
}

#[tokio::test]
async fn another_revision_than_the_one_planned_on_is_refused() {
    let desk = Desk::with(3);
    let words = ["--yes", "--planned-on", "1"];
    let error = desk.apply(&words, &mut fabric(), &mut Answers::default()).await.unwrap_err().to_string();
    assert!(error.starts_with("revision 2 is active, and the plan was made on 1: plan again"), "{error}");
    // Between the plan and the apply the top master looks again.
    let moved = CallError::of(&Code::TopologyMoved.status("revision 5 is active by now: plan again"));
    let mut fabric = Fake { applies: [Err(moved)].into(), ..fabric() };
    let error = desk.apply(&["--yes"], &mut fabric, &mut Answers::default()).await.unwrap_err().to_string();
    assert_eq!(error, "revision 5 is active by now: plan again");
}

#[tokio::test]
async fn while_another_one_is_on_its_way_nothing_is_applied() {
    let mut fabric = fabric();
    fabric.revisions.push(revision(3, "staging", &text(4)));
    let error = Desk::with(2).apply(&["--yes"], &mut fabric, &mut Answers::default()).await.unwrap_err();
    assert!(error.to_string().starts_with("revision 3 is being applied: wait"), "{error}");
    assert!(back(&["--yes"], &mut fabric).await.is_err());
}

#[tokio::test]
async fn the_first_topology_is_applied_on_none() {
    let mut fabric = Fake { applies: [goes_well(1, "active")].into(), ..Fake::of(Vec::new(), 4) };
    let ended = Desk::with(1).apply(&["--yes"], &mut fabric, &mut Answers::default()).await;
    assert_eq!((ended.unwrap(), fabric.asked[0].planned_on), (0, 0));
}

#[tokio::test]
async fn a_top_master_that_is_lost_in_the_middle_is_no_end() {
    let desk = Desk::with(3);
    let became = |state: &str| vec![revision(3, state, &text(3))];
    let heard = || Ok(vec![step(Event::Accepted(revision(3, "staging", ""))), Err(lost())]);
    let mut one = Fake { applies: [heard()].into(), then: became("active"), ..fabric() };
    one.then[0].why = String::new();
    assert_eq!(desk.apply(&["--yes"], &mut one, &mut Answers::default()).await.unwrap(), 0);
    let mut one = Fake { applies: [heard()].into(), then: became("rolled_back"), ..fabric() };
    assert_eq!(desk.apply(&["--yes"], &mut one, &mut Answers::default()).await.unwrap(), 1);
    // Its acceptance was not heard: found in the history, and not applied twice.
    let mut one = Fake { applies: [Err(lost())].into(), then: became("rolled_back"), ..fabric() };
    assert_eq!(desk.apply(&["--yes"], &mut one, &mut Answers::default()).await.unwrap(), 1);
    assert_eq!(one.asked.len(), 1);
    let mut one = Fake { applies: [Err(lost())].into(), ..fabric() };
    let error = desk.apply(&["--yes"], &mut one, &mut Answers::default()).await.unwrap_err().to_string();
    assert!(error.contains("it was not accepted: apply it again"), "{error}");
    let another = vec![revision(3, "staging", &text(4))];
    let mut one = Fake { applies: [Err(lost())].into(), then: another, ..fabric() };
    let error = desk.apply(&["--yes"], &mut one, &mut Answers::default()).await.unwrap_err().to_string();
    assert!(error.contains("revision 3 is another one"), "{error}");
}

#[tokio::test]
async fn an_interrupt_lets_go_of_it() {
    let steps = vec![step(Event::Accepted(revision(3, "staging", ""))), region("east", 4, false)];
    let mut fabric = Fake { applies: [Ok(steps)].into(), ..fabric() };
    let (to, mut signals) = mpsc::channel(1);
    to.try_send(Signal::Interrupt).unwrap();
    let out = Output::to_stdout(OUT);
    let ended = carry::out(&mut fabric, ApplyTopologyRequest::default(), &mut signals, &out).await.unwrap();
    assert_eq!(ended.code(), 4);
}

#[tokio::test]
async fn a_rollback_takes_up_the_revision_that_was_active_before() {
    let stopped = revision(3, "rolled_back", &text(5));
    let mut fabric = fabric();
    fabric.revisions[1].state = "superseded".into();
    fabric.revisions.push(stopped);
    fabric.revisions.push(revision(4, "active", &text(4)));
    fabric.applies = [goes_well(5, "active"), goes_well(6, "active")].into();
    assert_eq!(back(&["--yes"], &mut fabric).await.unwrap(), 0);
    assert_eq!(back(&["1", "--yes", "-m", "too small"], &mut fabric).await.unwrap(), 0);
    let sent: Vec<_> = fabric.asked.iter().map(|a| (a.rollback_of, a.planned_on, a.text.clone())).collect();
    assert_eq!(sent, [(2, 4, text(2)), (1, 4, text(1))]);
    let error = back(&["9", "--yes"], &mut fabric).await.unwrap_err().to_string();
    assert!(error.starts_with("there is no revision 9"), "{error}");
    let error = back(&["--yes"], &mut Fake::of(vec![revision(1, "active", &text(1))], 1)).await.unwrap_err();
    assert!(error.to_string().starts_with("no revision was active before 1"), "{error}");
}

#[test]
fn shares_that_may_be_lost() {
    assert_eq!((percent("5%"), percent("100"), percent("1%")), (Ok(5), Ok(100), Ok(1)));
    for text in ["", "0", "0%", "101%", "-1", "5.5%", "all"] {
        assert!(percent(text).is_err(), "{text}");
    }
}

#[test]
fn the_last_line_says_what_became_of_it() {
    let line = |state: &str, why: &str| {
        let revision = relay_proto::operator::TopologyRevision { why: why.into(), ..revision(7, state, "") };
        told::last_line(&revision, &Paint::PLAIN)
    };
    assert_eq!(line("active", ""), "revision 7 is active");
    assert_eq!(
        line("rolled_back", "east lost 9 of 40"),
        "revision 7 was stopped and rolled back: east lost 9 of 40"
    );
}
