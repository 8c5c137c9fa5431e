//! A throw-away certificate authority for `dev up` and for tests: its root makes everybody's certificates itself, and lies open in
//! a directory.
//!
//! Not for a fabric that matters: whoever can read its directory can be anybody. What it issues has the shape of real
//! certificates (`shape.rs`), so that everything else meets no difference.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use relay_core::identity::{FabricName, Identity, Role};

use super::{AuthorityError, Held, RootKey, Scope, at, files, held::ISSUERS_DIR, home, shape};
use crate::{config::TlsConfig, trust};

/// How long a certificate is good: a trial outlives no month.
const VALID_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// Names of the authority's own files. Issued ones end in `.pem` and `.key`, so no id can name these.
const ROOT_FILE: &str = "ca.crt";
const ROOT_KEY_FILE: &str = "ca.secret";
const TRUST_DIR: &str = "trust";

/// A root key and what it signs.
pub struct DevAuthority {
    fabric: FabricName,
    root: RootKey,
    root_pem: String,
    dir: PathBuf,
    root_file: PathBuf,
}

impl DevAuthority {
    /// Makes a new root in a directory (made if absent), and a directory for top masters. Refuses if there is one already.
    ///
    /// # Errors
    /// There is, or it cannot be written.
    pub fn create(dir: &Path, fabric: FabricName) -> Result<Self, AuthorityError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let now = trust::now();
        let root = RootKey::make(now, VALID_FOR)?;
        root.write(&dir.join(ROOT_FILE), &dir.join(ROOT_KEY_FILE))?;
        home::make_trust(&dir.join(TRUST_DIR), &fabric, &[&root], now)?;
        Ok(Self::with(dir, fabric, root))
    }

    /// Opens a root that [`DevAuthority::create`] has made.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(dir: &Path, fabric: FabricName) -> Result<Self, AuthorityError> {
        let root = RootKey::open(&dir.join(ROOT_FILE), &dir.join(ROOT_KEY_FILE))?;
        Ok(Self::with(dir, fabric, root))
    }

    fn with(dir: &Path, fabric: FabricName, root: RootKey) -> Self {
        let (root_pem, root_file) = (root.pem(), dir.join(ROOT_FILE));
        DevAuthority { fabric, root, root_pem, dir: dir.into(), root_file }
    }

    /// The root certificate, PEM.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }
    /// The root certificate's file, for a configuration's `tls.ca`.
    pub fn root_file(&self) -> &Path {
        &self.root_file
    }
    /// The fingerprint of the root.
    pub fn pin(&self) -> trust::Pin {
        self.root.pin()
    }
    /// The directory for a top master's `trust.dir`.
    pub fn trust_dir(&self) -> PathBuf {
        self.dir.join(TRUST_DIR)
    }

    /// Makes issuers, so that top masters may let newcomers in.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn add_issuers(&self, scopes: &[Scope]) -> Result<(), AuthorityError> {
        for scope in scopes {
            let issuer = self.root.issuer(scope.clone(), &self.fabric, trust::now())?;
            let base = self.trust_dir().join(ISSUERS_DIR).join(issuer.stem());
            issuer.write(&base.with_extension("crt"), &base.with_extension("key"))?;
        }
        Ok(())
    }

    /// What top masters hold.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn held(&self) -> Result<Held, AuthorityError> {
        Held::open(&self.trust_dir())
    }

    /// A new certificate and key (PEM both), in memory. About a tenth of a millisecond when optimised.
    ///
    /// # Errors
    /// Of another fabric.
    pub fn issue_pem(&self, identity: &Identity) -> Result<(String, String), AuthorityError> {
        if *identity.fabric() != self.fabric {
            return Err(AuthorityError::Fabric { own: self.fabric.clone(), asked: identity.to_dns() });
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let life = shape::Life::of(trust::now(), VALID_FOR, None);
        let certificate = shape::leaf(identity, None, life)?.signed_by(&key, &self.root.signing())?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// A new certificate and key as files `<id>.pem` and `<id>.key` in a directory (made if absent); older ones of that
    /// id are replaced. Use a directory per role: two roles may have the same id.
    ///
    /// # Errors
    /// Of another fabric, or they cannot be written.
    pub fn issue(&self, identity: &Identity, out_dir: &Path) -> Result<TlsConfig, AuthorityError> {
        fs::create_dir_all(out_dir).map_err(at(out_dir))?;
        let (certificate, key) = self.issue_pem(identity)?;
        let file = |end: &str| out_dir.join(format!("{}.{end}", identity.id()));
        let tls = TlsConfig { ca: self.root_file.clone(), cert: file("pem"), key: file("key") };
        replace(&tls.key, &key, 0o600)?;
        // Newcomers know the root by its fingerprint, and find it with whoever they dial.
        let serves = matches!(identity.role(), Role::Syndic | Role::TopMaster);
        let shown = if serves { format!("{certificate}{}", self.root_pem) } else { certificate };
        replace(&tls.cert, &shown, 0o644)?;
        Ok(tls)
    }
}

fn replace(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(path)(e)),
        _ => files::write_new(path, text.as_bytes(), mode).map_err(at(path)),
    }
}
