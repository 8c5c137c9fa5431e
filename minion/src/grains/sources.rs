//! Where grains are read from. Every file of the machine goes through here, under a root, so that tests can show a
//! machine of files.

use std::{
    fs::{self, File},
    io::Read,
    path::PathBuf,
};

/// Most that is read of one file of the machine, in bytes. /proc/cpuinfo of a machine with 1,000 processors is
/// larger, but what is wanted of it stands first.
const MAX_SOURCE_BYTES: u64 = 1 << 20;

/// The files of a machine.
pub(super) struct Sources {
    root: PathBuf,
}

impl Sources {
    /// Of this machine.
    pub fn here() -> Sources {
        Sources { root: "/".into() }
    }

    /// Of the machine whose files lie below a directory.
    #[cfg(test)]
    pub fn below(root: &std::path::Path) -> Sources {
        Sources { root: root.into() }
    }

    fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// A file's text; empty if it cannot be read.
    pub fn text(&self, path: &str) -> String {
        let mut bytes = Vec::new();
        if let Ok(file) = File::open(self.path(path)) {
            // What was read before an error is still true.
            let _ = file.take(MAX_SOURCE_BYTES).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A file's text without white space around it, if there is any.
    pub fn line(&self, path: &str) -> Option<String> {
        Some(self.text(path).trim().to_string()).filter(|t| !t.is_empty())
    }

    /// Where a symbolic link points.
    pub fn link(&self, path: &str) -> Option<PathBuf> {
        fs::read_link(self.path(path)).ok()
    }

    /// Whether something is there.
    pub fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }
}

/// The value after `key` and a separator in a file of `key: value` lines.
pub(super) fn field<'a>(text: &'a str, key: &str, separator: char) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(separator)?;
        (name.trim() == key).then(|| value.trim())
    })
}
