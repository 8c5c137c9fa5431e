//! Signing checkpoints of the audit log, and telling whose signature is good.
//!
//! Owns the key's file: made when it is first needed, for its owner alone, with its public half beside it to be given to auditors.
//! What a checkpoint says is `relay_core::audit`'s.

use std::{
    io,
    path::{Path, PathBuf},
};

use relay_core::audit::{Checkpoint, CheckpointError, SignedCheckpoint, VerifierKey};

use crate::{
    authority::files,
    process::private_dir,
    trust::key::{NoKey, SecretKey, ed25519_signed},
};

/// The secret half, in PKCS#8.
const SECRET_FILE: &str = "key.pk8";
/// The public half, in C2SP's text form.
pub const PUBLIC_FILE: &str = "key.vkey";
const SECRET_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointKeyError {
    /// Its file, or the directory.
    #[error("the audit log's key: {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "the audit log's key: {path} {source}; put the right file back, or move it away, and another key is made"
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: NoKey,
    },
    /// It can't be named so.
    #[error("the audit log's key: {0}")]
    Name(#[from] CheckpointError),
}

/// A key that signs checkpoints.
#[derive(Debug)]
pub struct CheckpointKey {
    secret: SecretKey,
    verifier: VerifierKey,
}

impl CheckpointKey {
    /// The key in a directory; makes both if they are not there.
    ///
    /// # Errors
    /// They can't be made or read, or others than their owner can read them.
    pub fn open(directory: &Path, name: &str) -> Result<CheckpointKey, CheckpointKeyError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CheckpointKeyError::File { path, source }
        };
        private_dir(directory).map_err(failed(directory))?;
        let path = directory.join(SECRET_FILE);
        let wrong = |source| CheckpointKeyError::Key { path: path.clone(), source };
        let secret = match files::read_secret(&path) {
            Ok(der) => SecretKey::from_pkcs8(&der).map_err(wrong)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = SecretKey::generate().map_err(wrong)?;
                let der = secret.to_pkcs8().map_err(wrong)?;
                files::replace_bytes(&path, &der, SECRET_MODE).map_err(failed(&path))?;
                secret
            }
            Err(error) => return Err(failed(&path)(error)),
        };
        let verifier = VerifierKey::new(name, secret.public())?;
        let (public, text) = (directory.join(PUBLIC_FILE), format!("{verifier}\n"));
        if files::read_bytes(&public).ok().as_deref() != Some(text.as_bytes()) {
            files::replace_bytes(&public, text.as_bytes(), PUBLIC_MODE).map_err(failed(&public))?;
        }
        Ok(CheckpointKey { secret, verifier })
    }

    /// Its public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// A checkpoint's text with this key's signature.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        checkpoint.signed(&self.verifier, &self.secret.sign(checkpoint.body().as_bytes()))
    }
}

/// Which of these keys signed a checkpoint.
///
/// # Errors
/// None of them did: says who is said to have.
pub fn signed_by<'k>(
    keys: impl IntoIterator<Item = &'k VerifierKey>,
    signed: &SignedCheckpoint,
) -> Result<&'k VerifierKey, String> {
    let body = signed.checkpoint.body();
    for key in keys {
        match signed.signature(key) {
            None => {}
            Some(signature) if ed25519_signed(key.public(), body.as_bytes(), &signature) => return Ok(key),
            Some(_) => return Err(format!("its signature by {} is wrong", key.name())),
        }
    }
    let signers: Vec<&str> = signed.signers().collect();
    Err(format!("it is signed by {}, and by none of the keys given", signers.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint { origin: "test/audit".into(), size, root: [3; 32] }
    }

    #[test]
    fn a_key_is_made_once_and_signs() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("audit");
        let key = CheckpointKey::open(&place, "test/audit/top-1").unwrap();
        let again = CheckpointKey::open(&place, "test/audit/top-1").unwrap();
        assert_eq!(key.verifier(), again.verifier());
        let public: VerifierKey =
            fs::read_to_string(place.join(PUBLIC_FILE)).unwrap().trim_end().parse().unwrap();
        let signed: SignedCheckpoint = again.sign(&checkpoint(5)).parse().unwrap();
        assert_eq!(signed_by([&public], &signed), Ok(&public));
        let mode = |name: &str| fs::metadata(place.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(SECRET_FILE), mode(PUBLIC_FILE)), (0o600, 0o644));
    }

    #[test]
    fn only_what_was_signed_is_good() {
        let directory = tempfile::tempdir().unwrap();
        let key = CheckpointKey::open(&directory.path().join("a"), "n").unwrap();
        let other = CheckpointKey::open(&directory.path().join("b"), "n").unwrap();
        let text = key.sign(&checkpoint(5));
        let forged: SignedCheckpoint = text.replacen("\n5\n", "\n6\n", 1).parse().unwrap();
        assert!(signed_by([key.verifier()], &forged).unwrap_err().contains("is wrong"));
        let signed: SignedCheckpoint = text.parse().unwrap();
        assert!(signed_by([other.verifier()], &signed).unwrap_err().contains("none of the keys"));
        assert!(signed_by([other.verifier(), key.verifier()], &signed).is_ok());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("audit");
        CheckpointKey::open(&place, "n").unwrap();
        let path = place.join(SECRET_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = CheckpointKey::open(&place, "n").unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "no key").unwrap();
        let error = CheckpointKey::open(&place, "n").unwrap_err().to_string();
        assert!(error.contains("is no ed25519 key"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"no key", "it is left alone");
    }
}
