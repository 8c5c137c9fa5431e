//! Jobs as Salt 3008 printed them; ids and jids are the samples' own.

use relay_proto::operator::{Closed, JobHead, Returns, WatchEvent, watch_event::Event};

use super::*;
use crate::{
    output::salt::{Kind, Look},
    salt::{flags, options::Parsed, order::Order},
};

const JID: u64 = 1_795_231_958_026_733;

/// What is printed of a job by a command line, piece by piece as the events come; at the end what stands on standard
/// error, and the exit code.
fn printed(line: &[&str], events: Vec<Event>, silent: &[&str]) -> (Vec<String>, String, u8) {
    let line: Vec<String> = line.iter().map(|w| (*w).to_owned()).collect();
    let order = Order::read(&Parsed::read(&line, &flags::salt()).unwrap(), &line, 1).unwrap();
    let jid = Jid::from_micros(JID);
    let mut teller = Teller::new(order.style, jid, vec![]);
    let mut result = JobResult::new(jid, 3);
    let mut pieces = vec![teller.begin()];
    for event in events {
        result.apply(WatchEvent { event: Some(event), ..WatchEvent::default() }).unwrap();
        pieces.push(teller.news(&result));
    }
    let silent: Vec<String> = silent.iter().map(|id| (*id).to_owned()).collect();
    let end = teller.end(&result, &silent);
    pieces.push(end.out);
    pieces.retain(|piece| !piece.is_empty());
    (pieces, end.err, teller.code().0)
}

fn said(outcome: &str, reason: &str, retcode: i32, body: &str, ids: &[&str]) -> Event {
    Event::Returns(Returns {
        outcome: outcome.into(),
        reason: reason.into(),
        retcode,
        body: body.as_bytes().to_vec().into(),
        minions: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..Returns::default()
    })
}

fn ok(ids: &[&str]) -> Event {
    said("ok", "", 0, "true", ids)
}

fn head() -> Event {
    Event::Head(JobHead { targets: 3, ..JobHead::default() })
}

fn closed() -> Event {
    Event::Closed(Closed::default())
}

const ERROR: &str = "ERROR: Minions returned with non-zero exit code\n";
const NO_RESPONSE: &str = "    Minion did not return. [No response]
    The minions may not have all finished running and any remaining minions will return upon completion. To look up \
the return data for this job later, run the following command:
    
    salt-run jobs.lookup_jid 20261121033238026733
";

#[test]
fn answers_come_one_by_one_and_once() {
    let events = vec![head(), ok(&["m002"]), ok(&["m000", "m002"]), closed()];
    let (pieces, err, code) = printed(&["*", "test.ping"], events, &[]);
    assert_eq!(pieces, ["m002:\n    True\n", "m000:\n    True\n"]);
    assert_eq!((err.as_str(), code), ("", 0));
}

#[test]
fn json_is_a_document_each_or_one_together() {
    let events = || vec![head(), ok(&["m001"]), ok(&["m000"]), closed()];
    let (pieces, ..) = printed(&["*", "test.ping", "--out", "json"], events(), &[]);
    assert_eq!(pieces, ["{\n    \"m001\": true\n}\n", "{\n    \"m000\": true\n}\n"]);
    let (pieces, ..) = printed(&["*", "test.ping", "--out", "json", "--static"], events(), &[]);
    assert_eq!(pieces, ["{\n    \"m000\": true,\n    \"m001\": true\n}\n"]);
}

#[test]
fn static_is_sorted() {
    let events = vec![head(), ok(&["m001"]), ok(&["m000"]), closed()];
    let (pieces, ..) = printed(&["*", "test.ping", "--static"], events, &[]);
    assert_eq!(pieces, ["m000:\n    True\nm001:\n    True\n"]);
}

#[test]
fn verbose_and_show_jid() {
    let begin = |option: &str| printed(&["*", "test.ping", option], vec![], &[]).0.concat();
    let rule = "-------------------------------------------";
    assert_eq!(begin("-v"), format!("Executing job with jid 20261121033238026733\n{rule}\n\n"));
    assert_eq!(begin("--show-jid"), "jid: 20261121033238026733\n");
}

