//! `--out tsv`: for awk and cut. One line of names, then one line per row; columns are separated by one tab, and neither a
//! tab nor a line end is in a cell: they are written `\t` and `\n`, a backslash `\\`, other control characters `\x1b`.
//!
//! The columns are the fields of the JSON, in its order. New ones are added at the end only.

use std::collections::HashMap;

use relay_core::outcome::{Outcome, Reason};
use serde_json::Value;

use super::paint::clean;
use crate::job::{JobResult, Said};

/// Any answer: a row for each object of a list, or for each field of an object.
pub fn rows(data: &Value, header: bool) -> String {
    match data {
        Value::Array(items) => list(items, header),
        Value::Object(fields) => {
            let rows = fields.iter().map(|(name, value)| vec![escaped(name), cell(value)]);
            lines(&["field".into(), "value".into()], rows, header)
        }
        scalar => cell(scalar) + "\n",
    }
}

/// A job: a row for each minion that has an outcome, by id.
pub fn job(result: &JobResult, header: bool) -> String {
    let names = ["minion", "outcome", "reason", "retcode", "return"].map(str::to_owned);
    let rows = result.unfolded().into_iter().map(|group| {
        let said = group.said;
        let id = group.minions.first().copied().unwrap_or_default();
        let value = if said.body.is_empty() { String::new() } else { cell(&said.value()) };
        let (outcome, reason) = (said.outcome.word().to_owned(), said.reason.word().to_owned());
        vec![escaped(id), outcome, reason, retcode(said), value]
    });
    lines(&names, rows, header)
}

/// The exit code of what ran. Where nothing ran, or nobody knows its end, there is none, and 0 would read as success.
fn retcode(said: &Said) -> String {
    let ended = match said.outcome {
        Outcome::Ok | Outcome::Failed | Outcome::TimedOut | Outcome::Interrupted => true,
        Outcome::Cancelled => said.reason != Reason::BeforeStart,
        Outcome::Refused | Outcome::NotStarted | Outcome::Unknown => false,
    };
    if ended { said.retcode.to_string() } else { String::new() }
}

fn list(items: &[Value], header: bool) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut place: HashMap<&str, usize> = HashMap::new();
    for name in items.iter().filter_map(Value::as_object).flat_map(|fields| fields.keys()) {
        place.entry(name).or_insert_with(|| {
            names.push(escaped(name));
            names.len() - 1
        });
    }
    if names.is_empty() {
        return items.iter().map(|item| cell(item) + "\n").collect();
    }
    let rows = items.iter().map(|item| {
        let mut row = vec![String::new(); names.len()];
        for (name, value) in item.as_object().into_iter().flatten() {
            row[place[name.as_str()]] = cell(value);
        }
        row
    });
    lines(&names, rows, header)
}

fn lines(names: &[String], rows: impl Iterator<Item = Vec<String>>, header: bool) -> String {
    let mut out = if header { names.join("\t") + "\n" } else { String::new() };
    for row in rows {
        out.push_str(&row.join("\t"));
        out.push('\n');
    }
    out
}

/// A text as it is, nothing for null, JSON for everything else.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => escaped(text),
        other => escaped(&other.to_string()),
    }
}

fn escaped(text: &str) -> String {
    clean(&text.replace('\\', "\\\\")).replace('\t', "\\t").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_has_a_column_for_each_field() {
        let data = json!([{"id": "a\tb", "n": 1, "none": null}, {"id": "c\\\nd\u{1b}", "more": [1, "x"], "n": true}]);
        let expected = "id\tn\tnone\tmore\na\\tb\t1\t\t\nc\\\\\\nd\\x1b\ttrue\t\t[1,\"x\"]\n";
        assert_eq!(rows(&data, true), expected);
        assert_eq!(rows(&data, false), expected.split_once('\n').unwrap().1);
    }

    #[test]
    fn where_nothing_ran_there_is_no_retcode() {
        let shown = |outcome, reason| {
            let body = bytes::Bytes::new();
            retcode(&Said { outcome, reason, retcode: 0, body, truncated: Vec::new() })
        };
        for outcome in [Outcome::Ok, Outcome::Failed, Outcome::TimedOut, Outcome::Interrupted] {
            assert_eq!(shown(outcome, Reason::None), "0", "{outcome:?}");
        }
        for outcome in [Outcome::NotStarted, Outcome::Refused, Outcome::Unknown] {
            assert_eq!(shown(outcome, Reason::None), "", "{outcome:?}");
        }
        assert_eq!(shown(Outcome::Cancelled, Reason::BeforeStart), "");
        assert_eq!(shown(Outcome::Cancelled, Reason::WhileRunning), "0");
    }

    #[test]
    fn other_answers() {
        assert_eq!(rows(&json!({"a": 1, "b": null}), true), "field\tvalue\na\t1\nb\t\n");
        assert_eq!(rows(&json!(["x", 2]), true), "x\n2\n");
        assert_eq!(rows(&json!([]), true), "");
    }
}
