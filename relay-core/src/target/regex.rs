//! Regular expressions as `E@` and `P@` use them: anchored at the start like Python's `re.match`, which Salt uses, and
//! bounded in text and in compiled size. Search time is linear in the text, whatever the expression.
//!
//! Two things of Python's are refused, since they can not be had in linear time: look-around and back-references.

use regex_automata::{Anchored, Input, meta, nfa::thompson::WhichCaptures, util::syntax};
use regex_syntax::hir::literal::Extractor;

use super::error::{Problem, TargetError};

mod walk;

pub use walk::Walk;

/// Longest regular expression, in bytes: longer ones are refused before they are compiled.
pub const MAX_REGEX_BYTES: usize = 1 << 10;
/// Largest compiled regular expression, and largest cache of its search, in bytes: `\w{1000}` is short and huge.
pub const MAX_REGEX_SIZE: usize = 1 << 20;

/// What to write instead, for messages.
const INSTEAD: &str = "a regular expression without look-around and back-references";

/// A regular expression, ready to match.
#[derive(Debug, Clone)]
pub struct Regex {
    text: Box<str>,
    compiled: meta::Regex,
    prefix: String,
    folded: bool,
}

impl PartialEq for Regex {
    fn eq(&self, other: &Regex) -> bool {
        (self.as_str(), self.folded) == (other.as_str(), other.folded)
    }
}

impl Eq for Regex {}

impl Regex {
    /// One that tells upper from lower case, as Salt's `E@` does.
    pub(super) fn new(text: &str) -> Result<Regex, Problem> {
        Regex::compile(text, false)
    }

    /// One without regard to case, as Salt compares grains. Not by lowering the expression's letters, as Salt does it:
    /// that makes `\S` (no space) a `\s` (space).
    pub(super) fn folded(text: &str) -> Result<Regex, Problem> {
        Regex::compile(text, true)
    }

    fn compile(text: &str, folded: bool) -> Result<Regex, Problem> {
        if text.is_empty() {
            return Err(Problem::new("an empty regular expression", "one such as 'web[0-9]+' or '.*'"));
        }
        if text.len() > MAX_REGEX_BYTES {
            let found = format!("this regular expression has {} bytes", text.len());
            return Err(Problem::new(found, format!("at most {MAX_REGEX_BYTES}")));
        }
        let prefix = prefix(text, folded)?;
        let config = meta::Config::new()
            .nfa_size_limit(Some(MAX_REGEX_SIZE))
            .hybrid_cache_capacity(MAX_REGEX_SIZE)
            .which_captures(WhichCaptures::Implicit);
        let built = meta::Builder::new()
            .configure(config)
            .syntax(syntax::Config::new().case_insensitive(folded))
            .build(text);
        let compiled = built.map_err(|_| {
            let expected = format!("at most {MAX_REGEX_SIZE} bytes: repeat less, or smaller classes");
            Problem::new("this regular expression is too large when compiled", expected)
        })?;
        Ok(Regex { text: text.into(), compiled, prefix, folded })
    }

