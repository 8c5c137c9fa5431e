//! Lost connections and repeated events, without a network.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;
use relay_core::{
    ids::Jid,
    outcome::{Outcome, Reason},
};
use relay_proto::operator::{
    ApproveReply, CancelReply, Closed, Count, JobHead, Progress, RegionProgress, Returns, SubmitRequest,
    Submitted, WatchEvent, watch_event::Event,
};

use super::{result::Said, *};
use crate::{
    api::{Api, CallError, Events},
    output::{Paint, Report, report_text},
};

pub const JID: u64 = 1_795_246_616_123_456;
const QUICK: Patience = Patience { tries: 4, base: Duration::from_millis(1), cap: Duration::from_millis(1) };

/// Answers from a script, and remembers what it was asked.
#[derive(Default)]
pub struct Script {
    pub submits: VecDeque<Result<Submitted, CallError>>,
    pub watches: VecDeque<Result<Told, CallError>>,
    pub cancels: VecDeque<Result<CancelReply, CallError>>,
    pub approvals: VecDeque<Result<ApproveReply, CallError>>,
    pub request_ids: Vec<Vec<u8>>,
    /// The cursors after which was watched.
    pub afters: Vec<u64>,
}

/// Events; at their end the stream ends, or nothing comes any more.
pub struct Told {
    pub events: VecDeque<Result<WatchEvent, CallError>>,
    pub then_silent: bool,
}

impl Events for Told {
    async fn next(&mut self) -> Result<Option<WatchEvent>, CallError> {
        match self.events.pop_front() {
            None if self.then_silent => std::future::pending().await,
            event => event.transpose(),
        }
    }
}

impl Api for Script {
    type Events = Told;
    async fn submit(&mut self, request: &SubmitRequest) -> Result<Submitted, CallError> {
        self.request_ids.push(request.request_id.clone());
        self.submits.pop_front().unwrap_or_else(|| Err(lost()))
    }
    async fn cancel(&mut self, _: Jid) -> Result<CancelReply, CallError> {
        self.cancels.pop_front().unwrap_or_else(|| Err(lost()))
    }
    async fn approve(&mut self, _: Jid) -> Result<ApproveReply, CallError> {
        self.approvals.pop_front().unwrap_or_else(|| Err(lost()))
    }
    async fn watch(&mut self, _: Jid, after: u64) -> Result<Told, CallError> {
        self.afters.push(after);
        self.watches.pop_front().unwrap_or_else(|| Err(lost()))
    }
}

pub fn lost() -> CallError {
    CallError::Lost("reset".into())
}
fn absent() -> CallError {
    CallError::Unreachable("refused; is it running?".into())
}
fn no() -> CallError {
    CallError::Refused { code: None, message: "no minion matches".into(), hint: "" }
}

pub fn request() -> SubmitRequest {
    SubmitRequest { request_id: 5_u128.to_be_bytes().to_vec(), ..SubmitRequest::default() }
}

pub fn event(event: Event) -> WatchEvent {
    WatchEvent { event: Some(event), cursor: 0 }
}
pub fn head(targets: u64, closed: u64, known: u64) -> WatchEvent {
    let outcomes = vec![Count { outcome: "ok".into(), minions: known }];
    event(Event::Head(JobHead { jid: JID, targets, closed, outcomes, ..JobHead::default() }))
}
fn progress() -> WatchEvent {
    event(Event::Progress(Progress { regions: vec![RegionProgress::default()], ..Progress::default() }))
}
pub fn closed() -> WatchEvent {
    event(Event::Closed(Closed { elapsed_ms: 430, outcomes: Vec::new() }))
}
fn returns(outcome: &str, reason: &str, retcode: i32, body: &str, minions: &[&str]) -> WatchEvent {
    event(Event::Returns(Returns {
        outcome: outcome.into(),
        reason: reason.into(),
        retcode,
        body: Bytes::copy_from_slice(body.as_bytes()),
        truncated: Vec::new(),
        minions: minions.iter().map(|m| (*m).to_owned()).collect(),
        ..Returns::default()
    }))
}
pub fn ok(minions: &[&str]) -> WatchEvent {
    returns("ok", "", 0, "true", minions)
}
fn result_of(events: Vec<WatchEvent>) -> JobResult {
    let mut result = JobResult::new(Jid::from_micros(JID), 0);
    events.into_iter().for_each(|e| result.apply(e).unwrap());
    result
}
fn told(events: Vec<WatchEvent>, then: Option<CallError>) -> Result<Told, CallError> {
    let events = events.into_iter().map(Ok).chain(then.map(Err)).collect();
    Ok(Told { events, then_silent: false })
}

