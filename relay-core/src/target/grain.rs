//! The pattern of `G@key:sub:glob`: which key, at any depth, and what its value must look like.

use super::Glob;

/// The delimiter when none is given.
pub(super) const DELIMITER: char = ':';

/// A grain pattern. Where the keys end and the glob begins is open until it meets grains, as in Salt: in
/// `G@hwaddr:eth0:aa:bb` the value itself holds delimiters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrainMatch {
    text: Box<str>,
    delimiter: char,
}

/// What is wrong with a pattern; the parser adds where.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) found: String,
    pub(super) expected: String,
}

impl GrainMatch {
    pub(super) fn new(text: &str, delimiter: char) -> Result<GrainMatch, Problem> {
        if !may_delimit(delimiter) {
            let found = format!("{delimiter:?} can not be the delimiter of a grain");
            return Err(Problem { found, expected: "punctuation such as ':' or '|'".into() });
        }
        match text.split_once(delimiter) {
            Some((key, _)) if !key.is_empty() => Ok(GrainMatch { text: text.into(), delimiter }),
            Some(_) => {
                Err(Problem { found: "the grain has no name".into(), expected: example("os", delimiter) })
            }
            None => {
                let found = format!("{text:?} names a grain and no value");
                let name = if text.is_empty() { "os" } else { text };
                Err(Problem { found, expected: example(name, delimiter) })
            }
        }
    }

    /// Keys, delimiters and glob, as written after the `@`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands between the keys.
    pub fn delimiter(&self) -> char {
        self.delimiter
    }

    /// The first key, and all that follows it.
    pub fn split(&self) -> (&str, &str) {
        self.text.split_once(self.delimiter).unwrap_or((&self.text, ""))
    }

    /// A rest of the pattern as the glob on a value. Salt compares grain values without regard to case.
    pub fn value_glob(rest: &str) -> Glob {
        Glob::new(&rest.to_lowercase())
    }
}

/// Whether a character may stand between keys: one that can not be part of a matcher letter, a quote or a parenthesis.
pub(super) fn may_delimit(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '"' | '(' | ')' | '@' | '*' | '?' | '[' | ']')
}

fn example(name: &str, delimiter: char) -> String {
    format!("key{delimiter}glob, such as {name}{delimiter}*")
}
