//! The store: the jobs, the answers, the minions, the plans, the schedules, the topologies and the records that must outlive a
//! top master.
//!
//! Owns the [`Store`] trait; what it gives back is in the parts beside it. Leaves to `relay_core::owner` what is written
//! of jobs and in which order, to the top master what plans and schedules mean, and to [`sqlite`] and [`postgres`] how all of
//! it gets onto a disk: of one top master's machine, or of a database that several share.

use std::sync::Arc;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use relay_core::{
    ids::{Jid, RegionName, RequestId},
    ledger::GroupNo,
    outcome::Answer,
    owner::{Write, WriteError},
    time::WallMicros,
};

mod error;
mod filter;
mod kept;
pub mod maintenance;
pub mod postgres;
mod records;
mod revision;
pub mod sqlite;
mod stats;
mod steps;
mod value;
mod view;

#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use filter::{JobFilter, JobState};
pub use kept::{KnownRequest, NewSchedule, PlanId, Put, ScheduleRun, StoredPlan, StoredSchedule};
pub use postgres::{PostgresConfig, PostgresStore};
pub use records::{
    Area, Expect, MAX_RECORD_KEY, MAX_RECORD_PAGE, MAX_RECORD_PUT_BYTES, MAX_RECORD_PUTS, MAX_RECORD_VALUE,
    PutRecord, Record,
};
pub use revision::{NewRevision, Revision, RevisionEnd, RevisionPut, RevisionState, Which};
pub use sqlite::SqliteStore;
pub use stats::{FunctionStats, Ran};
pub use view::{ChangeView, GroupView, JobSummary, JobView, Pruned, Recovered};

/// Most jobs in one answer of [`Store::jobs`]; a larger limit is cut to it.
pub const MAX_PAGE: usize = 1_000;
/// Arguments longer than this are left out of a [`JobSummary`]: a page of them must stay far from memory's end.
pub const MAX_SUMMARY_ARGS: usize = 4 << 10;
/// Bytes of bodies that one read brings into memory. 5,000 different answers of 1 MiB would be 5 GiB.
pub const MAX_READ_BODY_BYTES: usize = 64 << 20;
/// How long a request id is remembered at least, in hours: a client's retry within a week gets its jid, even if the
/// job has been pruned.
pub const KEEP_REQUESTS_HOURS: u64 = 7 * 24;

/// Requests that wait for a store's thread. All open jobs accepted in one moment, several times over; they share their bodies
/// with whoever made them, so they are small. Beyond it the disk or the database does not keep up, and the caller must hear of it.
pub const MAX_QUEUED: usize = 4_096;
/// Jobs that one call of [`Store::stats`] looks at, newest first: figures over more would be of another year, and the
/// durations of all of them are in memory together.
pub const MAX_STATS_JOBS: usize = 100_000;
/// Plans that are kept. A plan is for a day at most, and a request of usual size with 5,000 targets is some 20 KiB.
pub const MAX_PLANS: usize = 1_000;
/// Schedules that are kept: a top master looks through all of them for the next time.
pub const MAX_SCHEDULES: usize = 1_000;
/// Revisions of the topology that are kept: several years of weekly changes. A text of the usual size is 10 KiB.
pub const MAX_REVISIONS: usize = 1_000;

