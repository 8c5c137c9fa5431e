//! What is folded, and that nothing is lost: the reader below knows the rule and nothing of how the template was made.

use bytes::Bytes;
use proptest::prelude::*;
use relay_core::ids::Jid;
use relay_proto::operator::{Returns, WatchEvent, watch_event::Event};
use serde_json::json;

use super::*;
use crate::job::JobResult;

fn answer(id: &str, value: &Value) -> Returns {
    let body = Bytes::from(value.to_string());
    Returns { outcome: "ok".into(), body, minions: vec![id.into()], ..Returns::default() }
}

fn fold_returns(returns: Vec<Returns>, see: impl FnOnce(&[Alike<'_>])) {
    let mut result = JobResult::new(Jid::from_micros(1), 0);
    for one in returns {
        result.apply(WatchEvent { event: Some(Event::Returns(one)), cursor: 0 }).unwrap();
    }
    see(&similar(result.folded()));
}

fn fold_all(answers: &[(&str, Value)], see: impl FnOnce(&[Alike<'_>])) {
    fold_returns(answers.iter().map(|(id, value)| answer(id, value)).collect(), see);
}

/// Puts the cells of one answer into a template.
fn filled(template: &Value, columns: &[Column], row: usize) -> Value {
    match template {
        Value::String(text) => {
            let whole = columns.iter().find(|c| format!("{{{}}}", c.name) == *text);
            whole.map_or_else(|| Value::String(filled_text(text, columns, row)), |c| c.cells[row].clone())
        }
        Value::Array(items) => items.iter().map(|item| filled(item, columns, row)).collect(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| (filled_text(key, columns, row), filled(value, columns, row)))
            .collect(),
        other => other.clone(),
    }
}

fn filled_text(text: &str, columns: &[Column], row: usize) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        let name = rest[at + 1..].split_once('}').map(|(name, _)| name);
        match columns.iter().find(|c| Some(c.name.as_str()) == name) {
            Some(column) => {
                out.push_str(column.cells[row].as_str().unwrap());
                rest = &rest[at + column.name.len() + 2..];
            }
            None => {
                out.push('{');
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

/// What each minion said, read back.
fn read_back(alike: &[Alike<'_>]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for group in alike {
        for (row, exact) in group.groups.iter().enumerate() {
            let value = filled(&group.template, &group.columns, row).to_string();
            all.extend(exact.minions.iter().map(|id| ((*id).to_owned(), value.clone())));
        }
    }
    all.sort();
    all
}

/// A number may lose its last digit when it is read; what is read of it then stays.
fn read(value: &Value) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn nothing_is_lost(answers: &[(&str, Value)]) {
    let mut expected: Vec<(String, String)> =
        answers.iter().map(|(id, value)| ((*id).to_owned(), read(value).to_string())).collect();
    expected.sort();
    fold_all(answers, |alike| assert_eq!(read_back(alike), expected, "{alike:?}"));
}

#[test]
fn uptimes_are_one_group() {
    let answers = [
        ("web01.aws", json!(" 10:51:08 up 3 days,  2:04,  1 user,  load average: 0.52, 0.58 on web01")),
        ("web02.aws", json!(" 10:51:09 up 12 days, 12:04,  1 user,  load average: 0.50, 0.58 on web02")),
        ("db1.aws", json!("connection refused")),
    ];
    nothing_is_lost(&answers);
    fold_all(&answers, |alike| {
        assert_eq!(alike.len(), 2);
        assert_eq!(
            alike[0].template,
            " {time} up {number} days, {time2},  1 user,  load average: {number2}, 0.58 on {host}"
        );
        assert_eq!(alike[0].columns[1].cells, [json!("3"), json!("12")]);
        assert_eq!(alike[1].template, "connection refused");
        assert!(alike[1].columns.is_empty());
    });
}

#[test]
fn structure_stays_structure() {
    let answers = [
        ("a1", json!({"pid": 7, "stdout": "x", "a1": [{"ip": "10.0.0.1", "n": "7"}], "again": 7})),
        ("a2", json!({"pid": 8, "stdout": "x", "a2": [{"ip": "10.0.0.2", "n": "8"}], "again": 8})),
    ];
    nothing_is_lost(&answers);
    fold_all(&answers, |alike| {
        assert_eq!(alike.len(), 1);
        let expected = json!({"pid": "{number}", "stdout": "x", "{host}": [{"ip": "{ip}", "n": "{number2}"}], "again": "{number}"});
        assert_eq!(alike[0].template, expected);
        assert_eq!(alike[0].columns[0].cells, [json!(7), json!(8)]);
    });
}

#[test]
fn what_means_something_else_stays_apart() {
    let apart = [
        [json!(true), json!(false)],
        [json!(1), json!("1")],
        [json!(null), json!([])],
        [json!(["a", "b"]), json!(["a", ["b"]])],
        [json!("one 1"), json!("two 1")],
    ];
    for [a, b] in apart {
        fold_all(&[("x", a), ("y", b)], |alike| assert_eq!(alike.len(), 2));
    }
    let failed = Returns { retcode: 1, ..answer("b", &json!(2)) };
    fold_returns(vec![answer("a", &json!(1)), failed], |alike| assert_eq!(alike.len(), 2));
}

#[test]
fn hostile_texts_are_told_apart_from_placeholders() {
    let table = [
        [json!("{number} 1"), json!("{number} 2")],
        [json!("{number2} {number} 1 3"), json!("{number2} {number} 2 4")],
        [json!({"{number}": 1, "n1": "{number}"}), json!({"{number}": 2, "n2": "{number}"})],
        [json!({"n1": 0, "n2": 0}), json!({"n3": 0, "n4": 0})],
        [json!({"n1": "{number3", "n2": "}"}), json!({"n3": "{number3", "n4": "}"})],
        [json!("{{number}} {1}"), json!("{{number}} {2}")],
        [json!([0.0, 1]), json!([-0.0, 1])],
        [json!("b 1b1 b"), json!("b 2b2 b")],
    ];
    for [a, b] in table {
        nothing_is_lost(&[("b", a), ("b.c", b)]);
    }
}

#[test]
fn beyond_the_bounds_answers_are_folded_exactly() {
    let long = |n: u32| json!(format!("{}{n}", "x".repeat(MAX_ANSWER)));
    let many = |n: usize| json!((0..=MAX_SLOTS).map(|i| i + n).collect::<Vec<_>>());
    for answers in [[("a", long(1)), ("b", long(2))], [("a", many(1)), ("b", many(2))]] {
        nothing_is_lost(&answers);
        fold_all(&answers, |alike| assert_eq!(alike.len(), 2));
    }
    let cut = |id, n: u8| Returns { truncated: vec![n], ..answer(id, &json!(format!("a {n}"))) };
    fold_returns(vec![cut("a", 1), cut("b", 2)], |alike| assert_eq!(alike.len(), 2));
}

#[test]
fn the_largest_is_first_and_so_is_the_first_id() {
    let answers = [("c", json!("x")), ("b", json!("n 1")), ("a", json!("n 2")), ("d", json!("y"))];
    fold_all(&answers, |alike| {
        let firsts: Vec<&str> = alike.iter().map(|a| a.groups[0].minions[0]).collect();
        assert_eq!(firsts, ["a", "c", "d"]);
    });
}

fn any_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("m1".to_owned()),
        Just("m1.x".to_owned()),
        "\\{(number|host|ip|time|hex)?[0-9]?\\}?",
        "[0-9]{1,4}",
        "(10|1)\\.0\\.0\\.[0-9]{1,3}",
        "[0-9a-f]{6,9}",
        "[012][0-9]:[0-9]{2}",
        "[ {}a:-]{1,4}",
        "\\PC{0,3}",
    ];
    proptest::collection::vec(word, 0..6).prop_map(|words| words.concat())
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any_text().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        (-2.0..2.0).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((any_text(), inner), 0..4)
                .prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

/// The same value with other digits: what is folded, mostly.
fn shifted(value: &Value, by: u32) -> Value {
    let text = value.to_string();
    let shift = |c: char| match c.to_digit(10) {
        // Keeps JSON numbers what they are: no zero is put first.
        Some(d @ 1..) => char::from_digit((d + by) % 9 + 1, 10).unwrap_or(c),
        _ => c,
    };
    serde_json::from_str(&text.chars().map(shift).collect::<String>()).unwrap_or_else(|_| value.clone())
}

proptest! {
    /// Template and cells make each minion's answer, whatever it is.
    #[test]
    fn nothing_is_lost_ever(value in any_value(), other in any_value(), shifts in proptest::collection::vec(0u32..9, 2..5)) {
        let ids = ["m1", "m1.x", "m2", "7", "x.y"];
        let mut answers: Vec<(&str, Value)> =
            ids.iter().zip(&shifts).map(|(id, by)| (*id, shifted(&value, *by))).collect();
        answers.push(("other", other));
        nothing_is_lost(&answers);
    }
}
