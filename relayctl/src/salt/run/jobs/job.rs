//! One job in the shape of Salt's runners.

use relay_core::target::{Expr, Target};
use relay_proto::operator::{JobHead, Outstanding};
use serde_json::{Map, Value, json};

use crate::{
    job::JobResult,
    salt::{
        answer::{Told, no_response, told},
        run::times,
    },
};

/// What was asked for: the six lines that every listing has.
pub fn asked(head: &JobHead) -> Map<String, Value> {
    let (target, kind) = target(&head.target);
    Map::from_iter([
        ("Function".to_owned(), head.function.clone().into()),
        ("Arguments".to_owned(), arguments(&head.args)),
        ("Target".to_owned(), target),
        ("Target-type".to_owned(), kind.into()),
        ("User".to_owned(), head.caller.clone().into()),
        ("StartTime".to_owned(), times::written(head.created).into()),
    ])
}

/// Arguments by position, and those by name as a last one with a mark, as Salt keeps them.
fn arguments(json: &[u8]) -> Value {
    let read: Value = serde_json::from_slice(json).unwrap_or_default();
    let mut args = read.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(named) = read.get("kwargs").and_then(Value::as_object).filter(|named| !named.is_empty()) {
        let mut named = named.clone();
        named.insert("__kwarg__".into(), true.into());
        args.push(named.into());
    }
    args.into()
}

/// A target expression as Salt keeps it: the matcher's word apart from what it matches.
fn target(text: &str) -> (Value, &'static str) {
    let Ok(parsed) = Target::parse(text) else { return (text.into(), "compound") };
    let rest = || Value::from(text.split_once('@').map_or(text, |(_, rest)| rest));
    match parsed.expr() {
        Expr::Glob(_) => (text.into(), "glob"),
        Expr::List(ids) => (ids.iter().map(ToString::to_string).collect(), "list"),
        Expr::Regex(_) => (rest(), "pcre"),
        Expr::Grain(_) => (rest(), "grain"),
        Expr::GrainRegex(_) => (rest(), "grain_pcre"),
        Expr::Pillar(_) => (rest(), "pillar"),
        Expr::PillarRegex(_) => (rest(), "pillar_pcre"),
        Expr::Subnet(_) => (rest(), "ipcidr"),
        Expr::NodeGroup(_) => (rest(), "nodegroup"),
        _ => (text.into(), "compound"),
    }
}

/// Each minion that has an outcome, and what is told of it.
fn all_told(result: &JobResult) -> impl Iterator<Item = (&str, Told)> {
    let groups = result.unfolded();
    groups.into_iter().flat_map(move |g| g.minions.into_iter().map(move |id| (id, told(g.said, result.jid))))
}

/// What minions returned, by id. With `missing` also those that did not, in Salt's words.
pub fn returns(result: &JobResult, silent: &[String], missing: bool) -> Value {
    let known = all_told(result).filter(|(_, told)| missing || told.missing.is_none());
    let mut all: Map<String, Value> = known.map(|(id, told)| (id.to_owned(), told.value)).collect();
    if missing {
        all.extend(silent.iter().map(|id| (id.clone(), no_response(result.jid).value)));
    }
    all.into()
}

/// Who ran it without an error.
pub fn successes(result: &JobResult, silent: &[String]) -> Value {
    let known = all_told(result).map(|(id, told)| (id.to_owned(), Value::from(told.retcode == 0)));
    let silent = silent.iter().map(|id| (id.clone(), Value::from(false)));
    known.chain(silent).collect::<Map<_, _>>().into()
}

/// A job with its minions and returns.
pub fn listed(result: &JobResult, silent: &[String]) -> Map<String, Value> {
    let mut all = result.head.as_ref().map(asked).unwrap_or_default();
    let start = all.shift_remove("StartTime");
    let mut minions: Vec<&str> =
        all_told(result).map(|(id, _)| id).chain(silent.iter().map(String::as_str)).collect();
    minions.sort_unstable();
    all.insert("Minions".into(), minions.into());
    all.insert("StartTime".into(), start.unwrap_or_default());
    let returned = all_told(result).filter(|(_, told)| told.missing.is_none());
    let shape =
        |told: Told| json!({ "return": told.value, "retcode": told.retcode, "success": told.retcode == 0 });
    let returned: Map<String, Value> = returned.map(|(id, told)| (id.to_owned(), shape(told))).collect();
    all.insert("Result".into(), returned.into());
    all
}

/// A job that is not over: who has returned, who has it, and who still waits for it. Salt shows process ids beside those
/// that run; the tree tells where each is held, and `salt ID saltutil.running` the process.
pub fn active(head: &JobHead, result: &JobResult, outstanding: &[Outstanding]) -> Map<String, Value> {
    let mut all = asked(head);
    let returned: Vec<&str> =
        all_told(result).filter(|(_, t)| t.missing.is_none()).map(|(id, _)| id).collect();
    all.insert("Returned".into(), returned.into());
    let (there, waiting): (Vec<_>, Vec<_>) =
        outstanding.iter().partition(|m| matches!(m.held.as_str(), "running" | "sent" | "lost"));
    all.insert("Running".into(), held(&there));
    if !waiting.is_empty() {
        all.insert("Waiting".into(), held(&waiting));
    }
    all
}

fn held(minions: &[&Outstanding]) -> Value {
    let one = |m: &&Outstanding| -> Value { Map::from_iter([(m.id.clone(), m.held.clone().into())]).into() };
    minions.iter().map(one).collect()
}

#[cfg(test)]
mod tests;
