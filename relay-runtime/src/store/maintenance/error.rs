//! Why a store could not be maintained: what happened, where, and what to do next.

use super::super::StoreError;

/// Why a store was not checked, migrated, exported or imported. Nothing in it was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaintenanceError {
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no store.
    #[error(
        "there is no store at {place}: is this the right place? A top master makes its store when it first starts"
    )]
    Absent {
        /// The file, or the database's address.
        place: String,
    },
    /// An older build has written it, and nobody has brought it up to date.
    #[error(
        "store {place} has schema {found}, this build works on {known}: run \"relayctl store migrate\" first"
    )]
    Older {
        /// The file, or the database's address.
        place: String,
        /// Its schema version.
        found: i64,
        /// This build's.
        known: i64,
    },
    /// Somebody works with it.
    #[error("store {place} is in use by {who}: stop every top master that uses it, and try again")]
    InUse {
        /// The file, or the database's address.
        place: String,
        /// Who has it open, as far as can be told.
        who: String,
    },
    /// There is something in it already.
    #[error("store {place} has {what} already, and only an empty store takes an import: name a new one")]
    NotEmpty {
        /// The file, or the database's address.
        place: String,
        /// What is in it.
        what: String,
    },
    /// The export is of another fabric than the top master.
    #[error(
        "the export is of the fabric {export:?}, this top master is of {ours:?}: is this the right file?"
    )]
    OtherFabric {
        /// The export's fabric.
        export: String,
        /// The top master's.
        ours: String,
    },
    /// The file is something else.
    #[error("this is not an export of a store: {0}")]
    NotAnExport(String),
    /// A newer build has written the export.
    #[error(
        "the export has format {found}, this build reads {known}: import it with the build that wrote it"
    )]
    NewerFormat {
        /// Its format.
        found: u64,
        /// This build's.
        known: u64,
    },
    /// A line of the export can't be understood.
    #[error("line {line} of the export: {why}; the file is damaged, take another copy")]
    Line {
        /// Its number; the first is 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The export has no end.
    #[error("the export ends at line {line} without its last line: it was cut off, take a whole copy")]
    Truncated {
        /// The number of the last line.
        line: u64,
    },
    /// The export's end does not fit what is before it.
    #[error("the export is damaged: {0}; take another copy")]
    Checksum(String),
    /// The export can't be read.
    #[error("the export can't be read: {0}")]
    Read(String),
    /// A file or the export can't be written.
    #[error("{what} can't be written: {why}")]
    Write {
        /// The file, or "the export".
        what: String,
        /// What the system says.
        why: String,
    },
}
