//! The keys with which a top master signs jobs: made by it, announced in the bundle, replaced every day.
//!
//! A key is used only once it is announced, which [`SigningKeys::announced`] says; a new one is announced an hour before it is
//! used, so that nobody has to wait for it. It stays listed until every job that it signed has expired.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use relay_core::signing::{JobSigner, NoKey, Signature, Span};

use super::{
    Seconds,
    bundle::JobKey,
    key::{SecretKey, hex},
};
use crate::authority::files;

const HOUR: Seconds = 3_600;
/// So long after it was made, a key is replaced.
pub const ROTATED_AFTER: Seconds = 24 * HOUR;
/// So long before it is used, a key is announced if there is another one to use meanwhile.
pub const ANNOUNCED_BEFORE: Seconds = HOUR;
/// How long a key counts from when it was made: its use, and the longest life of a job that was signed at its end (a day in a
/// queue, and an hour for everything else).
pub const COUNTS_FOR: Seconds = ROTATED_AFTER + ANNOUNCED_BEFORE + 25 * HOUR;
/// A key counts from so long before it was made: clocks differ.
const BACKDATED: Seconds = 300;
/// Most keys read from the directory: more than that were not made here.
const MAX_KEYS: usize = 16;

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A key's file.
    #[error("{path}: {source}")]
    File {
        /// The file, or the directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that holds no key.
    #[error("{path}: {source}; remove it, and another one is made")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: super::key::NoKey,
    },
    /// The system has no randomness.
    #[error("no key can be made: the system gives no randomness")]
    Random,
    /// None of the keys is announced, or counts long enough.
    #[error("no key that signs jobs is announced yet, or counts until then")]
    Unannounced,
}

struct Held {
    made: Seconds,
    secret: SecretKey,
    key: JobKey,
    announced: bool,
    path: PathBuf,
}

/// The keys of one top master. Clones share them.
#[derive(Clone)]
pub struct SigningKeys(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    owner: String,
    /// The oldest first.
    keys: RwLock<Vec<Held>>,
}

