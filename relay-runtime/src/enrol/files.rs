//! What a member keeps: its key and certificate in one file, the fabric's root in another, and the key of a request whose
//! answer is still out. The one file is replaced as a whole, so that no restart finds a key without its certificate.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use relay_core::identity::FabricName;
use rustls_pki_types::CertificateDer;

use super::proof::OwnKey;
use crate::{
    authority::files,
    config::TlsConfig,
    identity::{self, LoadError, LoadedIdentity},
    process::private_dir,
};

/// The key, its certificate, and those between that and the root.
const IDENTITY: &str = "identity.pem";
/// The fabric's root.
const ROOT: &str = "root.pem";
/// The key of the request whose answer is out.
const NEXT: &str = "next.key";

/// A directory of these files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    dir: PathBuf,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is in it is no key.
    #[error("{path}: holds no P-256 key: remove it, and this one asks anew with another key")]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// What is in it is no identity.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl Files {
    /// Those in a directory.
    pub fn new(dir: &Path) -> Files {
        Files { dir: dir.into() }
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The same as other parts name them.
    pub fn tls(&self) -> TlsConfig {
        let identity = self.dir.join(IDENTITY);
        TlsConfig { ca: self.dir.join(ROOT), cert: identity.clone(), key: identity }
    }

    /// Makes the directory.
    pub(super) fn make(&self) -> Result<(), FileError> {
        private_dir(&self.dir).map_err(at(&self.dir))
    }

    /// Who this is, if it has joined.
    ///
    /// # Errors
    /// There is something, and it can't be used.
    pub fn load(&self, fabric: &FabricName) -> Result<Option<LoadedIdentity>, FileError> {
        match self.dir.join(IDENTITY).try_exists() {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some(identity::load(&self.tls(), fabric)?)),
            Err(source) => Err(at(&self.dir.join(IDENTITY))(source)),
        }
    }

    /// The key that is held.
    pub(super) fn held_key(&self) -> Result<OwnKey, FileError> {
        self.key(IDENTITY)
    }

    /// The key of the request whose answer is out: it is kept before it is sent, so that the same one is asked for again after
    /// a restart. A new one, if no request is out.
    pub(super) fn next_key(&self) -> Result<OwnKey, FileError> {
        let path = self.dir.join(NEXT);
        if path.try_exists().map_err(at(&path))? {
            return self.key(NEXT);
        }
        let key = OwnKey::generate().map_err(|_| FileError::Key { path: path.clone() })?;
        files::replace_bytes(&path, key.to_pem().as_bytes(), 0o600).map_err(at(&path))?;
        Ok(key)
    }

    fn key(&self, name: &str) -> Result<OwnKey, FileError> {
        let path = self.dir.join(name);
        let pem = files::read_secret(&path).map_err(at(&path))?;
        let pem = String::from_utf8(pem).map_err(|_| FileError::Key { path: path.clone() })?;
        // The file of an identity holds certificates, too.
        let (begin, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
        let section = pem.find(begin).zip(pem.find(end)).and_then(|(from, to)| pem.get(from..to + end.len()));
        let key = section.and_then(|section| OwnKey::from_pem(section).ok());
        key.ok_or(FileError::Key { path })
    }

    /// Keeps the certificate of the key that was asked for with; from here on it is the one that is held.
    pub(super) fn keep(
        &self,
        key: &OwnKey,
        chain: &[CertificateDer<'_>],
        roots: &[CertificateDer<'_>],
    ) -> Result<(), FileError> {
        let (root, identity, next) = (self.dir.join(ROOT), self.dir.join(IDENTITY), self.dir.join(NEXT));
        files::replace_bytes(&root, pem(roots).as_bytes(), 0o644).map_err(at(&root))?;
        let text = format!("{}{}", key.to_pem(), pem(chain));
        files::replace_bytes(&identity, text.as_bytes(), 0o600).map_err(at(&identity))?;
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&next)(error)),
            _ => Ok(()),
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::File { path, source }
}

/// Certificates as PEM.
fn pem(certificates: &[CertificateDer<'_>]) -> String {
    use base64::Engine as _;
    let mut text = String::new();
    for der in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        for line in body.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use relay_core::identity::{Identity, Role, check_region};
    use rustls_pki_types::pem::PemObject;

    use super::*;
    use crate::authority::DevAuthority;

    #[test]
    fn an_identity_is_kept_whole_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let fabric: FabricName = "acme.example".parse().unwrap();
        let authority = DevAuthority::create(&dir.path().join("ca"), fabric.clone()).unwrap();
        let who = Identity::new("web01", Role::Minion, check_region("aws").unwrap(), fabric.clone()).unwrap();
        let files = Files::new(&dir.path().join("identity"));
        files.make().unwrap();
        assert!(files.load(&fabric).unwrap().is_none());
        let next = files.next_key().unwrap();
        assert_eq!(
            files.next_key().unwrap().fingerprint(),
            next.fingerprint(),
            "the same one until it is answered"
        );
        let (certificate, key) = authority.issue_pem(&who).unwrap();
        let chain = [CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let root = [CertificateDer::from_pem_slice(authority.root_pem().as_bytes()).unwrap()];
        let key = OwnKey::from_pem(&key).unwrap();
        files.keep(&key, &chain, &root).unwrap();
        let loaded = files.load(&fabric).unwrap().unwrap();
        assert_eq!((loaded.identity, loaded.certs, loaded.roots), (who, chain.to_vec(), root.to_vec()));
        assert_eq!(files.held_key().unwrap().fingerprint(), key.fingerprint());
        assert_ne!(files.next_key().unwrap().fingerprint(), next.fingerprint(), "that one was answered");
        for name in [IDENTITY, NEXT] {
            let mode = fs::metadata(files.dir().join(name)).unwrap().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_eq!(fs::metadata(files.dir()).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_is_damaged_is_told_and_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        fs::write(dir.path().join(NEXT), "nothing").unwrap();
        fs::set_permissions(dir.path().join(NEXT), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        assert!(matches!(files.next_key(), Err(FileError::Key { .. })));
        fs::set_permissions(dir.path().join(NEXT), std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        assert!(matches!(files.next_key(), Err(FileError::File { .. })), "others can read it");
        fs::write(dir.path().join(IDENTITY), "nothing").unwrap();
        assert!(files.load(&"acme.example".parse().unwrap()).is_err());
    }
}
