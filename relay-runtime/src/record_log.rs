//! An append-only, checksummed log of opaque records in one file: the syndic's spool and the minion's journal.
//!
//! Owns durability (one sync per commit), the recovery of a torn tail, and the rule that lost records mean a new
//! incarnation. Leaves to its callers what a record means, which records are still alive, the thread it blocks, and the
//! logging and counting of what [`Opened`] reports. Why not a database: docs/adr/0003-record-log.md.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use nix::fcntl::Flock;

mod error;
mod files;
mod format;
mod scan;
mod tail;
#[cfg(test)]
mod tests;

pub use error::LogError;
use format::{FIRST_SEQUENCE, HEADER_LEN, Header, RECORD_HEAD, VERSION, push_record};
use scan::{End, Scan};
use tail::Tail;

/// Write-behind of a rewrite; freed when it ends.
const REWRITE_BUFFER_BYTES: usize = 64 << 10;

/// What a log is for. Part of the file, so that one is never opened as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Returns a syndic holds until the owning top master has committed them.
    Spool,
    /// A minion's intents, starts and ends.
    Journal,
}

impl Kind {
    fn tag(self) -> u8 {
        match self {
            Self::Spool => 1,
            Self::Journal => 2,
        }
    }

    /// Room that is made ahead, in bytes: for a spool, a few hundred answers of 4 KiB; for a journal, some hundred jobs.
    fn room(self) -> u64 {
        match self {
            Self::Spool => 1 << 20,
            Self::Journal => 32 << 10,
        }
    }
}

/// Bounds on what [`RecordLog::append`] and [`RecordLog::rewrite`] take. An existing file is read whatever its size, so
/// that lowering a limit never costs a record.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest payload, in bytes.
    pub max_record_bytes: u32,
    /// Largest file, in bytes, header and frames included.
    pub max_file_bytes: u64,
}

/// A log ready for use and what was found in it.
#[derive(Debug)]
pub struct Opened {
    /// The log; new records go behind the ones below.
    pub log: RecordLog,
    /// Names this history of records. It changes exactly when earlier records may be missing.
    pub incarnation: u64,
    /// All committed payloads, oldest first.
    pub records: Vec<Bytes>,
    /// Set when an unfinished write was cut off. To be logged and counted.
    pub torn: Option<Torn>,
    /// Set when the file was damaged and a new log was begun. To be logged and counted.
    pub reset: Option<Reset>,
}

/// An unfinished last write, cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Where the last good record ended, in bytes from the file's start.
    pub offset: u64,
    /// How many bytes were cut off, up to the last that was not zero.
    pub dropped_bytes: u64,
    /// What was wrong with them.
    pub why: &'static str,
}

/// A damaged log, kept for a person to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// What was wrong with it.
    pub why: &'static str,
    /// Where it is now.
    pub set_aside: PathBuf,
}

/// One open log. Dropping it releases the file; buffered records that were not committed are lost.
#[derive(Debug)]
pub struct RecordLog {
    path: PathBuf,
    file: Flock<File>,
    kind: Kind,
    header: Header,
    limits: Limits,
    tail: Tail,
    /// The file's name may not survive a power cut yet: the directory is synced before the next commit counts.
    unsynced_name: bool,
}

enum Found {
    Nothing,
    Log(Header, Scan),
    Damage(&'static str),
}

impl RecordLog {
    /// Opens the log at `path`, or begins one named `new_incarnation` (a random number) when there is none or when the
    /// one that is there is damaged. Whatever it returns in [`Opened::records`] is durable.
    ///
    /// # Errors
    /// [`LogError::Locked`], [`LogError::NewerFormat`], [`LogError::WrongKind`]: the file is unchanged. [`LogError::Io`]: it holds the
    /// same records, or was damaged and has been set aside. A file of an older format is written anew, which takes as much space again until it is done.
    pub fn open(path: &Path, kind: Kind, new_incarnation: u64, limits: Limits) -> Result<Opened, LogError> {
        let file = files::open_locked(path)?;
        files::drop_rewrite(path)?;
        match Self::look(&file, path, kind)? {
            Found::Log(header, scan) => Self::resume(path, file, kind, header, scan, limits),
            Found::Nothing => Self::begin(path, file, kind, new_incarnation, limits, None),
            Found::Damage(why) => {
                let set_aside = files::set_aside(path)?;
                let fresh = files::open_locked(path)?;
                // For a moment the name was free. Whoever else began a log there keeps it.
                let Found::Nothing = Self::look(&fresh, path, kind)? else {
                    return Err(LogError::Locked { path: path.into() });
                };
                Self::begin(path, fresh, kind, new_incarnation, limits, Some(Reset { why, set_aside }))
            }
        }
    }

