//! Writes on their way to the store: in order, reported in order, tried again when the disk refuses.
//!
//! A retry comes after what was queued behind it, which is harmless but in one case: a job must not be stored before the
//! minions it names, or a crash in between could give their numbers to others. So an acceptance is held back until no
//! minion is waiting to be written.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use relay_core::{
    audit::{Event, Kind},
    owner::{Write, WriteError},
};
use relay_runtime::store::{Store, StoreFuture};
use tokio::time::Instant;

use crate::audit::Audit;

/// Pause before a write that failed is tried again.
const RETRY: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 500 });

/// A commit's end.
#[derive(Debug)]
pub struct Done {
    /// Its ticket.
    pub ticket: u64,
    /// How it went. Never `Failed` for a write that may not fail: that one is tried again.
    pub result: Result<(), WriteError>,
}

struct Held {
    ticket: u64,
    writes: Vec<Write>,
    may_fail: bool,
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
    /// Behind an acceptance that is held back, in order.
    held: VecDeque<Held>,
    retry_at: Instant,
    /// What the store says while it can't be written.
    pub stalled: Option<String>,
    /// Is told of outcomes that were unknown and are known now.
    audit: Option<Audit>,
}

impl Commits {
    /// None under way.
    pub fn new(store: Arc<dyn Store>) -> Commits {
        let (pending, refused, held) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        Commits { store, pending, refused, held, retry_at: Instant::now(), stalled: None, audit: None }
    }

    /// The same, with somebody who is told of outcomes that were unknown and are known now.
    #[must_use]
    pub fn reporting(self, audit: Audit) -> Commits {
        Commits { audit: Some(audit), ..self }
    }

    /// Begins a commit.
    pub fn begin(&mut self, ticket: u64, writes: Vec<Write>, may_fail: bool) {
        if let Some(audit) = &self.audit {
            writes.iter().filter_map(resolved).for_each(|event| audit.note(event));
        }
        self.held.push_back(Held { ticket, writes, may_fail });
        self.release();
    }

    fn release(&mut self) {
        while let Some(next) =
            self.held.pop_front_if(|next| !next.may_fail || !minions_wait(&self.pending, &self.refused))
        {
            self.issue(next.ticket, next.writes, next.may_fail);
        }
    }

    fn issue(&mut self, ticket: u64, writes: Vec<Write>, may_fail: bool) {
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
                    self.issue(ticket, writes, false);
                }
                continue;
            };
            let result = (&mut first.future).await;
            let Some(done) = self.pending.pop_front() else { continue };
            let done = self.settle(done, result);
            self.release();
            if let Some(done) = done {
                return done;
            }
        }
    }

    /// A commit ended; `None` if it is tried again.
    fn settle(&mut self, done: Pending, result: Result<(), WriteError>) -> Option<Done> {
        match result {
            Err(WriteError::Failed(why)) if !done.may_fail => {
                tracing::error!(why, "the store can't be written: free space or mend it; trying on");
                self.stalled = Some(why);
                self.refused.push_back((done.ticket, done.writes));
                self.retry_at = Instant::now() + RETRY;
                None
            }
            result => {
                if result.is_ok() && self.refused.is_empty() && self.stalled.take().is_some() {
                    tracing::info!("the store can be written again");
                }
                Some(Done { ticket: done.ticket, result })
            }
        }
    }
}

/// A row that only lost members to others was of the unknown: nobody leaves an outcome that is final.
fn resolved(write: &Write) -> Option<Event> {
    let Write::Returns { jid, seq, rows, .. } = write else { return None };
    rows.iter().any(|row| row.added.is_empty()).then(|| {
        let outcomes: u64 = rows.iter().map(|row| row.added.len()).sum();
        let event = Event::new(Kind::UnknownResolved, "top-master", "self").about(jid);
        event.with("change", seq).with("outcomes", outcomes)
    })
}

fn minions_wait(pending: &VecDeque<Pending>, refused: &VecDeque<(u64, Vec<Write>)>) -> bool {
    let waiting = pending.iter().map(|p| &p.writes).chain(refused.iter().map(|(_, writes)| writes));
    waiting.flatten().any(|write| matches!(write, Write::Minions(_)))
}

#[cfg(test)]
mod tests;
