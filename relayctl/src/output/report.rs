//! A job's result for programs ([`Report`]) and for people ([`text`]).

use relay_core::{
    compact::compact,
    outcome::{Outcome, Reason},
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use super::{
    nested::nested,
    paint::{Paint, clean},
};
use crate::job::{Group, JobResult};

/// Where a value starts, in columns: below the ids.
const INDENT: usize = 4;

/// The JSON of a job.
#[derive(Debug, Serialize)]
pub struct Report {
    jid: String,
    targets: u64,
    #[serde(serialize_with = "counts")]
    outcomes: Vec<(&'static str, u64)>,
    returns: Vec<Return>,
    elapsed_ms: u64,
}

#[derive(Debug, Serialize)]
struct Return {
    outcome: &'static str,
    reason: &'static str,
    retcode: i32,
    r#return: Value,
    minions: Vec<String>,
    /// SHA-256 of the whole value, in hexadecimal: only there if `return` is the beginning of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<String>,
}

impl Report {
    /// What a result says. With `fold`, equal answers stand there once.
    pub fn new(result: &JobResult, fold: bool) -> Report {
        let groups = if fold { result.folded() } else { result.unfolded() };
        Report {
            jid: result.jid.to_string(),
            targets: result.targets(),
            outcomes: result.counts().into_iter().map(|(outcome, n)| (outcome.word(), n)).collect(),
            returns: groups.iter().map(Return::new).collect(),
            elapsed_ms: result.elapsed_ms(),
        }
    }
}

impl Return {
    fn new(group: &Group<'_>) -> Return {
        let said = group.said;
        let hex = || said.truncated.iter().map(|byte| format!("{byte:02x}")).collect();
        Return {
            outcome: said.outcome.word(),
            reason: said.reason.word(),
            retcode: said.retcode,
            r#return: said.value(),
            minions: group.minions.iter().map(|id| (*id).to_owned()).collect(),
            truncated: (!said.truncated.is_empty()).then(hex),
        }
    }
}

fn counts<S: Serializer>(counts: &[(&'static str, u64)], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(counts.len()))?;
    counts.iter().try_for_each(|(outcome, n)| map.serialize_entry(outcome, n))?;
    map.end()
}

/// The result for people: each answer under the ids that gave it, then one line that accounts for all.
pub fn text(result: &JobResult, fold: bool, paint: &Paint) -> String {
    let groups = if fold { result.folded() } else { result.unfolded() };
    let mut out: String = groups.iter().map(|group| one(group, paint)).collect();
    out.push_str(&last_line(result, paint));
    out
}

fn one(group: &Group<'_>, paint: &Paint) -> String {
    let said = group.said;
    let ids = clean(&compact(group.minions.iter().copied()));
    let how_many =
        if group.minions.len() > 1 { format!(" ({} minions)", group.minions.len()) } else { String::new() };
    let mut out = match said.outcome {
        Outcome::Ok => format!("{}{how_many}:\n", paint.green(ids)),
        outcome => {
            let retcode =
                if said.retcode != 0 { format!(", retcode {}", said.retcode) } else { String::new() };
            format!(
                "{}{how_many}: {}{retcode}\n",
                coloured(outcome, &ids, paint),
                coloured(outcome, &said.words(), paint)
            )
        }
    };
    if said.reason != Reason::None {
        out.push_str(&format!("{:INDENT$}{}\n", "", said.reason.explain()));
    }
    if !said.body.is_empty() {
        out.push_str(&nested(&said.value(), INDENT, paint));
    }
    if !said.truncated.is_empty() {
        out.push_str(&format!("{:INDENT$}[cut off here: the value is too long to be carried]\n", ""));
    }
    out
}

fn coloured(outcome: Outcome, text: &str, paint: &Paint) -> String {
    match outcome {
        Outcome::Ok => paint.green(text),
        Outcome::Failed | Outcome::TimedOut | Outcome::Interrupted | Outcome::Cancelled => paint.red(text),
        Outcome::Refused | Outcome::NotStarted | Outcome::Unknown => paint.yellow(text),
    }
}

/// `200 of 200 accounted: 198 ok, 2 not_started (unreachable) in 0.43 s  jid 2026…`
fn last_line(result: &JobResult, paint: &Paint) -> String {
    let (accounted, targets) = (result.accounted(), result.targets());
    let counts = match result.count_words() {
        none if none.is_empty() => none,
        some => format!(": {some}"),
    };
    let line = format!("{accounted} of {targets} accounted{counts}");
    let all_ok = result.outcomes().all(|o| o == Outcome::Ok) && accounted == targets;
    let line = if all_ok { paint.green(line) } else { paint.yellow(line) };
    let time = match result.is_closed() {
        true => format!(" in {:.2} s", result.elapsed_ms() as f64 / 1000.0),
        false => ", still running".to_owned(),
    };
    format!("{line}{time}  jid {}", result.jid)
}
