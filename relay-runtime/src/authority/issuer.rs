//! An issuer: makes certificates for its scope. Top masters hold issuers; syndics never do.

use std::{path::Path, time::Duration};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use relay_core::identity::{FabricName, Identity, Role};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{AuthorityError, PublicKey, RootKey, Scope, at, files, pem, shape};
use crate::trust::{Enrolment, Pin, Seconds, bundle::Root, key};

/// How long an issuer counts.
pub const ISSUER_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long a certificate counts that is renewed by itself.
pub const LEAF_LIFE: Duration = Duration::from_secs(24 * 3600);

/// An issuer with its key.
pub struct Issuer {
    scope: Scope,
    fabric: FabricName,
    name: String,
    certificate: CertificateDer<'static>,
    root: CertificateDer<'static>,
    key: KeyPair,
    life: (Seconds, Seconds),
}

pub(super) fn make(
    root: &RootKey,
    scope: Scope,
    fabric: &FabricName,
    life: shape::Life,
) -> Result<Issuer, AuthorityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let id = key::hex(&key::id_of_spki(&key.subject_public_key_info()));
    let name = format!("relay issuer {}", &id[..16]);
    let params = shape::issuer(&name, &scope, fabric, life);
    let certificate = params.signed_by(&key, &root.signing())?.der().clone();
    let life = shape::life_of(&certificate).ok_or(AuthorityError::Root)?;
    let root = root.root().certificate.clone();
    Ok(Issuer { scope, fabric: fabric.clone(), name, certificate, root, key, life })
}

impl Issuer {
    /// From its files, if one of these roots signed it.
    ///
    /// # Errors
    /// They cannot be read, do not belong together, or no root there signed it.
    pub fn open(
        certificate: &Path,
        key: &Path,
        fabric: &FabricName,
        roots: &[Root],
    ) -> Result<Issuer, AuthorityError> {
        let content = |what| AuthorityError::Content { path: certificate.into(), what };
        let bytes = files::read_bytes(certificate).map_err(at(certificate))?;
        let der = CertificateDer::from_pem_slice(&bytes).map_err(|_| content("holds no certificate"))?;
        let secret = super::key_pair(key)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| content("holds no certificate"))?;
        if parsed.public_key().raw != secret.subject_public_key_info() {
            return Err(AuthorityError::Content {
                path: key.into(),
                what: "is not the key of the certificate",
            });
        }
        let scope = shape::scope_of(&parsed, fabric)
            .ok_or_else(|| content("permits other names than those of an issuer of this fabric"))?;
        let name = shape::name_of(&parsed).ok_or_else(|| content("was not made here"))?;
        let life = shape::life_of(&der).ok_or_else(|| content("has no life"))?;
        let (tbs, signature) = (parsed.tbs_certificate.as_ref(), &parsed.signature_value.data);
        let signer = roots.iter().find(|root| root.certified(tbs, signature));
        let root = signer.ok_or_else(|| AuthorityError::Retired(certificate.into()))?.certificate.clone();
        Ok(Issuer { scope, fabric: fabric.clone(), name, certificate: der, root, key: secret, life })
    }

    /// Writes both files; they are not there yet.
    ///
    /// # Errors
    /// They are, or cannot be written.
    pub fn write(&self, certificate: &Path, key: &Path) -> Result<(), AuthorityError> {
        files::write_new(key, self.key.serialize_pem().as_bytes(), 0o600).map_err(at(key))?;
        files::write_new(certificate, pem(std::slice::from_ref(&self.certificate)).as_bytes(), 0o644)
            .map_err(at(certificate))
    }

    /// For whom it may make certificates.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// From when until when it counts.
    pub fn life(&self) -> (Seconds, Seconds) {
        self.life
    }

    /// The fingerprint of the root that signed it.
    pub fn root(&self) -> Option<Pin> {
        Pin::of_certificate(&self.root)
    }

    /// The name of its files.
    pub(super) fn stem(&self) -> String {
        key::hex(&key::id_of_spki(&self.key.subject_public_key_info()))[..16].to_owned()
    }

    /// A certificate for somebody, and those between it and the root: what the holder of the key shows. It ends with the
    /// issuer, at the latest.
    ///
    /// # Errors
    /// It may not make one for that identity.
    pub fn issue(
        &self,
        identity: &Identity,
        public: &PublicKey,
        enrolment: Enrolment,
        lasts: Duration,
        now: Seconds,
    ) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        if *identity.fabric() != self.fabric || Scope::of(identity) != self.scope {
            return Err(AuthorityError::Scope { scope: self.scope.clone(), asked: identity.to_dns() });
        }
        if now >= self.life.1 {
            return Err(AuthorityError::Expired(self.scope.clone()));
        }
        let params = shape::leaf(identity, Some(enrolment), shape::Life::of(now, lasts, Some(self.life.1)))?;
        let own = shape::issuer(&self.name, &self.scope, &self.fabric, shape::Life::of(now, lasts, None));
        let leaf = params.signed_by(public, &rcgen::Issuer::new(own, &self.key))?;
        let mut chain = vec![leaf.der().clone(), self.certificate.clone()];
        // Who knows the root by its fingerprint only finds it here.
        if matches!(identity.role(), Role::Syndic | Role::TopMaster) {
            chain.push(self.root.clone());
        }
        Ok(chain)
    }

    /// Signs whatever it is given: what a stolen issuer's key would do.
    #[cfg(test)]
    pub(crate) fn sign_anything(
        &self,
        params: &rcgen::CertificateParams,
        public: &impl rcgen::PublicKeyData,
    ) -> Vec<CertificateDer<'static>> {
        let own = shape::issuer(&self.name, &self.scope, &self.fabric, shape::Life::of(0, LEAF_LIFE, None));
        let leaf = params.signed_by(public, &rcgen::Issuer::new(own, &self.key)).unwrap();
        vec![leaf.der().clone(), self.certificate.clone()]
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("scope", &self.scope).field("life", &self.life).finish_non_exhaustive()
    }
}
