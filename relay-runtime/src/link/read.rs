//! Reading a link: bytes to messages to events, until it ends.

use std::future::Future;

use bytes::Bytes;
use prost::Message;
use relay_core::message::{Down, LinkId, Up};
use relay_proto::{WireError, convert, link};
use tokio::sync::mpsc;
use tonic::Streaming;

use super::{LinkEvent, bodies::Heard, frame::Assembler};
use crate::telemetry;

/// What one side of a link receives.
pub trait Incoming: Sized + Send + 'static {
    /// Its encoding.
    type Wire: Message + Default;
    /// What is remembered of what came over a link.
    type Memory: Send;
    /// Splits fragments from whole messages.
    fn split(wire: Self::Wire) -> Result<link::Fragment, Self::Wire>;
    /// Puts what is remembered in the place of what refers to it. `limit`: how large a message of this link may be, in bytes.
    ///
    /// # Errors
    /// In words, if it refers to nothing, or to too much.
    fn expand(memory: &mut Self::Memory, wire: &mut Self::Wire, limit: usize) -> Result<(), String>;
    /// Checks and converts.
    fn convert(wire: Self::Wire) -> Result<Self, WireError>;
}

impl Incoming for Up {
    type Wire = link::Up;
    /// Nothing on most links: `convert` then refuses what refers to a body.
    type Memory = Option<Box<Heard>>;
    fn split(wire: link::Up) -> Result<link::Fragment, link::Up> {
        match wire.message {
            Some(link::up::Message::Fragment(fragment)) => Ok(fragment),
            message => Err(link::Up { message }),
        }
    }
    fn expand(heard: &mut Option<Box<Heard>>, wire: &mut link::Up, limit: usize) -> Result<(), String> {
        match (&mut wire.message, heard) {
            (Some(link::up::Message::Returns(returns)), Some(heard)) => {
                heard.expand(returns, limit).map_err(|e| e.to_string())
            }
            _ => Ok(()),
        }
    }
    fn convert(wire: link::Up) -> Result<Up, WireError> {
        convert::up_in(wire)
    }
}

impl Incoming for Down {
    type Wire = link::Down;
    type Memory = ();
    fn split(wire: link::Down) -> Result<link::Fragment, link::Down> {
        match wire.message {
            Some(link::down::Message::Fragment(fragment)) => Ok(fragment),
            message => Err(link::Down { message, incarnation: wire.incarnation, proof: wire.proof }),
        }
    }
    fn expand((): &mut (), _: &mut link::Down, _: usize) -> Result<(), String> {
        Ok(())
    }
    fn convert(wire: link::Down) -> Result<Down, WireError> {
        convert::down_in(wire)
    }
}

/// What frames come from: a gRPC stream, or a connection that carries nothing else ([`super::framed`]).
pub(super) trait Frames: Send {
    /// The next frame, or nothing at the peer's orderly end.
    ///
    /// # Errors
    /// Why there will be none.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, String>> + Send;

    /// What goes on while a frame that was read waits for its place; comes back with why the link ended.
    fn beside(&mut self) -> impl Future<Output = String> + Send;
}

impl Frames for Streaming<Bytes> {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        self.message().await.map_err(|status| format!("{}: {}", status.code(), status.message()))
    }

    async fn beside(&mut self) -> String {
        std::future::pending().await // HTTP/2 has a task of its own
    }
}

/// Decodes what is whole; `None` for a fragment that is not the last.
pub(super) fn wire<M: Incoming>(
    frame: Bytes,
    assembler: &mut Assembler,
    limit: usize,
) -> Result<Option<(M::Wire, usize)>, String> {
    let size = frame.len();
    let decode = |bytes: Bytes| M::Wire::decode(bytes).map_err(|e| format!("not decodable: {e}"));
    match M::split(decode(frame)?) {
        Err(whole) => Ok(Some((whole, size))),
        Ok(fragment) => {
            let Some(whole) = assembler.add(fragment, limit).map_err(|e| e.to_string())? else {
                return Ok(None);
            };
            let size = whole.len();
            Ok(Some((decode(whole)?, size)))
        }
    }
}

/// Reads until the stream ends or sends what it may not. Returns why.
///
/// `admit` may refuse or change a message by what it came with (a minion checks the incarnation a dispatch names).
pub(super) async fn messages<M: Incoming>(
    link: LinkId,
    stream: &mut impl Frames,
    limit: usize,
    mut memory: M::Memory,
    events: &mpsc::Sender<LinkEvent<M>>,
    mut admit: impl FnMut(&M::Wire) -> bool,
) -> String {
    let mut assembler = Assembler::default();
    loop {
        let frame = match stream.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return "the peer closed it".into(),
            Err(why) => return why,
        };
        let message = match wire::<M>(frame, &mut assembler, limit) {
            Ok(None) => continue,
            Ok(Some((wire, _))) if !admit(&wire) => {
                metrics::counter!(telemetry::FRAMES_REFUSED_TOTAL, "why" => "incarnation").increment(1);
                continue;
            }
            Ok(Some((mut wire, size))) => M::expand(&mut memory, &mut wire, limit)
                .and_then(|()| M::convert(wire).map_err(|e| e.to_string()))
                .map(|message| (message, size)),
            Err(why) => Err(why),
        };
        let (message, bytes) = match message {
            Ok(message) => message,
            Err(why) => {
                metrics::counter!(telemetry::FRAMES_REFUSED_TOTAL, "why" => "invalid").increment(1);
                return format!("refused a message: {why}");
            }
        };
        let taken = tokio::select! {
            biased;
            taken = events.send(LinkEvent::Message { link, message, bytes }) => taken,
            why = stream.beside() => return why,
        };
        if taken.is_err() {
            return "this process is stopping".into();
        }
    }
}
