//! Secrets: passwords and tokens in memory, and the files they come from.
//!
//! Owns that a secret is shown nowhere by accident: it prints as `***`, has no form in which it could be serialised, and its
//! bytes are overwritten when it goes. Whoever needs the text says so with [`Secret::expose`]. What a secret opens is others'.

use std::{fmt, fs, io::Read, os::unix::fs::MetadataExt, path::Path};

use zeroize::{Zeroize, Zeroizing};

/// Longest secret that is read from a file, in bytes: no password and no token comes near it.
pub const MAX_SECRET_BYTES: u64 = 4 << 10;
/// Permission bits that a secret's file may not have: anything for group or others (abuse test a22).
pub const FOREIGN_BITS: u32 = 0o077;

/// A text that nobody is to see. No `PartialEq`: comparing secrets byte by byte tells how much of one was right.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text over.
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The text, for the one who presents or checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first line of a regular file that is for its owner alone. `what` names the secret in the error.
    ///
    /// # Errors
    /// It cannot be read, or others can read it: what is wrong, for people.
    pub fn read(what: &str, path: &Path) -> Result<Secret, String> {
        let text = read_private(path, MAX_SECRET_BYTES).map_err(|why| match why {
            Private::Exposed(mode) => {
                format!("{what} in {} can be read by others (mode {mode:04o}): chmod 600 it", path.display())
            }
            Private::Other(why) => format!("{what} in {}: {why}", path.display()),
        })?;
        Ok(Secret::new(text.lines().next().unwrap_or_default().to_owned()))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a private file was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Private {
    /// Others than its owner may read or write it: its permission bits.
    Exposed(u32),
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Private::Exposed(mode) => {
                write!(f, "can be used by others than its owner (mode {mode:04o}): chmod 600 it")
            }
            Private::Other(why) => f.write_str(why),
        }
    }
}

/// Reads a file of text that must be for its owner alone.
///
/// # Errors
/// It is no regular file of at most `most` bytes, its mode has something for others, or it cannot be read.
pub fn read_private(path: &Path, most: u64) -> Result<Zeroizing<String>, Private> {
    let failed = |e: std::io::Error| Private::Other(e.to_string());
    // A pipe would block.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Private::Other("is not a regular file".into()));
    }
    let file = fs::File::open(path).map_err(failed)?;
    // Of what was opened: the name may mean another file by now.
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & FOREIGN_BITS != 0 {
        return Err(Private::Exposed(mode));
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(most + 1).read_to_string(&mut text).map_err(failed)?;
    if read as u64 > most {
        text.zeroize();
        return Err(Private::Other(format!("has more than {most} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("hush".into());
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "hush");
    }

    #[test]
    fn a_file_for_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "hush\nsecond line\n").unwrap();
        for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match Secret::read("the password", &path) {
                Ok(secret) => assert!(fine && secret.expose() == "hush", "{mode:o}"),
                Err(why) => assert!(!fine && why.contains("chmod 600"), "{mode:o}: {why}"),
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "x".repeat(MAX_SECRET_BYTES as usize + 1)).unwrap();
        assert!(Secret::read("the token", &path).unwrap_err().contains("more than"));
        assert!(Secret::read("the token", dir.path()).unwrap_err().contains("not a regular file"));
    }
}
