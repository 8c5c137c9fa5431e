//! The store: the jobs, the answers and the minions that must outlive a top master.
//!
//! Owns the [`Store`] trait and what it gives back. Leaves to `relay_core::owner` what is written and in which order,
//! and to [`sqlite`] how it gets onto a disk. A store for several top masters is meant to stand behind the same trait.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use relay_core::{
    Members,
    ids::{Epoch, Jid},
    inventory::Record,
    ledger::GroupNo,
    outcome::{Answer, Outcome},
    owner::{JobHead, StoredJob, Write, WriteError},
    time::WallMicros,
};

pub mod sqlite;

pub use sqlite::SqliteStore;

/// Most jobs in one answer of [`Store::jobs`]; a larger limit is cut to it.
pub const MAX_PAGE: usize = 1_000;
/// Arguments longer than this are left out of a [`JobSummary`]: a page of them must stay far from memory's end.
pub const MAX_SUMMARY_ARGS: usize = 4 << 10;
/// Bytes of bodies that one read brings into memory. 5,000 different answers of 1 MiB would be 5 GiB.
pub const MAX_READ_BODY_BYTES: usize = 64 << 20;
/// How long a request id is remembered at least, in hours: a client's retry within a week gets its jid, even if the
/// job has been pruned.
pub const KEEP_REQUESTS_HOURS: u64 = 7 * 24;

/// A future of the store. What it is for is in the queue when the call returns, polled or not; only pruning and closing
/// begin when they are polled.
pub type StoreFuture<T, E = StoreError> = BoxFuture<'static, Result<T, E>>;

/// Where a top master keeps what must not be lost.
///
/// Calls take effect in the order in which they are made, reads included: a read sees each commit asked for before it
/// and none asked for after it.
pub trait Store: Send + Sync {
    /// Takes the store over: raises the owner's epoch, so that writes of earlier owners are refused from now on, and
    /// returns what they left. To be called once, before anything is committed.
    ///
    /// # Errors
    /// Nothing is changed then. [`StoreError::Damaged`] names the row that could not be understood.
    fn begin(&self) -> StoreFuture<Recovered>;

    /// Makes writes durable, all or none of them. A write about a job that has been pruned does nothing.
    ///
    /// If it failed, the same writes may be committed again under the same ticket, also after later ones: records of
    /// minions never replace those of a higher ticket, and `relay_core::owner` has one commit of answers under way.
    ///
    /// # Errors
    /// None of the writes was done. [`WriteError::Fenced`] if an owner with a newer epoch has begun.
    fn commit(&self, ticket: u64, writes: Vec<Write>) -> StoreFuture<(), WriteError>;

    /// One job with all its answers, open or closed; `None` if there is no such job (any more).
    ///
    /// # Errors
    /// It can't be read, or the job's rows are damaged.
    fn job(&self, jid: Jid) -> StoreFuture<Option<JobView>>;

    /// The answers of a job numbered `from` and above, in order, until [`MAX_READ_BODY_BYTES`] are reached but at least
    /// one: for those that a [`JobView`] had to leave without body. Answers never change, so pages fit together.
    ///
    /// # Errors
    /// They can't be read, or are damaged.
    fn answers(&self, jid: Jid, from: GroupNo) -> StoreFuture<Vec<(GroupNo, Arc<Answer>)>>;

    /// The newest jobs, newest first, older than `before` if given; at most `limit`, and at most [`MAX_PAGE`].
    ///
    /// # Errors
    /// They can't be read, or are damaged.
    fn jobs(&self, limit: usize, before: Option<Jid>) -> StoreFuture<Vec<JobSummary>>;

    /// Forgets jobs that closed more than `keep_hours` before `now`, and request ids of forgotten jobs that are older
    /// than [`KEEP_REQUESTS_HOURS`]. Works in small steps, between which commits are served.
    ///
    /// # Errors
    /// It stopped where it was; what is left is pruned by the next call.
    fn prune(&self, keep_hours: u64, now: WallMicros) -> StoreFuture<Pruned>;

    /// Ends the store after all that was asked for before. What is asked for afterwards is refused.
    fn close(&self) -> BoxFuture<'static, ()>;
}

/// What earlier owners left.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// This owner's epoch: higher than any before.
    pub epoch: Epoch,
    /// All minions, by number.
    pub minions: Vec<Record>,
    /// Open jobs, and the newest `owner::MAX_UNRESOLVED` closed ones with unknown members; oldest first.
    pub jobs: Vec<StoredJob>,
}

/// One job as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    /// The head.
    pub head: JobHead,
    /// A cancel was asked for.
    pub cancelled: bool,
    /// When every target first had an outcome; `None` while it is open.
    pub closed: Option<WallMicros>,
    /// The answers so far, by number.
    pub groups: Vec<GroupView>,
    /// How many have each outcome so far.
    pub counts: BTreeMap<Outcome, u64>,
    /// The ticket of the last commit with answers or a close, of any job, that this process did before this read. What
    /// it and those before it changed is in this view; what later ones change is not. `None`: there was none.
    pub as_of: Option<u64>,
}

/// All who gave one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupView {
    /// Its number within the job.
    pub no: GroupNo,
    /// What they say. Without its body if [`GroupView::body_left_out`].
    pub answer: Arc<Answer>,
    /// Who. Empty if all have been resolved into other answers.
    pub members: Members,
    /// There is a body, but [`MAX_READ_BODY_BYTES`] were used up: ask [`Store::answers`].
    pub body_left_out: bool,
}

/// One job in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSummary {
    /// Its name.
    pub jid: Jid,
    /// The function.
    pub function: String,
    /// Its arguments as JSON; `None` if longer than [`MAX_SUMMARY_ARGS`].
    pub args: Option<Bytes>,
    /// The target expression.
    pub target: String,
    /// Who asked for it.
    pub caller: String,
    /// How many targets it has.
    pub targets: u64,
    /// When it was accepted.
    pub created: WallMicros,
    /// When every target first had an outcome; `None` while it is open.
    pub closed: Option<WallMicros>,
    /// A cancel was asked for.
    pub cancelled: bool,
    /// How many have each outcome so far.
    pub counts: BTreeMap<Outcome, u64>,
}

/// What a prune removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Jobs.
    pub jobs: u64,
    /// Request ids.
    pub requests: u64,
}

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
    /// A newer build has written it. Nothing was changed.
    #[error("store {path} has schema {found}, this build knows up to {known}: start the newer build again")]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's schema version.
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
