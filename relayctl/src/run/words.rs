//! What was ordered, in the words in which a person would type it, and numbers with the right ending.

use serde_json::{Map, Value};

use crate::arguments::Arguments;

/// A function and its arguments: `cmd.run 'df -h' timeout=5`.
///
/// `args` is the form of the operator API; what is not in that form is shown as it is.
pub fn call(function: &str, args: &[u8]) -> String {
    let words = match serde_json::from_slice::<Value>(args) {
        Ok(Value::Object(fields)) => typed(&fields),
        _ => None,
    };
    let words = words.unwrap_or_else(|| vec![String::from_utf8_lossy(args).into_owned()]);
    [function.to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// The words, as a shell takes them; nothing where there is more in it than arguments.
fn typed(fields: &Map<String, Value>) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("args", Value::Array(list)) => words.extend(list.iter().map(positional)),
            ("kwargs", Value::Object(named)) => {
                words.extend(named.iter().map(|(name, value)| quoted(&format!("{name}={}", plain(value)))));
            }
            _ => return None,
        }
    }
    Some(words)
}

fn positional(value: &Value) -> String {
    let text = plain(value);
    let same = Arguments::read(&[&text]).args.first() == Some(value);
    // A text that would be read as `name=value` is one if it is quoted for YAML.
    quoted(&if same { text } else { value.to_string() })
}

/// What is read as this value: a text as it stands, if that is no number and the like.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if Arguments::read(&[format!("a={text}")]).kwargs.get("a") == Some(value) => {
            text.clone()
        }
        other => other.to_string(),
    }
}

/// As a shell takes it for one word.
pub fn quoted(word: &str) -> String {
    let harmless = |c: char| c.is_alphanumeric() || "_-./:=,+@%".contains(c);
    match !word.is_empty() && word.chars().all(harmless) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// `1 minion`, `2 minions`.
pub fn minions(n: u64) -> String {
    count(n, "minion")
}

/// `1 target`, `2 targets`.
pub fn targets(n: u64) -> String {
    count(n, "target")
}

fn count(n: u64, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_it_would_be_typed() {
        for (args, expected) in [
            (r#"{"args":[],"kwargs":{}}"#, "f"),
            ("{}", "f"),
            (r#"{"args":["df -h /"],"kwargs":{"cwd":"/tmp","timeout":5}}"#, "f 'df -h /' cwd=/tmp timeout=5"),
            (
                r#"{"args":["5",5,true,"yes",null,"it's"],"kwargs":{}}"#,
                r#"f '"5"' 5 true '"yes"' null 'it'\''s'"#,
            ),
            (r#"{"args":["a=b",""],"kwargs":{}}"#, r#"f '"a=b"' ''"#),
            (r#"{"args":[[1,"x"]],"kwargs":{"k":{"a":1}}}"#, r#"f '[1,"x"]' 'k={"a":1}'"#),
            (r#"{"args":[],"more":1}"#, r#"f {"args":[],"more":1}"#),
            ("no json", "f no json"),
        ] {
            assert_eq!(call("f", args.as_bytes()), expected, "{args}");
        }
    }

    #[test]
    fn one_and_many() {
        assert_eq!(
            (minions(1), targets(2), minions(0)),
            ("1 minion".into(), "2 targets".into(), "0 minions".into())
        );
    }

    proptest! {
        /// What is shown, typed again, is what was ordered.
        #[test]
        fn a_text_that_is_shown_is_read_back(text in "[ -~é\n]{0,12}") {
            let value = Value::String(text.clone());
            let shown = positional(&value);
            let word = match shown.strip_prefix('\'').and_then(|w| w.strip_suffix('\'')) {
                Some(inner) => inner.replace(r"'\''", "'"),
                None => shown,
            };
            prop_assert_eq!(Arguments::read(&[word]).args, vec![value]);
        }
    }
}
