//! The store in one SQLite file.
//!
//! Owns the handle: each call puts one request into a bounded queue, in the order of the calls. One thread owns the
//! connection and serves the queue (`thread`); the parts below it read and write rows. Opening and schema are `file`'s.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use relay_core::{
    ids::{Jid, RegionName, RequestId},
    ledger::GroupNo,
    owner::{Write, WriteError},
    time::WallMicros,
};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{
    Area, FunctionStats, JobFilter, JobSummary, JobView, KnownRequest, MAX_PAGE, MAX_QUEUED, MAX_RECORD_PAGE,
    MAX_REVISIONS, NewRevision, NewSchedule, PlanId, Pruned, Put, PutRecord, Ran, Record, Recovered,
    Revision, RevisionEnd, RevisionPut, ScheduleRun, Store, StoreError, StoreFuture, StoredPlan,
    StoredSchedule, Which,
    records::fit,
    steps::{Cutoffs, Next, Stretch, figures, page},
};

mod accept;
mod checkpoint;
mod column;
mod file;
mod list;
pub(super) mod maintenance;
mod plans;
mod prune;
mod read;
mod records;
mod recover;
mod schedules;
mod steps;
mod thread;
mod topologies;
mod write;

#[cfg(test)]
mod tests;

use checkpoint::Checkpointer;
use steps::work;
use thread::{Batch, Request, Server};

/// A store in one file, for one top master.
#[derive(Debug)]
pub struct SqliteStore {
    queue: mpsc::Sender<Request>,
}

impl SqliteStore {
    /// Opens the store, or makes a new one with its directory; brings an older schema up to date.
    ///
    /// # Errors
    /// See [`StoreError::Open`], [`StoreError::NotAStore`], [`StoreError::Newer`], [`StoreError::Database`].
    pub fn open(path: &Path) -> Result<SqliteStore, StoreError> {
        let mut connection = file::open(path)?;
        let checkpointer = Checkpointer::start(path, &mut connection)?;
        let (queue, requests) = mpsc::channel(MAX_QUEUED);
        let failed = |e: std::io::Error| StoreError::Open { path: path.into(), why: e.to_string() };
        let named = std::thread::Builder::new().name("store".into());
        named.spawn(move || thread::serve(connection, checkpointer, requests)).map_err(failed)?;
        Ok(SqliteStore { queue })
    }

    /// Puts a request into the queue now, and returns the wait for its answer.
    fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Server) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<T> {
        let (request, answer) = work(ask);
        let sent = self.queue.try_send(request);
        Box::pin(async move {
            sent.map_err(refusal)?;
            answer.await.unwrap_or(Err(StoreError::Closed))
        })
    }

    /// Asks for a change that is not of a job.
    fn change<T: Send + 'static>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<T> {
        self.ask(move |server| server.change(doing, change))
    }

    /// The first step of a list, which is in the queue now, and what asks for the others.
    fn walk(
        &self,
        filter: JobFilter,
        limit: usize,
        before: Option<Jid>,
    ) -> (StoreFuture<Stretch>, impl Next) {
        let filter = Arc::new(filter);
        let step = move |limit, before| {
            let filter = filter.clone();
            move |server: &mut Server| list::stretch(&server.connection, &filter, limit, before)
        };
        let (first, queue) = (self.ask(step(limit, before)), self.queue.clone());
        (first, move |limit, before| steps::wait(queue.clone(), step(limit, Some(before))))
    }

    fn prune_to(&self, cutoffs: Cutoffs) -> StoreFuture<Pruned> {
        let queue = self.queue.clone();
        let step = move || steps::wait(queue.clone(), move |server| prune::step(server, cutoffs));
        Box::pin(super::steps::prune(step))
    }
}

fn refusal(error: TrySendError<Request>) -> StoreError {
    match error {
        TrySendError::Full(_) => StoreError::Busy(MAX_QUEUED),
        TrySendError::Closed(_) => StoreError::Closed,
    }
}

impl Store for SqliteStore {
    fn begin(&self) -> StoreFuture<Recovered> {
        self.ask(Server::begin)
    }

