//! The store in one SQLite file.
//!
//! Owns the handle: each call puts one request into a bounded queue, in the order of the calls. One thread owns the
//! connection and serves the queue (`thread`); the parts below it read and write rows. Opening and schema are `file`'s.

use std::path::Path;

use futures_core::future::BoxFuture;
use relay_core::{
    ids::Jid,
    ledger::GroupNo,
    owner::{Write, WriteError},
    time::WallMicros,
};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{JobSummary, JobView, MAX_PAGE, Pruned, Recovered, Store, StoreError, StoreFuture};

mod column;
mod file;
mod prune;
mod read;
mod recover;
mod thread;
mod write;

#[cfg(test)]
mod tests;

use prune::{Cutoffs, Step};
use thread::{Batch, Request};

/// Requests that wait for the thread. All open jobs accepted in one moment, several times over; they share their bodies
/// with whoever made them, so they are small. Beyond it the disk does not keep up, and the caller must hear of it.
pub const MAX_QUEUED: usize = 4_096;

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
        let connection = file::open(path)?;
        let (queue, requests) = mpsc::channel(MAX_QUEUED);
        let failed = |e: std::io::Error| StoreError::Open { path: path.into(), why: e.to_string() };
        let named = std::thread::Builder::new().name("store".into());
        named.spawn(move || thread::serve(connection, requests)).map_err(failed)?;
        Ok(SqliteStore { queue })
    }

    /// Puts a request into the queue now, and returns the wait for its answer.
    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> StoreFuture<T> {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.try_send(request(reply));
        Box::pin(async move {
            sent.map_err(refusal)?;
            answer.await.unwrap_or(Err(StoreError::Closed))
        })
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
        self.ask(Request::Begin)
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

    fn job(&self, jid: Jid) -> StoreFuture<Option<JobView>> {
        self.ask(|reply| Request::Job { jid, reply })
    }

    fn answers(&self, jid: Jid, from: GroupNo) -> StoreFuture<Vec<read::Numbered>> {
        self.ask(|reply| Request::Answers { jid, from, reply })
    }

    fn jobs(&self, limit: usize, before: Option<Jid>) -> StoreFuture<Vec<JobSummary>> {
        self.ask(|reply| Request::Jobs { limit: limit.min(MAX_PAGE), before, reply })
    }

    fn prune(&self, keep_hours: u64, now: WallMicros) -> StoreFuture<Pruned> {
        let (queue, cutoffs) = (self.queue.clone(), Cutoffs::at(keep_hours, now));
        Box::pin(async move {
            let mut pruned = Pruned::default();
            // Ends: each step but the last removes rows that are older than a fixed moment.
            loop {
                let (reply, answer) = oneshot::channel();
                queue.send(Request::Prune { cutoffs, reply }).await.map_err(|_| StoreError::Closed)?;
                let Step { jobs, requests, more } = answer.await.unwrap_or(Err(StoreError::Closed))?;
                pruned.jobs += jobs;
                pruned.requests += requests;
                if !more {
                    return Ok(pruned);
                }
            }
        })
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