#[test]
fn minions_that_did_not_return_stand_at_the_end() {
    let events = || vec![head(), said("unknown", "no_report", 0, "", &["m000"]), ok(&["m001"]), closed()];
    let (pieces, err, code) = printed(&["*", "test.ping"], events(), &["m009"]);
    assert_eq!(pieces, ["m001:\n    True\n".to_owned(), format!("m000:\n{NO_RESPONSE}m009:\n{NO_RESPONSE}")]);
    assert_eq!((err.as_str(), code), (ERROR, 5));
    let (pieces, _, code) = printed(&["*", "test.ping", "--missing-exit=0", "--out=txt"], events(), &[]);
    assert!(
        pieces[1].starts_with("m000: Minion did not return. [No response]\nm000: The minions may"),
        "{pieces:?}"
    );
    assert!(
        pieces[1].ends_with("\nm000: \nm000: salt-run jobs.lookup_jid 20261121033238026733\n"),
        "{pieces:?}"
    );
    assert_eq!(code, 0);
}

#[test]
fn an_id_that_no_minion_has_will_not_return() {
    let line = ["-L".to_owned(), "m000,mzzz".to_owned(), "test.ping".to_owned()];
    let order = Order::read(&Parsed::read(&line, &flags::salt()).unwrap(), &line, 1).unwrap();
    let jid = Jid::from_micros(JID);
    let mut teller = Teller::new(order.style, jid, vec!["mzzz".into()]);
    let end = teller.end(&JobResult::new(jid, 0), &[]);
    let expected = "mzzz:\n    Minion did not return. [No response]\n    The fabric knows no minion of this id; nothing was sent to it.\n";
    assert_eq!((end.out.as_str(), end.err.as_str(), teller.code().0), (expected, ERROR, 5));
}

#[test]
fn an_answer_after_unknown_is_the_answer() {
    let events = vec![head(), said("unknown", "no_report", 0, "", &["m000"]), ok(&["m000"]), closed()];
    let (pieces, err, code) = printed(&["*", "test.ping"], events, &[]);
    assert_eq!((pieces.concat().as_str(), err.as_str(), code), ("m000:\n    True\n", "", 0));
}

#[test]
fn hidden_ones_are_named_on_standard_error() {
    for option in ["--hide-timeout", "--static"] {
        let events = vec![
            head(),
            ok(&["m001"]),
            said("not_started", "unreachable", 0, "", &["m008", "m009"]),
            closed(),
        ];
        let (pieces, err, code) = printed(&["*", "test.ping", option], events, &[]);
        assert_eq!(pieces, ["m001:\n    True\n"], "{option}");
        assert_eq!((err.as_str(), code), ("ERROR: 2 minions did not return: m[008-009]\n", 5), "{option}");
    }
    let events = vec![head(), said("not_started", "unreachable", 0, "", &["m009"]), closed()];
    let (pieces, err, _) = printed(&["*", "test.ping", "--static", "--show-timeout"], events, &[]);
    assert!(pieces.concat().starts_with("m009:\n    Minion did not return. [Not connected]\n"), "{pieces:?}");
    assert_eq!(err, ERROR);
}

