//! What can go wrong with a store: said so that whoever runs the top master knows what to do.

use std::path::PathBuf;

/// Why the store could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The file or its directory can't be made or opened.
    #[error("store {path}: {why}; check that the directory exists and belongs to this user")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The file is something else.
    #[error("{path} is not a store of this program; name another file, or move this one away")]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The database can't be reached, or does not let us in.
    #[error("store {server}: {why}; check that the database runs, and its address, user and password")]
    Connect {
        /// User, address and database.
        server: String,
        /// What went wrong.
        why: String,
    },
    /// A setting of the database's connection is wrong.
    #[error("store {server}: {why}")]
    Setting {
        /// User, address and database.
        server: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// The database has tables of something else where ours would be.
    #[error("the schema \"relay\" in {server} is not a store of this program; name another database")]
    NotOurs {
        /// User, address and database.
        server: String,
    },
    /// A newer build has written it. Nothing was changed.
    #[error("store {path} has schema {found}, this build knows up to {known}: start the newer build again")]
    Newer {
        /// The file, or the database's address.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest this build knows.
        known: i64,
    },
    /// A row can't be understood.
    #[error("the store is damaged: {row}: {why}; restore it from a backup")]
    Damaged {
        /// The table, and which row.
        row: String,
        /// What is wrong with it.
        why: String,
    },
    /// The database refused.
    #[error("the store can't {doing}: {why}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// What the database says.
        why: String,
    },
    /// What was to be kept is beyond a bound of the store.
    #[error("the store can't keep {what}: {why}")]
    Unfit {
        /// Which record.
        what: String,
        /// The bound.
        why: String,
    },
    /// An owner with a newer epoch has begun.
    #[error("another owner has taken the store over")]
    Fenced,
    /// The queue is full: the disk does not keep up.
    #[error("the store has {0} requests waiting and takes no more for now; try again")]
    Busy(usize),
    /// It was closed, or its thread has died.
    #[error("the store is closed")]
    Closed,
}
