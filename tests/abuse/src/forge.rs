//! Certificates that nobody should accept: signed by the fabric's own root, whose key the test has, and wrong in one thing.

use std::{fs, path::Path, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use relay_core::identity::Identity;
use relay_runtime::identity::LoadedIdentity;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The fabric's root as a thief of its key has it.
pub struct Forger {
    issuer: Issuer<'static, KeyPair>,
    roots: Vec<CertificateDer<'static>>,
}

/// What a certificate says.
pub struct Leaf {
    /// Its names.
    pub names: Vec<SanType>,
    /// What it may be used for.
    pub usages: Vec<ExtendedKeyUsagePurpose>,
    /// When its life began and ended, in seconds from now.
    pub life: (i64, i64),
    /// Its common name, which must count for nothing.
    pub common_name: Option<String>,
    /// More extensions.
    pub more: Vec<CustomExtension>,
}

impl Leaf {
    /// A certificate as `who` has it.
    pub fn of(who: &Identity) -> Leaf {
        Leaf {
            names: vec![dns(&who.to_dns())],
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
            life: (-300, 3_600),
            common_name: None,
            more: Vec::new(),
        }
    }
}

/// A DNS name.
///
/// # Panics
/// It is not ASCII.
pub fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ASCII"))
}

impl Forger {
    /// With the key that the authority of the tests keeps in `DIR/ca.secret`.
    ///
    /// # Panics
    /// It is not there.
    pub fn with_key_in(dir: &Path) -> Forger {
        let text = |name: &str| fs::read_to_string(dir.join(name)).expect("the authority's file");
        let key = KeyPair::from_pem(&text("ca.secret")).expect("the root's key");
        let root = CertificateDer::from_pem_slice(text("ca.crt").as_bytes()).expect("the root");
        let name = {
            let (_, root) = X509Certificate::from_der(&root).expect("the root");
            let name = root.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
            name.expect("its name").to_owned()
        };
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Forger { issuer: Issuer::new(params, key), roots: vec![root] }
    }

    /// Signs a certificate; its key is new. `like` says what a fabric's process would take it for.
    ///
    /// # Panics
    /// It cannot be made at all.
    pub fn forge(&self, leaf: Leaf, like: &Identity) -> LoadedIdentity {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let params = params(leaf);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        self.loaded(vec![certificate.der().clone()], &key, like)
    }

    /// A certificate that is signed by another one, which the root has signed for somebody and not as an issuer.
    ///
    /// # Panics
    /// It cannot be made at all.
    pub fn forge_below(&self, above: Leaf, leaf: Leaf, like: &Identity) -> LoadedIdentity {
        let middle_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let middle_params = params(above);
        let middle = middle_params.signed_by(&middle_key, &self.issuer).expect("a certificate");
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let issuer = Issuer::new(middle_params, middle_key);
        let certificate = params(leaf).signed_by(&key, &issuer).expect("a certificate");
        self.loaded(vec![certificate.der().clone(), middle.der().clone()], &key, like)
    }

    fn loaded(&self, certs: Vec<CertificateDer<'static>>, key: &KeyPair, like: &Identity) -> LoadedIdentity {
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        LoadedIdentity { certs, key, roots: self.roots.clone(), identity: like.clone() }
    }
}

fn params(leaf: Leaf) -> CertificateParams {
    let Leaf { names, usages, life: (from, to), common_name, more } = leaf;
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.distinguished_name = common_name.map_or_else(DistinguishedName::new, |name| named(&name));
    params.extended_key_usages = usages;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    (params.not_before, params.not_after) = (moment(from).into(), moment(to).into());
    params.custom_extensions = more;
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn moment(seconds: i64) -> std::time::SystemTime {
    let (now, by) = (std::time::SystemTime::now(), Duration::from_secs(seconds.unsigned_abs()));
    if seconds < 0 { now - by } else { now + by }
}
