//! Certificate authorities: who may be who.
//!
//! A *root* signs *issuers* and the anchors of trust; an issuer makes the certificates of a few roles of one region and no others,
//! which stands in its own certificate as name constraints. [`Authority`] is the directory where the root lives, on a machine that
//! may be offline; [`Held`] is the part of it that top masters hold; [`DevAuthority`] is a throw-away one for `dev up` and tests.
//! What verifies all this is rustls-webpki; what processes believe of it is [`crate::trust`]'s.

use std::{
    io,
    path::{Path, PathBuf},
};

use rcgen::KeyPair;
use relay_core::identity::FabricName;
use rustls_pki_types::CertificateDer;

use crate::trust::Flaw;

mod dev;
pub(crate) mod files;
mod held;
mod home;
mod issuer;
mod public;
mod root;
mod scope;
mod shape;
#[cfg(test)]
mod tests;

pub use dev::DevAuthority;
pub use held::Held;
pub use home::{Authority, RootState, Standing};
pub use issuer::{ISSUER_LIFE, Issuer, LEAF_LIFE};
pub use public::{MAX_CSR_BYTES, PublicKey};
pub use root::{ROOT_LIFE, RootKey};
pub use scope::Scope;
pub use shape::life_of;

/// Why an authority could not do something.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that holds something else than it should.
    #[error("{path}: {what}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// Anchors that are none.
    #[error("{path}: {source}")]
    Anchors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Flaw,
    },
    /// An issuer that no root which counts has signed.
    #[error("{0}: is an issuer of a root that counts no more")]
    Retired(PathBuf),
    /// A key or a certificate could not be made or parsed.
    #[error("certificate authority: {0}")]
    Crypto(#[from] rcgen::Error),
    /// A root that was just made is none: cannot happen.
    #[error("certificate authority: what was made cannot be read")]
    Root,
    /// Asked to issue for a fabric that is not its own.
    #[error("this authority is of the fabric {own}, and {asked} is not")]
    Fabric {
        /// The authority's fabric.
        own: FabricName,
        /// Who was asked for.
        asked: String,
    },
    /// Asked to issue for somebody else than the issuer may.
    #[error("an issuer for {scope} may not issue for {asked}")]
    Scope {
        /// For whom it may.
        scope: Scope,
        /// Who was asked for.
        asked: String,
    },
    /// There is no issuer for that.
    #[error(
        "there is no issuer for {0}: make one with \"relayctl ca add-region\", and give top masters the directory trust/ again"
    )]
    NoIssuer(Scope),
    /// The issuer has expired.
    #[error("the issuer for {0} has expired: \"relayctl ca rotate-issuer\" makes another one")]
    Expired(Scope),
    /// A signing request that is none, or asks for what is not given.
    #[error("the signing request: {0}")]
    Request(&'static str),
    /// The state of the authority does not allow it.
    #[error("{0}")]
    State(String),
}

/// The error about a file.
fn at(path: &Path) -> impl FnOnce(io::Error) -> AuthorityError + '_ {
    move |source| AuthorityError::File { path: path.into(), source }
}

/// A secret key's file (PEM).
fn key_pair(path: &Path) -> Result<KeyPair, AuthorityError> {
    let bytes = files::read_secret(path).map_err(at(path))?;
    let content = || AuthorityError::Content { path: path.into(), what: "holds no private key" };
    let text = String::from_utf8(bytes).map_err(|_| content())?;
    KeyPair::from_pem(&text).map_err(|_| content())
}

/// Certificates as a PEM file has them.
pub fn pem(chain: &[CertificateDer<'_>]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut text = String::new();
    for der in chain {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(der);
        for line in encoded.as_bytes().chunks(64) {
            text.extend(line.iter().map(|byte| char::from(*byte)));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// Somebody's new certificate and its key.
pub struct Member {
    /// The certificate, then those between it and the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: rustls_pki_types::PrivateKeyDer<'static>,
    key_pem: String,
}

/// Makes a key for somebody, and has a certificate made for it.
///
/// # Errors
/// The certificate is not made, or the system has no randomness.
pub fn member(
    issue: impl FnOnce(&PublicKey) -> Result<Vec<CertificateDer<'static>>, AuthorityError>,
) -> Result<Member, AuthorityError> {
    use rcgen::PublicKeyData as _;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let chain = issue(&PublicKey::from_spki(&key.subject_public_key_info())?)?;
    let der = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok(Member { chain, key: der.into(), key_pem: key.serialize_pem() })
}

impl Member {
    /// The certificate and those above it, PEM.
    pub fn chain_pem(&self) -> String {
        pem(&self.chain)
    }

    /// The key, PEM. For a file of mode 0600.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Keeps key and certificate in one file for its owner alone, in the place of what is there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, path: &Path) -> Result<(), AuthorityError> {
        let text = format!("{}{}", self.key_pem, self.chain_pem());
        files::replace_bytes(path, text.as_bytes(), 0o600).map_err(at(path))
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Member({} certificates, ***)", self.chain.len())
    }
}
