//! The queue's other end: serves requests in their order, and commits those that wait together at once.

use std::pin::Pin;

use relay_core::owner::{Write, WriteError};
use tokio::sync::{mpsc, oneshot};

use super::{
    super::{StoreError, StoreFuture},
    connect::Settings,
    server::Server,
};

/// Batches in one transaction: enough that the sync is no longer what costs, few enough that the first of them does
/// not wait long for the last.
const MAX_GROUPED: usize = 256;

/// Anything but a commit. Sends its own answer. Stays on the store's thread once it began.
pub(super) type Work = Box<dyn for<'a> FnOnce(&'a mut Server) -> Working<'a> + Send>;
/// A work under way.
pub(super) type Working<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

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

/// A request, and the wait for its answer. Whoever asked may be gone when it is there; then nobody wants it.
pub(super) fn work<T: Send + 'static>(
    ask: impl AsyncFnOnce(&mut Server) -> Result<T, StoreError> + Send + 'static,
) -> (Request, oneshot::Receiver<Result<T, StoreError>>) {
    fn boxed(work: impl for<'a> FnOnce(&'a mut Server) -> Working<'a> + Send + 'static) -> Work {
        Box::new(work)
    }
    let (reply, answer) = oneshot::channel();
    let work = boxed(move |server| {
        Box::pin(async move {
            let _ = reply.send(ask(server).await);
        })
    });
    (Request::Work(work), answer)
}

/// Waits for room in the queue, and for the answer.
pub(super) fn wait<T: Send + 'static>(
    queue: mpsc::Sender<Request>,
    ask: impl AsyncFnOnce(&mut Server) -> Result<T, StoreError> + Send + 'static,
) -> StoreFuture<T> {
    let (request, answer) = work(ask);
    Box::pin(async move {
        queue.send(request).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    })
}

/// Opens the store; then serves until it is told to close or nobody can ask any more.
pub(super) async fn serve(
    settings: Settings,
    mut requests: mpsc::Receiver<Request>,
    opened: oneshot::Sender<Result<(), StoreError>>,
) {
    let mut server = match Server::open(settings).await {
        Ok(server) => server,
        Err(error) => {
            let _ = opened.send(Err(error));
            return;
        }
    };
    let _ = opened.send(Ok(()));
    let mut next = requests.recv().await;
    while let Some(request) = next {
        next = match request {
            Request::Commit(first) => {
                let (batches, after) = gather(first, &mut requests);
                commit(&mut server, batches).await;
                match after {
                    None => requests.recv().await,
                    after => after,
                }
            }
            Request::Close(done) => {
                // Refuse the rest before the database is let go.
                drop(requests);
                drop(server);
                let _ = done.send(());
                return;
            }
            Request::Work(work) => {
                work(&mut server).await;
                requests.recv().await
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

/// All in one transaction, each with its own result; if that fails as a whole, each alone: what was too much for the
/// database in one of them must not fail the others.
async fn commit(server: &mut Server, batches: Vec<Batch>) {
    let results = match (server.commit(&batches).await, batches.len()) {
        (Ok(results), _) => results,
        // The database is gone, and is so for each of them.
        (Err(error @ StoreError::Connect { .. }), all) => vec![failed(error); all],
        (Err(error), 1) => vec![failed(error)],
        (Err(_), _) => {
            let mut results = Vec::new();
            for batch in &batches {
                let alone = server.commit(std::slice::from_ref(batch)).await;
                results.push(alone.map_or_else(failed, |mut one| one.pop().unwrap_or(Ok(()))));
            }
            results
        }
    };
    for (batch, result) in batches.into_iter().zip(results) {
        let _ = batch.reply.send(result);
    }
}

fn failed(error: StoreError) -> Result<(), WriteError> {
    Err(WriteError::Failed(error.to_string()))
}
