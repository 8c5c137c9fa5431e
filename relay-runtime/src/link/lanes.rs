//! The way out of a process on one link: two lanes, bulk behind control.
//!
//! Sending never waits. Each lane is bounded; a peer that lets its lane fill up is cut off (it is brought up to date
//! when it attaches again), so one slow peer costs a bounded amount of memory and nobody else any time.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;
use tokio_util::sync::CancellationToken;

use super::frame::Frame;

/// Control frames waiting on one link. Each is a few dozen bytes; a healthy link holds one or two.
pub const MAX_CONTROL: usize = 1_024;

/// Which lane a frame takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Heartbeats and acknowledgements: overtake everything.
    Control,
    /// Trust, jobs and cancels, returns, rosters: in order among themselves.
    Bulk,
}

#[derive(Debug, Default)]
struct Queues {
    control: VecDeque<Frame>,
    bulk: VecDeque<Frame>,
    bulk_bytes: usize,
    waker: Option<Waker>,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    queues: Mutex<Queues>,
    max_queued: usize,
    cut: CancellationToken,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        // A panic while holding it leaves queues that are still whole.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane is full: the peer does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer does not read: its queue is full")]
pub struct Overflow;

/// The sending side of a link. Cheap to clone; the link lives until [`LinkTx::cut`] or until the peer goes.
#[derive(Debug, Clone)]
pub struct LinkTx(Arc<Shared>);

impl LinkTx {
    /// Queues frames, and wakes what writes them.
    pub fn send(&self, lane: Lane, frames: impl IntoIterator<Item = Frame>) -> Result<(), Overflow> {
        if let Some(waker) = self.queue(lane, frames)? {
            waker.wake();
        }
        Ok(())
    }

    /// Queues frames. What writes them is to be woken, if it sleeps and nobody has taken on to wake it already.
    pub(super) fn queue(
        &self,
        lane: Lane,
        frames: impl IntoIterator<Item = Frame>,
    ) -> Result<Option<Waker>, Overflow> {
        let mut queues = self.0.lock();
        if queues.closed {
            return Ok(None); // the reader reports it
        }
        for frame in frames {
            match lane {
                Lane::Control => queues.control.push_back(frame),
                Lane::Bulk => {
                    queues.bulk_bytes += frame.len();
                    queues.bulk.push_back(frame);
                }
            }
        }
        if queues.control.len() > MAX_CONTROL || queues.bulk_bytes > self.0.max_queued {
            return Err(Overflow);
        }
        Ok(queues.waker.take())
    }

    /// Drops the connection, at once.
    pub fn cut(&self) {
        self.0.cut.cancel();
        self.end();
    }

    /// Takes nothing more; what is queued goes out.
    pub(super) fn finish(&self) {
        self.0.lock().closed = true;
    }

    /// Ends the stream; what is queued is dropped.
    pub(super) fn end(&self) {
        let mut queues = self.0.lock();
        *queues = Queues { closed: true, waker: queues.waker.take(), ..Queues::default() };
        if let Some(waker) = queues.waker.take() {
            waker.wake();
        }
    }

    /// Cancelled when the connection is to be dropped.
    pub(super) fn cut_token(&self) -> &CancellationToken {
        &self.0.cut
    }
}

/// The receiving side of the queues: the stream that gRPC encodes, and that [`super::framed`] sends as it is.
#[derive(Debug)]
pub struct Outgoing(Arc<Shared>);

/// The two ends of one link's way out.
pub fn lanes(max_queued: usize, cut: CancellationToken) -> (LinkTx, Outgoing) {
    let shared = Arc::new(Shared { queues: Mutex::default(), max_queued, cut });
    (LinkTx(shared.clone()), Outgoing(shared))
}

impl Outgoing {
    /// The next frame to send, those of the control lane first; nothing more when it is over.
    pub(super) fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let mut queues = self.0.lock();
        if let Some(frame) = queues.control.pop_front() {
            return Poll::Ready(Some(frame));
        }
        if let Some(frame) = queues.bulk.pop_front() {
            queues.bulk_bytes -= frame.len();
            return Poll::Ready(Some(frame));
        }
        if queues.closed {
            return Poll::Ready(None);
        }
        // Idle: give the memory of a burst back.
        if queues.bulk.capacity() > 64 {
            queues.bulk = VecDeque::new();
        }
        queues.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Stream for Outgoing {
    type Item = Frame;
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        self.poll_frame(cx)
    }
}

/// [`Outgoing`] as a server sends it.
#[derive(Debug)]
pub struct Response(pub(super) Outgoing);

impl Stream for Response {
    type Item = Result<Frame, tonic::Status>;
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_frame(cx).map(|frame| frame.map(Ok))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let mut queues = self.0.lock();
        *queues = Queues { closed: true, ..Queues::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::task::Waker;

    fn frame(text: &'static str) -> Frame {
        Frame { body: Bytes::from_static(text.as_bytes()), tail: Bytes::new() }
    }

    fn next(out: &Outgoing) -> Option<Bytes> {
        match out.poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(frame) => frame.map(|f| f.body),
            Poll::Pending => Some(Bytes::from_static(b"(pending)")),
        }
    }

    #[test]
    fn control_overtakes_bulk_and_bulk_keeps_its_order() {
        let (tx, out) = lanes(100, CancellationToken::new());
        tx.send(Lane::Bulk, [frame("b1"), frame("b2")]).unwrap();
        tx.send(Lane::Control, [frame("c")]).unwrap();
        assert_eq!([next(&out), next(&out), next(&out)].map(Option::unwrap), ["c", "b1", "b2"]);
    }

    #[test]
    fn a_peer_that_does_not_read_overflows() {
        let (tx, _out) = lanes(3, CancellationToken::new());
        assert_eq!(tx.send(Lane::Bulk, [frame("12"), frame("34")]), Err(Overflow));
        let (tx, _out) = lanes(3, CancellationToken::new());
        let many = std::iter::repeat_n(frame("h"), MAX_CONTROL + 1);
        assert_eq!(tx.send(Lane::Control, many), Err(Overflow));
    }

    #[test]
    fn cutting_ends_the_stream_and_drops_what_was_queued() {
        let (tx, out) = lanes(100, CancellationToken::new());
        tx.send(Lane::Bulk, [frame("b")]).unwrap();
        tx.cut();
        assert_eq!(next(&out), None);
        assert!(tx.cut_token().is_cancelled());
        assert_eq!(tx.send(Lane::Bulk, [frame("late")]), Ok(()));
    }
}
