//! One minion's outcome as Salt tells it: a value and a retcode, or a minion that did not return.
//!
//! Salt knows no outcomes between the two. Those that it does not know are told in words beside what the minion said, so
//! that nothing looks like a success that is none.

use relay_core::{
    ids::Jid,
    outcome::{Outcome, Reason},
};
use serde_json::Value;

use crate::job::Said;

/// What is told of a minion.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The value under its id.
    pub value: Value,
    /// Zero if all is well. What has no retcode of its own and is not well has 1.
    pub retcode: i32,
    /// Why it did not return, if it did not.
    pub missing: Option<Missing>,
    /// The value is only the beginning of what the minion said.
    pub cut: bool,
}

/// Why a minion did not return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It was not reached: nothing was started there, and nothing will be.
    NotConnected,
    /// It could have been reached, and nothing was started there: the batch was stopped first, say.
    NotStarted(Reason),
    /// Nobody knows what became of it; a late answer is still taken.
    NoResponse,
}

/// The retcode of what went wrong and names none; Salt's `EX_GENERIC`.
const GENERIC: i32 = 1;

/// What Salt would say.
pub fn told(said: &Said, jid: Jid) -> Told {
    match said.outcome {
        Outcome::Ok => of(said, said.value(), 0),
        Outcome::Failed => of(said, said.value(), not_zero(said.retcode)),
        Outcome::NotStarted => not_started(said.reason),
        Outcome::Unknown => no_response(jid),
        _ => of(said, with_words(said), not_zero(said.retcode)),
    }
}

/// What a minion said, with a mark where it is cut off.
fn of(said: &Said, value: Value, retcode: i32) -> Told {
    let cut = !said.truncated.is_empty();
    Told { value: if cut { marked(value, said.body.len()) } else { value }, retcode, missing: None, cut }
}

/// A value that is cut off after so many bytes of its JSON, with a last line that says so.
pub fn marked(value: Value, bytes: usize) -> Value {
    let mark = match bytes {
        0 => "[cut off: the value is too long to be kept]".to_owned(),
        _ => format!("[cut off here, after {bytes} bytes: the value is too long to be carried]"),
    };
    match value {
        Value::Null => mark.into(),
        Value::String(text) => format!("{}\n{mark}", text.trim_end_matches('\n')).into(),
        other => format!("{other}\n{mark}").into(),
    }
}

/// A minion of which nothing has been heard.
pub fn no_response(jid: Jid) -> Told {
    let text = format!(
        "Minion did not return. [No response]\nThe minions may not have all finished running and any remaining \
         minions will return upon completion. To look up the return data for this job later, run the following \
         command:\n\nsalt-run jobs.lookup_jid {jid}"
    );
    missing(text, Missing::NoResponse)
}

/// An id that no minion has. Salt says the same of it as of a silent one, and that it may still return; it will not.
pub fn nobody() -> Told {
    let text = "Minion did not return. [No response]\nThe fabric knows no minion of this id; nothing was sent to it.";
    missing(text.to_owned(), Missing::NoResponse)
}

fn missing(text: String, why: Missing) -> Told {
    Told { value: text.into(), retcode: GENERIC, missing: Some(why), cut: false }
}

/// A minion on which nothing was started. Salt's words for one that was not reached are kept for just that.
fn not_started(reason: Reason) -> Told {
    if matches!(reason, Reason::Unreachable | Reason::ConnectionLost) {
        let text = "Minion did not return. [Not connected]\nNothing was started there";
        return missing(format!("{text} ({}): {}", reason.word(), reason.explain()), Missing::NotConnected);
    }
    let text = match why_not(reason) {
        "" => "Minion was not started.".to_owned(),
        why => format!("Minion was not started. [{why}]"),
    };
    missing(text, Missing::NotStarted(reason))
}

/// Why a job was not started on a minion that could have been reached, in a few words.
pub fn why_not(reason: Reason) -> &'static str {
    match reason {
        Reason::BatchStopped => "the batch was stopped by failures",
        Reason::Enough => "enough minions had answered",
        Reason::Deadline => "the job's deadline had passed",
        Reason::NotApproved => "nobody approved its stage",
        Reason::BeforeStart => "the job was cancelled first",
        Reason::Expired => "the job came after its delivery deadline",
        other => other.explain(),
    }
}

fn not_zero(retcode: i32) -> i32 {
    if retcode == 0 { GENERIC } else { retcode }
}

