//! Requests, and the wait for their answers.

use tokio::sync::{mpsc, oneshot};

use super::{
    super::{StoreError, StoreFuture},
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
pub(super) fn wait<T: Send + 'static>(
    queue: mpsc::Sender<Request>,
    ask: impl FnOnce(&mut Server) -> Result<T, StoreError> + Send + 'static,
) -> StoreFuture<T> {
    let (request, answer) = work(ask);
    Box::pin(async move {
        queue.send(request).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    })
}
