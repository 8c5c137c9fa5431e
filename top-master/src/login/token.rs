//! A token's text: a prefix by which people and scanners of leaked secrets know it, and 256 random bits.
//!
//! Owns its form and its digest. Only the digest is kept; what a token opens is [`super::sessions`]'s.

use std::fmt;

use bytes::Bytes;
use relay_runtime::secret::Secret;
use sha2::{Digest as _, Sha256};

/// What every token begins with.
pub const PREFIX: &str = "relaytoken_";
/// Random bytes in a token.
const BYTES: usize = 32;

/// A digest of a token: what is looked up and kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The key it is kept under.
    pub fn key(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl fmt::Debug for Digest {
    /// As much as tells tokens apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

/// A new token from random bytes, and its digest.
pub fn make(random: [u8; BYTES]) -> (Secret, Digest) {
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = Secret::new(format!("{PREFIX}{hex}"));
    let digest = digest(text.expose());
    (text, digest)
}

/// The digest of a text, if that has the form of a token.
pub fn parse(text: &str) -> Option<Digest> {
    let hex = text.strip_prefix(PREFIX)?;
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (hex.len() == 2 * BYTES && hex.bytes().all(digit)).then(|| digest(text))
}

/// The token in the value of an `authorization` header (RFC 6750; the scheme's case does not matter, RFC 9110).
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn digest(text: &str) -> Digest {
    Digest(Sha256::digest(text.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_again() {
        let (text, digest) = make([7; BYTES]);
        assert_eq!(parse(text.expose()), Some(digest));
        assert_ne!(make([8; BYTES]).1, digest);
        let header = format!("bearer {}", text.expose());
        assert_eq!(bearer(&header), Some(text.expose()));
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics_and_only_the_form_is_a_token(text in "(?s)(Bearer |bearer|Basic )?(relaytoken_)?[0-9a-fA-F]{0,70}.{0,3}") {
            let Some(shown) = bearer(&text) else { return Ok(()) };
            let fits = shown.len() == PREFIX.len() + 64 && shown.starts_with(PREFIX);
            proptest::prop_assert!(parse(shown).is_none() || fits);
        }
    }

    #[test]
    fn nothing_else_is_a_token() {
        let (text, _) = make([0xab; BYTES]);
        let text = text.expose();
        let (upper, short, long) = (text.to_uppercase(), &text[..text.len() - 1], format!("{text}0"));
        let (padded, other) = (format!(" {text}"), text.replace("relaytoken_", "relay_"));
        for bad in ["", PREFIX, &upper, short, &long, &padded, &other, &text.replace('a', "ä")] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        for bad in ["", "Bearer", "Basic x"] {
            assert_eq!(bearer(bad), None, "{bad:?}");
        }
        assert_eq!(bearer("Bearer  x").and_then(parse), None);
    }
}
