//! Readers of single values: each says what it expects, where it found something else, and what to write instead.

use std::{fmt::Display, str::FromStr};

use super::{At, Kind, Node, Sink, fields};

/// What is shown of a text that may be long.
pub fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Any single value, as written.
pub fn text(node: &Node, sink: &Sink) -> Option<String> {
    match &node.kind {
        Kind::Scalar { text, .. } if !node.is_empty() => Some(text.clone()),
        _ => sink.refuse(
            node.at,
            format!("a text is expected here, found {}", node.describe()),
            "write one value",
        ),
    }
}

/// A text that parses as something: an id, an address, a network. The parser's error says what is wrong.
pub fn parsed<T: FromStr<Err: Display>>(node: &Node, sink: &Sink) -> Option<T> {
    with(node, sink, |t| t.parse::<T>())
}

/// A text that a function accepts.
pub fn with<T, E: Display>(node: &Node, sink: &Sink, accept: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
    match accept(&text(node, sink)?) {
        Ok(value) => Some(value),
        Err(error) => sink.refuse(node.at, error.to_string(), "correct this value"),
    }
}

/// A value together with its place, for checks over the whole document.
pub fn at<'n, T>(
    read: impl FnOnce(&'n Node, &'n Sink) -> Option<T>,
) -> impl FnOnce(&'n Node, &'n Sink) -> Option<At<T>> {
    move |node, sink| read(node, sink).map(|value| At { value, at: node.at })
}

/// A whole number from `low` to `high`, both included.
pub fn number(low: u64, high: u64) -> impl Fn(&Node, &Sink) -> Option<u64> {
    move |node, sink| {
        let hint = || format!("write a whole number from {low} to {high}, without quotes");
        match &node.kind {
            Kind::Scalar { text, quoted: false } => match text.parse::<u64>() {
                Ok(n) if (low..=high).contains(&n) => Some(n),
                Ok(n) => sink.refuse(node.at, format!("{n} is out of range"), hint()),
                Err(_) => sink.refuse(
                    node.at,
                    format!("a number is expected here, found {}", node.describe()),
                    hint(),
                ),
            },
            _ => {
                sink.refuse(node.at, format!("a number is expected here, found {}", node.describe()), hint())
            }
        }
    }
}

/// `true` or `false`. Not `yes` or `on`: files that mean different things to different readers are refused.
pub fn flag(node: &Node, sink: &Sink) -> Option<bool> {
    match &node.kind {
        Kind::Scalar { text, quoted: false } if text == "true" => Some(true),
        Kind::Scalar { text, quoted: false } if text == "false" => Some(false),
        _ => {
            let what = format!("true or false is expected here, found {}", node.describe());
            sink.refuse(node.at, what, "write true or false, without quotes")
        }
    }
}

/// One of a few words, each with its meaning.
pub fn word<T: Clone>(known: &'static [(&'static str, T)]) -> impl Fn(&Node, &Sink) -> Option<T> {
    move |node, sink| {
        let found = text(node, sink)?;
        if let Some((_, value)) = known.iter().find(|(w, _)| *w == found) {
            return Some(value.clone());
        }
        let words: Vec<&str> = known.iter().map(|(w, _)| *w).collect();
        let hint = match fields::nearest(&found, &words) {
            Some(near) => format!("did you mean {near:?}? (possible: {})", words.join(", ")),
            None => format!("write one of: {}", words.join(", ")),
        };
        sink.refuse(node.at, format!("{:?} is not known here", clip(&found)), hint)
    }
}

/// A list; bad elements are reported each, and then nothing comes back.
pub fn list<'n, T>(
    read: impl Fn(&'n Node, &'n Sink) -> Option<T>,
) -> impl FnOnce(&'n Node, &'n Sink) -> Option<Vec<T>> {
    move |node, sink| match &node.kind {
        Kind::List(nodes) => {
            let read: Vec<Option<T>> = nodes.iter().map(|n| read(n, sink)).collect();
            read.into_iter().collect()
        }
        _ => {
            let what = format!("a list is expected here, found {}", node.describe());
            sink.refuse(node.at, what, "write [a, b] or lines that start with \"- \"")
        }
    }
}

/// A map with free keys, in the order of the file.
pub fn map<'n, T>(
    what: &'static str,
    read: impl Fn(&'n Node, &'n Sink) -> Option<T>,
) -> impl FnOnce(&'n Node, &'n Sink) -> Option<Vec<(String, T)>> {
    move |node, sink| {
        let entries = fields::entries(node, what, sink)?;
        let read: Vec<Option<(String, T)>> =
            entries.iter().map(|(k, n)| read(n, sink).map(|v| (k.value.clone(), v))).collect();
        read.into_iter().collect()
    }
}
