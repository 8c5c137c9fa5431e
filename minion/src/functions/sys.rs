//! `sys.*`: what functions there are, what they do, and what they take.

use std::collections::BTreeSet;

use relay_core::target::Glob;
use serde_json::{Map, Value, json};

use super::{
    Call, Context, Function, Start,
    arguments::{Bound, Kind, NOTHING, Parameters, may},
    list,
};

/// Any number of names.
const NAMES: Parameters = Parameters { rest: Some(Kind::Text), ..NOTHING };

pub(super) const LIST_FUNCTIONS: Function = Function {
    name: "sys.list_functions",
    usage: "sys.list_functions [MODULE or GLOB...]",
    doc: "Return the names of all functions, or of those of some modules, sorted. Globs match whole names.\n\n\
          relayctl run 'web01' sys.list_functions cmd test\n\
          relayctl run 'web01' sys.list_functions 'saltutil.*_job'",
    parameters: NAMES,
    start: Start::Value(list_functions),
};

pub(super) const LIST_MODULES: Function = Function {
    name: "sys.list_modules",
    usage: "sys.list_modules [GLOB...]",
    doc: "Return the names of all modules, or of those that a glob matches, sorted.\n\n\
          relayctl run 'web01' sys.list_modules\n\
          relayctl run 'web01' sys.list_modules 's*'",
    parameters: NAMES,
    start: Start::Value(list_modules),
};

pub(super) const DOC: Function = Function {
    name: "sys.doc",
    usage: "sys.doc [MODULE, FUNCTION or GLOB...]",
    doc: "Return what functions do, as a map from name to text; of some modules or functions only, if named.\n\n\
          relayctl run 'web01' sys.doc cmd.run\n\
          relayctl run 'web01' sys.doc 'grains.*'",
    parameters: NAMES,
    start: Start::Value(doc),
};

pub(super) const ARGSPEC: Function = Function {
    name: "sys.argspec",
    usage: "sys.argspec [MODULE, FUNCTION or GLOB]",
    doc: "Return what functions take, as a map from name to args, defaults, varargs and kwargs, in Salt's form: the\n\
          defaults stand for the last args; here they are null, which means: may be left out.\n\n\
          relayctl run 'web01' sys.argspec cmd.run",
    parameters: Parameters { placed: &[may("module", Kind::Text)], ..NOTHING },
    start: Start::Value(argspec),
};

pub(super) const RELOAD_MODULES: Function = Function {
    name: "sys.reload_modules",
    usage: "sys.reload_modules",
    doc: "Return true. Functions come with the minion, so there is nothing to load again.\n\n\
          relayctl run '*' sys.reload_modules",
    parameters: NOTHING,
    start: Start::Value(|_, _, _| Ok(Value::Bool(true))),
};

/// The functions that one of the names means: itself, its module, or a glob over its name. All, if there is no name.
fn chosen(names: Vec<String>) -> impl Iterator<Item = &'static Function> {
    let globs: Vec<Glob> = names.iter().map(|name| Glob::new(name)).collect();
    list().iter().filter(move |f| globs.is_empty() || globs.iter().any(|glob| means(glob, f)))
}

fn means(glob: &Glob, f: &Function) -> bool {
    glob.matches(f.name) || glob.as_str() == module(f)
}

fn module(f: &Function) -> &'static str {
    f.name.split_once('.').map_or(f.name, |(module, _)| module)
}

fn list_functions(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    Ok(chosen(bound.rest_texts().collect()).map(|f| f.name).collect())
}

fn list_modules(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let globs: Vec<Glob> = bound.rest_texts().map(|name| Glob::new(&name)).collect();
    let modules: BTreeSet<&str> = list().iter().map(module).collect();
    let wanted = |name: &&str| globs.is_empty() || globs.iter().any(|glob| glob.matches(name));
    Ok(modules.into_iter().filter(wanted).collect())
}

fn doc(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let texts = chosen(bound.rest_texts().collect())
        .map(|f| (f.name.to_string(), format!("{}\n\n{}", f.usage, f.doc).into()));
    Ok(texts.collect::<Map<_, _>>().into())
}

fn argspec(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let named = chosen(bound.text("module").into_iter().collect());
    Ok(named.map(|f| (f.name.to_string(), spec(&f.parameters))).collect::<Map<_, _>>().into())
}

fn spec(parameters: &Parameters) -> Value {
    let all = || parameters.placed.iter().chain(parameters.named);
    let args: Vec<&str> = all().map(|p| p.name).collect();
    let optional = all().filter(|p| !p.required).count();
    let defaults = if optional == 0 { Value::Null } else { vec![Value::Null; optional].into() };
    let yes = |set: bool| if set { Value::Bool(true) } else { Value::Null };
    json!({
        "args": args,
        "defaults": defaults,
        "varargs": yes(parameters.rest.is_some()),
        "kwargs": yes(parameters.any_name),
    })
}
