//! Attaching: who may be a child here, in which framing, and its first message.
//!
//! A minion's link to its syndic is in frames of our own ([`super::framed`]), where both ends know them; every other link is a gRPC
//! stream. What follows the first message is the same for both.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use hyper::{body::Incoming as Body, server::conn::http2};
use hyper_util::rt::TokioExecutor;
use relay_core::{
    identity::Identity,
    ids::Incarnation,
    message::{LinkId, Up},
};
use relay_proto::{Code, PROTOCOL, link};
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Status, Streaming, server::Grpc};
use tracing::warn;

use super::{
    LinkEvent, LinkIds, LinkLimits, PeerHello, SOFTWARE,
    accept::{Answer, HELLO_TIME, Peer, Serve, refused},
    bodies::Heard,
    codec::FrameCodec,
    frame::{Assembler, Encoded, MAX_FRAME},
    framed::Wire,
    lanes::{Lane, LinkTx, Response, lanes},
    read::{self, Frames},
    serving::{Server, Serving},
};
use crate::rarely::Rarely;

/// Who may attach, and with which bounds. The reason for a refusal goes to the peer and to the log.
pub type Admit = fn(&Identity, &Identity) -> Result<LinkLimits, String>;

/// The link service of a parent.
#[derive(Clone)]
pub struct LinkService {
    /// Who this parent is.
    pub own: Arc<Identity>,
    /// Who may attach.
    pub admit: Admit,
    /// Numbers links.
    pub ids: LinkIds,
    /// Where events go, while links are taken. Links end when their server does.
    pub events: Server<mpsc::Sender<LinkEvent<Up>>>,
    /// Owns the readers.
    pub tasks: TaskTracker,
    /// HTTP/2 receive window of a stream on this port, in bytes: [`LinkLimits::window`] of what mostly attaches here.
    pub window: u32,
}

/// The path of the one call.
const ATTACH: &str = "/relay.link.v1.Link/Attach";

impl Serve for LinkService {
    fn serve(&self, peer: Peer, cut: CancellationToken, request: http::Request<Body>) -> Answer {
        let this = self.clone();
        Box::pin(async move {
            if request.uri().path() != ATTACH {
                return Ok(Status::unimplemented("this port serves links only").into_http());
            }
            let Some(peer) = peer.identity else {
                refused("certificate");
                return Ok(Code::Denied.status("only who shows a certificate attaches").into_http());
            };
            let attach = Attach { service: this, peer, cut };
            let mut grpc = Grpc::new(FrameCodec).max_decoding_message_size(2 * MAX_FRAME);
            Ok(grpc.streaming(attach, request).await)
        })
    }

    fn frames(&self) -> Option<&LinkService> {
        Some(self)
    }

    fn settings(&self, builder: &mut http2::Builder<TokioExecutor>) {
        // One stream per link and one to spare; windows are credit, granted for what a syndic may send.
        builder
            .max_concurrent_streams(2)
            .initial_stream_window_size(self.window)
            .initial_connection_window_size(2 * self.window)
            .max_send_buf_size(64 << 10)
            .max_frame_size(16 << 10);
    }
}

/// Refused: said to the log and to the metric.
fn refuse(peer: &Identity, status: Status) -> Status {
    refused("link");
    warn!(%peer, why = status.message(), "link refused");
    status
}

/// Where a child may attach, once it has said hello.
struct Place {
    limits: LinkLimits,
    events: mpsc::Sender<LinkEvent<Up>>,
    until: CancellationToken,
}

/// There is none. A standby is asked again and again: nothing for the log.
struct NoPlace {
    status: Status,
    log: bool,
}

impl LinkService {
    fn place(&self, peer: &Identity) -> Result<Place, NoPlace> {
        let limits = (self.admit)(&self.own, peer);
        let limits = limits.map_err(|why| NoPlace { status: Code::Denied.status(why), log: true })?;
        let (events, until) = Serving::now(&self.events).map_err(|status| {
            refused("standby");
            NoPlace { status, log: false }
        })?;
        Ok(Place { limits, events, until })
    }

    /// Serves a connection in frames of our own, until the link ends or is cut. Not to be dropped before: its end has to be told.
    pub(super) async fn framed(self, peer: Arc<Identity>, cut: CancellationToken, tls: TlsStream<TcpStream>) {
        let place = self.place(&peer);
        let queued = place.as_ref().map_or(LinkLimits::MINION, |place| place.limits).max_queued;
        let (tx, outgoing) = lanes(queued, cut.clone());
        let mut wire = Wire::new(tls, outgoing);
        let refused = match place {
            Err(why) if why.log => refuse(&peer, why.status),
            Err(why) => why.status,
            Ok(place) => {
                let hello = tokio::select! {
                    () = cut.cancelled() => return,
                    hello = first(&mut wire) => hello,
                };
                match hello {
                    Err(status) => refuse(&peer, status),
                    Ok(hello) => {
                        let link = place.taken(&self.ids, &hello, tx);
                        return link.run((*peer).clone(), hello, &mut wire).await;
                    }
                }
            }
        };
        let _ = tx.send(Lane::Control, refusal(&refused).frames());
        tx.finish();
        tokio::select! {
            () = cut.cancelled() => {}
            // Who does not read why is cut off all the same.
            _ = timeout(HELLO_TIME, wire.finish()) => {}
        }
    }
}

