//! Frames straight on TLS, for the link between a minion and its syndic: two bytes of length, and a frame.
//!
//! The frames are the ones that travel as gRPC messages elsewhere ([`super::frame`]). A syndic has thousands of these links, and what
//! HTTP/2 keeps for each of them and does for each message was most of their cost (docs/adr/0012). One task per link reads and
//! writes; nothing is held while nothing travels.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    frame::{MAX_FRAME, MAX_TAIL},
    lanes::Outgoing,
    read::Frames,
};

/// What such a connection calls itself in its handshake (ALPN). The number is the framing's: what frames hold has its own.
pub(crate) const ALPN: &[u8] = b"relay-link/1";
/// Bytes of a frame's length, the most significant one first.
const PREFIX: usize = 2;
const _: () = assert!(MAX_FRAME + MAX_TAIL <= u16::MAX as usize, "a frame's length fits its prefix");
/// Frames are written together up to this many bytes: a TLS record's worth.
const WRITE: usize = 16 << 10;
/// Read at a time, on the stack: a TLS record's worth.
const READ: usize = 16 << 10;

/// A connection and the way out to it.
pub(super) struct Wire<T> {
    io: T,
    out: Outgoing,
    /// Of frames that are not whole yet.
    unread: BytesMut,
    unsent: BytesMut,
    unflushed: bool,
    /// Nothing more will be queued.
    over: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    /// On a connection whose handshake is done.
    pub(super) fn new(io: T, out: Outgoing) -> Wire<T> {
        Wire { io, out, unread: BytesMut::new(), unsent: BytesMut::new(), unflushed: false, over: false }
    }

    /// Sends what is queued. Ready when all of it is with the system and nothing more will come.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.unsent.is_empty() {
                self.gather(cx);
            }
            if self.unsent.is_empty() {
                // Idle: an empty buffer has no memory.
                self.unsent = BytesMut::new();
                if self.unflushed {
                    ready!(Pin::new(&mut self.io).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return if self.over { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.unsent.advance(written),
            }
            self.unflushed = true;
        }
    }

    fn gather(&mut self, cx: &mut Context<'_>) {
        self.unsent.clear();
        while self.unsent.len() < WRITE && !self.over {
            match self.out.poll_frame(cx) {
                Poll::Ready(Some(frame)) => {
                    self.unsent.reserve(PREFIX + frame.len());
                    self.unsent.put_uint(frame.len() as u64, PREFIX);
                    frame.put(&mut self.unsent);
                }
                Poll::Ready(None) => self.over = true,
                Poll::Pending => return,
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, String>> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error.to_string()));
        }
        loop {
            if let Some(frame) = whole(&mut self.unread)? {
                return Poll::Ready(Ok(Some(frame)));
            }
            let mut space = [MaybeUninit::uninit(); READ];
            let mut read = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut read)) {
                Ok(()) if read.filled().is_empty() => return Poll::Ready(Ok(None)),
                Ok(()) => self.unread.extend_from_slice(read.filled()),
                // A peer whose process died, or that had no time for TLS's farewell.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(None)),
                Err(error) => return Poll::Ready(Err(error.to_string())),
            }
        }
    }

    /// Sends what is queued, and takes leave. The caller bounds the time.
    pub(super) async fn finish(mut self) {
        let _ = poll_fn(|cx| self.poll_send(cx)).await;
        let _ = poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx)).await;
    }
}

