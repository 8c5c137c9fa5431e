//! Return values as answers: JSON text, cut at the size limit in a way that leaves it JSON.

use bytes::Bytes;
use relay_core::outcome::{Answer, MAX_BODY_BYTES, Outcome, Reason};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Exit code of whatever failed without one of its own: Salt's EX_GENERIC.
pub(crate) const GENERIC_FAILURE: i32 = 1;

/// The answer of a function that went well.
pub(crate) fn ok(value: &Value) -> Answer {
    let (body, truncated) = encode(value);
    Answer { body, truncated, ..Answer::bare(Outcome::Ok, Reason::None) }
}

/// The answer of a function that has a value whatever its retcode is: `failed` unless that is 0.
pub(crate) fn coded(value: &Value, retcode: i32) -> Answer {
    let outcome = if retcode == 0 { Outcome::Ok } else { Outcome::Failed };
    Answer { outcome, retcode, ..ok(value) }
}

/// The answer of a function that failed, or never came to start, with what to tell the operator.
pub(crate) fn failed(text: &str) -> Answer {
    let (body, truncated) = encode(&Value::from(text));
    Answer { retcode: GENERIC_FAILURE, body, truncated, ..Answer::bare(Outcome::Failed, Reason::None) }
}

/// The value as compact JSON. One that is too long becomes a JSON string that holds its beginning, with the SHA-256
/// of the whole: of the text, if it is text, and of its JSON otherwise.
fn encode(value: &Value) -> (Bytes, Option<[u8; 32]>) {
    let json = value.to_string();
    if json.len() <= MAX_BODY_BYTES {
        return (json.into(), None);
    }
    let whole = value.as_str().unwrap_or(&json);
    let beginning = cut(whole, MAX_BODY_BYTES);
    (Value::from(beginning).to_string().into(), Some(Sha256::digest(whole).into()))
}

/// The longest beginning of a text whose JSON string, quotes included, has at most `limit` bytes.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    let mut used = "\"\"".len();
    for (at, c) in text.char_indices() {
        used += escaped_len(c);
        if used > limit {
            return &text[..at];
        }
    }
    text
}

/// Bytes that a character takes in a JSON string as serde_json writes it.
fn escaped_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_at_the_limit_is_whole_and_one_byte_more_is_cut() {
        let at_limit = ok(&Value::from("x".repeat(MAX_BODY_BYTES - 2)));
        assert_eq!((at_limit.body.len(), at_limit.truncated), (MAX_BODY_BYTES, None));
        let text = "x".repeat(MAX_BODY_BYTES - 1);
        let over = ok(&Value::from(text.as_str()));
        assert_eq!(over.body.len(), MAX_BODY_BYTES);
        assert_eq!(over.truncated, Some(Sha256::digest(&text).into()));
    }

    #[test]
    fn a_long_list_becomes_the_beginning_of_its_json() {
        let answer = ok(&Value::from(vec![12_345_678; MAX_BODY_BYTES / 8]));
        let text: String = serde_json::from_slice(&answer.body).unwrap();
        assert!(text.starts_with("[12345678,12345678,"));
        assert!(answer.truncated.is_some() && answer.body.len() <= MAX_BODY_BYTES);
    }

    proptest! {
        #[test]
        fn a_cut_is_the_longest_that_fits(text in "\\PC*|[\\x00-\\x7f]*", limit in 2usize..64) {
            let kept = cut(&text, limit);
            let len = |s: &str| Value::from(s).to_string().len();
            prop_assert!(text.starts_with(kept) && len(kept) <= limit);
            if let Some(next) = text[kept.len()..].chars().next() {
                prop_assert!(len(&text[..kept.len() + next.len_utf8()]) > limit);
            }
        }
    }
}
