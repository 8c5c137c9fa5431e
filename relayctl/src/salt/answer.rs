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
}

/// Why a minion did not return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It was not reached: nothing was started there, and nothing will be.
    NotConnected,
    /// Nobody knows what became of it; a late answer is still taken.
    NoResponse,
}

/// The retcode of what went wrong and names none; Salt's `EX_GENERIC`.
const GENERIC: i32 = 1;

/// What Salt would say.
pub fn told(said: &Said, jid: Jid) -> Told {
    match said.outcome {
        Outcome::Ok => Told { value: said.value(), retcode: 0, missing: None },
        Outcome::Failed => Told { value: said.value(), retcode: not_zero(said.retcode), missing: None },
        Outcome::NotStarted => not_connected(said.reason),
        Outcome::Unknown => no_response(jid),
        _ => Told { value: with_words(said), retcode: not_zero(said.retcode), missing: None },
    }
}

/// A minion of which nothing has been heard.
pub fn no_response(jid: Jid) -> Told {
    let text = format!(
        "Minion did not return. [No response]\nThe minions may not have all finished running and any remaining \
         minions will return upon completion. To look up the return data for this job later, run the following \
         command:\n\nsalt-run jobs.lookup_jid {jid}"
    );
    Told { value: text.into(), retcode: GENERIC, missing: Some(Missing::NoResponse) }
}

/// An id that no minion has. Salt says the same of it as of a silent one, and that it may still return; it will not.
pub fn nobody() -> Told {
    let text = "Minion did not return. [No response]\nThe fabric knows no minion of this id; nothing was sent to it.";
    Told { value: text.into(), retcode: GENERIC, missing: Some(Missing::NoResponse) }
}

/// A minion that was never reached.
fn not_connected(reason: Reason) -> Told {
    let mut text = "Minion did not return. [Not connected]".to_owned();
    if reason != Reason::None {
        text.push_str(&format!("\nNothing was started there ({}): {}", reason.word(), reason.explain()));
    }
    Told { value: text.into(), retcode: GENERIC, missing: Some(Missing::NotConnected) }
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
            Told { value: "x".into(), retcode: 3, missing: None }
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
