//! The bodies of calls that were answered without having been read: a refusal needs the headers only.
//!
//! HTTP/2 takes what still comes for a call that is over for an error of the peer's, and counts it
//! ([`super::bounds::MAX_LOCAL_RESETS`]): a caller who is refused often, and rightly, would lose its connection in the midst of
//! another call. So the rest is read, and thrown away, before the answer goes out.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{sync::oneshot, time::timeout};

/// Most bytes of a body that are read for nothing. Requests are far smaller; whoever sends more may lose its connection.
const MOST: usize = 1 << 20;
/// How long it may take. A call's body comes with its headers, unless the link is slow.
const TIME: Duration = Duration::from_secs(1);

/// A body on loan: what whoever serves the call has not read of it comes back when this is dropped.
#[derive(Debug)]
pub(super) struct Lent {
    body: Option<Incoming>,
    back: Option<oneshot::Sender<Incoming>>,
}

/// Where it comes back.
#[derive(Debug)]
pub(super) struct Unread(oneshot::Receiver<Incoming>);

/// Lends a call's body to who serves it.
pub(super) fn lend(body: Incoming) -> (Lent, Unread) {
    let (back, unread) = oneshot::channel();
    (Lent { body: Some(body), back: Some(back) }, Unread(unread))
}

impl Unread {
    /// Reads what came back, within the bounds. Nothing if the body is still in use, as where the answer is a stream.
    pub(super) async fn read(mut self) {
        if let Ok(body) = self.0.try_recv() {
            discard(body).await;
        }
    }
}

/// Reads a body to its end, or to the bounds.
pub(super) async fn discard(mut body: Incoming) {
    let reading = async {
        let mut left = MOST;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
            left = rest;
        }
    };
    // Late or not: the answer goes out now.
    let _ = timeout(TIME, reading).await;
}

impl Drop for Lent {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Some(back)) = (unread, self.back.take()) {
            // Fails where the call itself is over: then nobody waits for an answer either.
            let _ = back.send(body);
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
