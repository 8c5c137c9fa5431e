//! Texts that newcomers and operators present: join tokens, fingerprints, ids.

use relay_core::{
    enrol::{Fingerprint, JoinToken},
    identity::Identity,
    ids::MinionId,
};

/// Any text, as each of them.
///
/// Nothing panics; a token has one spelling, and no refusal repeats it; a fingerprint is written back as the same one; an id
/// has nothing in it that a path, a shell or a log could take for more than an id.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<JoinToken>() {
        Ok(token) => {
            assert_eq!(token.reveal(), text, "a second spelling of a token");
            assert!(!format!("{token:?}").contains(text), "a token that shows itself");
        }
        Err(error) if text.len() > 16 => {
            assert!(!error.to_string().contains(text), "a refusal repeats a secret")
        }
        Err(_) => {}
    }
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        assert_eq!(fingerprint.to_string().parse::<Fingerprint>(), Ok(fingerprint));
        let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
        assert!(digits >= 64, "a fingerprint that is not whole");
    }
    if let Ok(id) = text.parse::<MinionId>() {
        assert_eq!(id.as_str(), text);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{text:?}");
        assert!(!text.split('.').any(str::is_empty), "{text:?} climbs or hides");
    }
    if let Ok(fabric) = "test.example".parse()
        && let Ok(identity) = Identity::parse_dns(text, &fabric)
    {
        assert_eq!(identity.to_dns(), text, "a second spelling of a name");
    }
}