impl Place {
    fn taken(self, ids: &LinkIds, hello: &PeerHello, tx: LinkTx) -> Attached {
        let _ = tx.send(Lane::Control, welcome(hello.protocol).frames());
        let Place { limits, events, until } = self;
        let heard = (limits.remembers && hello.knows_bodies()).then(Box::default);
        Attached { link: ids.next(), max_message: limits.max_message, heard, tx, events, until }
    }
}

struct Attach {
    service: LinkService,
    peer: Arc<Identity>,
    cut: CancellationToken,
}

impl tower_service::Service<Request<Streaming<Bytes>>> for Attach {
    type Response = tonic::Response<Response>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Status>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (service, peer, cut) = (self.service.clone(), self.peer.clone(), self.cut.clone());
        Box::pin(async move {
            let refuse = |status: Status| refuse(&peer, status);
            let place =
                service.place(&peer).map_err(|why| if why.log { refuse(why.status) } else { why.status })?;
            let mut stream = request.into_inner();
            let hello = first(&mut stream).await.map_err(refuse)?;
            let (tx, outgoing) = lanes(place.limits.max_queued, cut);
            let link = place.taken(&service.ids, &hello, tx);
            service.tasks.spawn(async move { link.run((*peer).clone(), hello, &mut stream).await });
            Ok(tonic::Response::new(Response(outgoing)))
        })
    }
}

fn welcome(version: u32) -> Encoded {
    let welcome = link::Welcome { version, software: SOFTWARE.into() };
    Encoded::new(&link::Down {
        message: Some(link::down::Message::Welcome(welcome)),
        incarnation: 0,
        proof: None,
    })
}

/// What gRPC says in a status.
fn refusal(status: &Status) -> Encoded {
    let code = Code::of(status).map_or_else(String::new, |code| code.word().into());
    let refusal = link::Refusal { code, why: status.message().into() };
    let message = Some(link::down::Message::Refusal(refusal));
    Encoded::new(&link::Down { message, incarnation: 0, proof: None })
}

/// The first message: who it says it is, and that we have a version in common.
async fn first(stream: &mut impl Frames) -> Result<PeerHello, Status> {
    let frame = timeout(HELLO_TIME, stream.next()).await;
    let frame = frame.map_err(|_| Code::Invalid.status("no hello in time"))?;
    let frame = frame.map_err(|why| Code::Invalid.status(why))?;
    let frame = frame.ok_or_else(|| Code::Invalid.status("no hello"))?;
    let wire = read::wire::<Up>(frame, &mut Assembler::default(), MAX_FRAME);
    let message = wire.map_err(|why| Code::Invalid.status(why))?.and_then(|(up, _)| up.message);
    let Some(link::up::Message::Hello(hello)) = message else {
        return Err(Code::Invalid.status("the first message must be a hello"));
    };
    if hello.oldest > *PROTOCOL.end() || hello.newest < *PROTOCOL.start() {
        let (oldest, newest) = (hello.oldest, hello.newest);
        let (ours, software) = (PROTOCOL, hello.software.chars().take(64).collect::<String>());
        let why = format!(
            "refused (version): {software} speaks link protocol {oldest} to {newest}, {SOFTWARE} speaks {} to {}: \
             upgrade the older one",
            ours.start(),
            ours.end()
        );
        return Err(Code::Version.status(why));
    }
    let software = hello.software.chars().take(64).collect();
    let protocol = hello.newest.min(*PROTOCOL.end());
    Ok(PeerHello { incarnation: Incarnation(hello.incarnation), software, protocol })
}

/// A link that stands.
struct Attached {
    link: LinkId,
    max_message: usize,
    heard: Option<Box<Heard>>,
    tx: LinkTx,
    events: mpsc::Sender<LinkEvent<Up>>,
    until: CancellationToken,
}

impl Attached {
    async fn run(self, peer: Identity, hello: PeerHello, stream: &mut impl Frames) {
        let Attached { link, max_message, heard, tx, events, until } = self;
        let up = LinkEvent::Up { link, peer, hello, tx: tx.clone() };
        let taken = tokio::select! {
            biased;
            taken = events.send(up) => taken.is_ok(),
            // The welcome goes out while the loop has no time yet. Who is gone before it was told of has not been here.
            _ = stream.beside() => false,
        };
        if !taken {
            return tx.cut();
        }
        let cut = tx.cut_token().clone();
        let ended = Rarely::new(async {
            tokio::select! {
                () = cut.cancelled() => Some("cut".to_owned()),
                () = until.cancelled() => None,
            }
        });
        let why = tokio::select! {
            ended = ended => match ended {
                Some(why) => why,
                None => return tx.cut(), // nobody is there to be told
            },
            why = read::messages(link, stream, max_message, heard, &events, |_| true) => why,
        };
        tx.cut();
        let _ = events.send(LinkEvent::Down { link, why }).await;
    }
}
