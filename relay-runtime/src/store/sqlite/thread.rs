//! The one thread that touches the file: serves requests in their order, and commits those that wait together at once.

use std::time::Instant;

use relay_core::{
    ids::Epoch,
    owner::{Write, WriteError},
};
use rusqlite::{Connection, Savepoint, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{
    super::{Recovered, StoreError},
    checkpoint::Checkpointer,
    read::database,
    recover, write,
};
use crate::telemetry;

/// Batches in one transaction: enough that the sync is no longer what costs, few enough that the first of them does
/// not wait long for the last.
const MAX_GROUPED: usize = 256;

/// Anything but a commit. Sends its own answer.
pub(super) type Work = Box<dyn FnOnce(&mut Server) + Send>;

pub(super) enum Request {
    Commit(Batch),
    Work(Work),
    Close(oneshot::Sender<()>),
}

pub(super) struct Batch {
    pub(super) ticket: u64,
    pub(super) writes: Vec<Write>,
    pub(super) reply: oneshot::Sender<Result<(), WriteError>>,
}

/// What the thread has.
pub(super) struct Server {
    /// Goes before the connection.
    checkpointer: Checkpointer,
    pub(super) connection: Connection,
    /// Our own, once we began.
    pub(super) epoch: Epoch,
}

/// Serves until it is told to close or nobody can ask any more.
pub(super) fn serve(
    connection: Connection,
    checkpointer: Checkpointer,
    mut requests: mpsc::Receiver<Request>,
) {
    let mut server = Server { checkpointer, connection, epoch: Epoch(0) };
    let mut next = requests.blocking_recv();
    while let Some(request) = next {
        next = match request {
            Request::Commit(first) => {
                let (batches, after) = gather(first, &mut requests);
                server.commit(batches);
                server.checkpointer.look(&server.connection);
                after.or_else(|| requests.blocking_recv())
            }
            Request::Close(done) => {
                // Refuse the rest before the file is let go.
                drop(requests);
                drop(server);
                let _ = done.send(());
                return;
            }
            Request::Work(work) => {
                work(&mut server);
                server.checkpointer.look(&server.connection);
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
    /// Takes the store over.
    pub(super) fn begin(&mut self) -> Result<Recovered, StoreError> {
        let recovered = recover::begin(&mut self.connection)?;
        self.epoch = recovered.epoch;
        Ok(recovered)
    }

    /// Changes something that is not of a job, in a transaction of its own, unless another owner has begun.
    pub(super) fn change<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let failed = database(doing);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        if write::stored_epoch(&transaction).map_err(&failed)? > self.epoch {
            return Err(StoreError::Fenced);
        }
        let done = work(&transaction).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(done)
    }

    fn commit(&mut self, batches: Vec<Batch>) {
        let results = match (self.together(&batches), batches.len()) {
            (Ok(results), _) => results,
            (Err(error), 1) => vec![Err(WriteError::Failed(error.to_string()))],
            (Err(_), _) => self.one_by_one(&batches),
        };
        for (batch, result) in batches.into_iter().zip(results) {
            let _ = batch.reply.send(result);
        }
    }

    /// All in one transaction, each with its own result. An error means that none is done: one of them may have been
    /// too much for the disk, which must not fail the others.
    fn together(&mut self, batches: &[Batch]) -> rusqlite::Result<Vec<Result<(), WriteError>>> {
        let begun = Instant::now();
        let epoch = self.epoch;
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let results = match batches {
            // Refused, it takes the whole transaction with it: no need to keep every page as it was before.
            [alone] => match write::apply(&transaction, epoch, alone.ticket, &alone.writes) {
                Ok(()) => vec![Ok(())],
                Err(write::Refused::Because(error)) => return Ok(vec![Err(error)]),
                Err(write::Refused::Database(error)) => return Err(error),
            },
            _ => {
                let results = batches.iter().map(|batch| in_savepoint(&mut transaction, epoch, batch));
                results.collect::<rusqlite::Result<_>>()?
            }
        };
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
