//! `grains.*`: what the minion knows of its machine. Gathering it is [`crate::grains`]; changing it is `edit`'s.

mod change;
mod edit;

pub(super) use edit::{APPEND, DELKEY, DELVAL, EQUALS, HAS_VALUE, REMOVE, SET, SETVAL, SETVALS};

use serde_json::{Map, Value};

use super::{
    Call, Context, Function, Start,
    arguments::{Bound, Kind, NOTHING, Parameters, may, must},
};
use crate::grains::{traverse, volatile};

/// What separates the levels of a nested key where the caller names nothing else.
const DELIMITER: &str = ":";

pub(super) const ITEMS: Function = Function {
    name: "grains.items",
    usage: "grains.items",
    doc: "Return all grains.\n\nrelayctl run '*' grains.items",
    parameters: NOTHING,
    start: Start::Value(items),
};

pub(super) const ITEM: Function = Function {
    name: "grains.item",
    usage: "grains.item KEY... [default=VALUE] [delimiter=:]",
    doc: "Return some grains as a map. One that is not there has the default (an empty text).\n\n\
          relayctl run '*' grains.item os osrelease ip4_interfaces:eth0",
    parameters: Parameters {
        placed: &[must("key", Kind::Text)],
        named: &[may("default", Kind::Any), may("delimiter", Kind::Text)],
        rest: Some(Kind::Text),
        any_name: false,
    },
    start: Start::Value(item),
};

pub(super) const GET: Function = Function {
    name: "grains.get",
    usage: "grains.get KEY [DEFAULT] [delimiter=:]",
    doc: "Return one grain, or the default (an empty text). A ':' in KEY goes into a map or list.\n\n\
          relayctl run '*' grains.get os\n\
          relayctl run '*' grains.get ip_interfaces:eth0:0 default=none",
    parameters: Parameters {
        placed: &[must("key", Kind::Text), may("default", Kind::Any)],
        named: &[may("delimiter", Kind::Text)],
        rest: None,
        any_name: false,
    },
    start: Start::Value(get),
};

pub(super) const LS: Function = Function {
    name: "grains.ls",
    usage: "grains.ls",
    doc: "Return the names of all grains, sorted.\n\nrelayctl run '*' grains.ls",
    parameters: NOTHING,
    start: Start::Value(ls),
};

/// The grains of this moment: the ones that were reported upwards, and those that change with the process.
fn now(context: &Context) -> Map<String, Value> {
    let mut all = context.grains.value().as_object().cloned().unwrap_or_default();
    for (name, value) in volatile() {
        all.entry(name).or_insert(value);
    }
    all
}

fn items(_: &Bound, _: &Call, context: &Context) -> Result<Value, String> {
    Ok(now(context).into())
}

fn ls(_: &Bound, _: &Call, context: &Context) -> Result<Value, String> {
    let mut names: Vec<String> = now(context).into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    Ok(names.into())
}

fn get(bound: &Bound, _: &Call, context: &Context) -> Result<Value, String> {
    let key = bound.text("key").unwrap_or_default();
    Ok(look_up(bound, &Value::Object(now(context)), &key))
}

fn item(bound: &Bound, _: &Call, context: &Context) -> Result<Value, String> {
    let all = Value::Object(now(context));
    let keys = bound.text("key").into_iter().chain(bound.rest_texts());
    Ok(keys.map(|key| (key.clone(), look_up(bound, &all, &key))).collect::<Map<_, _>>().into())
}

fn delimiter(bound: &Bound) -> String {
    bound.text("delimiter").filter(|d| !d.is_empty()).unwrap_or_else(|| DELIMITER.into())
}

fn look_up(bound: &Bound, all: &Value, key: &str) -> Value {
    let found = traverse(all, key, &delimiter(bound)).cloned();
    found.or_else(|| bound.value("default").cloned()).unwrap_or_else(|| "".into())
}