#[tokio::test]
async fn every_try_carries_the_same_request_id() {
    let accepted = Submitted { jid: JID, targets: 2, known: true };
    let mut api = Script {
        submits: [Err(lost()), Err(absent()), Err(lost()), Ok(accepted)].into(),
        ..Script::default()
    };
    let found = submit(&mut api, &request(), Patience { tries: 2, ..QUICK }, QUICK).await.unwrap();
    assert_eq!(found, accepted);
    assert_eq!(api.request_ids, vec![request().request_id; 4]);
}

#[tokio::test]
async fn giving_up_after_something_was_sent_names_the_request_id() {
    let mut api = Script { submits: [Err(absent()), Err(lost())].into(), ..Script::default() };
    let error =
        submit(&mut api, &request(), Patience { tries: 2, ..QUICK }, QUICK).await.unwrap_err().to_string();
    assert!(error.contains("may be accepted"), "{error}");
    assert!(error.ends_with("--request-id 00000000000000000000000000000005"), "{error}");
    assert_eq!(api.request_ids.len(), QUICK.tries as usize);
}

#[tokio::test]
async fn nobody_there_and_no_are_final() {
    let mut api =
        Script { submits: [Err(absent()), Err(absent()), Err(absent())].into(), ..Script::default() };
    let error =
        submit(&mut api, &request(), Patience { tries: 2, ..QUICK }, QUICK).await.unwrap_err().to_string();
    assert!(error.contains("is it running?") && !error.contains("request-id"), "{error}");
    assert_eq!(api.request_ids.len(), 2);
    let mut api = Script { submits: [Err(no())].into(), ..Script::default() };
    let error = submit(&mut api, &request(), QUICK, QUICK).await.unwrap_err().to_string();
    assert_eq!((error.as_str(), api.request_ids.len()), ("no minion matches", 1));
}

#[tokio::test]
async fn a_watch_goes_on_after_a_lost_connection_without_repeats() {
    let first = vec![head(3, 0, 0), ok(&["a", "b"])];
    let second =
        vec![head(3, 0, 2), ok(&["a", "b"]), progress(), returns("failed", "", 2, "\"x\"", &["c"]), closed()];
    let slow = CallError::Busy("this watcher did not keep up".into());
    let watches = [told(first, Some(slow)), Err(lost()), Err(absent()), told(second, None)];
    let mut api = Script { watches: watches.into(), ..Script::default() };
    let mut result = JobResult::new(Jid::from_micros(JID), 3);
    let mut seen = 0;
    let ended = follow(&mut api, &mut result, QUICK, |_| seen += 1).await.unwrap();
    assert!(matches!(ended, End::Closed));
    assert_eq!((result.accounted(), result.targets(), seen), (3, 3, 7));
    assert_eq!(result.count_words(), "2 ok, 1 failed");
}

#[tokio::test]
async fn a_stream_that_ends_early_is_a_lost_one_and_patience_ends() {
    let watches = [told(vec![head(2, 0, 0)], None), told(vec![head(2, 0, 0)], None), told(Vec::new(), None)];
    let mut api = Script { watches: watches.into(), ..Script::default() };
    let mut result = JobResult::new(Jid::from_micros(JID), 2);
    let ended = follow(&mut api, &mut result, QUICK, |_| {}).await.unwrap();
    assert!(matches!(ended, End::GivenUp(_)));
    assert!(!result.is_closed());
}

#[tokio::test]
async fn a_refused_watch_is_an_error() {
    let mut api = Script { watches: [Err(no())].into(), ..Script::default() };
    let mut result = JobResult::new(Jid::from_micros(JID), 2);
    assert!(follow(&mut api, &mut result, QUICK, |_| {}).await.is_err());
}

#[tokio::test]
async fn a_look_does_not_wait_for_the_end() {
    // Nothing comes after what is known; to ask on would be an error here.
    let known = vec![head(3, 0, 2), ok(&["a", "b"]), progress()];
    let mut api = Script { watches: [told(known, Some(lost()))].into(), ..Script::default() };
    let mut result = JobResult::new(Jid::from_micros(JID), 0);
    so_far(&mut api, &mut result).await.unwrap();
    assert_eq!((result.accounted(), result.targets(), result.is_closed()), (2, 3, false));
    let over = vec![head(2, 9, 2), ok(&["a"]), ok(&["b"]), progress(), closed()];
    let mut api = Script { watches: [told(over, Some(lost()))].into(), ..Script::default() };
    let mut result = JobResult::new(Jid::from_micros(JID), 0);
    so_far(&mut api, &mut result).await.unwrap();
    assert!(result.is_closed());
}

#[tokio::test]
async fn a_look_that_sees_a_part_is_an_error() {
    let mut api =
        Script { watches: [told(vec![head(3, 0, 2), ok(&["a"])], None)].into(), ..Script::default() };
    let mut result = JobResult::new(Jid::from_micros(JID), 0);
    let error = so_far(&mut api, &mut result).await.unwrap_err().to_string();
    assert!(error.starts_with("only a part of the job was told"), "{error}");
}

