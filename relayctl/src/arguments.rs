//! A job's arguments, read as Salt reads them (`salt.utils.args`): each is YAML, `key=value` is a named one.
//!
//! Differences from plain YAML are Salt's: what is no scalar and does not begin with `[` or `{` stays text, digits with
//! underscores stay text, and a `#` does not cut text off. What is no YAML is text; so no argument is ever refused.
//! Different from Salt, which mangles them: text of several lines keeps its lines, and what begins with a sign of YAML's
//! own (`&`, `|`, `>`, `---`) is text as it stands. Whole numbers beyond 64 bits are text: a jid must not be rounded.

use serde_json::{Map, Value, json};
use serde_saphyr::options::NonFiniteFloatPolicy;

/// What is a boolean to Salt. The parser also takes `y` and `n`, which are more often answers and drive letters.
const BOOLEANS: [&str; 6] = ["true", "false", "yes", "no", "on", "off"];

/// What the function is called with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments {
    /// By position.
    pub args: Vec<Value>,
    /// By name. One given twice has its last value.
    pub kwargs: Map<String, Value>,
}

impl Arguments {
    /// Reads the words of a command line.
    pub fn read<S: AsRef<str>>(words: &[S]) -> Arguments {
        let mut read = Arguments::default();
        for word in words.iter().map(AsRef::as_ref) {
            match named(word) {
                Some((name, text)) => drop(read.kwargs.insert(name.to_owned(), value(text))),
                None => read.args.push(value(word)),
            }
        }
        read
    }

    /// The form of the operator API: `{"args":[…],"kwargs":{…}}`.
    pub fn to_json(&self) -> Vec<u8> {
        json!({ "args": self.args, "kwargs": self.kwargs }).to_string().into_bytes()
    }
}

/// Salt's pattern `^([^\d\W][\w.-]*)=(?!=)(.*)$`: a name, one `=`, and a rest in one line. So a script of several lines
/// that begins with an assignment stays one argument, and `a==b` is a comparison.
fn named(word: &str) -> Option<(&str, &str)> {
    let (name, text) = word.split_once('=')?;
    let mut letters = name.chars();
    let first = letters.next()?;
    let starts = first == '_' || (first.is_alphanumeric() && !first.is_numeric());
    let goes_on = letters.all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    (starts && goes_on && !text.starts_with('=') && !text.contains('\n')).then_some((name, text))
}

/// One value.
fn value(text: &str) -> Value {
    let as_text = || Value::String(text.to_owned());
    let trimmed = text.trim();
    let only_digits = || trimmed.chars().all(|c| c.is_ascii_digit() || c == '_');
    if trimmed.is_empty() || (text.contains('_') && only_digits()) {
        return as_text();
    }
    if text == "None" {
        return Value::Null;
    }
    match yaml(text) {
        Some(Value::Object(map)) if text.starts_with('{') => Value::Object(map),
        Some(Value::Array(list)) if text.starts_with('[') => Value::Array(list),
        Some(Value::String(inner)) if text.starts_with(['\'', '"']) => Value::String(inner),
        Some(Value::Null) if matches!(trimmed, "~" | "null" | "Null" | "NULL") => Value::Null,
        Some(Value::Number(n))
            if n.is_f64() && trimmed.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()) =>
        {
            as_text()
        }
        Some(found @ Value::Bool(_)) if BOOLEANS.contains(&trimmed.to_ascii_lowercase().as_str()) => found,
        Some(found @ Value::Number(_)) => found,
        _ if text.contains(['\n', '#']) => as_text(),
        _ => Value::String(trimmed.to_owned()),
    }
}

fn yaml(text: &str) -> Option<Value> {
    // JSON has no infinity: as text it is at least not lost.
    let options = serde_saphyr::options! {
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    // A number with a leading zero is decimal to Salt's own loader.
    let text = match text.bytes().all(|b| b.is_ascii_digit()) {
        true => Some(text.trim_start_matches('0')).filter(|rest| !rest.is_empty()).unwrap_or("0"),
        false => text,
    };
    serde_saphyr::from_str_with_options(text, options).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_salt_makes_of_them() {
        let table = [
            ("uptime", json!("uptime")),
            ("ls -la /tmp", json!("ls -la /tmp")),
            ("5", json!(5)),
            ("-5", json!(-5)),
            ("1.5", json!(1.5)),
            ("0755", json!(755)),
            ("000", json!(0)),
            ("0x1f", json!(31)),
            ("20261121073656123456", json!("20261121073656123456")),
            ("1_000", json!("1_000")),
            ("true", json!(true)),
            ("True", json!(true)),
            ("yes", json!(true)),
            ("off", json!(false)),
            ("y", json!("y")),
            ("N", json!("N")),
            ("null", json!(null)),
            ("~", json!(null)),
            ("None", json!(null)),
            ("", json!("")),
            ("  ", json!("  ")),
            ("'5'", json!("5")),
            ("\"true\"", json!("true")),
            ("[1, two, 3.0]", json!([1, "two", 3.0])),
            ("{a: 1, b: [x, yes]}", json!({"a": 1, "b": ["x", true]})),
            ("a: 1", json!("a: 1")),
            ("- x", json!("- x")),
            ("[unclosed", json!("[unclosed")),
            ("echo a # b", json!("echo a # b")),
            ("#", json!("#")),
            ("# all of it", json!("# all of it")),
            ("[1] # one", json!([1])),
            ("!", json!("!")),
            ("|", json!("|")),
            ("*", json!("*")),
            ("&x", json!("&x")),
            ("&x y", json!("&x y")),
            ("!ls x", json!("!ls x")),
            ("!!int 5", json!(5)),
            ("> x", json!("> x")),
            ("---", json!("---")),
            ("--- x", json!("--- x")),
            ("? x", json!("? x")),
            ("'a' b", json!("'a' b")),
            (" a ", json!("a")),
            ("a\n  b\n", json!("a\n  b\n")),
            ("'#1'", json!("#1")),
            ("1e3", json!(1000.0)),
            (".inf", json!(".inf")),
            ("%s", json!("%s")),
            ("@x", json!("@x")),
            ("`id`", json!("`id`")),
            ("a\nb", json!("a\nb")),
            ("2026-11-21", json!("2026-11-21")),
            ("10:30", json!("10:30")),
        ];
        let found: Vec<(&str, Value)> = table.iter().map(|(text, _)| (*text, value(text))).collect();
        assert_eq!(found, table);
    }

    #[test]
    fn names_are_what_salt_takes_for_names() {
        let read = Arguments::read(&[
            "df -h",
            "timeout=5",
            "cwd=/tmp",
            "a==b",
            "1=2",
            "shell=",
            "x.y-z=[1]",
            "k=v=w",
            "é=1",
            "_u=~",
            "A=1\necho $A",
            "=x",
            "--flag=1",
        ]);
        assert_eq!(
            read.args,
            [
                json!("df -h"),
                json!("a==b"),
                json!("1=2"),
                json!("A=1\necho $A"),
                json!("=x"),
                json!("--flag=1")
            ]
        );
        let kwargs =
            json!({"timeout": 5, "cwd": "/tmp", "shell": "", "x.y-z": [1], "k": "v=w", "é": 1, "_u": null});
        assert_eq!(Value::Object(read.kwargs), kwargs);
    }

    #[test]
    fn the_api_form() {
        let read = Arguments::read(&["1", "b=c"]);
        assert_eq!(String::from_utf8(read.to_json()).unwrap(), r#"{"args":[1],"kwargs":{"b":"c"}}"#);
    }
}
