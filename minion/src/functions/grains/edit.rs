//! `grains.*` that changes the custom grains. The rules are [`super::change`]'s, the file is [`crate::grains`]'.

use serde_json::{Map, Value, json};

use super::{
    change::{self, Changed, How},
    delimiter, look_up,
};
use crate::{
    functions::{
        Call, Context, Function, Start,
        arguments::{Bound, Kind, NOTHING, Parameters, may, must},
        body::GENERIC_FAILURE,
    },
    grains::GrainBook,
};

pub(in crate::functions) const SETVAL: Function = Function {
    name: "grains.setval",
    usage: "grains.setval KEY VALUE [destructive=false]",
    doc: "Store a custom grain and return it: {KEY: VALUE}. The KEY is a whole name; grains.set goes into maps.\n\
          It is kept in the minion's grains file (grains_file, or grains.yaml in its state directory), and targets\n\
          of later jobs see it. Comments in the file are lost. VALUE null with destructive=true removes the grain.\n\n\
          relayctl run 'web*' grains.setval role web\n\
          relayctl run 'web*' grains.setval roles '[web, cache]'",
    parameters: Parameters {
        placed: &[must("key", Kind::Text), must("val", Kind::Any), may("destructive", Kind::Flag)],
        ..NOTHING
    },
    start: Start::Value(setval),
};

pub(in crate::functions) const SETVALS: Function = Function {
    name: "grains.setvals",
    usage: "grains.setvals {KEY: VALUE, ...} [destructive=false]",
    doc: "Store several custom grains, as grains.setval does each, and return them.\n\n\
          relayctl run 'web*' grains.setvals '{role: web, rack: 7}'",
    parameters: Parameters {
        placed: &[must("grains", Kind::Map), may("destructive", Kind::Flag)],
        ..NOTHING
    },
    start: Start::Value(setvals),
};

pub(in crate::functions) const SET: Function = Function {
    name: "grains.set",
    usage: "grains.set KEY [VALUE] [force=false] [destructive=false] [delimiter=:]",
    doc: "Set a value anywhere in the custom grains: a ':' in KEY goes into a map. Returns comment, changes, result.\n\
          A map or list is only overwritten with force=true.\n\n\
          relayctl run 'web*' grains.set apps:nginx:port 8080",
    parameters: Parameters {
        placed: &[must("key", Kind::Text), may("val", Kind::Any)],
        named: &[may("force", Kind::Flag), may("destructive", Kind::Flag), may("delimiter", Kind::Text)],
        ..NOTHING
    },
    start: Start::Coded(set),
};

/// What functions that remove a grain take.
const REMOVAL: &[crate::functions::arguments::Parameter] =
    &[may("force", Kind::Flag), may("delimiter", Kind::Text)];

pub(in crate::functions) const DELVAL: Function = Function {
    name: "grains.delval",
    usage: "grains.delval KEY [destructive=false] [force=false] [delimiter=:]",
    doc: "Set a custom grain to null, or remove it with destructive=true. A ':' in KEY goes into a map.\n\
          Returns comment, changes, result. A map or list is only taken with force=true.\n\n\
          relayctl run 'web*' grains.delval role",
    parameters: Parameters {
        placed: &[must("key", Kind::Text), may("destructive", Kind::Flag)],
        named: REMOVAL,
        ..NOTHING
    },
    start: Start::Coded(|bound, _, context| Ok(delete(bound, context, bound.flag("destructive", false)))),
};

pub(in crate::functions) const DELKEY: Function = Function {
    name: "grains.delkey",
    usage: "grains.delkey KEY [force=false] [delimiter=:]",
    doc: "Remove a custom grain, as grains.delval with destructive=true.\n\nrelayctl run 'web*' grains.delkey role",
    parameters: Parameters { placed: &[must("key", Kind::Text)], named: REMOVAL, ..NOTHING },
    start: Start::Coded(|bound, _, context| Ok(delete(bound, context, true))),
};

pub(in crate::functions) const APPEND: Function = Function {
    name: "grains.append",
    usage: "grains.append KEY VALUE [convert=false] [delimiter=:]",
    doc: "Add a value, or each of a list, to a custom grain that is a list; a new list if there is none.\n\
          convert=true makes a list of what is there. Returns {KEY: LIST}, or a text that says why not.\n\n\
          relayctl run 'web*' grains.append roles cache",
    parameters: Parameters {
        placed: &[must("key", Kind::Text), must("val", Kind::Any), may("convert", Kind::Flag)],
        named: &[may("delimiter", Kind::Text)],
        ..NOTHING
    },
    start: Start::Value(append),
};

pub(in crate::functions) const REMOVE: Function = Function {
    name: "grains.remove",
    usage: "grains.remove KEY VALUE [delimiter=:]",
    doc: "Take a value out of a custom grain that is a list. Returns {KEY: LIST}, or a text that says why not.\n\n\
          relayctl run 'web*' grains.remove roles cache",
    parameters: Parameters {
        placed: &[must("key", Kind::Text), must("val", Kind::Any)],
        named: &[may("delimiter", Kind::Text)],
        ..NOTHING
    },
    start: Start::Value(remove),
};