#[tokio::test]
async fn a_watch_resumes_after_the_last_change_that_came_whole() {
    let at = |cursor, told: WatchEvent| WatchEvent { cursor, ..told };
    let first = vec![head(3, 0, 0), at(0, ok(&["a"])), at(7, ok(&["b"])), at(0, ok(&["c"]))];
    let watches = [
        told(first, Some(lost())),
        Err(lost()),
        told(vec![head(3, 0, 2), at(9, ok(&["c"])), closed()], None),
    ];
    let mut api = Script { watches: watches.into(), ..Script::default() };
    let mut result = JobResult::new(Jid::from_micros(JID), 3);
    follow(&mut api, &mut result, QUICK, |_| {}).await.unwrap();
    assert_eq!((api.afters, result.accounted(), result.cursor()), (vec![0, 7, 7], 3, 9));
}

#[tokio::test]
async fn who_takes_nothing_in_ends_the_watching_and_not_the_job() {
    let mut api =
        Script { watches: [told(vec![head(1, 0, 0), ok(&["a"])], None)].into(), ..Script::default() };
    let mut result = JobResult::new(Jid::from_micros(JID), 1);
    let ended = follow_events(&mut api, &mut result, QUICK, |_, _| Err("no reader".into())).await.unwrap();
    assert!(matches!(ended, End::GivenUp(why) if why == "no reader"));
    assert_eq!(api.afters.len(), 1);
}

#[test]
fn both_times_of_a_late_outcome_are_kept() {
    let at = |outcome: &str, at, id: &str| {
        let returns = Returns { outcome: outcome.into(), minions: vec![id.into()], at, ..Returns::default() };
        event(Event::Returns(returns))
    };
    let story = || vec![head(2, 0, 0), at("unknown", 5, "a"), at("ok", 6, "b"), at("ok", 9, "a")];
    let result = result_of([story(), story()].concat());
    let late: Vec<(&str, Late, Outcome)> =
        result.late().map(|(id, late, said)| (id, late, said.outcome)).collect();
    assert_eq!(late, [("a", Late { unknown: 5, resolved: 9 }, Outcome::Ok)]);
    assert_eq!(result.ids_where(|said| said.outcome == Outcome::Ok), ["a", "b"]);
}

#[test]
fn unknown_is_resolved_once_and_a_final_outcome_stays() {
    let unknown = || returns("unknown", "connection_lost", 0, "", &["a", "b"]);
    let mut result = result_of(vec![head(2, 0, 0), unknown()]);
    assert_eq!(result.count_words(), "2 unknown (connection_lost)");
    result.apply(returns("failed", "", 3, "\"boom\"", &["a"])).unwrap();
    assert_eq!(result.count_words(), "1 failed, 1 unknown (connection_lost)");
    // A re-watch tells the old story again, and a second final outcome is no legal history.
    result.apply(unknown()).unwrap();
    result.apply(ok(&["a"])).unwrap();
    assert_eq!(result.count_words(), "1 failed, 1 unknown (connection_lost)");
    assert_eq!(result.folded().len(), 2);
}

#[test]
fn strange_words_are_errors() {
    let mut result = result_of(vec![head(1, 0, 0)]);
    let error = result.apply(returns("vanished", "", 0, "", &["a"])).unwrap_err().to_string();
    assert!(error.contains("vanished") && error.contains("upgrade"), "{error}");
    assert!(result.apply(returns("ok", "because", 0, "", &["a"])).is_err());
    assert_eq!(result.accounted(), 0);
}

fn sample() -> JobResult {
    result_of(vec![
        head(5, 0, 0),
        returns("failed", "", 1, "{\"pid\":7,\"stderr\":\"no\\nway\"}", &["web03"]),
        ok(&["web01", "web02"]),
        ok(&["db1"]),
        returns("not_started", "unreachable", 0, "", &["web04"]),
        closed(),
    ])
}

#[test]
fn the_json_of_a_job() {
    let json = serde_json::to_string(&Report::new(&sample(), true)).unwrap();
    let expected = concat!(
        r#"{"jid":"20261121073656123456","targets":5,"outcomes":{"ok":3,"failed":1,"not_started":1},"returns":["#,
        r#"{"outcome":"ok","reason":"","retcode":0,"return":true,"minions":["db1","web01","web02"]},"#,
        r#"{"outcome":"failed","reason":"","retcode":1,"return":{"pid":7,"stderr":"no\nway"},"minions":["web03"]},"#,
        r#"{"outcome":"not_started","reason":"unreachable","retcode":0,"return":null,"minions":["web04"]}],"#,
        r#""elapsed_ms":430}"#
    );
    assert_eq!(json, expected);
    let one_each = serde_json::to_value(Report::new(&sample(), false)).unwrap();
    assert_eq!(one_each["returns"].as_array().unwrap().len(), 5);
    assert_eq!(one_each["returns"][0]["minions"], serde_json::json!(["db1"]));
}