/// The first frame, if it is whole. What was read and is in no frame yet stays; nothing of it holds memory when there is nothing.
fn whole(unread: &mut BytesMut) -> Result<Option<Bytes>, String> {
    let Some(mut prefix) = unread.get(..PREFIX) else { return Ok(None) };
    let length = prefix.get_u16() as usize;
    if length > MAX_FRAME + MAX_TAIL {
        return Err(format!("a frame of {length} bytes, at most {} are allowed", MAX_FRAME + MAX_TAIL));
    }
    let Some(frame) = unread.get(PREFIX..PREFIX + length) else { return Ok(None) };
    // Copied out: what is kept of a message must not hold what was read with it.
    let frame = Bytes::copy_from_slice(frame);
    unread.advance(PREFIX + length);
    if unread.is_empty() {
        *unread = BytesMut::new();
    }
    Ok(Some(frame))
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Frames for Wire<T> {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    async fn beside(&mut self) -> String {
        match poll_fn(|cx| self.poll_send(cx)).await {
            Ok(()) => std::future::pending().await, // cut: who reads is told by its token
            Err(error) => error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{
        frame::Frame,
        lanes::{Lane, LinkTx, lanes},
    };
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_util::sync::CancellationToken;

    fn wire(io: DuplexStream) -> (LinkTx, Wire<DuplexStream>) {
        let (tx, out) = lanes(64 << 20, CancellationToken::new());
        (tx, Wire::new(io, out))
    }

    fn frame(bytes: Vec<u8>) -> Frame {
        Frame { body: bytes.into(), tail: Bytes::new() }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    proptest! {
        #[test]
        fn frames_arrive_as_they_were_sent_whatever_the_pipe_cuts_them_into(
            sizes in prop::collection::vec(0usize..=MAX_FRAME + MAX_TAIL, 1..12),
            pipe in 1usize..40_000,
        ) {
            let (near, far) = duplex(pipe);
            let ((tx, sending), (_back, mut receiving)) = (wire(near), wire(far));
            let sent: Vec<_> = sizes.iter().enumerate().map(|(i, size)| vec![i as u8; *size]).collect();
            tx.send(Lane::Bulk, sent.iter().cloned().map(frame)).unwrap();
            tx.finish();
            let got = runtime().block_on(async {
                let receive = async {
                    let mut got = Vec::new();
                    while let Some(frame) = receiving.next().await.unwrap() {
                        got.push(frame.to_vec());
                    }
                    got
                };
                tokio::join!(sending.finish(), receive).1
            });
            prop_assert_eq!(got, sent);
            prop_assert_eq!((receiving.unread.capacity(), receiving.unsent.capacity()), (0, 0), "idle holds nothing");
        }

        #[test]
        fn whatever_comes_is_frames_or_an_error_and_is_read_at_most_once(bytes in prop::collection::vec(any::<u8>(), 0..5_000)) {
            let (mut near, far) = duplex(bytes.len() + 1);
            let (_tx, mut receiving) = wire(far);
            let read = runtime().block_on(async {
                near.write_all(&bytes).await.unwrap();
                drop(near);
                let mut read = 0;
                while let Ok(Some(frame)) = receiving.next().await {
                    read += PREFIX + frame.len();
                }
                read
            });
            prop_assert!(read <= bytes.len());
        }
    }

    #[tokio::test]
    async fn a_frame_over_the_limit_is_refused_before_it_is_read() {
        let (mut near, far) = duplex(64);
        let (_tx, mut receiving) = wire(far);
        near.write_all(&u16::MAX.to_be_bytes()).await.unwrap();
        assert!(receiving.next().await.unwrap_err().contains("65535 bytes"));
    }

    #[tokio::test]
    async fn what_is_queued_goes_out_while_a_reader_waits_and_while_its_message_waits() {
        let (near, mut far) = duplex(64);
        let (tx, mut wire) = wire(near);
        let mut bytes = [0; 5];
        tx.send(Lane::Bulk, [frame(b"one".into())]).unwrap();
        tokio::select! {
            _ = wire.next() => panic!("nothing was sent to it"),
            read = far.read_exact(&mut bytes) => drop(read.unwrap()),
        }
        assert_eq!(&bytes, b"\0\x03one");
        tx.send(Lane::Bulk, [frame(b"two".into())]).unwrap();
        tokio::select! {
            why = wire.beside() => panic!("{why}"),
            read = far.read_exact(&mut bytes) => drop(read.unwrap()),
        }
        assert_eq!(&bytes, b"\0\x03two");
    }

    #[tokio::test]
    async fn a_peer_that_goes_ends_it() {
        let (near, far) = duplex(64);
        let (tx, mut wire) = wire(near);
        drop(far);
        assert_eq!(wire.next().await, Ok(None));
        tx.send(Lane::Bulk, [frame(b"late".into())]).unwrap();
        assert!(!wire.beside().await.is_empty());
    }
}
