//! Keys by their fingerprints, and the two kinds of signatures that count: ed25519 (lists and jobs), ECDSA P-256 (roots).

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey,
};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// SHA-256 of a key's SubjectPublicKeyInfo (DER).
pub type KeyId = [u8; 32];

/// Bytes of an ed25519 public key.
pub const PUBLIC_BYTES: usize = 32;
/// Bytes of an ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;

/// What stands before the 32 bytes of an ed25519 key in its SubjectPublicKeyInfo (RFC 8410).
const ED25519_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The fingerprint of a SubjectPublicKeyInfo.
pub fn id_of_spki(spki: &[u8]) -> KeyId {
    Sha256::digest(spki).into()
}

/// The fingerprint of an ed25519 public key.
pub fn id_of_ed25519(public: &[u8; PUBLIC_BYTES]) -> KeyId {
    Sha256::new().chain_update(ED25519_HEAD).chain_update(public).finalize().into()
}

/// Whether this ed25519 key signed this.
pub fn ed25519_signed(public: &[u8; PUBLIC_BYTES], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

/// Whether this P-256 key (the point, uncompressed) signed this; the signature is in ASN.1, as in certificates.
pub fn p256_signed(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
}

/// A secret ed25519 key. Never shown.
pub struct SecretKey(Ed25519KeyPair);

/// Bytes that are no ed25519 key in PKCS#8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no ed25519 key in PKCS#8")]
pub struct NoKey;

impl SecretKey {
    /// A new one. Fails only if the system has no randomness.
    pub fn generate() -> Result<SecretKey, NoKey> {
        Ed25519KeyPair::generate().map(SecretKey).map_err(|_| NoKey)
    }

    /// From PKCS#8.
    pub fn from_pkcs8(der: &[u8]) -> Result<SecretKey, NoKey> {
        Ed25519KeyPair::from_pkcs8(der).map(SecretKey).map_err(|_| NoKey)
    }

    /// As PKCS#8, for a file that nobody else reads.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, NoKey> {
        Ok(self.0.to_pkcs8().map_err(|_| NoKey)?.as_ref().to_vec())
    }

    /// The public half.
    pub fn public(&self) -> [u8; PUBLIC_BYTES] {
        let mut public = [0; PUBLIC_BYTES];
        public.copy_from_slice(self.0.public_key().as_ref());
        public
    }

    /// The fingerprint of the public half.
    pub fn id(&self) -> KeyId {
        id_of_ed25519(&self.public())
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.0.sign(message).as_ref());
        signature
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(***, {})", hex(&self.id()))
    }
}

/// A root by the fingerprint of its key, as a newcomer's configuration names it: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pin(pub KeyId);

/// What stands before the digits.
const PIN_HEAD: &str = "sha256:";

impl Pin {
    /// Of a certificate's key; none, if it is no certificate.
    pub fn of_certificate(der: &CertificateDer<'_>) -> Option<Pin> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Pin(id_of_spki(certificate.public_key().raw)))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PIN_HEAD}{}", hex(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no pin of a root: write sha256: and 64 hexadecimal digits (\"relayctl ca export\" shows it)")]
pub struct NoPin;

impl FromStr for Pin {
    type Err = NoPin;
    fn from_str(text: &str) -> Result<Pin, NoPin> {
        let digits = text.strip_prefix(PIN_HEAD).ok_or(NoPin)?;
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(NoPin);
        }
        let mut id = [0; 32];
        for (byte, pair) in id.iter_mut().zip(pairs) {
            let digit = |c: u8| char::from(c).to_digit(16).filter(|_| !c.is_ascii_uppercase());
            let (high, low) = (digit(pair[0]).ok_or(NoPin)?, digit(pair[1]).ok_or(NoPin)?);
            *byte = (high * 16 + low) as u8;
        }
        Ok(Pin(id))
    }
}

/// Bytes as people compare them: lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};

    use super::*;

    #[test]
    fn an_ed25519_key_goes_by_the_fingerprint_of_its_spki() {
        let key = SecretKey::generate().unwrap();
        let spki: PublicKeyX509Der<'_> = key.0.public_key().as_der().unwrap();
        assert_eq!(key.id(), id_of_spki(spki.as_ref()));
        let again = SecretKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        assert_eq!(again.public(), key.public());
        let signature = again.sign(b"text");
        assert!(ed25519_signed(&key.public(), b"text", &signature));
        assert!(!ed25519_signed(&key.public(), b"test", &signature));
        assert!(!format!("{key:?}").contains(&hex(&key.to_pkcs8().unwrap()[16..48])));
    }

    #[test]
    fn a_pin_is_one_text() {
        let pin = Pin([0xab; 32]);
        let text = pin.to_string();
        assert_eq!(text.parse(), Ok(pin));
        let upper = text.to_uppercase().replace("SHA256", "sha256");
        let cases =
            ["", "sha256:", &text[7..], &text[..70], &format!("{text}0"), &upper, "sha256:gg", "md5:00"];
        for bad in cases {
            assert_eq!(bad.parse::<Pin>(), Err(NoPin), "{bad}");
        }
    }
}
