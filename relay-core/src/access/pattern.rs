//! Patterns of rules: on names of functions and verbs, and on arguments. All of them take linear time.

use crate::target::{Glob, Regex, TargetError};

/// What makes a pattern on a function a regular expression instead of a glob.
const REGEX_SIGNS: [char; 9] = ['\\', '^', '$', '(', ')', '|', '+', '{', '}'];
/// Longest pattern on a function's name, in bytes.
const MAX_PATTERN_BYTES: usize = 256;

/// A pattern on the name of a function: a glob (`state.*`), or a regular expression that matches the whole name.
///
/// Salt takes every pattern for both at once, so that its `test.*` also lets `testing` in. Here a pattern is one of the two: a regular
/// expression if it has one of `\ ^ $ ( ) | + { }`, else a glob; and `.*` is everything, as Salt's examples write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Everything.
    All,
    /// Names that a glob matches.
    Glob(Glob),
    /// Names that a regular expression matches as a whole.
    Regex(Regex),
}

/// A pattern that can't be used: what is wrong, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl Pattern {
    /// Reads a pattern on names.
    ///
    /// # Errors
    /// It is empty or too long, or no regular expression.
    pub fn read(text: &str) -> Result<Pattern, PatternError> {
        let bad =
            |what: String| PatternError { what, hint: "write one such as 'test.*' or 'cmd.run'".into() };
        match text {
            "*" | ".*" => return Ok(Pattern::All),
            "" => return Err(bad("an empty pattern".into())),
            text if text.len() > MAX_PATTERN_BYTES => {
                return Err(bad(format!("a pattern of {} bytes, at most {MAX_PATTERN_BYTES}", text.len())));
            }
            text if text.chars().any(|c| c.is_whitespace() || c.is_control()) => {
                return Err(bad(format!("{text:?} has a space in it, and no name of a function has one")));
            }
            _ => {}
        }
        match text.contains(REGEX_SIGNS) {
            true => whole(text).map(Pattern::Regex),
            false => Ok(Pattern::Glob(Glob::new(text))),
        }
    }

    /// Whether it matches a name.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::All => true,
            Pattern::Glob(glob) => glob.matches(name),
            Pattern::Regex(regex) => regex.matches(name),
        }
    }

    /// Whether it took a compiled regular expression.
    pub(super) fn is_regex(&self) -> bool {
        matches!(self, Pattern::Regex(_))
    }
}

/// A regular expression that matches a whole text, its end included; `.` is anything but the end of a line, so that a second
/// line never hides behind the first.
pub(super) fn whole(text: &str) -> Result<Regex, PatternError> {
    framed(text, "(?:", ")\\z")
}

/// A regular expression that matches somewhere in a text, over lines.
pub(super) fn anywhere(text: &str) -> Result<Regex, PatternError> {
    framed(text, "(?s:.*?)(?s:", ")")
}

/// Frames an expression that is one by itself. (So `a)|(?:b` is refused; and one whose last line is a comment under `(?x)`, which
/// would swallow the end of the frame, is none in its frame.)
fn framed(text: &str, before: &str, after: &str) -> Result<Regex, PatternError> {
    let alone = text.parse::<Regex>();
    alone.and_then(|_| format!("{before}{text}{after}").parse()).map_err(|error: TargetError| {
        let shown: String = text.chars().take(60).collect();
        PatternError {
            what: format!("{shown:?}: {}", error.found),
            hint: format!("write {}", error.expected),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_glob_or_a_whole_regular_expression() {
        for (pattern, name, yes) in [
            ("*", "cmd.run", true),
            (".*", "cmd.run", true),
            ("test.*", "test.ping", true),
            ("test.*", "testing.all", false),
            ("cmd.run", "cmd.run", true),
            ("cmd.run", "cmd.run_all", false),
            ("cmd.run", "cmdxrun", false),
            (r"cmd\.(run|shell)", "cmd.shell", true),
            (r"cmd\.(run|shell)", "cmd.shells", false),
            ("a|ab", "ab", true),
            ("(?i)Test.ping", "test.ping", true),
            ("[a-m]*.ping", "lib.ping", true),
        ] {
            assert_eq!(Pattern::read(pattern).expect(pattern).matches(name), yes, "{pattern} on {name}");
        }
        let long = "x".repeat(MAX_PATTERN_BYTES + 1);
        for bad in ["", "a b", "(", "a)|(b", r"(a)\1", "(?=x)", &long] {
            assert!(Pattern::read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn whole_means_to_the_last_character() {
        let uptime = whole("uptime.*").unwrap();
        assert!(
            uptime.matches("uptime -p") && !uptime.matches("uptime\nreboot") && !uptime.matches("an uptime")
        );
        assert!(whole("a|ab").unwrap().matches("ab"));
        assert!(!whole("^a$").unwrap().matches("a\n"));
        for bad in ["a)|(?:b", "(?x)a # b", ""] {
            assert!(whole(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn anywhere_means_behind_other_lines_too() {
        let rm = anywhere(r"\brm\b").unwrap();
        assert!(rm.matches("cd /\nrm -rf x") && rm.matches("rm") && !rm.matches("farm"));
    }
}
