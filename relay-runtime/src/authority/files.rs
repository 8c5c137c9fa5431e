//! Files of keys and certificates: written whole or not at all, secret ones for their owner alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// Largest file read, in bytes: anchors with eight roots have under 10 KiB.
const MAX_FILE_BYTES: u64 = 256 << 10;
/// Permission bits that a secret's file may not have: anything for group or others.
const FOREIGN_BITS: u32 = 0o077;

/// Writes a file that is not there yet, with its final mode from the first byte on.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Writes a file in the place of another one: who reads it finds the old one whole, or the new one.
pub(crate) fn replace_bytes(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("is no file's name"))?;
    let mut beside = name.to_owned();
    beside.push(".new");
    let beside = path.with_file_name(beside);
    // What a process left that died here.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write_new(&beside, bytes, mode)?;
    fs::rename(&beside, path)?;
    // That the name is durable, too. A file system that cannot say so has still renamed.
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        let _ = File::open(dir).and_then(|dir| dir.sync_all());
    }
    Ok(())
}

/// Reads a small regular file.
pub(crate) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    read(path, false)
}

/// Reads a secret's file, if nobody else can.
pub(crate) fn read_secret(path: &Path) -> io::Result<Vec<u8>> {
    read(path, true)
}

fn read(path: &Path, secret: bool) -> io::Result<Vec<u8>> {
    // A pipe or a device would block, or never end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let file = File::open(path)?;
    let mode = file.metadata()?.mode() & 0o7777;
    if secret && mode & FOREIGN_BITS != 0 {
        let why = format!(
            "its mode is {mode:04o}, so others than its owner can use it: chmod 600 (and think about who has read it already)"
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        0..=MAX_FILE_BYTES => Ok(bytes),
        _ => Err(io::Error::other(format!("has more than {MAX_FILE_BYTES} bytes"))),
    }
}