    /// The regular expression as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What every match begins with; may be empty.
    pub fn literal_prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether it matches at the beginning of `text`. An anchored search gives up where nothing fits any more. (Putting
    /// `\A(?:` and `)` around the expression would accept `a)|(?:b`, and break on a `(?x)` with a comment.)
    pub fn matches(&self, text: &str) -> bool {
        text.starts_with(&self.prefix) && self.compiled.is_match(Input::new(text).anchored(Anchored::Yes))
    }
}

impl std::str::FromStr for Regex {
    type Err = TargetError;
    /// For patterns that stand elsewhere than in a target; the same bounds.
    fn from_str(text: &str) -> Result<Regex, TargetError> {
        Regex::new(text).map_err(|problem| problem.in_text(text))
    }
}

impl Regex {
    /// For very many ids in order. `None` if this one has to be searched for in each.
    pub fn walk(&self) -> Option<Walk> {
        Walk::new(&self.text, self.folded)
    }
}

/// Parses, for the place of an error and for what every match begins with.
fn prefix(text: &str, folded: bool) -> Result<String, Problem> {
    let parsed = regex_syntax::ParserBuilder::new().case_insensitive(folded).build().parse(text);
    let hir = parsed.map_err(|error| refused(&error))?;
    let literals = Extractor::new().extract(&hir);
    let shared = literals.longest_common_prefix().unwrap_or_default();
    Ok(std::str::from_utf8(shared).unwrap_or_default().into())
}

fn refused(error: &regex_syntax::Error) -> Problem {
    let (at, what) = match error {
        regex_syntax::Error::Parse(e) => (Some(e.span().start.offset), e.kind().to_string()),
        regex_syntax::Error::Translate(e) => (Some(e.span().start.offset), e.kind().to_string()),
        _ => (None, "it can not be read".into()),
    };
    Problem { at, found: format!("this is no regular expression: {what}"), expected: INSTEAD.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matches_as_re_match_does() {
        for (regex, text, yes) in [
            ("web", "web01", true),
            ("web", "aweb", false),
            ("web$", "web01", false),
            ("b|ab", "ab", true),
            ("b|ab", "cab", false),
            ("a|web", "web", true),
            ("^web", "web", true),
            ("Web", "web", false),
            ("(?i)Web", "web", true),
            (r"web\d+\.x", "web01.x", true),
            (r"web\d+\.x", "web01yx", false),
            ("(?x)web # the web ones", "web01", true),
            ("x*", "web", true),
        ] {
            assert_eq!(Regex::new(regex).expect(regex).matches(text), yes, "{regex} on {text}");
        }
        assert!(Regex::folded("UBUN.u$").is_ok_and(|r| r.matches("ubuntu")));
        assert!(Regex::folded(r"\S+$").is_ok_and(|r| r.matches("ubuntu") && !r.matches("u u")));
    }

    #[test]
    fn knows_what_every_match_begins_with() {
        for (regex, prefix) in [
            ("web[0-9]+", "web"),
            ("web?1", "we"),
            ("web1|web2", "web"),
            ("a|b", ""),
            (".*", ""),
            ("^db", "db"),
        ] {
            assert_eq!(Regex::new(regex).expect(regex).literal_prefix(), prefix, "{regex}");
        }
    }

    #[test]
    fn what_is_too_large_or_wrong_is_refused_with_its_place() {
        assert!(Regex::new(&"a".repeat(MAX_REGEX_BYTES)).is_ok());
        for (regex, at, found) in [
            ("a".repeat(MAX_REGEX_BYTES + 1), None, "1025 bytes"),
            // Not the parser's complaint: the length is looked at first.
            ("(".repeat(MAX_REGEX_BYTES + 1), None, "1025 bytes"),
            (r"\w{1000}".into(), None, "too large when compiled"),
            (String::new(), None, "empty"),
            ("web[".into(), Some(3), "unclosed character class"),
            ("a(b".into(), Some(1), "unclosed group"),
            ("a)|(?:b".into(), Some(1), "unopened group"),
            ("ab(?=c)".into(), Some(2), "look-around"),
            (r"(a)\1".into(), Some(3), "backreferences"),
            ("*".into(), Some(0), "repetition"),
        ] {
            let problem = Regex::new(&regex).expect_err(&regex);
            assert_eq!(problem.at, at, "{regex}: {problem:?}");
            assert!(problem.found.contains(found), "{regex}: {problem:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_an_anchored_search(regex in "[ab.|*^$]{1,6}", text in "[ab]{0,6}") {
            if let Ok(ours) = Regex::new(&regex) {
                let anchored = regex::Regex::new(&format!(r"\A(?:{regex})")).expect("compiles alone");
                prop_assert_eq!(ours.matches(&text), anchored.is_match(&text));
                prop_assert!(!ours.matches(&text) || text.starts_with(ours.literal_prefix()));
            }
        }
    }
}
