//! Layouts of one job.

use bytes::Bytes;
use relay_core::ids::Jid;
use relay_proto::operator::{Returns, WatchEvent, watch_event::Event};
use serde_json::{Value, json};

use super::*;
use crate::output::{Report, tsv};

fn job(answers: impl IntoIterator<Item = (String, &'static str, Value)>) -> JobResult {
    let mut result = JobResult::new(Jid::from_micros(1_795_246_616_123_456), 0);
    for (id, outcome, value) in answers {
        let body = if value.is_null() { Bytes::new() } else { Bytes::from(value.to_string()) };
        let returns = Returns { outcome: outcome.into(), body, minions: vec![id], ..Returns::default() };
        result.apply(WatchEvent { event: Some(Event::Returns(returns)), cursor: 0 }).unwrap();
    }
    result
}

/// Without the last line, which is the same in all layouts.
fn shown(result: &JobResult, view: View) -> String {
    let text = text(result, view, &Paint::PLAIN);
    text.rsplit_once('\n').map_or(String::new(), |(answers, _)| format!("{answers}\n"))
}

fn config(port: u32) -> Value {
    json!({"host": "here", "port": port, "path": "/srv"})
}

#[test]
fn smaller_groups_as_differences() {
    let mut answers: Vec<_> = (1..=3).map(|n| (format!("web0{n}"), "ok", config(80))).collect();
    answers.push(("web04".into(), "ok", config(81)));
    answers.push(("web05".into(), "failed", config(80)));
    answers.push(("web06".into(), "not_started", Value::Null));
    let expected = "web[01-03] (3 minions):
    ----------
    host:
        here
    port:
        80
    path:
        /srv
web04:
    @@ -2,6 +2,6 @@
     host:
         here
     port:
    -    80
    +    81
     path:
         /srv
web05: failed
    [the value is that of the largest group]
web06: not_started
";
    assert_eq!(shown(&job(answers), View { diff: true, ..View::default() }), expected);
}

#[test]
fn what_is_too_long_to_be_compared_is_shown_whole() {
    let long = |end: &str| json!(format!("{}{end}", "line\n".repeat(10_000)));
    let answers = [("a".into(), "ok", long("x")), ("b".into(), "ok", long("y"))];
    let text = shown(&job(answers), View { diff: true, ..View::default() });
    assert!(text.contains("b:\n    [too long to be compared; shown whole]\n    line\n"));
    assert_eq!(text.lines().filter(|l| l.trim() == "line").count(), 20_000);
}

#[test]
fn alike_answers_as_template_and_table() {
    let up = |days: u32, load: &str, id: &str| json!(format!("{id} up {days:>3} days, load {load}, 2 users"));
    let answers = [
        ("web01.aws".to_owned(), "ok", up(3, "0.52", "web01")),
        ("web02.aws".to_owned(), "ok", up(120, "0.10", "web02")),
        ("web03.aws".to_owned(), "ok", up(12, "1.00", "web03")),
        ("db".to_owned(), "failed", json!("no such file")),
    ];
    let result = job(answers);
    let view = View { fold: Fold::Similar, ..View::default() };
    let expected = "web[01-03].aws (3 minions, alike):
    {host} up {number} days, load {number2}, 2 users
    {host}: the minion's id up to the first dot
    {number}: 3 to 120, median 12
    {number2}: 0.10 to 1.00, median 0.52
     MINIONS    {number}  {number2}
     web01.aws  3         0.52
     web02.aws  120       0.10
     web03.aws  12        1.00
db: failed
    no such file
";
    assert_eq!(shown(&result, view), expected);
    let json = serde_json::to_value(Report::new(&result, view)).unwrap();
    let alike = &json["returns"][0];
    assert_eq!(alike["template"], "{host} up {number} days, load {number2}, 2 users");
    assert_eq!(alike["columns"]["number"], json!(["  3", "120", " 12"]));
    assert_eq!(alike["columns"]["host"], json!(["web01", "web02", "web03"]));
    assert!(alike.get("return").is_none() && json["returns"][1]["return"] == "no such file");
}

#[test]
fn long_tables_are_cut_off_where_people_read() {
    let answers = || (0..60).map(|n| (format!("m{n:02}"), "ok", json!(n)));
    let clipped = View { fold: Fold::Similar, clip: true, ..View::default() };
    let text = shown(&job(answers()), clipped);
    assert!(
        text.contains("\n    [10 more rows: --no-clip shows them]\n") && !text.contains(" m55 "),
        "{text}"
    );
    let whole = shown(&job(answers()), View { clip: false, ..clipped });
    assert!(whole.contains(" m59 ") && !whole.contains("more rows"), "{whole}");
}

#[test]
fn wide_tables_are_cut_off_and_said_to_be() {
    let many = |n: usize| json!((0..20).map(|i| i * n).collect::<Vec<_>>());
    let text = shown(
        &job([("a".to_owned(), "ok", many(1)), ("b".to_owned(), "ok", many(2))]),
        View { fold: Fold::Similar, ..View::default() },
    );
    assert!(text.contains("{number19}: 19 to 38, median 19\n"), "{text}");
    assert!(text.contains("[7 more columns: --out json has them]\n"), "{text}");
}

#[test]
fn rows_for_awk() {
    let answers = [("b".to_owned(), "failed", json!("x\ty")), ("a".to_owned(), "ok", json!({"k": [1]}))];
    let expected =
        "minion\toutcome\treason\tretcode\treturn\na\tok\t\t0\t{\"k\":[1]}\nb\tfailed\t\t0\tx\\ty\n";
    assert_eq!(tsv::job(&job(answers), true), expected);
}

/// 5,000 answers, all different: every layout is made of steps that are linear in them, or this test takes minutes.
#[test]
fn a_large_job_is_laid_out() {
    let one = |n: u32| json!({"out": format!("m{n} up {n} days\n{}", "a line of it\n".repeat(20)), "pid": n});
    let result = job((0..5000).map(|n| (format!("m{n}"), "ok", one(n))));
    for fold in [Fold::Exact, Fold::Similar, Fold::None] {
        let text = text(&result, View { fold, diff: true, clip: false }, &Paint::PLAIN);
        assert!(text.lines().count() >= 5000);
    }
}
