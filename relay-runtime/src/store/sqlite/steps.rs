//! What takes long, in steps: each is one request, between which others are served.

use std::sync::Arc;

use relay_core::ids::Jid;
use tokio::sync::{mpsc, oneshot};

use super::{
    super::{
        FunctionStats, JobFilter, JobSummary, MAX_STATS_JOBS, Pruned, StoreError, StoreFuture, stats::Tally,
    },
    list::{self, Stretch},
    prune::{self, Cutoffs, Step},
    thread::{Request, Server},
};

/// A request, and the wait for its answer. Whoever asked may be gone when it is there; then nobody wants it.
pub(super) fn work<T: Send + 'static>(
    ask: impl FnOnce(&mut Server) -> Result<T, StoreError> + Send + 'static,
) -> (Request, oneshot::Receiver<Result<T, StoreError>>) {
    let (reply, answer) = oneshot::channel();
    let work = move |server: &mut Server| {
        let _ = reply.send(ask(server));
    };
    (Request::Work(Box::new(work)), answer)
}

/// Waits for room in the queue, and for the answer.
async fn ask<T: Send + 'static>(
    queue: &mpsc::Sender<Request>,
    ask: impl FnOnce(&mut Server) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (request, answer) = work(ask);
    queue.send(request).await.map_err(|_| StoreError::Closed)?;
    answer.await.unwrap_or(Err(StoreError::Closed))
}

/// Ends: each step but the last removes rows that are older than a fixed moment.
pub(super) async fn prune(queue: mpsc::Sender<Request>, cutoffs: Cutoffs) -> Result<Pruned, StoreError> {
    let mut pruned = Pruned::default();
    loop {
        let Step { jobs, requests, more } = ask(&queue, move |server| prune::step(server, cutoffs)).await?;
        pruned.jobs += jobs;
        pruned.requests += requests;
        if !more {
            return Ok(pruned);
        }
    }
}

/// A walk over the jobs, from the newest to the oldest.
pub(super) struct Walk {
    queue: mpsc::Sender<Request>,
    filter: Arc<JobFilter>,
}

/// A walk whose first step is in the queue.
pub(super) struct Begun {
    walk: Walk,
    first: StoreFuture<Stretch>,
}

impl Walk {
    pub(super) fn new(queue: mpsc::Sender<Request>, filter: JobFilter) -> Walk {
        Walk { queue, filter: Arc::new(filter) }
    }

    /// One step, for the thread.
    pub(super) fn stretch(
        &self,
        limit: usize,
        before: Option<Jid>,
    ) -> impl FnOnce(&mut Server) -> Result<Stretch, StoreError> + Send + use<> {
        let filter = self.filter.clone();
        move |server| list::stretch(&server.connection, &filter, limit, before)
    }

    pub(super) fn beginning_with(self, first: StoreFuture<Stretch>) -> Begun {
        Begun { walk: self, first }
    }
}

impl Begun {
    /// The first jobs, up to `limit`. Ends: each step looks at older jobs than the one before.
    pub(super) async fn page(self, limit: usize) -> Result<Vec<JobSummary>, StoreError> {
        let Stretch { mut jobs, mut before, .. } = self.first.await?;
        while let Some(oldest) = before.filter(|_| jobs.len() < limit) {
            let step = self.walk.stretch(limit - jobs.len(), Some(oldest));
            let next = ask(&self.walk.queue, step).await?;
            jobs.extend(next.jobs);
            before = next.before;
        }
        Ok(jobs)
    }

    /// Figures over the first [`MAX_STATS_JOBS`]; no more than a step's jobs are in memory at once.
    pub(super) async fn figures(self) -> Result<Vec<FunctionStats>, StoreError> {
        let (mut tally, mut looked_at) = (Tally::default(), 0);
        let mut next = self.first.await?;
        loop {
            looked_at += next.looked_at;
            next.jobs.into_iter().for_each(|job| tally.add(job));
            let Some(oldest) = next.before.filter(|_| looked_at < MAX_STATS_JOBS) else {
                return Ok(tally.finish());
            };
            next = ask(&self.walk.queue, self.walk.stretch(usize::MAX, Some(oldest))).await?;
        }
    }
}