pub(in crate::functions) const HAS_VALUE: Function = Function {
    name: "grains.has_value",
    usage: "grains.has_value KEY",
    doc: "Return whether a grain is there and is neither null, false, 0 nor empty. A ':' in KEY goes into a map.\n\n\
          relayctl run '*' grains.has_value apps:nginx",
    parameters: Parameters {
        placed: &[must("key", Kind::Text)],
        named: &[may("delimiter", Kind::Text)],
        ..NOTHING
    },
    start: Start::Value(has_value),
};

pub(in crate::functions) const EQUALS: Function = Function {
    name: "grains.equals",
    usage: "grains.equals KEY VALUE",
    doc: "Return whether a grain has this value, both as texts. A ':' in KEY goes into a map.\n\n\
          relayctl run '*' grains.equals os Debian",
    parameters: Parameters {
        placed: &[must("key", Kind::Text), must("value", Kind::Any)],
        named: &[may("delimiter", Kind::Text)],
        ..NOTHING
    },
    start: Start::Value(equals),
};

fn store(book: &GrainBook, (name, value): Changed) -> Result<Value, String> {
    book.store(&name, value.clone()).map_err(|e| e.to_string())?;
    Ok(json!({name: value}))
}

fn key(bound: &Bound) -> String {
    bound.text("key").unwrap_or_default()
}

/// The value, or nothing at all where null is to remove the grain.
fn kept(value: Value, destructive: bool) -> Option<Value> {
    (!(value.is_null() && destructive)).then_some(value)
}

fn setval(bound: &Bound, _: &Call, context: &Context) -> Result<Value, String> {
    let value = bound.value("val").cloned().unwrap_or_default();
    store(&context.grains, (key(bound), kept(value, bound.flag("destructive", false))))
}

fn setvals(bound: &Bound, _: &Call, context: &Context) -> Result<Value, String> {
    let destructive = bound.flag("destructive", false);
    let grains = bound.value("grains").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, value) in &grains {
        let changed = (name.clone(), kept(value.clone(), destructive));
        store(&context.grains, changed)
            .map_err(|e| format!("{name}: {e}; what stands before it is stored"))?;
    }
    Ok(grains.into())
}

fn append(bound: &Bound, _: &Call, context: &Context) -> Result<Value, String> {
    let value = bound.value("val").cloned().unwrap_or_default();
    let (now, convert) = (context.grains.value(), bound.flag("convert", false));
    told(&context.grains, change::append(&now, &key(bound), value, convert, &delimiter(bound)))
}

fn remove(bound: &Bound, _: &Call, context: &Context) -> Result<Value, String> {
    let value = bound.value("val").cloned().unwrap_or_default();
    let now = context.grains.value();
    told(&context.grains, change::remove(&now, &key(bound), &value, &delimiter(bound)))
}

/// A change that Salt does not make is told as a text, and is no failure.
fn told(book: &GrainBook, change: Result<Changed, String>) -> Result<Value, String> {
    change.map_or_else(|text| Ok(text.into()), |changed| store(book, changed))
}

fn set(bound: &Bound, _: &Call, context: &Context) -> Result<(Value, i32), String> {
    let value = bound.value("val").cloned().unwrap_or_else(|| "".into());
    Ok(put(bound, context, value, bound.flag("destructive", false)))
}

fn delete(bound: &Bound, context: &Context, destructive: bool) -> (Value, i32) {
    put(bound, context, Value::Null, destructive)
}

/// The map that Salt returns of a `set`; a `result` of false is a failure.
fn put(bound: &Bound, context: &Context, value: Value, destructive: bool) -> (Value, i32) {
    let delimiter = delimiter(bound);
    let how = How { delimiter: &delimiter, force: bound.flag("force", false), destructive };
    let changed = match change::set(&context.grains.value(), &key(bound), value, how) {
        Ok(None) => return (summary("Grain is already set", json!({}), true), 0),
        Ok(Some(changed)) => store(&context.grains, changed),
        Err(why) => Err(why),
    };
    match changed {
        Ok(changes) => (summary("", changes, true), 0),
        Err(why) => (summary(&why, json!({}), false), GENERIC_FAILURE),
    }
}

fn summary(comment: &str, changes: Value, result: bool) -> Value {
    json!({"comment": comment, "changes": changes, "result": result})
}

fn found(bound: &Bound, context: &Context) -> Value {
    look_up(bound, &Value::Object(super::now(context)), &key(bound))
}

fn has_value(bound: &Bound, _: &Call, context: &Context) -> Result<Value, String> {
    Ok(Value::Bool(match found(bound, context) {
        Value::Null => false,
        Value::Bool(b) => b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !Map::is_empty(&map),
    }))
}

fn equals(bound: &Bound, _: &Call, context: &Context) -> Result<Value, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let wanted = bound.value("value").map(text).unwrap_or_default();
    Ok(Value::Bool(text(&found(bound, context)) == wanted))
}
