//! A throw-away certificate authority for `dev up` and for tests: one root, no issuers, no enrolment, nothing revoked.
//!
//! Not for a fabric that matters: whoever can read its directory can be anybody. What it issues has the shape that
//! SECURITY section 1 asks of real certificates, so that everything else meets no difference.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use relay_core::identity::{FabricName, Identity, Role};

use crate::config::TlsConfig;

/// How long a certificate is good: a trial outlives no month.
const VALID_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// How far back a certificate's life begins, for clocks that are slow (SECURITY section 1).
const BACKDATED: Duration = Duration::from_secs(5 * 60);
/// Names of the authority's own files. Issued ones end in `.pem` and `.key`, so no id can name these.
const ROOT_FILE: &str = "ca.crt";
const ROOT_KEY_FILE: &str = "ca.secret";

/// Why the authority could not do something.
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
    /// A key or a certificate could not be made or parsed.
    #[error("certificate authority: {0}")]
    Crypto(#[from] rcgen::Error),
    /// Asked to issue for a fabric that is not its own.
    #[error("this authority is of the fabric {own}, and {asked} is not")]
    Fabric {
        /// The authority's fabric.
        own: FabricName,
        /// Who was asked for.
        asked: String,
    },
}

/// A root key and what it signs.
pub struct DevAuthority {
    fabric: FabricName,
    issuer: Issuer<'static, KeyPair>,
    root_pem: String,
    root_file: PathBuf,
}

impl DevAuthority {
    /// Makes a new root in a directory (made if absent). Refuses if there is one already.
    pub fn create(dir: &Path, fabric: FabricName) -> Result<Self, AuthorityError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let root_pem = root_params(&fabric).self_signed(&key)?.pem();
        write_new(&dir.join(ROOT_KEY_FILE), &key.serialize_pem(), 0o600)?;
        write_new(&dir.join(ROOT_FILE), &root_pem, 0o644)?;
        Ok(Self::with(dir, fabric, key, root_pem))
    }

    /// Opens a root that [`DevAuthority::create`] has made.
    pub fn open(dir: &Path, fabric: FabricName) -> Result<Self, AuthorityError> {
        let text = |name: &str| fs::read_to_string(dir.join(name)).map_err(at(&dir.join(name)));
        let key = KeyPair::from_pem(&text(ROOT_KEY_FILE)?)?;
        let root_pem = text(ROOT_FILE)?;
        Ok(Self::with(dir, fabric, key, root_pem))
    }

    fn with(dir: &Path, fabric: FabricName, key: KeyPair, root_pem: String) -> Self {
        // The issuer needs the root's name and key identifier only; both follow from the fabric and the key.
        let issuer = Issuer::new(root_params(&fabric), key);
        DevAuthority { fabric, issuer, root_pem, root_file: dir.join(ROOT_FILE) }
    }

    /// The root certificate, PEM.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }
    /// The root certificate's file, for a configuration's `tls.ca`.
    pub fn root_file(&self) -> &Path {
        &self.root_file
    }

    /// A new certificate and key (PEM both), in memory. About a tenth of a millisecond when optimised.
    pub fn issue_pem(&self, identity: &Identity) -> Result<(String, String), AuthorityError> {
        if *identity.fabric() != self.fabric {
            return Err(AuthorityError::Fabric { own: self.fabric.clone(), asked: identity.to_dns() });
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = leaf_params(identity)?.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// A new certificate and key as files `<id>.pem` and `<id>.key` in a directory (made if absent); older ones of that
    /// id are replaced. Use a directory per role: two roles may have the same id.
    pub fn issue(&self, identity: &Identity, out_dir: &Path) -> Result<TlsConfig, AuthorityError> {
        fs::create_dir_all(out_dir).map_err(at(out_dir))?;
        let (certificate, key) = self.issue_pem(identity)?;
        let file = |end: &str| out_dir.join(format!("{}.{end}", identity.id()));
        let tls = TlsConfig { ca: self.root_file.clone(), cert: file("pem"), key: file("key") };
        replace(&tls.key, &key, 0o600)?;
        replace(&tls.cert, &certificate, 0o644)?;
        Ok(tls)
    }
}

fn root_params(fabric: &FabricName) -> CertificateParams {
    let mut params = lived(CertificateParams::default());
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{fabric} throw-away root"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn leaf_params(identity: &Identity) -> Result<CertificateParams, AuthorityError> {
    let mut params = lived(CertificateParams::new(vec![identity.to_dns()])?);
    params.distinguished_name = DistinguishedName::new();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages(identity.role());
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Who nobody dials may not answer as a server: a minion's certificate makes no syndic.
fn usages(role: Role) -> Vec<ExtendedKeyUsagePurpose> {
    match role {
        Role::Minion | Role::Operator => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Role::Syndic | Role::TopMaster => {
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth]
        }
    }
}

fn lived(params: CertificateParams) -> CertificateParams {
    let now = SystemTime::now();
    let mut params = params;
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + VALID_FOR).into();
    params
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> AuthorityError + '_ {
    move |source| AuthorityError::File { path: path.into(), source }
}

/// Writes a file that is not there yet, with its final mode from the first byte on.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes())).map_err(at(path))
}

fn replace(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(path)(e)),
        _ => write_new(path, text, mode),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use relay_core::identity::check_region;
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    fn fabric() -> FabricName {
        "acme.example".parse().unwrap()
    }

    fn who(role: Role) -> Identity {
        Identity::new("one", role, check_region("aws").unwrap(), fabric()).unwrap()
    }

    #[test]
    fn only_who_is_dialled_may_serve() {
        let dir = tempfile::tempdir().unwrap();
        let authority = DevAuthority::create(dir.path(), fabric()).unwrap();
        for role in Role::ALL {
            let (pem, _) = authority.issue_pem(&who(role)).unwrap();
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            let (_, certificate) = X509Certificate::from_der(&der).unwrap();
            let usage = certificate.extended_key_usage().unwrap().unwrap().value;
            let serves = matches!(role, Role::TopMaster | Role::Syndic);
            assert_eq!((usage.client_auth, usage.server_auth, usage.any), (true, serves, false), "{role}");
            assert!(!certificate.is_ca(), "{role}");
            let life =
                certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp();
            assert_eq!(life as u64, (VALID_FOR + BACKDATED).as_secs(), "{role}");
        }
    }

    #[test]
    fn keys_are_their_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let authority = DevAuthority::create(dir.path(), fabric()).unwrap();
        let tls = authority.issue(&who(Role::Minion), dir.path()).unwrap();
        for key in [&tls.key, &dir.path().join(ROOT_KEY_FILE)] {
            assert_eq!(fs::metadata(key).unwrap().mode() & 0o777, 0o600, "{}", key.display());
        }
    }

    #[test]
    fn a_root_is_not_overwritten_and_serves_its_own_fabric_only() {
        let dir = tempfile::tempdir().unwrap();
        let authority = DevAuthority::create(dir.path(), fabric()).unwrap();
        assert!(matches!(DevAuthority::create(dir.path(), fabric()), Err(AuthorityError::File { .. })));
        let root = fs::read_to_string(authority.root_file()).unwrap();
        assert_eq!(root, DevAuthority::open(dir.path(), fabric()).unwrap().root_pem());
        let region = check_region("aws").unwrap();
        let alien = Identity::new("one", Role::Minion, region, "other.example".parse().unwrap()).unwrap();
        assert!(matches!(authority.issue_pem(&alien), Err(AuthorityError::Fabric { .. })));
    }
}
