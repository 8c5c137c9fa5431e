//! A value as Salt's "nested" outputter prints it, so that eyes used to it find their way.

use serde_json::Value;

use super::paint::{Paint, clean};

/// How far a part stands to the right of what holds it.
pub const STEP: usize = 4;

/// A value, indented, one line end after each line.
pub fn nested(value: &Value, indent: usize, paint: &Paint) -> String {
    let mut out = String::new();
    Writer { paint, out: &mut out }.value(value, indent, "");
    out
}

struct Writer<'a> {
    paint: &'a Paint,
    out: &'a mut String,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, indent: usize, prefix: &str) {
        match value {
            Value::Null => self.line(indent, prefix, "None"),
            Value::Bool(true) => self.line(indent, prefix, "True"),
            Value::Bool(false) => self.line(indent, prefix, "False"),
            Value::Number(n) => self.line(indent, prefix, &n.to_string()),
            Value::String(text) => self.text(text, indent, prefix),
            Value::Array(items) => self.list(items, indent, prefix),
            Value::Object(entries) => {
                self.line(indent, prefix, &self.paint.cyan("----------"));
                for (key, value) in entries {
                    self.line(indent, "", &format!("{}:", self.paint.cyan(clean(key))));
                    self.value(value, indent + STEP, "");
                }
            }
        }
    }

    fn list(&mut self, items: &[Value], indent: usize, prefix: &str) {
        if items.is_empty() {
            self.line(indent, prefix, "[]");
        }
        for item in items {
            match item {
                Value::Array(_) | Value::Object(_) => {
                    self.line(indent, "", &self.paint.cyan("|_"));
                    self.value(item, indent + 2, "");
                }
                _ => self.value(item, indent, "- "),
            }
        }
    }

    fn text(&mut self, text: &str, indent: usize, prefix: &str) {
        let mut first = true;
        for line in clean(text).lines() {
            let blank = " ".repeat(prefix.len());
            self.line(indent, if first { prefix } else { &blank }, line);
            first = false;
        }
        // A list's empty text is an item, too; alone, it is nothing to print.
        if first && !prefix.is_empty() {
            self.line(indent, prefix, "");
        }
    }

    fn line(&mut self, indent: usize, prefix: &str, text: &str) {
        let line = format!("{:indent$}{prefix}{text}", "");
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(value: Value) -> String {
        nested(&value, 4, &Paint::PLAIN)
    }

    #[test]
    fn scalars() {
        assert_eq!(shown(json!(true)), "    True\n");
        assert_eq!(shown(json!(null)), "    None\n");
        assert_eq!(shown(json!(1.5)), "    1.5\n");
        assert_eq!(shown(json!("a\nb\x1b")), "    a\n    b\\x1b\n");
        assert_eq!(shown(json!("")), "");
    }

    #[test]
    fn maps_and_lists_as_in_salt() {
        let value = json!({"pid": 7, "out": "x\ny", "list": ["a", "b\nc", "", {"k": []}]});
        let expected = "    ----------
    pid:
        7
    out:
        x
        y
    list:
        - a
        - b
          c
        -
        |_
          ----------
          k:
              []
";
        assert_eq!(shown(value), expected);
    }
}
