//! Identity from certificates: what this process has on disk, and what a peer shows in the handshake.
//!
//! The rule is one: exactly one DNS name, of the form [`Identity::parse_dns`] reads, and no name of any other kind. The
//! common name is not looked at. Whether the certificate is signed by the fabric's root is rustls' work, done before.

use std::{
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use relay_core::identity::{FabricName, Identity, IdentityError};
use rustls::{RootCertStore, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::{
    config::TlsConfig,
    trust::{Enrolment, Seconds},
};

/// Largest PEM file read, in bytes: a chain of a few certificates has under 10 KiB.
pub const MAX_PEM_BYTES: u64 = 256 * 1024;
/// Permission bits that a private key's file may not have: anything for group or others.
const FOREIGN_BITS: u32 = 0o077;

/// What a process needs to show who it is, and to see who others are.
#[derive(Debug)]
pub struct LoadedIdentity {
    /// The certificate, then those between it and the root.
    pub certs: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// The fabric's root certificates.
    pub roots: Vec<CertificateDer<'static>>,
    /// Who the certificate says that this is.
    pub identity: Identity,
}

/// Why an identity cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{path}: {what}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A private key that others can read.
    #[error("{path}: the key's mode is {mode:04o}, so others than its owner can use it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The certificate is nobody of this fabric.
    #[error("{path}: {source}")]
    Identity {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong with its name.
        source: IdentityError,
    },
}

impl LoadError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            LoadError::Read { .. } => "check the path and who may read it".into(),
            LoadError::Content { .. } => "put the right PEM file there".into(),
            LoadError::Exposed { path, .. } => {
                format!("run chmod 600 {} (and think about who has read it already)", path.display())
            }
            LoadError::Identity { .. } => {
                "have a certificate issued for this id, role, region and fabric".into()
            }
        }
    }
}

/// Loads what the files hold. Stops at the first problem; the configuration check has shown all of them before.
pub fn load(tls: &TlsConfig, fabric: &FabricName) -> Result<LoadedIdentity, LoadError> {
    let roots = certificates(&tls.ca)?;
    let certs = certificates(&tls.cert)?;
    let key = private_key(&tls.key)?;
    fits(&certs, &key, tls)?;
    let named = certs.first().map(|leaf| peer_identity(leaf, fabric));
    let identity = named
        .unwrap_or_else(|| Err(IdentityError::Certificate("there is none".into())))
        .map_err(|source| LoadError::Identity { path: tls.cert.clone(), source })?;
    Ok(LoadedIdentity { certs, key, roots, identity })
}

/// The root certificates in a file.
///
/// # Errors
/// It cannot be read, or holds something else.
pub fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    certificates(path)
}

/// Looks at all files at once and says everything that is wrong with them: each problem with what to do.
pub(crate) fn examine(tls: &TlsConfig, expected: &Identity) -> Result<(), Vec<(String, String)>> {
    let mut problems: Vec<LoadError> = Vec::new();
    let roots = certificates(&tls.ca).map_err(|e| problems.push(e)).ok();
    let key = private_key(&tls.key).map_err(|e| problems.push(e)).ok();
    let certs = certificates(&tls.cert).map_err(|e| problems.push(e)).ok();
    if let (Some(certs), Some(key)) = (&certs, &key) {
        problems.extend(fits(certs, key, tls).err());
    }
    if let Some(leaf) = certs.as_ref().and_then(|c| c.first()) {
        problems.extend(is_of(leaf, expected, &tls.cert).err());
    }
    if let (Some(roots), Some(certs)) = (roots, certs) {
        problems.extend(is_trusted(roots, &certs, tls).err());
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems.iter().map(|p| (p.to_string(), p.hint())).collect()),
    }
}

fn is_of(leaf: &CertificateDer<'_>, expected: &Identity, path: &Path) -> Result<(), LoadError> {
    let found = peer_identity(leaf, expected.fabric());
    let found = found.map_err(|source| LoadError::Identity { path: path.into(), source })?;
    match found == *expected {
        true => Ok(()),
        false => {
            let what = format!("is the certificate of {found}, and the configuration says {expected}");
            Err(LoadError::Content { path: path.into(), what })
        }
    }
}

/// Whether others of the fabric will accept it, as far as can be seen from here: signed by a root in `ca`, and in time.
fn is_trusted(
    roots: Vec<CertificateDer<'static>>,
    certs: &[CertificateDer<'static>],
    tls: &TlsConfig,
) -> Result<(), LoadError> {
    let refuse = |path: &Path, what: String| LoadError::Content { path: path.into(), what };
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root).map_err(|e| refuse(&tls.ca, format!("holds no usable root: {e}")))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map_err(|e| refuse(&tls.ca, format!("holds no usable root: {e}")))?;
    let Some((leaf, between)) = certs.split_first() else { return Ok(()) };
    let verified = verifier.verify_client_cert(leaf, between, UnixTime::now());
    verified.map(|_| ()).map_err(|e| refuse(&tls.cert, distrust(&e, tls)))
}

