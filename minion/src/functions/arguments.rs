//! Binding a call's arguments to a function's parameters, and checking each, before anything starts.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use nix::sys::signal::Signal;
use serde_json::{Map, Value};

/// Longest time that an argument may ask for, in seconds: ten years, far above any run limit, and small enough that
/// no clock arithmetic overflows.
const MAX_SECONDS: f64 = 10.0 * 366.0 * 86_400.0;
/// Longest part of a wrong argument that is repeated in a message, in characters: it may be a megabyte.
const MAX_SHOWN: usize = 80;

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any JSON value.
    Any,
    /// A string; a number or a bool stands for its text.
    Text,
    /// A number, or its text.
    Seconds,
    /// true or false, or their text.
    Flag,
    /// An absolute path.
    Directory,
    /// A map of names to scalars, or a list of such maps.
    Environment,
    /// A text, or a list of texts: program and arguments. No bool, which YAML makes of a bare `yes`.
    Command,
    /// A map.
    Map,
    /// A whole number, or its text.
    Integer,
    /// A signal's number or name.
    Signal,
    /// A file mode creation mask: octal digits.
    Umask,
    /// Exit codes: one, a list, or a text with commas.
    Codes,
}

impl Kind {
    fn wants(self) -> &'static str {
        match self {
            Kind::Any => "a value",
            Kind::Text => "a text",
            Kind::Seconds => "a number of seconds, 0 or more",
            Kind::Flag => "true or false",
            Kind::Directory => "an absolute path",
            Kind::Environment => r#"a map such as {"NAME": "value"}"#,
            Kind::Command => r#"a command, or a list such as ["ls", "-l"]"#,
            Kind::Map => "a map such as {name: value}",
            Kind::Integer => "a whole number",
            Kind::Signal => "a signal such as 15 or SIGTERM",
            Kind::Umask => "a mask of octal digits such as 022",
            Kind::Codes => "exit codes such as 1 or [1, 2]",
        }
    }

    fn accepts(self, value: &Value) -> bool {
        match self {
            Kind::Any => true,
            Kind::Text => text(value).is_some(),
            Kind::Seconds => seconds(value).is_some(),
            Kind::Flag => flag(value).is_some(),
            Kind::Directory => text(value).is_some_and(|t| t.starts_with('/')),
            Kind::Environment => environment(value).is_some(),
            Kind::Command => command(value).is_some(),
            Kind::Map => value.is_object(),
            Kind::Integer => integer(value).is_some(),
            Kind::Signal => signal(value).is_some(),
            Kind::Umask => umask(value).is_some(),
            Kind::Codes => codes(value).is_some(),
        }
    }
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
}

/// A parameter that must be given.
pub(super) const fn must(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, required: true }
}

/// A parameter that may be given.
pub(super) const fn may(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, required: false }
}

/// All that a function takes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Parameters {
    /// By place or by name.
    pub placed: &'static [Parameter],
    /// By name only.
    pub named: &'static [Parameter],
    /// Any number of further values by place, of this kind.
    pub rest: Option<Kind>,
    /// Any further names.
    pub any_name: bool,
}

/// A function without parameters.
pub(super) const NOTHING: Parameters = Parameters { placed: &[], named: &[], rest: None, any_name: false };

/// Checked arguments. The getters cannot fail: what they read was accepted by its kind.
#[derive(Debug, Default)]
pub(super) struct Bound {
    values: BTreeMap<&'static str, Value>,
    /// Values beyond the placed parameters.
    pub rest: Vec<Value>,
    /// Names beyond the parameters, in the order of the call.
    pub more: Map<String, Value>,
}

impl Bound {
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }
    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name).and_then(text)
    }
    pub fn seconds(&self, name: &str) -> Option<Duration> {
        self.value(name).and_then(seconds)
    }
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.value(name).and_then(flag).unwrap_or(default)
    }
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }
    pub fn environment(&self, name: &str) -> BTreeMap<String, String> {
        self.value(name).and_then(environment).unwrap_or_default()
    }
    pub fn command(&self, name: &str) -> Option<CommandText> {
        self.value(name).and_then(command)
    }
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.value(name).and_then(integer)
    }
    pub fn signal(&self, name: &str) -> Option<Signal> {
        self.value(name).and_then(signal)
    }
    pub fn umask(&self, name: &str) -> Option<u32> {
        self.value(name).and_then(umask)
    }
    pub fn codes(&self, name: &str) -> Vec<i32> {
        self.value(name).and_then(codes).unwrap_or_default()
    }
    /// The values beyond the placed ones, as texts.
    pub fn rest_texts(&self) -> impl Iterator<Item = String> {
        self.rest.iter().filter_map(text)
    }
}