    fn commit(&self, ticket: u64, writes: Vec<Write>) -> StoreFuture<(), WriteError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.try_send(Request::Commit(Batch { ticket, writes, reply }));
        Box::pin(async move {
            let failed = |e: StoreError| WriteError::Failed(e.to_string());
            sent.map_err(|e| failed(refusal(e)))?;
            answer.await.unwrap_or_else(|_| Err(failed(StoreError::Closed)))
        })
    }

    fn job(&self, jid: Jid, after: u64) -> StoreFuture<Option<JobView>> {
        self.ask(move |server| read::job(&server.connection, jid, after))
    }

    fn request(&self, id: RequestId) -> StoreFuture<Option<KnownRequest>> {
        let read = read::database("read");
        self.ask(move |server| accept::request(&server.connection, id).map_err(read))
    }

    fn answers(&self, jid: Jid, from: GroupNo) -> StoreFuture<Vec<read::Numbered>> {
        self.ask(move |server| read::answers(&server.connection, jid, from))
    }

    fn jobs(&self, filter: JobFilter, limit: usize, before: Option<Jid>) -> StoreFuture<Vec<JobSummary>> {
        let limit = limit.min(MAX_PAGE);
        let (first, next) = self.walk(filter, limit, before);
        Box::pin(page(first, next, limit))
    }

    fn stats(&self, filter: JobFilter) -> StoreFuture<Vec<FunctionStats>> {
        let (first, next) = self.walk(filter, usize::MAX, None);
        Box::pin(figures(first, next))
    }

    fn history(&self, function: &str, limit: usize) -> StoreFuture<Vec<Ran>> {
        let (function, limit) = (function.to_owned(), limit.min(MAX_PAGE));
        self.ask(move |server| list::history(&server.connection, &function, limit))
    }

    fn prune(&self, keep_hours: u64, now: WallMicros) -> StoreFuture<Pruned> {
        self.prune_to(Cutoffs::at(keep_hours, now))
    }

    fn prune_before(&self, before: WallMicros) -> StoreFuture<Pruned> {
        self.prune_to(Cutoffs::closed_before(before))
    }

    fn put_plan(&self, plan: StoredPlan) -> StoreFuture<()> {
        self.change("keep a plan", move |c| plans::put(c, &plan))
    }

    fn plan(&self, id: PlanId) -> StoreFuture<Option<StoredPlan>> {
        self.ask(move |server| plans::plan(&server.connection, id))
    }

    fn put_schedule(&self, schedule: NewSchedule) -> StoreFuture<Put> {
        self.change("keep a schedule", move |c| schedules::put(c, &schedule))
    }

    fn schedules(&self) -> StoreFuture<Vec<StoredSchedule>> {
        self.ask(|server| schedules::all(&server.connection))
    }

    fn pause_schedule(&self, name: &str, paused: bool, passed: WallMicros) -> StoreFuture<bool> {
        let name = name.to_owned();
        self.change("pause a schedule", move |c| schedules::pause(c, &name, paused, passed))
    }

    fn schedule_ran(&self, name: &str, run: ScheduleRun, passed: WallMicros) -> StoreFuture<bool> {
        let name = name.to_owned();
        self.change("note a schedule's run", move |c| schedules::ran(c, &name, &run, passed))
    }

    fn remove_schedule(&self, name: &str) -> StoreFuture<bool> {
        let name = name.to_owned();
        self.change("remove a schedule", move |c| schedules::remove(c, &name))
    }

    fn put_revision(&self, new: NewRevision) -> StoreFuture<RevisionPut> {
        self.change("keep a topology", move |c| topologies::put(c, &new))
    }

    fn revision(&self, which: Which) -> StoreFuture<Option<Revision>> {
        self.ask(move |server| topologies::one(&server.connection, which))
    }

    fn revisions(&self, limit: usize, before: Option<u64>) -> StoreFuture<Vec<Revision>> {
        let limit = limit.min(MAX_REVISIONS);
        self.ask(move |server| topologies::list(&server.connection, limit, before))
    }

    fn stage_revision(&self, number: u64, regions: Vec<RegionName>) -> StoreFuture<bool> {
        self.change("stage a topology", move |c| topologies::regions(c, number, &regions))
    }

    fn end_revision(&self, number: u64, end: RevisionEnd) -> StoreFuture<bool> {
        self.change("end a topology's staging", move |c| topologies::end(c, number, &end))
    }

    fn record(&self, area: Area, key: Bytes) -> StoreFuture<Option<Record>> {
        self.ask(move |server| records::one(&server.connection, area, &key))
    }

    fn records(&self, area: Area, after: Bytes, limit: usize) -> StoreFuture<Vec<Record>> {
        let limit = limit.min(MAX_RECORD_PAGE);
        self.ask(move |server| records::page(&server.connection, area, &after, limit))
    }

    fn put_records(&self, puts: Vec<PutRecord>) -> StoreFuture<bool> {
        match fit(&puts) {
            Ok(()) => self.change("keep records", move |c| records::put(c, &puts)),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let queue = self.queue.clone();
        let (reply, closed) = oneshot::channel();
        Box::pin(async move {
            // Refused, or the reply dropped: it is closed already.
            if queue.send(Request::Close(reply)).await.is_ok() {
                let _ = closed.await;
            }
        })
    }
}
