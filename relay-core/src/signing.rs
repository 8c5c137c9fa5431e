//! Signing jobs, and telling whose signature counts: the two seams through which keys reach the rules.
//!
//! Owns the names only. The keys and ed25519 itself are the processes' around the core: a top master signs with a key that the
//! fabric's key list names, a minion asks its copy of that list. What is signed is `relay-proto`'s (`envelope`).

use std::fmt;

use crate::time::WallMicros;

/// An ed25519 public key.
pub type PublicKey = [u8; 32];

/// Names a key that signs jobs: the first bytes of its fingerprint. It only says where to look; two keys under one name would
/// cost a refusal, nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl KeyId {
    /// The name of the key with this fingerprint.
    pub fn of_fingerprint(fingerprint: &[u8; 32]) -> KeyId {
        let [a, b, c, d, e, f, g, h, ..] = *fingerprint;
        KeyId([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// When a job may run, by the wall clock, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Not before.
    pub not_before: WallMicros,
    /// Not after.
    pub not_after: WallMicros,
}

/// A signature, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// The key.
    pub key: KeyId,
    /// Ed25519 over the message.
    pub bytes: [u8; 64],
}

/// Nothing can be signed now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no key to sign jobs with: {0}")]
pub struct NoKey(pub String);

/// What a top master signs its jobs with.
pub trait JobSigner: fmt::Debug + Send + Sync {
    /// Signs a job that counts during `span`, with a key that the fabric's list names, valid for all of the span.
    ///
    /// # Errors
    /// There is no such key: it has not been announced yet, or it ends before the job does.
    fn sign(&self, message: &[u8], span: Span) -> Result<Signature, NoKey>;
}

/// Whose signatures count.
pub trait JobKeys: fmt::Debug + Send + Sync {
    /// The public key of this name, if the list names it as valid for all of the span.
    fn key(&self, id: KeyId, span: Span) -> Option<PublicKey>;
}