#[test]
fn the_text_of_a_job() {
    let expected = "db1,web[01-02] (3 minions):
    True
web03: failed, retcode 1
    ----------
    pid:
        7
    stderr:
        no
        way
web04: not_started (unreachable)
    not connected before the delivery deadline; nothing was sent, safe to run again
5 of 5 accounted: 3 ok, 1 failed, 1 not_started (unreachable) in 0.43 s  jid 20261121073656123456";
    assert_eq!(report_text(&sample(), true, &Paint::PLAIN), expected);
    let one_each = report_text(&sample(), false, &Paint::PLAIN);
    assert!(
        one_each.starts_with("db1:\n    True\nweb01:\n    True\nweb02:\n    True\nweb03: failed"),
        "{one_each}"
    );
}

#[test]
fn a_job_that_is_not_over_says_so() {
    let open = result_of(vec![head(3, 0, 0), ok(&["a"])]);
    let text = report_text(&open, true, &Paint::PLAIN);
    assert!(text.ends_with("1 of 3 accounted: 1 ok, still running  jid 20261121073656123456"), "{text}");
    let nothing = JobResult::new(Jid::from_micros(JID), 3);
    let text = report_text(&nothing, true, &Paint::PLAIN);
    assert_eq!(text, "0 of 3 accounted, still running  jid 20261121073656123456");
}

#[test]
fn a_value_that_was_cut_is_shown_as_what_it_is() {
    let cut = event(Event::Returns(Returns {
        outcome: "ok".into(),
        body: Bytes::from_static(b"{\"a\": \"beg"),
        truncated: vec![0xab, 0x01],
        minions: vec!["a".into()],
        ..Returns::default()
    }));
    let result = result_of(vec![head(1, 0, 0), cut, closed()]);
    let json = serde_json::to_value(Report::new(&result, true)).unwrap();
    assert_eq!(json["returns"][0]["return"], "{\"a\": \"beg");
    assert_eq!(json["returns"][0]["truncated"], "ab01");
    assert!(report_text(&result, true, &Paint::PLAIN).contains("cut off here"));
}

#[test]
fn a_text_that_was_cut_is_shown_as_far_as_it_goes_wherever_it_was_cut() {
    let whole = "a\nb \"c\" \\ é 😀 \u{1}end";
    for json in
        [serde_json::to_string(whole).unwrap(), r#""a\nb \"c\" \\ \u00e9 \ud83d\ude00 \u0001end""#.into()]
    {
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), whole);
        for end in 1..json.len() {
            let said = Said {
                outcome: Outcome::Ok,
                reason: Reason::None,
                retcode: 0,
                body: Bytes::copy_from_slice(&json.as_bytes()[..end]),
                truncated: vec![1],
            };
            let value = said.value();
            let shown = value.as_str().unwrap();
            assert!(whole.starts_with(shown), "{end}: {shown:?}");
            assert!(
                json.len() - end > 2 || shown.ends_with("en") || shown.ends_with("end"),
                "{end}: {shown:?}"
            );
        }
    }
}

fn any_returns() -> impl Strategy<Value = (usize, Vec<u8>)> {
    (0usize..4, proptest::collection::vec(0u8..12, 1..5))
}

proptest! {
    /// A stream that is cut anywhere and begun anew any number of times makes the same result as the whole one.
    #[test]
    fn rewatching_changes_nothing(
        story in proptest::collection::vec(any_returns(), 1..12),
        cuts in proptest::collection::vec(0usize..12, 0..4),
    ) {
        let answers = [("ok", ""), ("failed", ""), ("not_started", "unreachable"), ("unknown", "no_report")];
        let mut settled = std::collections::BTreeSet::new();
        let mut events = vec![head(12, 0, 0)];
        for (kind, minions) in story {
            let (outcome, reason) = answers[kind];
            // Legal histories only: a minion with a final outcome is not heard of again.
            let ids: Vec<String> =
                minions.iter().filter(|m| !settled.contains(*m)).map(|m| format!("m{m}")).collect();
            if kind != 3 {
                settled.extend(minions);
            }
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            events.push(returns(outcome, reason, 0, "", &ids));
        }
        let whole = result_of(events.clone());
        let mut replayed = JobResult::new(Jid::from_micros(JID), 0);
        for cut in cuts {
            events.iter().take(cut).cloned().for_each(|e| replayed.apply(e).unwrap());
        }
        events.iter().cloned().for_each(|e| replayed.apply(e).unwrap());
        prop_assert_eq!(whole.folded(), replayed.folded());
        prop_assert!(whole.outcomes().all(|o| Outcome::ALL.contains(&o)));
    }
}