#[test]
fn failures() {
    let events = || vec![head(), said("failed", "", 3, r#""out\nerr""#, &["m001"]), ok(&["m000"]), closed()];
    let (pieces, err, code) = printed(&["*", "cmd.run", "x"], events(), &["m009"]);
    assert_eq!((pieces[0].as_str(), err.as_str(), code), ("m001:\n    out\n    err\n", ERROR, 1));
    assert_eq!(printed(&["*", "cmd.run", "x", "--retcode-passthrough"], events(), &[]).2, 3);
    assert_eq!(printed(&["*", "cmd.run", "x", "-b", "5"], events(), &[]).2, 3);
    let huge = vec![said("failed", "", 300, "null", &["m"])];
    assert_eq!(printed(&["*", "cmd.run", "x", "--retcode-passthrough"], huge, &[]).2, 255);
}

#[test]
fn the_summary_counts() {
    let events = vec![
        head(),
        ok(&["m000"]),
        said("failed", "", 1, r#""x""#, &["m001"]),
        said("not_started", "unreachable", 0, "", &["m002"]),
        closed(),
    ];
    let (pieces, ..) = printed(&["*", "test.ping", "--summary", "-v", "--hide-timeout"], events, &["m003"]);
    let expected = "

-------------------------------------------
Summary
-------------------------------------------
# of minions targeted: 4
# of minions returned: 2
# of minions that did not return: 2
# of minions with errors: 1
Minions not connected: m002
Minions not responding: m003
Minions with failures: m001
-------------------------------------------
";
    assert_eq!(pieces.last().unwrap(), expected);
}

#[test]
fn a_batch_in_salts_shape() {
    let events = || {
        vec![
            head(),
            said("not_started", "unreachable", 0, "", &["m009"]),
            ok(&["m002", "m000"]),
            ok(&["m001"]),
            closed(),
        ]
    };
    let (pieces, _, code) = printed(&["-b", "2", "*", "test.ping"], events(), &[]);
    let expected = "Minion m009 did not respond. No job will be sent.

Executing run on ['m000', 'm002']

jid:
    20261121033238026733
m000:
    True
retcode:
    0
jid:
    20261121033238026733
m002:
    True
retcode:
    0

Executing run on ['m001']

jid:
    20261121033238026733
m001:
    True
retcode:
    0
";
    assert_eq!((pieces.concat().as_str(), code), (expected, 5));
    let (pieces, ..) = printed(&["-b", "2", "*", "test.ping", "--out=txt"], events(), &[]);
    assert!(
        pieces[2].ends_with("['m001']\n\nretcode: 0\njid: 20261121033238026733\nm001: True\n"),
        "{pieces:?}"
    );
    let (pieces, ..) = printed(&["-b", "2", "*", "test.ping", "--static"], events(), &[]);
    assert_eq!(pieces, ["m000:\n    True\nm001:\n    True\nm002:\n    True\n"]);
    let (pieces, ..) = printed(&["-b", "2", "*", "test.ping", "--out=quiet"], events(), &[]);
    assert_eq!(pieces, [""; 0]);
}

#[test]
fn a_batch_that_was_stopped_says_so_and_does_not_blame_the_minions() {
    let events = vec![
        head(),
        said("failed", "", 2, r#""no""#, &["m000"]),
        said("not_started", "batch_stopped", 0, "", &["m001"]),
        said("not_started", "unreachable", 0, "", &["m009"]),
        closed(),
    ];
    let line = ["-b", "1", "--failhard", "*", "f.g", "-v", "--summary"];
    let (pieces, err, code) = printed(&line, events.clone(), &[]);
    let text = pieces.concat();
    assert!(text.contains("Minion m001 was not started: the batch was stopped by failures.\n"), "{text}");
    assert!(text.contains("Minion m009 did not respond. No job will be sent.\n"), "{text}");
    assert!(text.contains("# of minions that did not return: 2\n"), "{text}");
    assert!(text.contains("Minions not connected: m009\nMinions not started: m001\n"), "{text}");
    assert_eq!((err.as_str(), code), (ERROR, 2));
    let (pieces, ..) = printed(&["--failhard", "--static", "--show-timeout", "*", "f.g"], events, &[]);
    let text = pieces.concat();
    let expected = "m001:\n    Minion was not started. [the batch was stopped by failures]\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn values_that_are_cut_off_are_named_on_standard_error() {
    let Event::Returns(whole) = said("ok", "", 0, r#""long"#, &["m000", "m001"]) else {
        panic!("no returns")
    };
    let cut = Event::Returns(Returns { truncated: vec![7; 32], ..whole });
    let (pieces, err, code) = printed(&["*", "cmd.run", "x"], vec![head(), cut, closed()], &[]);
    let mark = "m000:\n    long\n    [cut off here, after 5 bytes: the value is too long to be carried]\n";
    assert!(pieces[0].starts_with(mark), "{pieces:?}");
    assert_eq!((err.as_str(), code), ("WARNING: what 2 minions returned is cut off: m[000-001]\n", 0));
}

#[test]
fn documentation_comes_once() {
    let doc = r#"{"test.ping":"Say True.\n","cmd.run":"Run it."}"#;
    let events = vec![head(), said("ok", "", 0, doc, &["m000", "m001"]), closed()];
    let (pieces, ..) = printed(&["*", "-d"], events, &[]);
    assert_eq!(pieces, ["cmd.run:\n\nRun it.\n\ntest.ping:\n\nSay True.\n\n"]);
}

#[test]
fn forms_do_not_hide_failures() {
    let style = Form { kind: Kind::Quiet, look: Look::default() };
    assert!(!style.is_data());
    let events = vec![said("failed", "", 1, "1", &["m000"])];
    let (pieces, err, code) = printed(&["*", "f.g", "--out=quiet"], events, &[]);
    assert_eq!((pieces.len(), err.as_str(), code), (0, ERROR, 1));
}