/// A command as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CommandText {
    /// One line.
    Line(String),
    /// Program and arguments, split already.
    Words(Vec<String>),
}

/// Binds arguments to parameters.
///
/// # Errors
/// What is wrong, in words that stand before a usage line.
pub(super) fn bind(to: &Parameters, args: &[Value], kwargs: &Map<String, Value>) -> Result<Bound, String> {
    let mut bound = Bound::default();
    for (i, value) in args.iter().enumerate() {
        match (to.placed.get(i), to.rest) {
            (Some(parameter), _) => bound.put(parameter, value)?,
            (None, Some(kind)) if kind.accepts(value) => bound.rest.push(value.clone()),
            (None, Some(kind)) => return Err(wrong(&format!("argument {}", i + 1), kind, value)),
            (None, None) => return Err(too_many(to.placed.len(), args.len())),
        }
    }
    for (name, value) in kwargs {
        match to.placed.iter().chain(to.named).find(|p| p.name == name) {
            Some(p) if bound.values.contains_key(p.name) => {
                return Err(format!("argument '{name}' is given twice"));
            }
            Some(parameter) => bound.put(parameter, value)?,
            None if to.any_name => drop(bound.more.insert(name.clone(), value.clone())),
            None => return Err(format!("it has no argument '{}'", shortened(name))),
        }
    }
    match to.placed.iter().chain(to.named).find(|p| p.required && !bound.values.contains_key(p.name)) {
        Some(missing) => Err(format!("argument '{}' is missing", missing.name)),
        None => Ok(bound),
    }
}

impl Bound {
    fn put(&mut self, to: &Parameter, value: &Value) -> Result<(), String> {
        if value.is_null() && to.kind != Kind::Any && !to.required {
            return Ok(()); // Salt's None: as if not given
        }
        if !to.kind.accepts(value) {
            return Err(wrong(&format!("argument '{}'", to.name), to.kind, value));
        }
        self.values.insert(to.name, value.clone());
        Ok(())
    }
}

/// Salt's words for a call that does not fit its function, which scripts look for.
pub(super) fn passed(function: &str, wrong: &str) -> String {
    format!("Passed invalid arguments to {function}: {wrong}")
}

fn wrong(which: &str, kind: Kind, value: &Value) -> String {
    if kind == Kind::Command && has_bool(value) {
        return format!(
            "{which} holds {}, which is what YAML makes of a bare yes, no, on, off, true or false: \
             quote it twice if you mean that word, as in cmd.run '\"yes\"'",
            shortened(&value.to_string())
        );
    }
    format!("{which} must be {}, not {}", kind.wants(), shortened(&value.to_string()))
}