/// A future of the store. What it is for is in the queue when the call returns, polled or not; only pruning and closing
/// begin when they are polled, and long lists go on when they are.
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

    /// One job as it stands, open or closed, with its changes numbered above `after` and the bodies these need; `None`
    /// if there is no such job (any more). 0 gives all of it; `u64::MAX` neither changes nor bodies.
    ///
    /// Who watches the job from then on skips what is not above [`JobView::seq`], and has no gap and no repeat (I10).
    ///
    /// # Errors
    /// It can't be read, or the job's rows are damaged.
    fn job(&self, jid: Jid, after: u64) -> StoreFuture<Option<JobView>>;

    /// What became of a request; `None` if no job was accepted for it, or it is forgotten.
    ///
    /// # Errors
    /// It can't be read.
    fn request(&self, id: RequestId) -> StoreFuture<Option<KnownRequest>>;

    /// The answers of a job numbered `from` and above, in order, until [`MAX_READ_BODY_BYTES`] are reached but at least
    /// one: for those that a [`JobView`] had to leave without body. Answers never change, so pages fit together.
    ///
    /// # Errors
    /// They can't be read, or are damaged.
    fn answers(&self, jid: Jid, from: GroupNo) -> StoreFuture<Vec<(GroupNo, Arc<Answer>)>>;

    /// The newest jobs that a filter takes, newest first, older than `before` if given; at most `limit`, and at most
    /// [`MAX_PAGE`]. Fewer means that there are no more.
    ///
    /// Looks at a bounded number of jobs at a time, between which commits are served: a filter that takes few of many
    /// jobs may see the older ones as they are a moment later.
    ///
    /// # Errors
    /// They can't be read, or are damaged.
    fn jobs(&self, filter: JobFilter, limit: usize, before: Option<Jid>) -> StoreFuture<Vec<JobSummary>>;

    /// Figures over the jobs that a filter takes, by function, among the newest [`MAX_STATS_JOBS`]; ordered by name.
    /// Looks at them as [`Store::jobs`] does.
    ///
    /// # Errors
    /// They can't be read, or are damaged.
    fn stats(&self, filter: JobFilter) -> StoreFuture<Vec<FunctionStats>>;

    /// The newest jobs of a function that closed and were not cancelled, newest first; at most `limit`, and at most
    /// [`MAX_PAGE`]. For an estimate of how long it takes.
    ///
    /// # Errors
    /// They can't be read, or are damaged.
    fn history(&self, function: &str, limit: usize) -> StoreFuture<Vec<Ran>>;

    /// Forgets jobs that closed more than `keep_hours` before `now`, and request ids of forgotten jobs that are older
    /// than [`KEEP_REQUESTS_HOURS`]. Works in small steps, between which commits are served.
    ///
    /// # Errors
    /// It stopped where it was; what is left is pruned by the next call.
    fn prune(&self, keep_hours: u64, now: WallMicros) -> StoreFuture<Pruned>;

    /// Forgets jobs that closed before a moment, in steps as [`Store::prune`]. Request ids stay for their time.
    ///
    /// # Errors
    /// It stopped where it was; what is left is pruned by the next call.
    fn prune_before(&self, before: WallMicros) -> StoreFuture<Pruned>;

    /// Keeps a plan. One with the same id keeps what it has, and expires when this one does. Those that had expired when
    /// this one was created go, and if there are [`MAX_PLANS`] others still, those of them that expire first.
    ///
    /// # Errors
    /// It was not kept. [`StoreError::Fenced`] if another owner has begun.
    fn put_plan(&self, plan: StoredPlan) -> StoreFuture<()>;

    /// A plan; `None` if there is none (any more). It may have expired.
    ///
    /// # Errors
    /// It can't be read, or is damaged.
    fn plan(&self, id: PlanId) -> StoreFuture<Option<StoredPlan>>;

    /// Keeps a schedule, if its name is free or it may replace the one that has it; its last run is kept then.
    ///
    /// # Errors
    /// It was not kept. [`StoreError::Fenced`] if another owner has begun.
    fn put_schedule(&self, schedule: NewSchedule) -> StoreFuture<Put>;

    /// All schedules, by name.
    ///
    /// # Errors
    /// They can't be read, or are damaged.
    fn schedules(&self) -> StoreFuture<Vec<StoredSchedule>>;

    /// Pauses a schedule or lets it go on; times up to `passed` are over for it. False: there is none of this name.
    ///
    /// # Errors
    /// Nothing was changed. [`StoreError::Fenced`] if another owner has begun.
    fn pause_schedule(&self, name: &str, paused: bool, passed: WallMicros) -> StoreFuture<bool>;

    /// A schedule ran, or could not; times up to `passed` are over for it (0: it ran besides its times). False: there
    /// is none of this name.
    ///
    /// # Errors
    /// Nothing was changed. [`StoreError::Fenced`] if another owner has begun.
    fn schedule_ran(&self, name: &str, run: ScheduleRun, passed: WallMicros) -> StoreFuture<bool>;

    /// Forgets a schedule. False: there is none of this name.
    ///
    /// # Errors
    /// Nothing was changed. [`StoreError::Fenced`] if another owner has begun.
    fn remove_schedule(&self, name: &str) -> StoreFuture<bool>;

    /// Keeps a topology in the state staging, under the number after the highest that ever was, if the revision that it was
    /// planned on is active and no other is staging. Of more than [`MAX_REVISIONS`], the oldest go that are over.
    ///
    /// # Errors
    /// It was not kept. [`StoreError::Fenced`] if another owner has begun.
    fn put_revision(&self, new: NewRevision) -> StoreFuture<RevisionPut>;

    /// A revision of the topology with its text; `None` if there is none (any more).
    ///
    /// # Errors
    /// It can't be read, or is damaged.
    fn revision(&self, which: Which) -> StoreFuture<Option<Revision>>;

    /// The newest revisions, newest first, without their texts, numbered below `before` if given; at most `limit`, and at
    /// most [`MAX_REVISIONS`].
    ///
    /// # Errors
    /// They can't be read, or are damaged.
    fn revisions(&self, limit: usize, before: Option<u64>) -> StoreFuture<Vec<Revision>>;

    /// These regions have a revision that is staging. False: it is not (any more).
    ///
    /// # Errors
    /// Nothing was changed. [`StoreError::Fenced`] if another owner has begun.
    fn stage_revision(&self, number: u64, regions: Vec<RegionName>) -> StoreFuture<bool>;

    /// Ends the staging of a revision. False: it was not staging (any more).
    ///
    /// # Errors
    /// Nothing was changed. [`StoreError::Fenced`] if another owner has begun.
    fn end_revision(&self, number: u64, end: RevisionEnd) -> StoreFuture<bool>;

    /// A record; `None` if there is none.
    ///
    /// # Errors
    /// It can't be read, or is damaged.
    fn record(&self, area: Area, key: Bytes) -> StoreFuture<Option<Record>>;

    /// The records of an area with keys above `after`, ascending by their bytes; at most `limit` and at most
    /// [`MAX_RECORD_PAGE`], until [`MAX_READ_BODY_BYTES`] are reached but at least one. None: there are no more.
    ///
    /// # Errors
    /// They can't be read, or are damaged.
    fn records(&self, area: Area, after: Bytes, limit: usize) -> StoreFuture<Vec<Record>>;

    /// Keeps and removes records, all or none of them. False: one was not as expected. Each key at most once.
    ///
    /// # Errors
    /// Nothing was changed. [`StoreError::Fenced`] if another owner has begun; [`StoreError::Unfit`] beyond the bounds of
    /// [`PutRecord`], [`MAX_RECORD_PUTS`] and [`MAX_RECORD_PUT_BYTES`].
    fn put_records(&self, puts: Vec<PutRecord>) -> StoreFuture<bool>;

    /// Ends the store after all that was asked for before. What is asked for afterwards is refused.
    fn close(&self) -> BoxFuture<'static, ()>;
}
