//! The store in a PostgreSQL database, which several top masters can reach.
//!
//! Owns the handle: each call puts one request into a bounded queue, in the order of the calls. One thread owns the one
//! connection and serves the queue (`server`); the parts below it read and write rows. A pool would not keep the order that
//! the trait promises, and one connection with groups of commits writes more than a fabric brings.

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
    steps::{self, Cutoffs, Next, Stretch, figures, page},
};

mod accept;
mod column;
mod config;
mod connect;
mod list;
pub(super) mod maintenance;
mod outage;
mod plans;
mod prune;
mod read;
mod records;
mod recover;
mod requests;
mod schedules;
mod schema;
mod server;
mod session;
mod tls;
mod topologies;
mod write;

#[cfg(test)]
pub(in crate::store) mod tests;

pub use config::{PostgresConfig, Transport};
pub(crate) use {
    connect::password,
    tls::{tls_to, wrong_files as wrong_tls_files},
};

use requests::{Batch, Request, wait, work};
use server::Server;
use session::{Session, Trouble};

/// A store in a database.
#[derive(Debug)]
pub struct PostgresStore {
    queue: mpsc::Sender<Request>,
}

impl PostgresStore {
    /// Connects, and makes the tables if they are not there; brings an older schema up to date.
    ///
    /// # Errors
    /// See [`StoreError::Setting`], [`StoreError::Connect`], [`StoreError::NotOurs`], [`StoreError::Newer`],
    /// [`StoreError::Database`].
    pub async fn open(config: &PostgresConfig) -> Result<PostgresStore, StoreError> {
        PostgresStore::start(connect::Settings::new(config)?).await
    }

    async fn start(settings: connect::Settings) -> Result<PostgresStore, StoreError> {
        let (queue, requests) = mpsc::channel(MAX_QUEUED);
        let (reply, opened) = oneshot::channel();
        let server = settings.server();
        let failed = |e: std::io::Error| StoreError::Setting { server: server.clone(), why: e.to_string() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let named = std::thread::Builder::new().name("store".into());
        let serve = move || runtime.block_on(requests::serve(settings, requests, reply));
        named.spawn(serve).map_err(failed)?;
        opened.await.unwrap_or(Err(StoreError::Closed))?;
        Ok(PostgresStore { queue })
    }

    /// Puts a request into the queue now, and returns the wait for its answer.
    fn ask<T: Send + 'static>(
        &self,
        ask: impl AsyncFnOnce(&mut Server) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<T> {
        let (request, answer) = work(ask);
        let sent = self.queue.try_send(request);
        Box::pin(async move {
            sent.map_err(refusal)?;
            answer.await.unwrap_or(Err(StoreError::Closed))
        })
    }

    /// Asks for a read, which sees the database at one moment.
    fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        read: impl AsyncFn(&Session) -> Result<T, Trouble> + Send + 'static,
    ) -> StoreFuture<T> {
        self.ask(async move |server| server.read(doing, &read).await)
    }

    /// Asks for a change that is not of a job.
    fn change<T: Send + 'static>(
        &self,
        doing: &'static str,
        change: impl AsyncFn(&Session) -> Result<T, Trouble> + Send + 'static,
    ) -> StoreFuture<T> {
        self.ask(async move |server| server.change(doing, &change).await)
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
            async move |server: &mut Server| {
                server
                    .read("list jobs", &async |s: &Session| list::stretch(s, &filter, limit, before).await)
                    .await
            }
        };
        let (first, queue) = (self.ask(step(limit, before)), self.queue.clone());
        (first, move |limit, before| wait(queue.clone(), step(limit, Some(before))))
    }

    fn prune_to(&self, cutoffs: Cutoffs) -> StoreFuture<Pruned> {
        let queue = self.queue.clone();
        let step = move || wait(queue.clone(), async move |server| prune::step(server, cutoffs).await);
        Box::pin(steps::prune(step))
    }
}

fn refusal(error: TrySendError<Request>) -> StoreError {
    match error {
        TrySendError::Full(_) => StoreError::Busy(MAX_QUEUED),
        TrySendError::Closed(_) => StoreError::Closed,
    }
}