fn too_many(takes: usize, got: usize) -> String {
    let plural = if takes == 1 { "" } else { "s" };
    format!("it takes at most {takes} positional argument{plural}, {got} were given")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.into(),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn seconds(value: &Value) -> Option<Duration> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (0.0..=MAX_SECONDS).contains(&number).then(|| Duration::from_secs_f64(number))
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::String(s) if s.eq_ignore_ascii_case("true") => Some(true),
        Value::String(s) if s.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn environment(value: &Value) -> Option<BTreeMap<String, String>> {
    let entry = |(name, value): (&String, &Value)| {
        let good = !name.is_empty() && !name.contains(['=', '\0']);
        good.then_some(())?;
        Some((name.clone(), text(value)?))
    };
    match value {
        Value::Object(map) => map.iter().map(entry).collect(),
        Value::Array(maps) => maps.iter().try_fold(BTreeMap::new(), |mut all, map| {
            all.extend(map.as_object()?.iter().map(entry).collect::<Option<BTreeMap<_, _>>>()?);
            Some(all)
        }),
        _ => None,
    }
}

fn has_bool(value: &Value) -> bool {
    value.is_boolean() || value.as_array().is_some_and(|words| words.iter().any(Value::is_boolean))
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn signal(value: &Value) -> Option<Signal> {
    let by_name = |name: &str| {
        let name = name.trim().to_ascii_uppercase();
        if name.starts_with("SIG") { name.parse().ok() } else { format!("SIG{name}").parse().ok() }
    };
    match integer(value) {
        Some(number) => Signal::try_from(i32::try_from(number).ok()?).ok(),
        None => by_name(value.as_str()?),
    }
}

/// `022` in YAML 1.2 is the number 22, and means the digits.
fn umask(value: &Value) -> Option<u32> {
    let digits = value.as_u64().map(|n| n.to_string()).or_else(|| value.as_str().map(str::to_string))?;
    let digits = digits.trim().trim_start_matches("0o");
    u32::from_str_radix(digits, 8).ok().filter(|mask| *mask <= 0o777)
}

fn codes(value: &Value) -> Option<Vec<i32>> {
    let one = |value: &Value| i32::try_from(integer(value)?).ok();
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        Value::String(text) => text.split(',').map(|part| part.trim().parse().ok()).collect(),
        other => one(other).map(|code| vec![code]),
    }
}

fn command(value: &Value) -> Option<CommandText> {
    match value {
        _ if has_bool(value) => None,
        Value::Array(words) if words.is_empty() => None,
        Value::Array(words) => words.iter().map(text).collect::<Option<_>>().map(CommandText::Words),
        _ => text(value).filter(|line| !line.trim().is_empty()).map(CommandText::Line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PARAMETERS: Parameters = Parameters {
        placed: &[must("length", Kind::Seconds), may("cwd", Kind::Directory)],
        named: &[may("env", Kind::Environment), may("clean", Kind::Flag)],
        rest: None,
        any_name: false,
    };

    fn try_bind(args: Value, kwargs: Value) -> Result<Bound, String> {
        bind(&PARAMETERS, args.as_array().unwrap(), kwargs.as_object().unwrap())
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (args, kwargs, says) in [
            (json!([]), json!({}), "argument 'length' is missing"),
            (json!([1, "/", 3]), json!({}), "at most 2 positional arguments, 3 were given"),
            (json!([1]), json!({"length": 1}), "'length' is given twice"),
            (json!([1]), json!({"lenght": 1}), "it has no argument 'lenght'"),
            (json!([-1]), json!({}), "'length' must be a number of seconds, 0 or more, not -1"),
            (json!(["1e300"]), json!({}), "'length' must be"),
            (json!([null]), json!({}), "'length' must be"),
            (json!([1, "-l"]), json!({}), "'cwd' must be an absolute path, not \"-l\""),
            (json!([1]), json!({"env": {"A=B": 1}}), "'env' must be a map"),
            (json!([1]), json!({"env": ["A"]}), "'env' must be a map"),
            (json!([1]), json!({"clean": 2}), "'clean' must be true or false"),
            (json!(["x".repeat(1000)]), json!({}), "xxx..."),
        ] {
            let wrong = try_bind(args, kwargs).unwrap_err();
            assert!(wrong.contains(says), "{wrong:?} does not say {says:?}");
        }
    }

    #[test]
    fn signals_masks_and_codes_are_read_as_people_write_them() {
        for text in [json!(9), json!("9"), json!("kill"), json!("SIGKILL"), json!(" sigkill ")] {
            assert_eq!(signal(&text), Some(Signal::SIGKILL), "{text}");
        }
        for wrong in [json!(0), json!(99), json!("SIGNOTHING"), json!(null), json!(-9), json!(1.5)] {
            assert_eq!(signal(&wrong), None, "{wrong}");
        }
        for text in [json!("022"), json!(22), json!("0o22")] {
            assert_eq!(umask(&text), Some(0o22), "{text}");
        }
        assert!(umask(&json!("9")).is_none() && umask(&json!("1777")).is_none());
        assert_eq!(
            (codes(&json!(3)), codes(&json!("1, 2")), codes(&json!([4, "5"]))),
            (Some(vec![3]), Some(vec![1, 2]), Some(vec![4, 5]))
        );
        assert!(codes(&json!("one")).is_none() && codes(&json!(1u64 << 40)).is_none());
    }

    #[test]
    fn a_bare_yes_is_no_command() {
        for cmd in [json!(true), json!(["echo", false])] {
            assert!(command(&cmd).is_none());
            let told = wrong("argument 'cmd'", Kind::Command, &cmd);
            assert!(told.contains("quote it twice"), "{told}");
        }
    }

    #[test]
    fn texts_stand_for_numbers_and_maps_may_come_in_a_list() {
        let bound =
            try_bind(json!(["0.5", null]), json!({"env": [{"A": 1}, {"B": "x"}], "clean": "True"})).unwrap();
        assert_eq!(bound.seconds("length"), Some(Duration::from_millis(500)));
        assert_eq!(bound.path("cwd"), None);
        assert_eq!(bound.environment("env"), [("A".into(), "1".into()), ("B".into(), "x".into())].into());
        assert!(bound.flag("clean", false));
    }
}
