//! The patterns of `G@key:sub:glob` and `P@key:sub:regex`: which key, at any depth, and what its value must look like.
//! Those of `I@` and `J@` on pillar are the same.

use super::{Glob, Regex, error::Problem};
use crate::inventory::MAX_GRAIN_DEPTH;

/// The delimiter when none is given.
pub(super) const DELIMITER: char = ':';

/// A grain pattern. Where the keys end and the glob begins is open until it meets grains, as in Salt: in
/// `G@hwaddr:eth0:aa:bb` the value itself holds delimiters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrainMatch {
    text: Box<str>,
    delimiter: char,
}

impl GrainMatch {
    pub(super) fn new(text: &str, delimiter: char) -> Result<GrainMatch, Problem> {
        GrainMatch::split_by(text, delimiter, ("glob", "*"))
    }

    /// `value` is what stands after the keys, and one that matches everything, for messages.
    fn split_by(text: &str, delimiter: char, value: (&str, &str)) -> Result<GrainMatch, Problem> {
        let example = |key: &str| format!("key{delimiter}{}, such as {key}{delimiter}{}", value.0, value.1);
        if !may_delimit(delimiter) {
            let found = format!("{delimiter:?} can not be a delimiter between keys");
            return Err(Problem::new(found, "punctuation such as ':' or '|'"));
        }
        match text.split_once(delimiter) {
            Some((key, _)) if !key.is_empty() => Ok(GrainMatch { text: text.into(), delimiter }),
            Some(_) => Err(Problem::new("the key has no name", example("os"))),
            None => {
                let found = format!("{text:?} names a key and no value");
                let name = if text.is_empty() { "os" } else { text };
                Err(Problem::new(found, example(name)))
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

/// A grain pattern whose last part is a regular expression, without regard to case. As with `G@`, where the keys end is
/// open until it meets grains, so each rest of the text that grains can reach is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrainRegex {
    pattern: GrainMatch,
    /// The rests after one key, after two, and so on, no further than grains nest. `None`: this rest is no regular
    /// expression, so the keys do not end before it. (A `(?:a|b)` holds delimiters of its own.)
    readings: Vec<Option<Regex>>,
}

impl GrainRegex {
    /// The rest after the first key must compile (after `*` levels: what follows them); later ones may fail to.
    pub(super) fn new(text: &str, delimiter: char) -> Result<GrainRegex, Problem> {
        let pattern = GrainMatch::split_by(text, delimiter, ("regex", ".*"))?;
        let (mut rest, mut readings) = (pattern.split().1, Vec::new());
        let mut must_compile = true;
        while readings.len() < MAX_GRAIN_DEPTH {
            let next = rest.split_once(delimiter);
            let wild = must_compile && next.is_some_and(|(key, _)| key == "*");
            match Regex::folded(rest) {
                Ok(regex) => readings.push(Some(regex)),
                Err(problem) if must_compile && !wild => return Err(problem.moved(text.len() - rest.len())),
                Err(_) => readings.push(None),
            }
            must_compile &= wild;
            let Some((_, deeper)) = next else { break };
            rest = deeper;
        }
        Ok(GrainRegex { pattern, readings })
    }

    /// Keys, delimiters and regular expression, as written after the `@`.
    pub fn pattern(&self) -> &GrainMatch {
        &self.pattern
    }

    /// The regular expressions that follow one key, two keys, and so on; `None` where the keys can not end.
    pub fn readings(&self) -> &[Option<Regex>] {
        &self.readings
    }

    /// How many regular expressions it is.
    pub(super) fn compiled(&self) -> usize {
        self.readings.iter().flatten().count()
    }
}

/// Whether a character may stand between keys: one that can not be part of a matcher letter, a quote or a parenthesis.
pub(super) fn may_delimit(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '"' | '(' | ')' | '@' | '*' | '?' | '[' | ']')
}
