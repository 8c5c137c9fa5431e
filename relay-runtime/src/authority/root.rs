//! A root: the key that signs issuers and anchors. It may be offline, and is needed seldom.

use std::{path::Path, time::Duration};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SigningKey as _};
use relay_core::identity::FabricName;
use relay_proto::trust::Signature;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{AuthorityError, Issuer, Scope, at, files, issuer, pem, shape};
use crate::trust::{
    Pin, Seconds,
    bundle::{Anchors, Root},
    key,
};

/// How long a root counts.
pub const ROOT_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A root with its key.
pub struct RootKey {
    pub(super) key: KeyPair,
    pub(super) name: String,
    root: Root,
}

impl RootKey {
    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn make(now: Seconds, life: Duration) -> Result<RootKey, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let id = key::hex(&key::id_of_spki(&key.subject_public_key_info()));
        // Its own name for each: which root signed an issuer is read from names.
        let name = format!("relay root {}", &id[..16]);
        let certificate = shape::root(&name, shape::Life::of(now, life, None)).self_signed(&key)?;
        let root = Root::read(certificate.der().clone()).map_err(|_| AuthorityError::Root)?;
        Ok(RootKey { key, name, root })
    }

    /// From its files.
    ///
    /// # Errors
    /// They cannot be read, or do not belong together.
    pub fn open(certificate: &Path, key: &Path) -> Result<RootKey, AuthorityError> {
        let bytes = files::read_bytes(certificate).map_err(at(certificate))?;
        let der = CertificateDer::from_pem_slice(&bytes).map_err(|_| AuthorityError::Content {
            path: certificate.into(),
            what: "holds no certificate",
        })?;
        let secret = super::key_pair(key)?;
        let content = |what| AuthorityError::Content { path: certificate.into(), what };
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| content("holds no certificate"))?;
        let name =
            shape::name_of(&parsed).ok_or_else(|| content("holds a certificate that was not made here"))?;
        if parsed.public_key().raw != secret.subject_public_key_info() {
            return Err(AuthorityError::Content {
                path: key.into(),
                what: "is not the key of the certificate",
            });
        }
        let root = Root::read(der.clone()).map_err(|_| content("is no root"))?;
        Ok(RootKey { key: secret, name, root })
    }

    /// Writes both files; they are not there yet.
    ///
    /// # Errors
    /// They are, or cannot be written.
    pub fn write(&self, certificate: &Path, key: &Path) -> Result<(), AuthorityError> {
        files::write_new(key, self.key.serialize_pem().as_bytes(), 0o600).map_err(at(key))?;
        files::write_new(certificate, self.pem().as_bytes(), 0o644).map_err(at(certificate))
    }

    /// The certificate, PEM.
    pub fn pem(&self) -> String {
        pem(std::slice::from_ref(&self.root.certificate))
    }

    /// As anchors name it.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The fingerprint of its key.
    pub fn pin(&self) -> Pin {
        self.root.pin
    }

    /// Makes an issuer.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn issuer(&self, scope: Scope, fabric: &FabricName, now: Seconds) -> Result<Issuer, AuthorityError> {
        let end = shape::life_of(&self.root.certificate).map(|(_, end)| end);
        issuer::make(self, scope, fabric, shape::Life::of(now, issuer::ISSUER_LIFE, end))
    }

    /// Signs anchors.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn sign(&self, payload: &[u8]) -> Result<Signature, AuthorityError> {
        let signature = self.key.sign(&Anchors::message(payload))?;
        Ok(Signature { key_id: self.pin().0.to_vec(), signature })
    }

    /// What rcgen signs certificates with.
    pub(super) fn signing(&self) -> rcgen::Issuer<'_, &KeyPair> {
        // It needs the root's name and key identifier only; both follow from these.
        rcgen::Issuer::new(shape::root(&self.name, shape::Life::of(0, Duration::ZERO, None)), &self.key)
    }
}