impl Store for PostgresStore {
    fn begin(&self) -> StoreFuture<Recovered> {
        self.ask(async |server| server.begin().await)
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
        self.read("read a job", async move |s| read::job(s, jid, after).await)
    }

    fn request(&self, id: RequestId) -> StoreFuture<Option<KnownRequest>> {
        self.read("read", async move |s| accept::request(s, id).await)
    }

    fn answers(&self, jid: Jid, from: GroupNo) -> StoreFuture<Vec<(GroupNo, Arc<Answer>)>> {
        self.read("read answers", async move |s| read::answers(s, jid, from).await)
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
        self.read("read the history", async move |s| list::history(s, &function, limit).await)
    }

    fn prune(&self, keep_hours: u64, now: WallMicros) -> StoreFuture<Pruned> {
        self.prune_to(Cutoffs::at(keep_hours, now))
    }

    fn prune_before(&self, before: WallMicros) -> StoreFuture<Pruned> {
        self.prune_to(Cutoffs::closed_before(before))
    }

    fn put_plan(&self, plan: StoredPlan) -> StoreFuture<()> {
        self.change("keep a plan", async move |s| plans::put(s, &plan).await)
    }

    fn plan(&self, id: PlanId) -> StoreFuture<Option<StoredPlan>> {
        self.read("read a plan", async move |s| plans::plan(s, id).await)
    }

    fn put_schedule(&self, schedule: NewSchedule) -> StoreFuture<Put> {
        self.change("keep a schedule", async move |s| schedules::put(s, &schedule).await)
    }

    fn schedules(&self) -> StoreFuture<Vec<StoredSchedule>> {
        self.read("read schedules", async |s| schedules::all(s).await)
    }

    fn pause_schedule(&self, name: &str, paused: bool, passed: WallMicros) -> StoreFuture<bool> {
        let name = name.to_owned();
        self.change("pause a schedule", async move |s| schedules::pause(s, &name, paused, passed).await)
    }

    fn schedule_ran(&self, name: &str, run: ScheduleRun, passed: WallMicros) -> StoreFuture<bool> {
        let name = name.to_owned();
        self.change("note a schedule's run", async move |s| schedules::ran(s, &name, &run, passed).await)
    }

    fn remove_schedule(&self, name: &str) -> StoreFuture<bool> {
        let name = name.to_owned();
        self.change("remove a schedule", async move |s| schedules::remove(s, &name).await)
    }

    fn put_revision(&self, new: NewRevision) -> StoreFuture<RevisionPut> {
        self.change("keep a topology", async move |s| topologies::put(s, &new).await)
    }

    fn revision(&self, which: Which) -> StoreFuture<Option<Revision>> {
        self.read("read a topology", async move |s| topologies::one(s, which).await)
    }

    fn revisions(&self, limit: usize, before: Option<u64>) -> StoreFuture<Vec<Revision>> {
        let limit = limit.min(MAX_REVISIONS);
        self.read("list topologies", async move |s| topologies::list(s, limit, before).await)
    }

    fn stage_revision(&self, number: u64, regions: Vec<RegionName>) -> StoreFuture<bool> {
        self.change("stage a topology", async move |s| topologies::regions(s, number, &regions).await)
    }

    fn end_revision(&self, number: u64, end: RevisionEnd) -> StoreFuture<bool> {
        self.change("end a topology's staging", async move |s| topologies::end(s, number, &end).await)
    }

    fn record(&self, area: Area, key: Bytes) -> StoreFuture<Option<Record>> {
        self.read("read a record", async move |s| records::one(s, area, &key).await)
    }

    fn records(&self, area: Area, after: Bytes, limit: usize) -> StoreFuture<Vec<Record>> {
        let limit = limit.min(MAX_RECORD_PAGE);
        self.read("read records", async move |s| records::page(s, area, &after, limit).await)
    }

    fn put_records(&self, puts: Vec<PutRecord>) -> StoreFuture<bool> {
        match fit(&puts) {
            Ok(()) => self.change("keep records", async move |s| records::put(s, &puts).await),
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