/// What was said before it ended, and how it ended.
fn with_words(said: &Said) -> Value {
    let why = match said.reason {
        Reason::None => said.words(),
        reason => format!("{}: {}", said.words(), reason.explain()),
    };
    match said.value() {
        Value::Null => format!("[{why}]").into(),
        Value::String(text) if text.is_empty() => format!("[{why}]").into(),
        Value::String(text) => format!("{}\n[{why}]", text.trim_end_matches('\n')).into(),
        other => serde_json::json!({ "outcome": why, "return": other }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(outcome: Outcome, reason: Reason, retcode: i32, body: &str) -> Said {
        Said { outcome, reason, retcode, body: body.as_bytes().to_vec().into(), truncated: Vec::new() }
    }

    fn of(outcome: Outcome, reason: Reason, retcode: i32, body: &str) -> Told {
        told(&said(outcome, reason, retcode, body), Jid::from_micros(1_795_246_616_123_456))
    }

    #[test]
    fn only_ok_has_retcode_zero() {
        for outcome in Outcome::ALL {
            assert_eq!(of(outcome, Reason::None, 0, "1").retcode == 0, outcome == Outcome::Ok, "{outcome:?}");
        }
        assert_eq!(
            of(Outcome::Failed, Reason::None, 3, r#""x""#),
            Told { value: "x".into(), retcode: 3, missing: None, cut: false }
        );
    }

    #[test]
    fn missing_ones_are_told_in_salts_words() {
        let unknown = of(Outcome::Unknown, Reason::ConnectionLost, 0, "");
        assert_eq!(unknown.missing, Some(Missing::NoResponse));
        let text = unknown.value.as_str().unwrap();
        assert!(
            text.starts_with("Minion did not return. [No response]\nThe minions may not have all"),
            "{text}"
        );
        assert!(text.ends_with("command:\n\nsalt-run jobs.lookup_jid 20261121073656123456"), "{text}");
        let never = of(Outcome::NotStarted, Reason::Unreachable, 0, "");
        assert_eq!(never.missing, Some(Missing::NotConnected));
        let text = never.value.as_str().unwrap();
        assert!(
            text.starts_with("Minion did not return. [Not connected]\nNothing was started there"),
            "{text}"
        );
    }

    #[test]
    fn not_connected_is_said_only_of_those_that_were_not() {
        for reason in Reason::ALL {
            let told = of(Outcome::NotStarted, reason, 0, "");
            let text = told.value.as_str().unwrap();
            let away = matches!(reason, Reason::Unreachable | Reason::ConnectionLost);
            assert_eq!(text.contains("[Not connected]"), away, "{reason:?}: {text}");
            assert_eq!(told.missing == Some(Missing::NotConnected), away, "{reason:?}");
            assert_eq!(text.starts_with("Minion was not started."), !away, "{reason:?}: {text}");
        }
        let stopped = of(Outcome::NotStarted, Reason::BatchStopped, 0, "");
        assert_eq!(stopped.value, "Minion was not started. [the batch was stopped by failures]");
        assert_eq!(stopped.missing, Some(Missing::NotStarted(Reason::BatchStopped)));
    }

    #[test]
    fn what_is_cut_off_says_so() {
        let cut = |outcome, body: &str| {
            let said = Said { truncated: vec![7; 32], ..said(outcome, Reason::None, 0, body) };
            told(&said, Jid::from_micros(1))
        };
        for (outcome, body, expected) in [
            (
                Outcome::Ok,
                r#""one\ntw"#,
                "one\ntw\n[cut off here, after 8 bytes: the value is too long to be carried]",
            ),
            (
                Outcome::Failed,
                r#"{"a":[1,"#,
                "{\"a\":[1,\n[cut off here, after 8 bytes: the value is too long to be carried]",
            ),
            (
                Outcome::TimedOut,
                r#""one"#,
                "one\n[timed_out]\n[cut off here, after 4 bytes: the value is too long to be carried]",
            ),
            (Outcome::Ok, "", "[cut off: the value is too long to be kept]"),
        ] {
            let found = cut(outcome, body);
            assert_eq!((found.value, found.cut), (Value::from(expected), true), "{body}");
        }
        assert!(!of(Outcome::Ok, Reason::None, 0, r#""one""#).cut);
    }

    #[test]
    fn outcomes_that_salt_does_not_know_are_words() {
        assert_eq!(of(Outcome::TimedOut, Reason::None, 0, r#""half\n""#).value, "half\n[timed_out]");
        assert_eq!(of(Outcome::Interrupted, Reason::None, 0, "").value, "[interrupted]");
        let busy = of(Outcome::Refused, Reason::Busy, 0, "").value;
        assert!(busy.as_str().unwrap().starts_with("[refused (busy): "), "{busy}");
        assert_eq!(
            of(Outcome::Cancelled, Reason::None, 0, "[1]").value,
            serde_json::json!({"outcome": "cancelled", "return": [1]})
        );
    }
}
