//! Who serves a port now. A port stays bound while what is behind it comes and goes: a top master serves links and calls only
//! while it owns the fabric.
//!
//! Owns what callers are told when nobody serves, and the end of calls that were under way when their server went.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use relay_proto::Code;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

/// Who serves.
#[derive(Debug, Clone)]
pub enum Serving<T> {
    /// Nobody. Who comes is told why, in a word for programs and in words for people.
    Nobody(Code, Arc<str>),
    /// This one, until the token is cancelled.
    By(T, CancellationToken),
}

/// Follows who serves.
pub type Server<T> = watch::Receiver<Serving<T>>;

impl<T> Serving<T> {
    /// The same one as long as the process lives.
    pub fn always(server: T) -> Server<T> {
        watch::channel(Serving::By(server, CancellationToken::new())).1
    }

    /// What a caller is told who can't be served (any more).
    pub fn refusal(&self) -> Status {
        match self {
            Serving::Nobody(code, why) => code.status(&**why),
            Serving::By(..) => Code::NotOwner
                .status("who served this does so no more: ask again, here or at another address"),
        }
    }
}

impl<T: Clone> Serving<T> {
    /// Who serves now.
    ///
    /// # Errors
    /// Nobody does: what the caller is told.
    pub fn now(server: &Server<T>) -> Result<(T, CancellationToken), Status> {
        match &*server.borrow() {
            Serving::By(by, until) => Ok((by.clone(), until.clone())),
            nobody => Err(nobody.refusal()),
        }
    }
}

/// An answer's body that ends with a refusal when a token is cancelled: when its server goes, or its caller's right to it.
pub struct Until<F> {
    body: tonic::body::Body,
    refusal: F,
    gone: Pin<Box<WaitForCancellationFutureOwned>>,
    over: bool,
}

impl<F: Fn() -> Status + Unpin> Until<F> {
    /// The same body until `until` is cancelled; then what `refusal` says.
    pub fn new(body: tonic::body::Body, refusal: F, until: CancellationToken) -> Until<F> {
        Until { body, refusal, gone: Box::pin(until.cancelled_owned()), over: false }
    }

    fn last_words(&self) -> Frame<Bytes> {
        let mut trailers = HeaderMap::new();
        // Fails only for a message that is no header value; then the stream ends without a status, which is an error too.
        let _ = (self.refusal)().add_header(&mut trailers);
        Frame::trailers(trailers)
    }
}

impl<F: Fn() -> Status + Unpin> Body for Until<F> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        // Before the body, which may know no better reason for its end.
        if self.gone.as_mut().poll(cx).is_ready() {
            self.over = true;
            return Poll::Ready(Some(Ok(self.last_words())));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    fn status_of(frame: Frame<Bytes>) -> Option<Code> {
        Code::of(&Status::from_header_map(frame.trailers_ref()?)?)
    }

    #[tokio::test]
    async fn what_is_under_way_ends_with_a_refusal_when_its_server_goes() {
        let (serving, server) = watch::channel(Serving::By((), CancellationToken::new()));
        let (_, until) = Serving::now(&server).unwrap();
        let endless = tokio_stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let mut body = {
            let server = server.clone();
            let refusal = move || server.borrow().refusal();
            Until::new(tonic::body::Body::new(StreamBody::new(endless)), refusal, until.clone())
        };
        let frame = tokio::spawn(async move { (body.frame().await, body.frame().await.is_none()) });
        tokio::task::yield_now().await;
        serving.send_replace(Serving::Nobody(Code::NotOwner, "top-2 owns".into()));
        until.cancel();
        let (frame, ended) = frame.await.unwrap();
        assert_eq!(status_of(frame.unwrap().unwrap()), Some(Code::NotOwner));
        assert!(ended);
        let refused = Serving::now(&server).unwrap_err();
        assert_eq!((Code::of(&refused), refused.message()), (Some(Code::NotOwner), "top-2 owns"));
    }

    #[tokio::test]
    async fn an_answer_passes_as_it_is_while_its_server_is_there() {
        let server = Serving::always(());
        let (_, until) = Serving::now(&server).unwrap();
        let body = tonic::body::Body::new(Full::new(Bytes::from_static(b"answer")));
        let refusal = move || server.borrow().refusal();
        let whole = Until::new(body, refusal, until).collect().await.unwrap().to_bytes();
        assert_eq!(&whole[..], b"answer");
    }
}