/// Why a certificate is not accepted, in words.
fn distrust(error: &rustls::Error, tls: &TlsConfig) -> String {
    use rustls::CertificateError as Because;
    match error {
        rustls::Error::InvalidCertificate(Because::Expired | Because::ExpiredContext { .. }) => {
            "has expired".into()
        }
        rustls::Error::InvalidCertificate(Because::NotValidYet | Because::NotValidYetContext { .. }) => {
            "is not valid yet (is this machine's clock right?)".into()
        }
        // BadSignature: a root of the same name and another key, as two trial fabrics have.
        rustls::Error::InvalidCertificate(Because::UnknownIssuer | Because::BadSignature) => {
            format!("is not signed by a root in {}", tls.ca.display())
        }
        other => format!("is not accepted: {other}"),
    }
}

/// What a peer's certificate says, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who it names.
    pub identity: Identity,
    /// Which enrolment it is of.
    pub enrolment: Enrolment,
    /// Until when it counts.
    pub until: Seconds,
}

/// Who a certificate names: exactly one DNS name, no wildcard, no other kind of name.
///
/// Only for certificates whose chain and validity rustls has verified.
pub fn peer_identity(der: &CertificateDer<'_>, fabric: &FabricName) -> Result<Identity, IdentityError> {
    seen(der, fabric).map(|seen| seen.identity)
}

/// The same, and what else its end depends on.
///
/// # Errors
/// It names nobody of this fabric.
pub fn seen(der: &CertificateDer<'_>, fabric: &FabricName) -> Result<Seen, IdentityError> {
    let bad = |what: &str| IdentityError::Certificate(what.to_owned());
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| bad("cannot be parsed"))?;
    if !rest.is_empty() {
        return Err(bad("has bytes after its end"));
    }
    let identity = named(&certificate, fabric)?;
    let enrolment = Enrolment::of_serial(certificate.raw_serial());
    let until = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(Seconds::MAX);
    Ok(Seen { identity, enrolment, until })
}

fn named(certificate: &X509Certificate<'_>, fabric: &FabricName) -> Result<Identity, IdentityError> {
    let bad = |what: &str| IdentityError::Certificate(what.to_owned());
    // An error here is a duplicate extension, which two readers could read differently.
    let names = certificate.subject_alternative_name().map_err(|_| bad("has names that cannot be parsed"))?;
    match names.map(|n| n.value.general_names.as_slice()) {
        Some([GeneralName::DNSName(name)]) if name.contains('*') => Err(bad("names a wildcard")),
        Some([GeneralName::DNSName(name)]) => Identity::parse_dns(name, fabric),
        Some([_]) => Err(bad("its name is not a DNS name")),
        Some([]) | None => Err(bad("has no DNS name (the common name does not count)")),
        Some(several) => Err(bad(&format!("has {} names, and it has to have exactly one", several.len()))),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let content = |what: String| LoadError::Content { path: path.into(), what };
    let pem = read(path)?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|e| content(format!("is no PEM file: {e}")))?;
    if found.is_empty() {
        return Err(content("holds no certificate".into()));
    }
    match found.iter().all(|der| X509Certificate::from_der(der).is_ok()) {
        true => Ok(found),
        false => Err(content("holds a certificate that cannot be parsed".into())),
    }
}

/// A private key, if its file is for nobody else.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, LoadError> {
    let mode =
        std::fs::metadata(path).map_err(|source| LoadError::Read { path: path.into(), source })?.mode();
    if mode & FOREIGN_BITS != 0 {
        return Err(LoadError::Exposed { path: path.into(), mode: mode & 0o7777 });
    }
    let pem = read(path)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|e| LoadError::Content { path: path.into(), what: format!("holds no private key: {e}") })
}

/// Whether the key is the certificate's. rustls knows for the kinds of key it can compare.
fn fits(
    certs: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    tls: &TlsConfig,
) -> Result<(), LoadError> {
    let content = |what: String| LoadError::Content { path: tls.key.clone(), what };
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(key)
        .map_err(|e| content(format!("is a key of a kind that is not supported: {e}")))?;
    let pair = rustls::sign::CertifiedKey::new(certs.to_vec(), signer);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(()),
        Err(_) => Err(content(format!("is not the key of the certificate {}", tls.cert.display()))),
    }
}

/// Reads a small regular file whole.
fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read { path: path.into(), source };
    let about = std::fs::metadata(path).map_err(failed)?;
    // A pipe or a device would block, or never end.
    if !about.is_file() {
        return Err(LoadError::Content { path: path.into(), what: "is not a regular file".into() });
    }
    let mut pem = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_PEM_BYTES + 1).read_to_end(&mut pem).map_err(failed)?;
    if pem.len() as u64 > MAX_PEM_BYTES {
        return Err(LoadError::Content {
            path: path.into(),
            what: format!("has more than {MAX_PEM_BYTES} bytes"),
        });
    }
    Ok(pem)
}

#[cfg(test)]
#[path = "identity/tests.rs"]
mod tests;
