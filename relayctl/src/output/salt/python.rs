//! Values as Python writes them.

use serde_json::{Number, Value};

/// Python's `repr` of a value; on one line, and without control characters.
pub fn repr(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(n) => out.push_str(&number(n)),
        Value::String(s) => text(s, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(entries) => {
            out.push('{');
            for (i, (key, value)) in entries.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                text(key, out);
                out.push_str(": ");
                write(value, out);
            }
            out.push('}');
        }
    }
}

/// A number: whole ones as they are, others with the shortest digits and an exponent where Python has one.
pub fn number(n: &Number) -> String {
    match n.as_f64() {
        Some(f) if n.is_f64() => float(f),
        _ => n.to_string(),
    }
}

fn float(f: f64) -> String {
    let scientific = format!("{f:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        // Python changes to exponents at 1e16 and below 1e-4.
        e if (-4..16).contains(&e) => format!("{f:?}"),
        e => format!("{digits}e{}{:02}", if e < 0 { '-' } else { '+' }, e.abs()),
    }
}

fn text(s: &str, out: &mut String) {
    let quote = if s.contains('\'') && !s.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in s.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out.push(quote);
}

fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // Behind a letter, since an accent that stands alone would be escaped by Rust and not by Python.
    ['a', c].iter().collect::<String>().escape_debug().count() == 2
}

/// Python's `str.splitlines`: at every kind of line end, and none after the last.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text).filter(|t| !t.is_empty());
    std::iter::from_fn(move || {
        let at = rest?;
        let Some((line, after)) = split_line(at) else { return rest.take() };
        rest = Some(after).filter(|t| !t.is_empty());
        Some(line)
    })
}

fn split_line(text: &str) -> Option<(&str, &str)> {
    let ends =
        |c| matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let at = text.find(ends)?;
    let (line, rest) = text.split_at(at);
    let end = if rest.starts_with("\r\n") { 2 } else { rest.chars().next().map_or(0, char::len_utf8) };
    Some((line, &rest[end..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_python_writes_them() {
        let table = [
            (json!(null), "None"),
            (json!([true, false, []]), "[True, False, []]"),
            (json!({"a": 1, "b": {}}), "{'a': 1, 'b': {}}"),
            (json!("it's"), "\"it's\""),
            (json!("it's \"so\""), r#"'it\'s "so"'"#),
            (
                json!("a\\b\n\t\r\u{1b}\u{85}\u{2028}\u{e000}\u{10ffff}"),
                r"'a\\b\n\t\r\x1b\x85\u2028\ue000\U0010ffff'",
            ),
            (json!("é e\u{301} 😀"), "'é e\u{301} 😀'"),
        ];
        for (value, expected) in table {
            assert_eq!(repr(&value), expected);
        }
    }

    #[test]
    fn floats() {
        let table = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.000_012, "1.2e-05"),
            (123_456.789, "123456.789"),
        ];
        for (value, expected) in table {
            assert_eq!(repr(&json!(value)), expected);
        }
        assert_eq!(repr(&json!(u64::MAX)), "18446744073709551615");
    }

    #[test]
    fn every_line_end_ends_a_line() {
        let all = |text| lines(text).collect::<Vec<_>>();
        assert_eq!(all("a\r\nb\n\nc\rd\u{2028}e\n"), ["a", "b", "", "c", "d", "e"]);
        assert_eq!(all(""), [""; 0]);
        assert_eq!(all("\n"), [""]);
    }
}
