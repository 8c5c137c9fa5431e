//! The one thread that touches the file: serves requests in their order, and commits those that wait together at once.

use std::time::Instant;

use relay_core::{
    ids::{Epoch, Jid},
    ledger::GroupNo,
    owner::{Write, WriteError},
};
use rusqlite::{Connection, Savepoint, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{
    super::{JobSummary, JobView, Recovered, StoreError},
    prune::{self, Cutoffs, Step},
    read::{self, Numbered},
    recover, write,
};
use crate::telemetry;

/// Batches in one transaction: enough that the sync is no longer what costs, few enough that the first of them does
/// not wait long for the last.
const MAX_GROUPED: usize = 256;

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

pub(super) enum Request {
    Begin(Reply<Recovered>),
    Commit(Batch),
    Job {
        jid: Jid,
        reply: Reply<Option<JobView>>,
    },
    Answers {
        jid: Jid,
        from: GroupNo,
        reply: Reply<Vec<Numbered>>,
    },
    Jobs {
        limit: usize,
        before: Option<Jid>,
        reply: Reply<Vec<JobSummary>>,
    },
    Prune {
        cutoffs: Cutoffs,
        reply: Reply<Step>,
    },
    Close(oneshot::Sender<()>),
    #[cfg(test)]
    Do(Box<dyn FnOnce(&Connection) + Send>),
}

pub(super) struct Batch {
    pub(super) ticket: u64,
    pub(super) writes: Vec<Write>,
    pub(super) reply: oneshot::Sender<Result<(), WriteError>>,
}

struct Server {
    connection: Connection,
    /// Our own, once we began.
    epoch: Epoch,
    /// The last commit with answers or a close: at most one of them is under way, so all before it are done, too.
    as_of: Option<u64>,
}

/// Serves until it is told to close or nobody can ask any more.
pub(super) fn serve(connection: Connection, mut requests: mpsc::Receiver<Request>) {
    let mut server = Server { connection, epoch: Epoch(0), as_of: None };
    let mut next = requests.blocking_recv();
    while let Some(request) = next {
        next = match request {
            Request::Commit(first) => {
                let (batches, after) = gather(first, &mut requests);
                server.commit(batches);
                after.or_else(|| requests.blocking_recv())
            }
            Request::Close(done) => {
                // Refuse the rest before the file is let go.
                drop(requests);
                drop(server);
                let _ = done.send(());
                return;
            }
            other => {
                server.answer(other);
                requests.blocking_recv()
            }
        };
    }
}

/// The batches that wait already, up to the next request of another kind.
fn gather(first: Batch, requests: &mut mpsc::Receiver<Request>) -> (Vec<Batch>, Option<Request>) {
    let mut batches = vec![first];
    while batches.len() < MAX_GROUPED {
        match requests.try_recv() {
            Ok(Request::Commit(batch)) => batches.push(batch),
            Ok(other) => return (batches, Some(other)),
            Err(_) => break,
        }
    }
    (batches, None)
}

impl Server {
    /// Whoever asked may be gone; then nobody wants the answer.
    fn answer(&mut self, request: Request) {
        match request {
            Request::Begin(reply) => {
                let _ = reply.send(self.begin());
            }
            Request::Job { jid, reply } => {
                let _ = reply.send(read::job(&self.connection, jid, self.as_of));
            }
            Request::Answers { jid, from, reply } => {
                let _ = reply.send(read::answers(&self.connection, jid, from));
            }
            Request::Jobs { limit, before, reply } => {
                let _ = reply.send(read::jobs(&self.connection, limit, before));
            }
            Request::Prune { cutoffs, reply } => {
                let _ = reply.send(prune::step(&mut self.connection, self.epoch, cutoffs));
            }
            #[cfg(test)]
            Request::Do(work) => work(&self.connection),
            Request::Commit(_) | Request::Close(_) => {}
        }
    }

    fn begin(&mut self) -> Result<Recovered, StoreError> {
        let recovered = recover::begin(&mut self.connection)?;
        self.epoch = recovered.epoch;
        Ok(recovered)
    }

    fn commit(&mut self, batches: Vec<Batch>) {
        let results = match (self.together(&batches), batches.len()) {
            (Ok(results), _) => results,
            (Err(error), 1) => vec![Err(WriteError::Failed(error.to_string()))],
            (Err(_), _) => self.one_by_one(&batches),
        };
        for (batch, result) in batches.into_iter().zip(results) {
            if result.is_ok() && batch.writes.iter().any(has_outcomes) {
                self.as_of = Some(batch.ticket);
            }
            let _ = batch.reply.send(result);
        }
    }

    /// All in one transaction, each with its own result. An error means that none is done: one of them may have been
    /// too much for the disk, which must not fail the others.
    fn together(&mut self, batches: &[Batch]) -> rusqlite::Result<Vec<Result<(), WriteError>>> {
        let begun = Instant::now();
        let epoch = self.epoch;
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let results = batches.iter().map(|batch| in_savepoint(&mut transaction, epoch, batch));
        let results = results.collect::<rusqlite::Result<_>>()?;
        transaction.commit()?;
        metrics::histogram!(telemetry::STORE_COMMIT_SECONDS).record(begun.elapsed());
        Ok(results)
    }

    fn one_by_one(&mut self, batches: &[Batch]) -> Vec<Result<(), WriteError>> {
        let alone = |batch| match self.together(std::slice::from_ref(batch)) {
            Ok(mut results) => results.pop().unwrap_or(Ok(())),
            Err(error) => Err(WriteError::Failed(error.to_string())),
        };
        batches.iter().map(alone).collect()
    }
}

/// What watchers can be told of.
fn has_outcomes(write: &Write) -> bool {
    matches!(write, Write::Returns { .. } | Write::Close { .. })
}

fn in_savepoint(
    transaction: &mut Transaction<'_>,
    epoch: Epoch,
    batch: &Batch,
) -> rusqlite::Result<Result<(), WriteError>> {
    let savepoint: Savepoint<'_> = transaction.savepoint()?;
    match write::apply(&savepoint, epoch, batch.ticket, &batch.writes) {
        Ok(()) => savepoint.commit().map(Ok),
        Err(write::Refused::Because(error)) => {
            savepoint.finish()?;
            Ok(Err(error))
        }
        Err(write::Refused::Database(error)) => Err(error),
    }
}
