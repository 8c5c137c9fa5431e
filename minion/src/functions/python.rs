//! Values as Python writes them: `test.arg_repr` and `test.arg_type` show what reached a function, in Salt's words.

use serde_json::Value;

/// The name of the type that Salt would have made of a value.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<class 'NoneType'>",
        Value::Bool(_) => "<class 'bool'>",
        Value::Number(n) if n.is_f64() => "<class 'float'>",
        Value::Number(_) => "<class 'int'>",
        Value::String(_) => "<class 'str'>",
        Value::Array(_) => "<class 'list'>",
        Value::Object(_) => "<class 'dict'>",
    }
}

/// Python's `repr`.
pub(super) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(n) => n.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(list) => format!("[{}]", joined(list)),
        Value::Object(map) => {
            let entries = map.iter().map(|(name, value)| format!("{}: {}", quoted(name), repr(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Python's `repr` of a tuple.
pub(super) fn tuple(values: &[Value]) -> String {
    let comma = if values.len() == 1 { "," } else { "" };
    format!("({}{comma})", joined(values))
}

fn joined(values: &[Value]) -> String {
    values.iter().map(repr).collect::<Vec<_>>().join(", ")
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_look_as_in_python() {
        for (value, shown) in [
            (json!(null), "None"),
            (json!([true, 1, 1.5, "a"]), "[True, 1, 1.5, 'a']"),
            (json!({"a": {"b": []}}), "{'a': {'b': []}}"),
            (json!("it's"), "\"it's\""),
            (json!("it's \"x\""), "'it\\'s \"x\"'"),
            (json!("a\n\t\\\u{1}é"), "'a\\n\\t\\\\\\x01é'"),
        ] {
            assert_eq!(repr(&value), shown);
        }
        assert_eq!(
            (tuple(&[json!(1)]), tuple(&[]), tuple(&[json!(1), json!("x")])),
            ("(1,)".into(), "()".into(), "(1, 'x')".into())
        );
    }
}
