//! What rules say about a job's arguments.
//!
//! A rule that allows describes all of them: what it does not describe is refused. A rule that denies (or calls something dangerous)
//! finds its patterns wherever they stand, for the same value can come by position and by name; it is a rail for people who
//! mean well, and what must not happen is better not allowed.

use std::borrow::Cow;

use serde_json::Value;

use super::Work;
use crate::target::Regex;

/// What a rule that allows says of arguments. Every pattern matches a whole value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// By position: each is given. Nothing: any value.
    pub args: Vec<Option<Regex>>,
    /// What all further ones match. Nothing: there are none.
    pub rest: Option<Regex>,
    /// By name: each is given.
    pub kwargs: Vec<(String, Option<Regex>)>,
    /// By name: each may be given.
    pub optional: Vec<(String, Option<Regex>)>,
}

impl Schema {
    /// Whether a job's arguments are as described.
    pub fn admits(&self, work: &Work) -> bool {
        let given = work.args.len() >= self.args.len();
        let fits =
            |pattern: &Option<Regex>, value: &Value| pattern.as_ref().is_none_or(|p| matches(p, value));
        let placed = self.args.iter().zip(work.args).all(|(pattern, value)| fits(pattern, value));
        let further = work.args.iter().skip(self.args.len());
        let rest = further.into_iter().all(|value| self.rest.as_ref().is_some_and(|p| matches(p, value)));
        let needed = self.kwargs.iter().all(|(name, _)| work.kwargs.contains_key(name));
        let named = work.kwargs.iter().all(|(name, value)| {
            let mut described = self.kwargs.iter().chain(&self.optional);
            described.find(|(known, _)| known == name).is_some_and(|(_, pattern)| fits(pattern, value))
        });
        given && placed && rest && needed && named
    }
}

/// What a rule that denies says of arguments: patterns that are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Each is found in some argument, by position or by name.
    pub args: Vec<Regex>,
    /// Each is found in the argument of that name.
    pub kwargs: Vec<(String, Regex)>,
}

impl Hints {
    /// Whether a job's arguments have all of them.
    pub fn found_in(&self, work: &Work) -> bool {
        let somewhere = |p: &Regex| {
            let mut leaves = work.args.iter().chain(work.kwargs.values());
            leaves.any(|value| found(p, value))
        };
        let named = |(name, p): &(String, Regex)| work.kwargs.get(name).is_some_and(|value| found(p, value));
        self.args.iter().all(somewhere) && self.kwargs.iter().all(named)
    }
}

/// A value as text: a string as it is, all else as JSON.
fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        value => Cow::Owned(value.to_string()),
    }
}

/// As Salt's own rules write such values.
fn python(value: &Value) -> Option<&'static str> {
    match value {
        Value::Bool(true) => Some("True"),
        Value::Bool(false) => Some("False"),
        Value::Null => Some("None"),
        _ => None,
    }
}

fn matches(pattern: &Regex, value: &Value) -> bool {
    pattern.matches(&text(value)) || python(value).is_some_and(|word| pattern.matches(word))
}

/// Also inside of lists and maps: as text of JSON a value has quotes and escapes in it.
fn found(pattern: &Regex, value: &Value) -> bool {
    matches(pattern, value)
        || match value {
            Value::Array(items) => items.iter().any(|item| found(pattern, item)),
            Value::Object(map) => map.iter().any(|(key, item)| pattern.matches(key) || found(pattern, item)),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::{super::pattern, *};
    use serde_json::json;

    fn whole(text: &str) -> Option<Regex> {
        Some(pattern::whole(text).unwrap())
    }

    fn asks<T>(args: Value, kwargs: Value, ask: impl FnOnce(&Work) -> T) -> T {
        let (Value::Array(args), Value::Object(kwargs)) = (args, kwargs) else { panic!("not arguments") };
        ask(&Work { function: "f", args: &args, kwargs: &kwargs })
    }

    #[test]
    fn what_is_not_described_is_refused() {
        let schema = Schema {
            args: vec![whole("uptime|df"), None],
            rest: whole("-.*"),
            kwargs: vec![("test".into(), whole("True"))],
            optional: vec![("cwd".into(), whole("/opt.*"))],
        };
        for (args, kwargs, yes) in [
            (json!(["df", 1]), json!({"test": true}), true),
            (json!(["df", {"a": 1}, "-h", "-x"]), json!({"test": true, "cwd": "/opt/x"}), true),
            (json!(["df"]), json!({"test": true}), false),
            (json!(["df", 1]), json!({}), false),
            (json!(["df", 1]), json!({"test": false}), false),
            (json!(["df;reboot", 1]), json!({"test": true}), false),
            (json!(["df", 1, "/"]), json!({"test": true}), false),
            (json!(["df", 1]), json!({"test": true, "cwd": "/etc"}), false),
            (json!(["df", 1]), json!({"test": true, "shell": "/bin/sh"}), false),
        ] {
            assert_eq!(asks(args.clone(), kwargs.clone(), |w| schema.admits(w)), yes, "{args} {kwargs}");
        }
        assert!(asks(json!([]), json!({}), |w| Schema::default().admits(w)));
        assert!(!asks(json!([1]), json!({}), |w| Schema::default().admits(w)));
    }

    #[test]
    fn a_denied_pattern_is_found_wherever_it_stands() {
        let rm = Hints { args: vec![pattern::anywhere("rm -rf").unwrap()], kwargs: Vec::new() };
        for (args, kwargs, yes) in [
            (json!(["rm -rf /"]), json!({}), true),
            (json!(["x", "cd / && rm -rf ."]), json!({}), true),
            (json!([]), json!({"cmd": "true\nrm -rf /"}), true),
            (json!([{"deep": ["\"rm -rf /\""]}]), json!({}), true),
            (json!(["rm -r -f /"]), json!({}), false),
        ] {
            assert_eq!(asks(args.clone(), kwargs.clone(), |w| rm.found_in(w)), yes, "{args} {kwargs}");
        }
        let named =
            Hints { args: Vec::new(), kwargs: vec![("runas".into(), pattern::anywhere("root").unwrap())] };
        assert!(asks(json!([]), json!({"runas": "root"}), |w| named.found_in(w)));
        assert!(!asks(json!(["root"]), json!({}), |w| named.found_in(w)));
    }
}
