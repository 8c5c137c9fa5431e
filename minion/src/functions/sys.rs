//! `sys.*`: what functions there are, and what they do.

use serde_json::{Map, Value};

use super::{
    Call, Context, Function, Start,
    arguments::{Bound, Kind, NOTHING, Parameters},
    list,
};

/// Any number of names.
const NAMES: Parameters = Parameters { rest: Some(Kind::Text), ..NOTHING };

pub(super) const LIST_FUNCTIONS: Function = Function {
    name: "sys.list_functions",
    usage: "sys.list_functions [MODULE...]",
    doc: "Return the names of all functions, or of those of some modules, sorted.\n\n\
          relayctl run 'web01' sys.list_functions cmd test",
    parameters: NAMES,
    start: Start::Value(list_functions),
};

pub(super) const DOC: Function = Function {
    name: "sys.doc",
    usage: "sys.doc [MODULE or FUNCTION...]",
    doc: "Return what functions do, as a map from name to text; of some modules or functions only, if named.\n\n\
          relayctl run 'web01' sys.doc cmd.run",
    parameters: NAMES,
    start: Start::Value(doc),
};

/// The functions that one of the names means: itself, or its module. All, if there is no name.
fn chosen(bound: &Bound) -> impl Iterator<Item = &'static Function> {
    let names: Vec<String> = bound.rest_texts().collect();
    list().iter().filter(move |f| names.is_empty() || names.iter().any(|name| means(name, f)))
}

fn means(name: &str, f: &Function) -> bool {
    let module = name.strip_suffix(".*").unwrap_or(name);
    f.name == name || f.name.split_once('.').is_some_and(|(of, _)| of == module)
}

fn list_functions(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    Ok(chosen(bound).map(|f| f.name).collect())
}

fn doc(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let texts = chosen(bound).map(|f| (f.name.to_string(), format!("{}\n\n{}", f.usage, f.doc).into()));
    Ok(texts.collect::<Map<_, _>>().into())
}
