//! JSON as Python's `json.dumps` spaces it.

use serde_json::Value;

use super::python;

/// Spaces per level unless `--out-indent` says otherwise.
pub const INDENT: i32 = 4;

/// A document. Below zero everything stands on one line.
pub fn json(value: &Value, indent: i32) -> String {
    let mut writer = Writer { step: usize::try_from(indent).ok(), out: String::new() };
    writer.value(value, 0);
    writer.out
}

struct Writer {
    step: Option<usize>,
    out: String,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Number(n) => self.out.push_str(&python::number(n)),
            Value::Array(items) if !items.is_empty() => {
                self.out.push('[');
                for (i, item) in items.iter().enumerate() {
                    self.next(i, depth + 1);
                    self.value(item, depth + 1);
                }
                self.end(depth, ']');
            }
            Value::Object(entries) if !entries.is_empty() => {
                self.out.push('{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    self.next(i, depth + 1);
                    self.out.push_str(&Value::from(key.as_str()).to_string());
                    self.out.push_str(": ");
                    self.value(value, depth + 1);
                }
                self.end(depth, '}');
            }
            other => self.out.push_str(&other.to_string()),
        }
    }

    fn next(&mut self, number: usize, depth: usize) {
        if number > 0 {
            self.out.push_str(if self.step.is_some() { "," } else { ", " });
        }
        self.line(depth);
    }

    fn end(&mut self, depth: usize, bracket: char) {
        self.line(depth);
        self.out.push(bracket);
    }

    fn line(&mut self, depth: usize) {
        if let Some(step) = self.step {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', step * depth));
        }
    }
}