impl SigningKeys {
    /// The keys in a directory (made if absent), or a first one. None of them counts as announced.
    ///
    /// # Errors
    /// The directory cannot be used, or holds what is no key.
    pub fn open(dir: &Path, owner: &str, now: Seconds) -> Result<SigningKeys, SigningError> {
        let failed = |source| SigningError::File { path: dir.into(), source };
        crate::process::private_dir(dir).map_err(failed)?;
        let mut keys = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)?.take(MAX_KEYS) {
            let path = entry.map_err(failed)?.path();
            if let Some(made) = made_at(&path) {
                keys.push(read(path, made, owner)?);
            }
        }
        keys.sort_by_key(|held: &Held| held.made);
        let inner = Inner { dir: dir.into(), owner: owner.to_owned(), keys: RwLock::new(keys) };
        let signer = SigningKeys(Arc::new(inner));
        signer.rotate(now)?;
        Ok(signer)
    }

    /// Makes a new key if the newest one is due to be replaced, and forgets those that count no more. True: what is listed has
    /// changed, and is to be announced.
    ///
    /// # Errors
    /// The new key cannot be made or kept; the old one is used on.
    pub fn rotate(&self, now: Seconds) -> Result<bool, SigningError> {
        let mut keys = self.write();
        let before = keys.len();
        keys.retain(|held| {
            let counts = now < held.key.not_after;
            if !counts {
                // What cannot be removed is looked at again after a restart.
                let _ = fs::remove_file(&held.path);
            }
            counts
        });
        let fresh = keys.last().is_some_and(|newest| now < newest.made + ROTATED_AFTER);
        let changed = !fresh || keys.len() != before;
        if !fresh {
            keys.push(make(&self.0.dir, &self.0.owner, now)?);
        }
        Ok(changed)
    }

    /// The keys that the bundle has to name.
    pub fn listed(&self) -> Vec<JobKey> {
        self.read().iter().map(|held| held.key.clone()).collect()
    }

    /// These keys are in a bundle that is durable, and on its way before anything that is signed from now on.
    pub fn announced(&self, listed: &[JobKey]) {
        for held in self.write().iter_mut() {
            held.announced = listed.contains(&held.key);
        }
    }

    /// Signs with the key of the day.
    ///
    /// # Errors
    /// No key that is announced counts for all of the span.
    pub fn sign_at(&self, message: &[u8], span: Span, now: Seconds) -> Result<Signature, SigningError> {
        let keys = self.read();
        let good = |held: &&Held| held.announced && held.key.covers(span);
        let rested = |held: &&Held| held.made + ANNOUNCED_BEFORE <= now;
        let chosen = keys.iter().rev().find(|held| good(held) && rested(held));
        let chosen = chosen.or_else(|| keys.iter().find(good)).ok_or(SigningError::Unannounced)?;
        Ok(Signature { key: chosen.key.id(), bytes: chosen.secret.sign(message) })
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Held>> {
        // A panic while holding it leaves keys that are still whole.
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Held>> {
        self.0.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobSigner for SigningKeys {
    fn sign(&self, message: &[u8], span: Span) -> Result<Signature, NoKey> {
        self.sign_at(message, span, super::now()).map_err(|why| NoKey(why.to_string()))
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKeys").field(&self.listed().len()).finish()
    }
}

/// When the key in a file was made: its name is that, and some of the key's fingerprint.
fn made_at(path: &Path) -> Option<Seconds> {
    let name = path.file_name()?.to_str()?.strip_suffix(".key")?;
    name.split_once('-')?.0.parse().ok()
}

fn read(path: PathBuf, made: Seconds, owner: &str) -> Result<Held, SigningError> {
    let failed = |source| SigningError::File { path: path.clone(), source };
    let der = files::read_secret(&path).map_err(failed)?;
    let secret =
        SecretKey::from_pkcs8(&der).map_err(|source| SigningError::Key { path: path.clone(), source })?;
    Ok(held(secret, made, owner, path))
}

fn make(dir: &Path, owner: &str, now: Seconds) -> Result<Held, SigningError> {
    let secret = SecretKey::generate().map_err(|_| SigningError::Random)?;
    let path = dir.join(format!("{now}-{}.key", &hex(&secret.id())[..16]));
    let der = secret.to_pkcs8().map_err(|_| SigningError::Random)?;
    files::replace_bytes(&path, &der, 0o600)
        .map_err(|source| SigningError::File { path: path.clone(), source })?;
    Ok(held(secret, now, owner, path))
}

fn held(secret: SecretKey, made: Seconds, owner: &str, path: PathBuf) -> Held {
    let key = JobKey {
        public: secret.public(),
        owner: owner.to_owned(),
        not_before: made.saturating_sub(BACKDATED),
        not_after: made + COUNTS_FOR,
    };
    Held { made, secret, key, announced: false, path }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const DAY: Seconds = 24 * HOUR;
    const START: Seconds = 1_800_000_000;

    fn signer(dir: &Path, now: Seconds) -> SigningKeys {
        SigningKeys::open(dir, "top-1", now).unwrap()
    }

    #[test]
    fn a_key_signs_only_once_it_is_announced_and_the_next_one_an_hour_later() {
        let dir = tempfile::tempdir().unwrap();
        let signer = signer(&dir.path().join("signing"), START);
        let span = |from, to| Span { not_before: from * 1_000_000, not_after: to * 1_000_000 };
        let sign = |now| signer.sign_at(b"job", span(now, now + HOUR), now).map(|signed| signed.key);
        assert!(matches!(sign(START), Err(SigningError::Unannounced)));
        signer.announced(&signer.listed());
        let first = sign(START).unwrap();
        assert!(!signer.rotate(START + DAY - 1).unwrap());
        assert!(signer.rotate(START + DAY).unwrap());
        assert_eq!(
            (signer.listed().len(), sign(START + DAY + 2 * HOUR).unwrap()),
            (2, first),
            "not announced"
        );
        signer.announced(&signer.listed());
        assert_eq!(sign(START + DAY + HOUR - 1).unwrap(), first);
        let second = sign(START + DAY + HOUR).unwrap();
        assert_ne!(second, first);
        // What the first one signed last may run out.
        assert!(signer.listed()[0].not_after >= START + DAY + HOUR + DAY);
        assert!(signer.rotate(START + 3 * DAY).unwrap());
        assert!(signer.listed().iter().all(|key| key.id() != first));
        let too_long = signer.sign_at(b"job", span(START + DAY, START + 9 * DAY), START + DAY);
        assert!(matches!(too_long, Err(SigningError::Unannounced)));
    }

    #[test]
    fn keys_outlive_a_restart_and_are_their_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("signing");
        let listed = signer(&dir, START).listed();
        assert_eq!(signer(&dir, START + HOUR).listed(), listed);
        let file = fs::read_dir(&dir).unwrap().next().unwrap().unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        let later = signer(&dir, START + 4 * DAY);
        assert_ne!(later.listed(), listed);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "the old one is gone");
        let path = fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(SigningKeys::open(&dir, "top-1", START + 4 * DAY), Err(SigningError::File { .. })));
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        fs::write(&path, b"something else").unwrap();
        assert!(matches!(SigningKeys::open(&dir, "top-1", START + 4 * DAY), Err(SigningError::Key { .. })));
    }
}
