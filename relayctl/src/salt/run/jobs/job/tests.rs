//! Jobs as Salt 3008 showed them.

use relay_core::ids::Jid;
use relay_proto::operator::{Closed, Returns, WatchEvent, watch_event::Event};

use super::*;
use crate::output::salt::{Kind, Look, render_value};

const MICROS: u64 = 1_795_231_697_567_579;

fn head() -> JobHead {
    JobHead {
        jid: MICROS,
        function: "cmd.run".into(),
        args: br#"{"args":["echo hello; exit 3"],"kwargs":{}}"#.to_vec(),
        target: "m00[0-1]".into(),
        caller: "root".into(),
        targets: 2,
        created: MICROS,
        ..JobHead::default()
    }
}

fn result(events: impl IntoIterator<Item = Event>) -> JobResult {
    let mut result = JobResult::new(Jid::from_micros(MICROS), 0);
    for event in [Event::Head(head())].into_iter().chain(events) {
        result.apply(WatchEvent { event: Some(event), ..WatchEvent::default() }).unwrap();
    }
    result
}

fn returned(outcome: &str, reason: &str, retcode: i32, body: &str, ids: &[&str]) -> Event {
    Event::Returns(Returns {
        outcome: outcome.into(),
        reason: reason.into(),
        retcode,
        body: body.as_bytes().to_vec().into(),
        minions: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..Returns::default()
    })
}

fn nested(value: Value) -> String {
    render_value(Kind::Nested, &value, &Look::default())
}

#[test]
fn print_job() {
    let result = result([
        returned("failed", "", 3, r#""hello""#, &["m001", "m000"]),
        Event::Closed(Closed::default()),
    ]);
    let shown = Map::from_iter([("20261121032817567579".to_owned(), listed(&result, &[]).into())]);
    let expected = "20261121032817567579:
    ----------
    Arguments:
        - echo hello; exit 3
    Function:
        cmd.run
    Minions:
        - m000
        - m001
    Result:
        ----------
        m000:
            ----------
            retcode:
                3
            return:
                hello
            success:
                False
        m001:
            ----------
            retcode:
                3
            return:
                hello
            success:
                False
    StartTime:
        2026, Nov 21 03:28:17.567579
    Target:
        m00[0-1]
    Target-type:
        glob
    User:
        root
";
    assert_eq!(nested(shown.into()), expected);
    let keys: Vec<String> = listed(&result, &[]).keys().cloned().collect();
    assert_eq!(
        keys,
        ["Function", "Arguments", "Target", "Target-type", "User", "Minions", "StartTime", "Result"]
    );
}

#[test]
fn list_jobs() {
    let expected = "Arguments:
    - echo hello; exit 3
Function:
    cmd.run
StartTime:
    2026, Nov 21 03:28:17.567579
Target:
    m00[0-1]
Target-type:
    glob
User:
    root
";
    assert_eq!(nested(asked(&head()).into()), expected);
}

#[test]
fn lookup_jid_shows_who_returned_and_on_request_who_did_not() {
    let result = result([
        returned("ok", "", 0, r#""hello""#, &["m000"]),
        returned("unknown", "no_report", 0, "", &["m001"]),
    ]);
    assert_eq!(nested(returns(&result, &["m002".into()], false)), "m000:\n    hello\n");
    let all = nested(returns(&result, &["m002".into()], true));
    assert!(all.contains("m001:\n    Minion did not return. [No response]\n"), "{all}");
    assert!(all.contains("m002:\n    Minion did not return. [No response]\n"), "{all}");
    let expected = json!({"m000": true, "m001": false, "m002": false});
    assert_eq!(successes(&result, &["m002".into()]), expected);
}

#[test]
fn an_active_job() {
    let result = result([returned("ok", "", 0, "true", &["m000"])]);
    let held =
        |id: &str, held: &str| Outstanding { id: id.into(), held: held.into(), ..Outstanding::default() };
    let outstanding = [held("m001", "running"), held("m002", "window")];
    let shown = nested(active(&head(), &result, &outstanding).into());
    assert!(
        shown.contains(
            "Returned:\n    - m000\nRunning:\n    |_\n      ----------\n      m001:\n          running\n"
        ),
        "{shown}"
    );
}

#[test]
fn targets_and_arguments_as_salt_keeps_them() {
    for (text, expected) in [
        ("web*", (json!("web*"), "glob")),
        ("L@a,b", (json!(["a", "b"]), "list")),
        ("E@web.*", (json!("web.*"), "pcre")),
        ("G@os:Debian", (json!("os:Debian"), "grain")),
        ("P@os:Deb.*", (json!("os:Deb.*"), "grain_pcre")),
        ("S@10.0.0.0/8", (json!("10.0.0.0/8"), "ipcidr")),
        ("G@os:Debian and not web*", (json!("G@os:Debian and not web*"), "compound")),
    ] {
        assert_eq!(target(text), expected, "{text}");
    }
    let read = arguments(br#"{"args":[5],"kwargs":{"cwd":"/tmp"}}"#);
    assert_eq!(read, json!([5, {"cwd": "/tmp", "__kwarg__": true}]));
}