    fn look(file: &File, path: &Path, kind: Kind) -> Result<Found, LogError> {
        let len = file.metadata().map_err(LogError::io(path, "look at"))?.len();
        if len == 0 {
            return Ok(Found::Nothing);
        }
        if len < HEADER_LEN as u64 {
            return Ok(Found::Damage("the header is cut short"));
        }
        let mut header = [0; HEADER_LEN];
        file.read_exact_at(&mut header, 0).map_err(LogError::io(path, "read"))?;
        let Some(header) = Header::decode(&header) else {
            return Ok(Found::Damage("the header is not one of a record log, or its checksum is wrong"));
        };
        if header.version > VERSION {
            return Err(LogError::NewerFormat { path: path.into(), found: header.version, known: VERSION });
        }
        if header.kind != kind.tag() {
            return Err(LogError::WrongKind { path: path.into(), wanted: kind });
        }
        let scan = scan::scan(file, &header, len).map_err(LogError::io(path, "read"))?;
        Ok(match scan.end {
            End::Damaged(why) => Found::Damage(why),
            End::Clean | End::Torn { .. } => Found::Log(header, scan),
        })
    }

    fn resume(
        path: &Path,
        file: Flock<File>,
        kind: Kind,
        header: Header,
        scan: Scan,
        limits: Limits,
    ) -> Result<Opened, LogError> {
        let torn = match scan.end {
            End::Torn { why, bytes } => Some(Torn { offset: scan.valid_len, dropped_bytes: bytes, why }),
            _ => None,
        };
        let mut len = file.metadata().map_err(LogError::io(path, "look at"))?.len();
        if header.version == VERSION {
            // A process killed between write and sync leaves records that only the page cache holds. Written once more: after a sync that
            // failed, the system takes them for written.
            again(&file, scan.last_commit..scan.valid_len)
                .map_err(LogError::io(path, "write the end again of"))?;
            if torn.is_some() {
                file.set_len(scan.valid_len).map_err(LogError::io(path, "cut"))?;
                len = scan.valid_len;
            }
            file.sync_data().map_err(LogError::io(path, "sync"))?;
            files::sync_directory(path).map_err(LogError::io(path, "sync the directory of"))?;
        }
        let tail = Tail::new(header.incarnation, scan.valid_len, len, scan.next_sequence);
        let mut log = Self { path: path.into(), file, kind, header, limits, tail, unsynced_name: false };
        if header.version < VERSION {
            log.replace(&scan.records)?;
            log.sync_name().map_err(LogError::io(path, "sync the directory of"))?;
        }
        Ok(Opened { log, incarnation: header.incarnation, records: scan.records, torn, reset: None })
    }

    fn begin(
        path: &Path,
        file: Flock<File>,
        kind: Kind,
        incarnation: u64,
        limits: Limits,
        reset: Option<Reset>,
    ) -> Result<Opened, LogError> {
        let first_sequence = FIRST_SEQUENCE;
        let header = Header { version: VERSION, kind: kind.tag(), incarnation, first_sequence };
        file.write_all_at(&header.encode(), 0)
            .and_then(|()| file.sync_all())
            .and_then(|()| files::sync_directory(path))
            .map_err(LogError::io(path, "begin"))?;
        let tail = Tail::new(incarnation, HEADER_LEN as u64, HEADER_LEN as u64, first_sequence);
        let log = Self { path: path.into(), file, kind, header, limits, tail, unsynced_name: false };
        Ok(Opened { log, incarnation, records: Vec::new(), torn: None, reset })
    }

    /// Buffers records, all or none. They are not durable before [`RecordLog::commit`] has returned `Ok`.
    ///
    /// # Errors
    /// [`LogError::RecordTooLarge`], [`LogError::Full`].
    pub fn append(&mut self, payloads: &[&[u8]]) -> Result<(), LogError> {
        let mut len = self.tail.len_with_pending();
        for payload in payloads {
            len = self.admit(len, payload)?;
        }
        payloads.iter().for_each(|payload| self.tail.push(payload));
        Ok(())
    }

    /// The file's length with one more record, if both limits allow it.
    fn admit(&self, len: u64, payload: &[u8]) -> Result<u64, LogError> {
        let (bytes, limit) = (payload.len() as u64, self.limits.max_record_bytes);
        if bytes > u64::from(limit) {
            return Err(LogError::RecordTooLarge { path: self.path.clone(), bytes, limit });
        }
        let (bytes, limit) = (len + RECORD_HEAD as u64 + bytes, self.limits.max_file_bytes);
        if bytes > limit {
            return Err(LogError::Full { path: self.path.clone(), bytes, limit });
        }
        Ok(bytes)
    }

