//! What can go wrong with a record log, in the words its operator sees.

use std::io;
use std::path::{Path, PathBuf};

use super::Kind;

/// Why a log cannot be opened or cannot take a record.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another process (or another part of this one) has it open.
    #[error("{path}: in use by another process; stop that one, or give each its own state directory")]
    Locked {
        /// The log.
        path: PathBuf,
    },
    /// Written by a newer program. Nothing was changed.
    #[error(
        "{path}: written in format {found}, this program knows formats up to {known}; run the newer program, \
         or move the file away to begin anew"
    )]
    NewerFormat {
        /// The log.
        path: PathBuf,
        /// The file's format version.
        found: u16,
        /// The newest version this program reads.
        known: u16,
    },
    /// The file is a log of the other kind: two paths of the config are mixed up. Nothing was changed.
    #[error("{path}: this log is not a {wanted:?}; check the paths in the config")]
    WrongKind {
        /// The log.
        path: PathBuf,
        /// What the caller asked for.
        wanted: Kind,
    },
    /// A payload over [`super::Limits::max_record_bytes`]. Nothing of the call was taken.
    #[error("{path}: a record of {bytes} bytes is over the limit of {limit}")]
    RecordTooLarge {
        /// The log.
        path: PathBuf,
        /// Size of the payload.
        bytes: u64,
        /// The limit.
        limit: u32,
    },
    /// The file would pass [`super::Limits::max_file_bytes`]. Nothing of the call was taken; rewrite the log, or refuse work.
    #[error("{path}: full, {bytes} bytes would pass the limit of {limit}")]
    Full {
        /// The log.
        path: PathBuf,
        /// The size it would have.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// [`super::RecordLog::rewrite`] was called with records still buffered: commit them or roll them back first.
    #[error("{path}: records are buffered; commit or roll back before a rewrite")]
    Uncommitted {
        /// The log.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{path}: cannot {doing}: {source}")]
    Io {
        /// The log, or the file beside it that was touched.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl LogError {
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.into(), doing, source }
    }
}
