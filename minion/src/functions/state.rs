//! `state.*`: until states come, the answers that Salt gives where there is no state to be found.

use serde_json::{Value, json};

use super::{
    Call, Context, Function, Start,
    arguments::{Bound, Kind, NOTHING, Parameters, may, must},
};

/// Salt's retcode for states that could not be compiled.
const COMPILER_ERROR: i32 = 1;
/// Salt's retcode for a state that failed.
const STATE_FAILURE: i32 = 2;
/// Salt's environment where none is named.
const BASE: &str = "base";

const MODS: Parameters = Parameters { placed: &[may("mods", Kind::Any)], any_name: true, ..NOTHING };

pub(super) const APPLY: Function = Function {
    name: "state.apply",
    usage: "state.apply [SLS[,SLS...]] [saltenv=base] [test=false]",
    doc: "Fail as Salt does where no such state is known: this minion knows none yet.\n\
          With names: retcode 1 and a list of texts. Without: retcode 2 and the highstate's one failed entry.\n\n\
          relayctl run 'web*' state.apply nginx",
    parameters: MODS,
    start: Start::Coded(apply),
};

pub(super) const SLS: Function = Function {
    name: "state.sls",
    usage: "state.sls SLS[,SLS...] [saltenv=base] [test=false]",
    doc: "Fail as Salt does where no such state is known, as state.apply with names.\n\n\
          relayctl run 'web*' state.sls nginx",
    parameters: Parameters { placed: &[must("mods", Kind::Any)], ..MODS },
    start: Start::Coded(apply),
};

pub(super) const HIGHSTATE: Function = Function {
    name: "state.highstate",
    usage: "state.highstate [saltenv=base] [test=false]",
    doc: "Fail as Salt does without a top file: this minion knows no states yet.\n\n\
          relayctl run 'web*' state.highstate",
    parameters: Parameters { any_name: true, ..NOTHING },
    start: Start::Coded(|_, _, _| Ok(no_top_file())),
};

pub(super) const SINGLE: Function = Function {
    name: "state.single",
    usage: "state.single MODULE.FUNCTION [NAME] [ARG=VALUE...]",
    doc: "Fail as Salt does where no such state is known: this minion knows none yet.\n\n\
          relayctl run 'web*' state.single pkg.installed name=vim",
    parameters: Parameters {
        placed: &[must("fun", Kind::Text), may("name", Kind::Any)],
        any_name: true,
        ..NOTHING
    },
    start: Start::Coded(single),
};

fn apply(bound: &Bound, _: &Call, _: &Context) -> Result<(Value, i32), String> {
    let names = names(bound.value("mods"));
    if names.is_empty() {
        return Ok(no_top_file());
    }
    let env = bound.more.get("saltenv").and_then(Value::as_str).unwrap_or(BASE);
    let told = names.iter().map(|name| format!("No matching sls found for '{name}' in env '{env}'"));
    Ok((told.collect(), COMPILER_ERROR))
}

/// The names in a text with commas, or in a list.
fn names(mods: Option<&Value>) -> Vec<String> {
    let split = |text: &str| -> Vec<String> {
        text.split(',').map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).collect()
    };
    match mods {
        Some(Value::Array(list)) => list.iter().flat_map(|name| names(Some(name))).collect(),
        Some(Value::String(text)) => split(text),
        Some(Value::Null) | None => Vec::new(),
        Some(other) => vec![other.to_string()],
    }
}

fn no_top_file() -> (Value, i32) {
    let entry = json!({
        "result": false,
        "comment": "No Top file or master_tops data matches found. Please see master log for details.",
        "name": "No States",
        "changes": {},
        "__run_num__": 0,
    });
    (json!({"no_|-states_|-states_|-None": entry}), STATE_FAILURE)
}

fn single(bound: &Bound, _: &Call, _: &Context) -> Result<(Value, i32), String> {
    let fun = bound.text("fun").unwrap_or_default();
    let told = match fun.contains('.') {
        true => json!([format!("Specified state '{fun}' was not found")]),
        false => json!("Invalid function passed"),
    };
    Ok((told, COMPILER_ERROR))
}
