//! Salt's other form of a node group: a list of words instead of one text.
//!
//! As in Salt, a list with an operator, a matcher letter or a `*` in it is an expression, word by word (so a word may
//! hold spaces), and any other list is one of ids. Salt takes such a list of ids for one regular expression as soon as
//! some id has a bracket or the like in it, the words joined by commas: that matches nobody if there are two of them, so
//! it is refused, with what to write instead.

use super::super::{TargetError, error::Problem, lexer, parser};

const OPERATORS: [&str; 5] = ["and", "or", "not", "(", ")"];

/// The expression that a list of words is.
///
/// # Errors
/// There is no word, or the list is one that Salt would take for a regular expression.
pub fn words_of<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<String, TargetError> {
    let words: Vec<&str> = words.into_iter().map(str::trim).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Err(TargetError::new(
            "",
            0,
            "a list without a word",
            "minion ids, or the words of an expression",
        ));
    }
    if words.iter().any(|word| OPERATORS.contains(word) || is_pattern(word)) {
        return Ok(words.iter().map(|word| one_word(word)).collect::<Vec<_>>().join(" "));
    }
    match words.iter().find(|word| word.contains(['(', '[', '{', '\\', '?', '}', ']', ')'])) {
        None => Ok(format!("L@{}", words.join(","))),
        Some(odd) => {
            let found = format!("a list of ids with {odd:?}, which is no id");
            let expected = format!("E@{odd} if it is a regular expression, or one text without the list");
            Err(Problem::new(found, expected).in_text(odd))
        }
    }
}

/// Whether a word is more than an id.
fn is_pattern(word: &str) -> bool {
    let place = parser::PLACES.iter().any(|(own, _)| word.starts_with(own));
    place || word.contains('*') || lexer::matcher(word, 0).0.is_some()
}

/// A word as one word of an expression: what holds spaces goes in quotes.
fn one_word(word: &str) -> String {
    if !word.contains(char::is_whitespace) || word.contains('"') {
        return word.into();
    }
    let (head, pattern) = word.split_at(lexer::matcher(word, 0).2);
    format!("{head}\"{}\"", pattern.replace('\\', "\\\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_an_expression_or_a_list_of_ids() {
        for (words, text) in [
            (&["web01", "db3"][..], "L@web01,db3"),
            (&["web01"], "L@web01"),
            (&["G@os:Debian", "and", "not", "web*"], "G@os:Debian and not web*"),
            (&["(", "a", "or", "b", ")"], "( a or b )"),
            (&["G@os_full:Red Hat", "or", r"E@a\d b"], r#"G@"os_full:Red Hat" or E@"a\\d b""#),
            (&["region:aws"], "region:aws"),
            (&["web*"], "web*"),
            (&["N@web", "", " or ", "db1"], "N@web or db1"),
        ] {
            assert_eq!(words_of(words.iter().copied()).as_deref(), Ok(text));
            assert!(super::super::Target::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_salt_makes_a_regex_that_matches_nobody_is_refused() {
        let error = words_of(["web[0-9]+", "db1"]).expect_err("no ids");
        assert!(error.to_string().contains("E@web[0-9]+ if it is a regular expression"), "{error}");
        assert!(words_of([" ", ""]).is_err() && words_of([]).is_err());
    }
}
