//! The log's place in its directory: who holds it, what is set aside, and that names survive a power cut.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::LogError;

/// Damaged logs kept beside the live one: enough to look at, too few to fill the disk.
pub(super) const KEEP_DAMAGED: usize = 3;

/// How often an open starts over because the file was replaced under it. Each round needs a rewrite by a live owner at
/// that very moment, so a second round is already rare.
const OPEN_ROUNDS: usize = 8;

const DAMAGED: &str = "damaged-";
const REWRITE: &str = "rewrite";
const PRIVATE: u32 = 0o600;

/// Opens or creates the file and takes it for this process alone.
pub(super) fn open_locked(path: &Path) -> Result<Flock<File>, LogError> {
    for _ in 0..OPEN_ROUNDS {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(PRIVATE).open(path);
        let file = lock(file.map_err(LogError::io(path, "open"))?, path)?;
        // The lock belongs to the file, not to the name: a rewrite may have put another file under the name meanwhile.
        if is_at(&file, path).map_err(LogError::io(path, "look at"))? {
            return Ok(file);
        }
    }
    Err(LogError::Locked { path: path.into() })
}

fn lock(file: File, path: &Path) -> Result<Flock<File>, LogError> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => LogError::Locked { path: path.into() },
        other => LogError::io(path, "lock")(other.into()),
    })
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok(held.dev() == named.dev() && held.ino() == named.ino()),
        Err(gone) if gone.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// An empty, locked file that [`put_in_place`] will turn into the log.
pub(super) fn begin_rewrite(path: &Path) -> Result<Flock<File>, LogError> {
    drop_rewrite(path)?;
    let temp = beside(path, REWRITE);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(PRIVATE).open(&temp);
    lock(file.map_err(LogError::io(&temp, "create"))?, &temp)
}

/// Removes an unfinished rewrite. Only the holder of the log's lock may call it.
pub(super) fn drop_rewrite(path: &Path) -> Result<(), LogError> {
    let temp = beside(path, REWRITE);
    match fs::remove_file(&temp) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(LogError::io(&temp, "remove")(error)),
        _ => Ok(()),
    }
}

/// Gives the finished rewrite the log's name. Durable only after [`sync_directory`].
pub(super) fn put_in_place(path: &Path) -> Result<(), LogError> {
    fs::rename(beside(path, REWRITE), path).map_err(LogError::io(path, "replace"))
}

/// Renames the log to `<name>.damaged-N` and forgets the oldest beyond [`KEEP_DAMAGED`].
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, LogError> {
    let mut numbers = damaged_numbers(path).map_err(LogError::io(path, "list the directory of"))?;
    let number = numbers.last().map_or(1, |last| last.saturating_add(1));
    let aside = beside(path, &format!("{DAMAGED}{number}"));
    fs::rename(path, &aside).map_err(LogError::io(path, "set aside"))?;
    numbers.push(number);
    for old in &numbers[..numbers.len().saturating_sub(KEEP_DAMAGED)] {
        let old = beside(path, &format!("{DAMAGED}{old}"));
        fs::remove_file(&old).map_err(LogError::io(&old, "remove"))?;
    }
    Ok(aside)
}

fn damaged_numbers(path: &Path) -> io::Result<Vec<u64>> {
    let prefix = beside(path, DAMAGED);
    let prefix = prefix.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory_of(path))? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes creations and renames in the log's directory survive a power cut.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(suffix);
    name.into()
}
