//! Text to tokens, each with its place.
//!
//! As in Salt, words are separated by white space. Two things are ours: parentheses need no spaces around them (those
//! that pair up inside a word belong to the word: `G@os:Foo(bar)`), and a pattern may be put in double quotes, with
//! `\"` and `\\` in it, to hold spaces (`G@"os_full:Red Hat*"`).

use super::{TargetError, grain};

/// One word of the language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Open,
    Close,
    And,
    Or,
    Not,
    Term(Term),
}

/// A matcher and its pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    /// The letter before the `@`; none for the default matcher.
    pub(super) letter: Option<char>,
    /// The delimiter between letter and `@` (`G|@`), if given.
    pub(super) delimiter: Option<char>,
    /// The pattern, without quotes.
    pub(super) pattern: String,
    /// It was in quotes.
    pub(super) quoted: bool,
}

/// A word and the byte where it begins.
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) word: Word,
}

/// All tokens of a text.
pub(super) fn lex(text: &str) -> Result<Vec<Token>, TargetError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (word, end) = match c {
            '(' => (Word::Open, at + 1),
            ')' => (Word::Close, at + 1),
            _ => term(text, at)?,
        };
        tokens.push(Token { at, word });
        at = end;
    }
    Ok(tokens)
}

fn term(text: &str, start: usize) -> Result<(Word, usize), TargetError> {
    if let Some(operator) = glued_operator(&text[start..]) {
        return Ok((operator.1, start + operator.0));
    }
    let (letter, delimiter, at) = matcher(text, start);
    let quoted = text[at..].starts_with('"');
    let (pattern, end) = if quoted { quoted_pattern(text, at)? } else { bare_pattern(text, at)? };
    let word = match (letter, quoted, pattern.as_str()) {
        (None, false, "and") => Word::And,
        (None, false, "or") => Word::Or,
        (None, false, "not") => Word::Not,
        _ => Word::Term(Term { letter, delimiter, pattern, quoted }),
    };
    Ok((word, end))
}

/// An operator that runs into a parenthesis: `not(a)` read as a glob would match nothing, and say nothing.
fn glued_operator(text: &str) -> Option<(usize, Word)> {
    let word = &text[..text.find('(')?];
    let operator = match word {
        "and" => Word::And,
        "or" => Word::Or,
        "not" => Word::Not,
        _ => return None,
    };
    Some((word.len(), operator))
}

/// The letter and delimiter before an `@`, and where the pattern begins.
pub(super) fn matcher(text: &str, at: usize) -> (Option<char>, Option<char>, usize) {
    let mut chars = text[at..].chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some(l), Some('@'), _) if l.is_ascii_alphabetic() => (Some(l), None, at + 2),
        (Some(l), Some(d), Some('@')) if l.is_ascii_alphabetic() && grain::may_delimit(d) => {
            (Some(l), Some(d), at + 3)
        }
        _ => (None, None, at),
    }
}

/// Up to white space, or a `)` that closes nothing inside the word.
fn bare_pattern(text: &str, at: usize) -> Result<(String, usize), TargetError> {
    let mut open = Vec::new();
    let mut end = text.len();
    for (i, c) in text[at..].char_indices() {
        match c {
            '(' => open.push(at + i),
            ')' if open.pop().is_some() => {}
            c if c == ')' || c.is_whitespace() => {
                end = at + i;
                break;
            }
            _ => {}
        }
    }
    match open.first() {
        None => Ok((text[at..end].into(), end)),
        Some(place) => Err(TargetError::new(
            text,
            *place,
            "this '(' is not closed",
            "')' in the same word, or double quotes",
        )),
    }
}

/// From the opening quote at `at` to its closing one, after which the word must end.
fn quoted_pattern(text: &str, at: usize) -> Result<(String, usize), TargetError> {
    let mut pattern = String::new();
    let mut chars = text[at + 1..].char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return word_ends(text, at + 1 + i + 1).map(|end| (pattern, end)),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => pattern.push(c),
                _ => {
                    return Err(TargetError::new(
                        text,
                        at + 1 + i,
                        "a lone '\\'",
                        "'\\\"' or '\\\\' inside of quotes",
                    ));
                }
            },
            c => pattern.push(c),
        }
    }
    Err(TargetError::new(text, text.len(), "the text ends inside of quotes", "'\"'"))
}

fn word_ends(text: &str, end: usize) -> Result<usize, TargetError> {
    match text[end..].chars().next() {
        Some(c) if c != ')' && !c.is_whitespace() => Err(TargetError::new(
            text,
            end,
            format!("{c:?} follows a closing quote"),
            "a space, ')' or the end",
        )),
        _ => Ok(end),
    }
}
