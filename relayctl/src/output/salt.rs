//! Salt's outputters (`--out` of `salt`, `salt-run`, `salt-key`, `salt-call`): a value in, the text that Salt 3008 prints
//! out. What is in the value, and whether minions come one by one or together (`--static`), is the caller's.
//!
//! Every text ends with one line end, or is empty where Salt prints nothing. Control characters that a minion sent are
//! shown and not obeyed, in every form.

mod json;
mod nested;
mod python;

use serde_json::Value;

use super::paint::{Paint, clean};

/// An outputter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Indented, keys sorted: what people see unless they say otherwise.
    Nested,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// `minion: line` for each line of a text.
    Txt,
    /// Python's `repr`.
    Raw,
    /// The values without the ids, one a line.
    NewlineValuesOnly,
    /// Lists of keys, as `salt-key` shows them.
    Key,
    /// Why minions gave no answer.
    NoReturn,
    /// Nothing.
    Quiet,
}

impl Kind {
    /// The outputter of that name; nothing if there is none (Salt then takes `nested`).
    pub fn from_word(word: &str) -> Option<Kind> {
        Some(match word {
            "nested" => Kind::Nested,
            "json" => Kind::Json,
            "yaml" => Kind::Yaml,
            "txt" | "text" => Kind::Txt,
            "raw" => Kind::Raw,
            "newline_values_only" => Kind::NewlineValuesOnly,
            "key" => Kind::Key,
            "no_return" => Kind::NoReturn,
            "quiet" => Kind::Quiet,
            _ => return None,
        })
    }
}

/// How an outputter prints.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Colours, for the forms that have any.
    pub paint: Paint,
    /// `--out-indent`: spaces per level of JSON; below zero everything stands on one line.
    pub indent: i32,
    /// Whether the answer is a failure: structure is red, then.
    pub failed: bool,
}

impl Default for Look {
    fn default() -> Look {
        Look { paint: Paint::PLAIN, indent: json::INDENT, failed: false }
    }
}

/// A value as Salt prints it: what minions said by id, or what a runner says (`salt-run manage.down` says a list).
pub fn render_value(kind: Kind, value: &Value, look: &Look) -> String {
    let text = match kind {
        Kind::Nested => nested::nested(value, look),
        Kind::Json => json::json(value, look.indent),
        Kind::Yaml => yaml(value),
        Kind::Txt => txt(value),
        Kind::Raw => raw(value),
        Kind::NewlineValuesOnly => values_only(value),
        Kind::Key => nested::keys(value, &look.paint),
        Kind::NoReturn => nested::no_return(value, &look.paint),
        Kind::Quiet => String::new(),
    };
    match text.trim_end() {
        "" => String::new(),
        text => format!("{text}\n"),
    }
}

/// Block style with keys sorted and lists not indented, as PyYAML writes.
fn yaml(value: &Value) -> String {
    // Only what is no JSON value cannot be written; JSON is YAML as well.
    serde_saphyr::to_string(&sorted(value)).unwrap_or_else(|_| json::json(value, json::INDENT))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

fn txt(value: &Value) -> String {
    let Value::Object(map) = value else { return clean(&python::repr(value)) };
    let mut out = String::new();
    for (id, value) in map {
        let id = clean(id);
        match value {
            Value::String(text) => {
                python::lines(text).for_each(|line| out.push_str(&format!("{id}: {}\n", clean(line))));
            }
            other => out.push_str(&format!("{id}: {}\n", python::repr(other))),
        }
    }
    out
}

fn raw(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text),
        other => python::repr(other),
    }
}

fn values_only(value: &Value) -> String {
    let Value::Object(map) = value else { return raw(value) };
    let each = map.values().flat_map(|value| match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    });
    each.map(|item| raw(item) + "\n").collect()
}

#[cfg(test)]
mod tests;
