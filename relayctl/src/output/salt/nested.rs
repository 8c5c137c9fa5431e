//! Salt's `nested` and the two outputters that look like it, `key` and `no_return`. Unlike the "nested" text that
//! relayctl prints itself, blanks at line ends and lists without items are exactly Salt's.

use serde_json::Value;

use super::{Look, python};
use crate::output::paint::{Paint, clean};

/// How far a part stands to the right of its key.
const STEP: usize = 4;
/// How far an item that has parts stands to the right of its dash.
const ITEM: usize = 2;

/// A value; keys are sorted.
pub fn nested(value: &Value, look: &Look) -> String {
    let mut writer = Writer { look, out: String::new() };
    writer.value(value, 0, "");
    writer.out
}

struct Writer<'a> {
    look: &'a Look,
    out: String,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, indent: usize, prefix: &str) {
        let paint = self.look.paint;
        match value {
            Value::String(text) => self.text(text, indent, prefix),
            Value::Array(items) => self.list(items, indent),
            Value::Object(_) => {
                if indent > 0 {
                    let rule = self.structure("----------");
                    self.line(indent, &rule);
                }
                for (key, value) in sorted(value) {
                    let key = self.structure(&clean(key));
                    self.line(indent, &format!("{key}:"));
                    self.value(value, indent + STEP, "");
                }
            }
            scalar => self.line(indent, &paint.yellow(format!("{prefix}{}", python::repr(scalar)))),
        }
    }

    fn list(&mut self, items: &[Value], indent: usize) {
        for item in items {
            if item.is_array() || item.is_object() {
                let dash = self.structure("|_");
                self.line(indent, &dash);
                self.value(item, indent + ITEM, "");
            } else {
                self.value(item, indent, "- ");
            }
        }
    }

    fn text(&mut self, text: &str, indent: usize, prefix: &str) {
        let blank = " ".repeat(prefix.len());
        for (i, line) in python::lines(text).enumerate() {
            let before = if i == 0 { prefix } else { &blank };
            let line = self.look.paint.green(format!("{before}{}", clean(line)));
            self.line(indent, &line);
        }
    }

    fn structure(&self, text: &str) -> String {
        if self.look.failed { self.look.paint.red(text) } else { self.look.paint.cyan(text) }
    }

    fn line(&mut self, indent: usize, text: &str) {
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.out.push_str(text);
        self.out.push('\n');
    }
}

fn sorted(value: &Value) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = value.as_object().into_iter().flatten().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

/// Headings of `salt-key`, in the order in which Salt sorts their names.
const KEYS: [(&str, &str); 5] = [
    ("local", "Local Keys:"),
    ("minions", "Accepted Keys:"),
    ("minions_denied", "Denied Keys:"),
    ("minions_pre", "Unaccepted Keys:"),
    ("minions_rejected", "Rejected Keys:"),
];

/// Lists of keys: ids, or ids with their fingerprints, below a heading each. What is no list of keys is shown nested.
pub fn keys(value: &Value, paint: &Paint) -> String {
    let mut out = String::new();
    for (name, held) in sorted(value) {
        let heading = KEYS.iter().find(|(known, _)| known == name).map(|(_, heading)| *heading);
        out.push_str(&paint.cyan(heading.map_or_else(|| format!("{}:", clean(name)), str::to_owned)));
        out.push('\n');
        let mut lines: Vec<String> = match held {
            Value::Object(prints) => {
                prints.iter().map(|(id, print)| format!("{}:  {}", clean(id), text_of(print))).collect()
            }
            Value::Array(ids) => ids.iter().map(text_of).collect(),
            _ => Vec::new(),
        };
        lines.sort();
        lines.iter().for_each(|line| out.push_str(&format!("{}\n", paint.green(line))));
    }
    out
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| python::repr(value), clean)
}

/// Ids, and why each gave no answer.
pub fn no_return(value: &Value, paint: &Paint) -> String {
    let mut out = String::new();
    for (id, why) in sorted(value) {
        out.push_str(&format!("{}:\n", paint.cyan(clean(id))));
        let why = text_of(why);
        why.split('\n').for_each(|line| out.push_str(&format!("{:STEP$}{}\n", "", paint.red(line))));
    }
    out
}
