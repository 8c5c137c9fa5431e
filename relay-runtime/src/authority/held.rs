//! What top masters hold of the authority: issuers, the key that signs lists, the anchors as roots signed them. A directory,
//! the same at each of them; made and changed by [`super::Authority`], read by top masters.
//!
//! `anchors.bin`, `list.key`, and `issuers/` with a certificate and a key for each; named by their keys, so that no name of a
//! region becomes a path.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use prost::Message;
use relay_core::identity::{FabricName, Identity};
use relay_proto::trust::Signed;
use rustls_pki_types::CertificateDer;

use super::{AuthorityError, Issuer, PublicKey, Scope, at, files};
use crate::trust::{Enrolment, Seconds, bundle::Anchors, key::SecretKey};

/// Names in the directory.
pub(super) const ANCHORS_FILE: &str = "anchors.bin";
pub(super) const LIST_KEY_FILE: &str = "list.key";
pub(super) const ISSUERS_DIR: &str = "issuers";
/// Most issuers read: three for each region, and as many again while they are replaced. A fabric has a few dozen regions.
const MAX_ISSUERS: usize = 1_024;

/// What a top master holds.
#[derive(Debug)]
pub struct Held {
    dir: PathBuf,
    signed: Signed,
    anchors: Anchors,
    list_key: SecretKey,
    /// The newest of a scope last.
    issuers: Vec<Arc<Issuer>>,
    /// Issuers that were left out: signed by a root that counts no more.
    retired: Vec<PathBuf>,
}

impl Held {
    /// Reads the directory. Which fabric it is of, it says itself.
    ///
    /// # Errors
    /// Something in it is missing, exposed, or does not belong to the rest.
    pub fn open(dir: &Path) -> Result<Held, AuthorityError> {
        let path = dir.join(ANCHORS_FILE);
        let content = |what| AuthorityError::Content { path: path.clone(), what };
        let bytes = files::read_bytes(&path).map_err(at(&path))?;
        let signed = Signed::decode(&*bytes).map_err(|_| content("holds no anchors"))?;
        let anchors = Anchors::read(&signed.payload)
            .map_err(|source| AuthorityError::Anchors { path: path.clone(), source })?;
        if !Anchors::signed_by_each(&signed, anchors.roots.iter()) {
            return Err(content("holds anchors that their roots have not signed"));
        }
        let key_path = dir.join(LIST_KEY_FILE);
        let der = files::read_secret(&key_path).map_err(at(&key_path))?;
        let list_key = SecretKey::from_pkcs8(&der)
            .map_err(|_| AuthorityError::Content { path: key_path.clone(), what: "is no list key" })?;
        if !anchors.list_keys.contains(&list_key.public()) {
            let what = "is not a key that the anchors name";
            return Err(AuthorityError::Content { path: key_path, what });
        }
        let mut held =
            Held { dir: dir.into(), signed, anchors, list_key, issuers: Vec::new(), retired: Vec::new() };
        held.read_issuers()?;
        Ok(held)
    }

    fn read_issuers(&mut self) -> Result<(), AuthorityError> {
        let dir = self.dir.join(ISSUERS_DIR);
        for entry in fs::read_dir(&dir).map_err(at(&dir))?.take(2 * MAX_ISSUERS) {
            let path = entry.map_err(at(&dir))?.path();
            if path.extension() != Some(OsStr::new("crt")) {
                continue;
            }
            let key = path.with_extension("key");
            match Issuer::open(&path, &key, &self.anchors.fabric, &self.anchors.roots) {
                Ok(issuer) => self.issuers.push(Arc::new(issuer)),
                Err(AuthorityError::Retired(path)) => self.retired.push(path),
                Err(error) => return Err(error),
            }
        }
        self.issuers.sort_by_key(|issuer| (issuer.life(), issuer.stem()));
        Ok(())
    }

    /// A mark that changes when something in the directory does: when to open it anew.
    pub fn mark(dir: &Path) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut names: Vec<PathBuf> = [ANCHORS_FILE, LIST_KEY_FILE].map(|name| dir.join(name)).into();
        let listed = fs::read_dir(dir.join(ISSUERS_DIR)).into_iter().flatten().flatten();
        names.extend(listed.map(|entry| entry.path()).take(2 * MAX_ISSUERS));
        names.sort();
        let mut hasher = DefaultHasher::new();
        for name in names {
            let about = fs::metadata(&name).ok();
            (name, about.as_ref().map(fs::Metadata::len)).hash(&mut hasher);
            about.and_then(|about| about.modified().ok()).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The fabric.
    pub fn fabric(&self) -> &FabricName {
        &self.anchors.fabric
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The anchors as roots signed them,
    pub fn signed(&self) -> &Signed {
        &self.signed
    }

    /// and what they say.
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// Signs lists.
    pub fn list_key(&self) -> &SecretKey {
        &self.list_key
    }

    /// All issuers; the newest of a scope last.
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// Certificates of issuers that were left out: no root that counts signed them.
    pub fn retired(&self) -> &[PathBuf] {
        &self.retired
    }

    /// The issuer of a scope.
    ///
    /// # Errors
    /// There is none, or it has expired.
    pub fn issuer(&self, scope: &Scope, now: Seconds) -> Result<&Arc<Issuer>, AuthorityError> {
        let mut of_scope = self.issuers.iter().rev().filter(|issuer| issuer.scope() == scope).peekable();
        if of_scope.peek().is_none() {
            return Err(AuthorityError::NoIssuer(scope.clone()));
        }
        of_scope.find(|issuer| now < issuer.life().1).ok_or_else(|| AuthorityError::Expired(scope.clone()))
    }

    /// A certificate for somebody, and those between it and the root.
    ///
    /// # Errors
    /// There is no issuer for it.
    pub fn issue(
        &self,
        identity: &Identity,
        public: &PublicKey,
        enrolment: Enrolment,
        lasts: Duration,
        now: Seconds,
    ) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        self.issuer(&Scope::of(identity), now)?.issue(identity, public, enrolment, lasts, now)
    }
}
