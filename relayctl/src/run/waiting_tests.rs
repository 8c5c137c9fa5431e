//! Ctrl-C, approvals and jobs that are too wide, with an operator from a script.

use std::time::Duration;

use relay_core::ids::{Jid, RequestId};
use relay_proto::{
    Code,
    operator::{ApproveReply, CancelReply, Progress, Submitted, WatchEvent, watch_event::Event},
};
use tokio::sync::mpsc;

use super::{
    signals::Signal,
    terminal::{Ask, tests::Answers},
    watch::Watcher,
    wide,
};
use crate::{
    api::CallError,
    job::{
        End, JobResult,
        tests::{JID, Script, Told, closed, head, ok, request},
    },
};

/// A watch that tells this and then nothing.
fn told(events: Vec<WatchEvent>) -> Script {
    let watch = Told { events: events.into_iter().map(Ok).collect(), then_silent: true };
    Script { watches: [Ok(watch)].into(), ..Script::default() }
}

/// A watch that is lost after this, and one that is taken up after it: in the moment between, what was asked is answered.
fn twice(first: Vec<WatchEvent>, second: Vec<WatchEvent>) -> Script {
    let mut script = told(first);
    script.watches.iter_mut().flatten().for_each(|told| told.then_silent = false);
    script.watches.append(&mut told(second).watches);
    script
}

/// A watch of three minions of which one is done.
fn open() -> Script {
    told(vec![head(3, 0, 0), ok(&["a"])])
}

fn waits(stage: u32) -> WatchEvent {
    let progress = Progress { stage, stages: 5, awaits_approval: true, ..Progress::default() };
    WatchEvent { event: Some(Event::Progress(progress)), cursor: 0 }
}

struct Ended {
    end: End,
    acts: Script,
    ask: Answers,
}

/// Waits with these signals, all of them there from the beginning.
async fn wait(mut following: Script, mut acts: Script, mut ask: Answers, coming: &[Signal]) -> Ended {
    let (to, mut signals) = mpsc::channel(4);
    coming.iter().for_each(|signal| to.try_send(*signal).unwrap());
    let mut result = JobResult::new(Jid::from_micros(JID), 3);
    let watcher = Watcher::new(result.jid, &mut acts, &mut ask, Duration::from_millis(1));
    let end = watcher.wait(&mut following, &mut signals, &mut result, |_, _| Ok(()), |_| {}).await.unwrap();
    Ended { end, acts, ask }
}

fn acts() -> Script {
    Script {
        cancels: [Ok(CancelReply { outstanding: 2 })].into(),
        approvals: [Ok(ApproveReply { stage: 3, stages: 5 })].into(),
        ..Script::default()
    }
}

#[tokio::test]
async fn one_interrupt_lets_go_after_a_moment() {
    let ended = wait(open(), acts(), Answers::of([]), &[Signal::Interrupt]).await;
    assert!(matches!(ended.end, End::GivenUp(_)));
    assert_eq!((ended.ask.asked.len(), ended.acts.cancels.len()), (0, 1));
}

#[tokio::test]
async fn a_second_interrupt_asks_before_it_cancels() {
    let signals = [Signal::Interrupt, Signal::Interrupt];
    let no = wait(open(), acts(), Answers::of(["n"]), &signals).await;
    assert!(matches!(no.end, End::GivenUp(_)));
    assert_eq!(no.acts.cancels.len(), 1);
    assert!(
        no.ask.asked[0].contains("cancel job 20261121073656123456 on 2 minions? [y/N]"),
        "{:?}",
        no.ask.asked
    );
    // After a yes it waits on, to see what becomes of it.
    let following = twice(vec![head(3, 0, 0), ok(&["a"])], vec![head(3, 0, 1), ok(&["b", "c"]), closed()]);
    let yes = wait(following, acts(), Answers::of(["y"]), &signals).await;
    assert!(matches!(yes.end, End::Closed));
    assert_eq!(yes.acts.cancels.len(), 0);
}

#[tokio::test]
async fn without_a_terminal_nothing_is_asked() {
    for signal in [Signal::Interrupt, Signal::Terminate] {
        let ended = wait(open(), acts(), Answers::default(), &[signal]).await;
        assert!(matches!(ended.end, End::GivenUp(_)));
        assert!(ended.ask.asked.is_empty());
    }
    let ended = wait(open(), acts(), Answers::of([]), &[Signal::Terminate]).await;
    assert!(matches!(ended.end, End::GivenUp(_)));
}

#[tokio::test]
async fn an_approval_is_asked_for_once_and_given() {
    let on = vec![head(3, 0, 0), ok(&["a", "b", "c"]), closed()];
    let following = twice(vec![head(3, 0, 0), waits(2), waits(2)], on);
    let ended = wait(following, acts(), Answers::of(["y"]), &[]).await;
    assert!(matches!(ended.end, End::Closed));
    assert_eq!(ended.ask.asked.len(), 1);
    assert!(
        ended.ask.asked[0].starts_with("stage 2 of 5 is done: 0 ok, 0 failed. Go on?"),
        "{:?}",
        ended.ask.asked
    );
    assert!(ended.acts.approvals.is_empty());
}

#[tokio::test]
async fn no_approval_leaves_the_job_waiting() {
    let following = twice(vec![head(3, 0, 0), waits(1)], vec![head(3, 0, 0), waits(1), closed()]);
    let ended = wait(following, acts(), Answers::of([""]), &[]).await;
    assert!(matches!(ended.end, End::Closed));
    assert_eq!((ended.acts.approvals.len(), ended.ask.asked.len()), (1, 1));
}

#[tokio::test]
async fn a_wide_job_is_run_when_its_number_is_typed() {
    let too_wide = || CallError::of(&Code::TooWide.status("9 of 9 minions at once"));
    let accepted = Submitted { jid: JID, targets: 9, known: false };
    let mut api = Script { submits: [Err(too_wide()), Ok(accepted)].into(), ..Script::default() };
    let (mut asked, mut ask) = (request(), Answers::of(["9"]));
    assert_eq!(wide::submit(&mut api, &mut asked, &mut ask, RequestId(7)).await.unwrap(), accepted);
    assert_eq!(asked.confirmed_targets, 9);
    assert_eq!(api.request_ids, [5_u128.to_be_bytes().to_vec(), 7_u128.to_be_bytes().to_vec()]);
    assert!(ask.asked[0].starts_with("9 of 9 minions at once\n"), "{:?}", ask.asked);
    for mut ask in [Answers::of(["yes"]), Answers::default()] {
        let mut api = Script { submits: [Err(too_wide())].into(), ..Script::default() };
        let error =
            wide::submit(&mut api, &mut request(), &mut ask, RequestId(7)).await.unwrap_err().to_string();
        assert!(error.contains(if ask.is_there() { "nothing was run" } else { "9 of 9 minions" }), "{error}");
        assert_eq!(api.request_ids.len(), 1);
    }
}
