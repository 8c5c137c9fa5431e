//! Writes on their way to the store: in order, reported in order, tried again when the disk refuses.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use relay_core::owner::{Write, WriteError};
use relay_runtime::store::{Store, StoreFuture};
use tokio::time::Instant;

/// Pause before a write that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// A commit's end.
#[derive(Debug)]
pub struct Done {
    /// Its ticket.
    pub ticket: u64,
    /// How it went. Never `Failed` for a write that may not fail: that one is tried again.
    pub result: Result<(), WriteError>,
}

struct Pending {
    ticket: u64,
    writes: Vec<Write>,
    may_fail: bool,
    future: StoreFuture<(), WriteError>,
}

/// The commits under way. The owner bounds them: one of outcomes, and one for each accepted job or roster change.
pub struct Commits {
    store: Arc<dyn Store>,
    pending: VecDeque<Pending>,
    refused: VecDeque<(u64, Vec<Write>)>,
    retry_at: Instant,
    /// What the store says while it can't be written.
    pub stalled: Option<String>,
}

impl Commits {
    /// None under way.
    pub fn new(store: Arc<dyn Store>) -> Commits {
        let (pending, refused) = (VecDeque::new(), VecDeque::new());
        Commits { store, pending, refused, retry_at: Instant::now(), stalled: None }
    }

    /// Begins a commit.
    pub fn begin(&mut self, ticket: u64, writes: Vec<Write>, may_fail: bool) {
        let future = self.store.commit(ticket, writes.clone());
        let writes = if may_fail { Vec::new() } else { writes };
        self.pending.push_back(Pending { ticket, writes, may_fail, future });
    }

    /// Waits for the next commit's end. Cancel safe.
    pub async fn next(&mut self) -> Done {
        loop {
            let Some(first) = self.pending.front_mut() else {
                if self.refused.is_empty() {
                    return std::future::pending().await;
                }
                tokio::time::sleep_until(self.retry_at).await;
                while let Some((ticket, writes)) = self.refused.pop_front() {
                    self.begin(ticket, writes, false);
                }
                continue;
            };
            let result = (&mut first.future).await;
            let Some(done) = self.pending.pop_front() else { continue };
            match result {
                Err(WriteError::Failed(why)) if !done.may_fail => {
                    tracing::error!(why, "the store can't be written: free space or mend it; trying on");
                    self.stalled = Some(why);
                    self.refused.push_back((done.ticket, done.writes));
                    self.retry_at = Instant::now() + RETRY;
                }
                result => {
                    if result.is_ok() && self.refused.is_empty() && self.stalled.take().is_some() {
                        tracing::info!("the store can be written again");
                    }
                    return Done { ticket: done.ticket, result };
                }
            }
        }
    }
}
