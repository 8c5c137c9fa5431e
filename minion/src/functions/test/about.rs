//! `test.*` that tells of the minion itself: its version, and what it is made of.

use nix::sys::utsname::uname;
use serde_json::{Map, Value, json};

use crate::functions::{
    Call, Context, Function, Start,
    arguments::{Bound, Kind, NOTHING, Parameters, must},
    list,
};

const VERSION_TEXT: &str = env!("CARGO_PKG_VERSION");

pub(in crate::functions) const VERSION: Function = Function {
    name: "test.version",
    usage: "test.version",
    doc: "Return the minion's version.\n\nrelayctl run '*' test.version",
    parameters: NOTHING,
    start: Start::Value(|_, _, _| Ok(VERSION_TEXT.into())),
};

pub(in crate::functions) const VERSIONS_INFORMATION: Function = Function {
    name: "test.versions_information",
    usage: "test.versions_information",
    doc: "Return the versions of the minion and of its system, as a map of maps.\n\n\
          relayctl run '*' test.versions_information",
    parameters: NOTHING,
    start: Start::Value(|_, _, context| Ok(Value::Object(versions(context)))),
};

pub(in crate::functions) const VERSIONS_REPORT: Function = Function {
    name: "test.versions_report",
    usage: "test.versions_report",
    doc: "Return the versions of the minion and of its system, as a text.\n\nrelayctl run '*' test.versions_report",
    parameters: NOTHING,
    start: Start::Value(|_, _, context| Ok(report(&versions(context)).into())),
};

pub(in crate::functions) const VERSIONS: Function =
    Function { name: "test.versions", usage: "test.versions", ..VERSIONS_REPORT };

pub(in crate::functions) const PROVIDER: Function = Function {
    name: "test.provider",
    usage: "test.provider MODULE",
    doc: "Return what provides a module: its own name, since each has one provider here; an empty text if there is none.\n\n\
          relayctl run '*' test.provider cmd",
    parameters: Parameters { placed: &[must("module", Kind::Text)], ..NOTHING },
    start: Start::Value(provider),
};

pub(in crate::functions) const PROVIDERS: Function = Function {
    name: "test.providers",
    usage: "test.providers",
    doc: "Return a map of all modules to what provides them.\n\nrelayctl run '*' test.providers",
    parameters: NOTHING,
    start: Start::Value(|_, _, _| {
        Ok(modules().map(|m| (m.to_string(), m.into())).collect::<Map<_, _>>().into())
    }),
};

pub(in crate::functions) const NOT_LOADED: Function = Function {
    name: "test.not_loaded",
    usage: "test.not_loaded",
    doc: "Return the modules that could not be loaded: an empty list, since all come with the minion.\n\n\
          relayctl run '*' test.not_loaded",
    parameters: NOTHING,
    start: Start::Value(|_, _, _| Ok(json!([]))),
};

fn modules() -> impl Iterator<Item = &'static str> {
    list().iter().filter_map(|f| f.name.split_once('.').map(|(module, _)| module))
}

fn provider(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let wanted = bound.text("module").unwrap_or_default();
    Ok(modules().find(|module| *module == wanted).unwrap_or_default().into())
}

/// What can be told without running anything.
fn versions(context: &Context) -> Map<String, Value> {
    let system = uname().ok();
    let text = |part: Option<&std::ffi::OsStr>| Value::from(part.unwrap_or_default().to_string_lossy());
    let grains = context.grains.value();
    let dist = ["os", "osrelease", "oscodename"].map(|key| grains[key].as_str().unwrap_or_default());
    let system_versions = json!({
        "dist": dist.join(" ").trim(),
        "machine": text(system.as_ref().map(|s| s.machine())),
        "release": text(system.as_ref().map(|s| s.release())),
        "system": text(system.as_ref().map(|s| s.sysname())),
    });
    [
        ("Relay Version".to_string(), json!({"Relay": VERSION_TEXT})),
        ("System Versions".to_string(), system_versions),
    ]
    .into_iter()
    .collect()
}

/// Salt's form: headings, and names right-aligned to each other.
fn report(versions: &Map<String, Value>) -> String {
    let sections = || versions.values().filter_map(Value::as_object);
    let width = sections().flat_map(Map::keys).map(String::len).max().unwrap_or(0) + 8;
    let section = |(heading, entries): (&String, &Value)| {
        let lines = entries.as_object().into_iter().flatten();
        let lines =
            lines.map(|(name, value)| format!("{name:>width$}: {}\n", value.as_str().unwrap_or_default()));
        format!("{heading}:\n{}", lines.collect::<String>())
    };
    versions.iter().map(section).collect::<Vec<_>>().join(" \n").trim_end().to_string()
}