    /// Makes everything buffered durable with one write and one sync. Nothing buffered costs nothing.
    ///
    /// # Errors
    /// The system's error (disk full, say). The file is cut back to the last commit and the records stay buffered: call
    /// again later, or [`RecordLog::rollback`]. If the cut fails, too, a crash before the next commit that works may still show them.
    pub fn commit(&mut self) -> io::Result<()> {
        self.sync_name()?;
        self.tail.commit(&*self.file)
    }

    /// Whether [`RecordLog::make_room`] should be called, once those who waited for a commit have heard of it.
    pub fn wants_room(&self) -> bool {
        self.tail.wants_room(self.kind.room())
    }

    /// Makes room for the next commits, which then change nothing of the file but its bytes. A commit that makes the file longer waits
    /// for the file system's own journal, and with it for whatever other processes have in there. With little space left there is no room,
    /// and it does without.
    ///
    /// # Errors
    /// The system's: there is no space. Nothing that was committed has changed.
    pub fn make_room(&mut self) -> io::Result<()> {
        self.tail.make_room(&*self.file, self.kind.room(), self.limits.max_file_bytes)
    }

    /// Drops what is buffered and says how many records that were.
    pub fn rollback(&mut self) -> u64 {
        self.tail.rollback()
    }

    /// Length of what is committed, in bytes: at least 32, the header. The file may be longer, by the room that was made.
    pub fn size(&self) -> u64 {
        self.tail.committed_len()
    }

    /// What it takes.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Names this history of records.
    pub fn incarnation(&self) -> u64 {
        self.header.incarnation
    }

    /// Replaces the file by one that holds only `live`, in that order, under the same incarnation. A crash at any moment
    /// leaves the old file or the new one.
    ///
    /// If the name of the new file could not be made durable, that is left to the next commit, which fails if it can't either:
    /// until then a power cut may bring the old file back, with all that was committed to it.
    ///
    /// # Errors
    /// [`LogError::Uncommitted`], [`LogError::RecordTooLarge`], [`LogError::Full`], [`LogError::Io`]. The old records stay.
    pub fn rewrite(&mut self, live: &[Bytes]) -> Result<(), LogError> {
        if self.tail.is_pending() {
            return Err(LogError::Uncommitted { path: self.path.clone() });
        }
        // Before anything is written: it may be a whole file.
        live.iter().try_fold(HEADER_LEN as u64, |len, payload| self.admit(len, payload))?;
        self.replace(live)
    }

    fn replace(&mut self, live: &[Bytes]) -> Result<(), LogError> {
        let file = files::begin_rewrite(&self.path)?;
        let first_sequence = self.tail.next_sequence().max(FIRST_SEQUENCE);
        let header = Header { version: VERSION, first_sequence, ..self.header };
        let written = self.write_live(&file, header, live).and_then(|tail| {
            files::put_in_place(&self.path)?;
            Ok(tail)
        });
        let tail = match written {
            Ok(tail) => tail,
            Err(error) => {
                // A leftover is harmless (the next open or rewrite removes it), so the first error is the one to tell.
                let _ = files::drop_rewrite(&self.path);
                return Err(error);
            }
        };
        (self.file, self.header, self.tail, self.unsynced_name) = (file, header, tail, true);
        // If it fails, `unsynced_name` remembers.
        let _ = self.sync_name();
        Ok(())
    }

    fn write_live(&self, file: &File, header: Header, live: &[Bytes]) -> Result<Tail, LogError> {
        let failed = || LogError::io(&self.path, "rewrite");
        let mut out = BufWriter::with_capacity(REWRITE_BUFFER_BYTES, file);
        out.write_all(&header.encode()).map_err(failed())?;
        let (mut len, mut sequence, mut frame) = (HEADER_LEN as u64, header.first_sequence, Vec::new());
        for payload in live {
            frame.clear();
            // Each a commit of its own: none of them was left unfinished.
            push_record(&mut frame, header.incarnation, sequence, 0, payload);
            out.write_all(&frame).map_err(failed())?;
            len += frame.len() as u64;
            sequence = sequence.wrapping_add(1);
        }
        out.flush().and_then(|()| file.sync_all()).map_err(failed())?;
        Ok(Tail::new(header.incarnation, len, len, sequence))
    }

    fn sync_name(&mut self) -> io::Result<()> {
        if self.unsynced_name {
            files::sync_directory(&self.path)?;
            self.unsynced_name = false;
        }
        Ok(())
    }
}

/// The same bytes. A file system that writes nothing in its place may have no space for them; then they are only synced.
fn again(file: &File, range: Range<u64>) -> io::Result<()> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start)?;
    match file.write_all_at(&bytes, range.start) {
        Err(error) if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            Err(error)
        }
        _ => Ok(()),
    }
}
