//! Dialling links: connecting to a parent, and keeping at it.
//!
//! Whom to dial in which order is its [`Order`], which may change while it runs; the pauses between tries are `pace`'s.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{body::Incoming as Body, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use relay_core::{
    identity::{FabricName, Identity, Role},
    ids::Incarnation,
    message::{Down, LinkId},
};
use relay_proto::{Code, PROTOCOL, link};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, client::Grpc};
use tracing::{info, warn};

use super::{
    LinkEvent, LinkIds, LinkLimits, PeerHello, SOFTWARE,
    codec::FrameCodec,
    ending::{self, Shown},
    frame::{Assembler, Encoded, MAX_FRAME},
    framed::{self, Wire},
    lanes::{Lane, LinkTx, lanes},
    pace::{CONNECT_TIME, Pace},
    read::{self, Frames},
};
use crate::{
    config::Parent,
    identity::seen,
    rarely::Rarely,
    tls::{ClientTls, link_protocols},
};

/// Of a parent's reason for a refusal, characters that are kept for the log.
const MAX_REASON: usize = 512;
/// Why a link ended: another parent was ordered.
const MOVED: &str = "moved";
/// Why a link ended: it begins again under the renewed certificate.
const RENEWED: &str = "our certificate was renewed";

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// TCP.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// TLS, or the peer is not who it should be.
    #[error("{address} is not {name}: {source}")]
    Tls {
        /// Where.
        address: String,
        /// Who it should be.
        name: String,
        /// What is wrong.
        source: std::io::Error,
    },
    /// The configured name cannot be a name.
    #[error("{0:?} is no server name")]
    Name(String),
    /// Nothing in time.
    #[error("{address}: no answer within {time:?}")]
    Time {
        /// Where.
        address: String,
        /// How long it had.
        time: Duration,
    },
    /// HTTP/2.
    #[error("{address}: {source}")]
    Http {
        /// Where.
        address: String,
        /// What is wrong.
        source: hyper::Error,
    },
    /// A top master that does not own the fabric (now): another one does, or this one may do so soon.
    #[error("{address} is a standby: {why}")]
    Standby {
        /// Where.
        address: String,
        /// What it said.
        why: String,
    },
    /// The other side refused the link.
    #[error("{address} refused: {why}")]
    Refused {
        /// Where.
        address: String,
        /// What it said.
        why: String,
    },
}

/// One HTTP/2 connection as a tower service for tonic's clients. Clones share it; it ends with the last one.
#[derive(Debug, Clone)]
pub struct Channel {
    requests: http2::SendRequest<tonic::body::Body>,
    _driver: Arc<Driver>,
}

/// Ends the connection's task with the last channel.
#[derive(Debug)]
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl tower_service::Service<http::Request<tonic::body::Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.requests.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<tonic::body::Body>) -> Self::Future {
        // HTTP/2 wants scheme and authority; who the server is was settled by TLS.
        let path = request.uri().path_and_query().cloned();
        let uri = http::Uri::builder().scheme("https").authority("relay");
        let uri = uri.path_and_query(path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/")));
        if let Ok(uri) = uri.build() {
            *request.uri_mut() = uri;
        }
        Box::pin(self.requests.send_request(request))
    }
}

/// Connects to `address` (host:port), which must show a certificate for `server_name`.
pub async fn channel(address: &str, server_name: &str, tls: Arc<ClientConfig>) -> Result<Channel, DialError> {
    connect(address, server_name, tls, LinkLimits::SYNDIC.window, CONNECT_TIME)
        .await
        .map(|(channel, _)| channel)
}

async fn connect(
    address: &str,
    name: &str,
    tls: Arc<ClientConfig>,
    window: u32,
    time: Duration,
) -> Result<(Channel, Vec<CertificateDer<'static>>), DialError> {
    let (tls, chain) = secured(address, name, tls, None, time).await?;
    http2(address, tls, window).await.map(|channel| (channel, chain))
}

/// A connection on which TLS is done, and the certificates that the other side showed. `offers`: the protocols that are offered, where
/// they are not those of the configuration.
async fn secured(
    address: &str,
    name: &str,
    tls: Arc<ClientConfig>,
    offers: Option<Vec<Vec<u8>>>,
    time: Duration,
) -> Result<(TlsStream<TcpStream>, Vec<CertificateDer<'static>>), DialError> {
    let at = || address.to_owned();
    let server = ServerName::try_from(name.to_owned()).map_err(|_| DialError::Name(name.into()))?;
    let late = |_| DialError::Time { address: at(), time };
    let socket = timeout(time, TcpStream::connect(address)).await.map_err(late)?;
    let socket = socket.map_err(|source| DialError::Connect { address: at(), source })?;
    let _ = socket.set_nodelay(true);
    let connector = TlsConnector::from(tls);
    let connecting = match offers {
        None => connector.connect(server, socket),
        Some(offers) => connector.with_alpn(offers).connect(server, socket),
    };
    let tls = timeout(time, connecting).await.map_err(late)?;
    let tls = tls.map_err(|source| DialError::Tls { address: at(), name: name.into(), source })?;
    let shown = tls.get_ref().1.peer_certificates().unwrap_or_default();
    let chain = shown.iter().map(|der| der.clone().into_owned()).collect();
    Ok((tls, chain))
}

async fn http2(address: &str, tls: TlsStream<TcpStream>, window: u32) -> Result<Channel, DialError> {
    let (requests, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(window)
        .initial_connection_window_size(2 * window)
        .max_frame_size(16 << 10)
        .max_send_buf_size(64 << 10)
        .max_header_list_size(16 << 10)
        .handshake(TokioIo::new(tls))
        .await
        .map_err(|source| DialError::Http { address: address.into(), source })?;
    let driver = tokio::spawn(async move { drop(connection.await) });
    let driver = Arc::new(Driver(driver.abort_handle()));
    Ok(Channel { requests, _driver: driver })
}

/// Whom to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The first one first; later ones are fallbacks. Never empty.
    pub parents: Vec<Parent>,
    /// When it rises, the present link is given up, and dialling begins with the first.
    pub moves: u64,
}

/// Gives the present link up when a move is ordered that was not ordered before it was dialled.
async fn leaving(order: &mut watch::Receiver<Order>, before: u64, leave: &CancellationToken) -> Infallible {
    if order.wait_for(|now| now.moves > before).await.is_ok() {
        leave.cancel();
    }
    std::future::pending().await
}

/// What keeps one link up: to the first parent that answers, in order.
#[derive(Clone)]
pub struct Dialler {
    /// Who to dial, where nothing else is ordered ([`Dialler::run_with`]); later ones are fallbacks.
    pub parents: Vec<Parent>,
    /// This fabric.
    pub fabric: FabricName,
    /// TLS, as it is when a parent is dialled.
    pub tls: ClientTls,
    /// The incarnation of this process's journal or spool.
    pub incarnation: Incarnation,
    /// A minion takes dispatches for its own incarnation only, and offers frames of our own ([`super::framed`]) to its syndic.
    pub minion: bool,
    /// Bounds.
    pub limits: LinkLimits,
    /// Numbers links.
    pub ids: LinkIds,
    /// Where events go.
    pub events: mpsc::Sender<LinkEvent<Down>>,
    /// Stops it.
    pub token: CancellationToken,
}

impl Dialler {
    /// Dials its parents, and dials again, until stopped.
    pub async fn run(self) {
        let (_same, order) = watch::channel(Order { parents: self.parents.clone(), moves: 0 });
        self.run_with(order).await;
    }

    /// Dials whom the order names, and dials again, until stopped. A new order counts from the next dial on, and at once
    /// if it is one to move.
    pub async fn run_with(self, mut order: watch::Receiver<Order>) {
        let mut pace = Pace::new();
        // What was told of each parent that can't be attached to: again every few seconds, it would bury the log.
        let mut told = HashMap::new();
        loop {
            let Order { parents, moves } = order.borrow_and_update().clone();
            let Some(parent) = parents.get(pace.at(parents.len())) else { return };
            let (top, many) = (parent.role == Role::TopMaster, parents.len());
            let begun = tokio::time::Instant::now();
            let leave = CancellationToken::new();
            let stopped = Rarely::new(async {
                tokio::select! {
                    () = self.token.cancelled() => {}
                    never = leaving(&mut order, moves, &leave) => match never {},
                }
            });
            let ended = tokio::select! {
                () = stopped => return,
                ended = self.once(parent, pace.time(top, many), &leave) => ended,
            };
            let pause = match ended {
                Ok(why) if why == MOVED => {
                    info!(parent = %parent.id, "left for another parent");
                    pace.anew();
                    told.clear();
                    continue;
                }
                Ok(why) if why == RENEWED => {
                    info!(parent = %parent.id, why, "link begins anew");
                    pace.anew();
                    continue;
                }
                Ok(why) => {
                    info!(parent = %parent.id, why, "link lost");
                    told.clear();
                    Some(pace.lost(begun.elapsed(), top, many, rand::random()))
                }
                Err(error) => {
                    let text = error.to_string();
                    if told.get(&parent.id) != Some(&text) {
                        warn!(parent = %parent.id, error = text, "cannot attach; trying on");
                        told.insert(parent.id.clone(), text);
                    }
                    let standby = matches!(error, DialError::Standby { .. });
                    pace.failed(standby, top, many, rand::random())
                }
            };
            let Some(pause) = pause else { continue };
            tokio::select! {
                () = self.token.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            }
        }
    }

    /// One link, from dialling to its end.
    async fn once(
        &self,
        parent: &Parent,
        time: Duration,
        leave: &CancellationToken,
    ) -> Result<String, DialError> {
        let address = parent.address.to_string();
        let refused = |why: String| DialError::Refused { address: address.clone(), why };
        let expected = parent.identity(&self.fabric).map_err(|e| DialError::Name(e.to_string()))?;
        let name = expected.to_dns();
        let renewed = self.tls.current().map(ending::renewed);
        let before = self.tls.current().map(|own| own.trusted().now());
        let tls = self.tls.config().map_err(|e| refused(e.to_string()))?;
        let offers = self.minion.then(link_protocols);
        let (tls, chain) = secured(&address, &name, tls, offers, time).await?;
        let certificate = chain.first().ok_or_else(|| refused("it showed no certificate".into()))?;
        let seen = seen(certificate, &self.fabric).map_err(|e| refused(e.to_string()))?;
        let current = self.tls.current().zip(before);
        let shown = current.map(|(own, before)| Shown::new(own, &before, &chain, &seen));
        let shown = shown.transpose().map_err(|ended| refused(ended.to_string()))?;
        let cut = self.token.child_token();
        let (tx, outgoing) = lanes(self.limits.max_queued, cut.clone());
        let _ = tx.send(Lane::Control, self.hello().frames());
        let _end = CutWhenOver(tx.clone());
        let up = Attached { link: self.ids.next(), peer: seen.identity, tx, cut, leave: leave.clone() };
        // Both ends of certificates: of the one that the parent shows, and of our own, which is renewed before.
        let over = async {
            tokio::select! {
                ended = ending::ended(shown) => ended.to_string(),
                () = async { match renewed { Some(renewed) => renewed.await, None => std::future::pending().await } } => {
                    RENEWED.to_owned()
                }
            }
        };
        if tls.get_ref().1.alpn_protocol() == Some(framed::ALPN) {
            let mut wire = Wire::new(tls, outgoing);
            let hello = welcome(&mut wire, time).await.map_err(|why| why.of(address))?;
            return Ok(self.attached(up, hello, wire, over).await);
        }
        let channel = http2(&address, tls, self.limits.window).await?;
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(2 * MAX_FRAME);
        grpc.ready().await.map_err(|source| DialError::Http { address: address.clone(), source })?;
        let path = http::uri::PathAndQuery::from_static("/relay.link.v1.Link/Attach");
        let attach = grpc.streaming(Request::new(outgoing), path, FrameCodec);
        let attached =
            timeout(time, attach).await.map_err(|_| DialError::Time { address: address.clone(), time })?;
        let mut stream = attached.map_err(|status| turned_away(&address, &status))?.into_inner();
        let hello = welcome(&mut stream, time).await.map_err(|why| why.of(address))?;
        Ok(self.attached(up, hello, stream, over).await)
    }

    async fn attached(
        &self,
        attached: Attached,
        hello: PeerHello,
        mut stream: impl Frames,
        over: impl Future<Output = String>,
    ) -> String {
        let Attached { link, peer, tx, cut, leave } = attached;
        info!(parent = %peer.id(), "attached");
        if self.events.send(LinkEvent::Up { link, peer, hello, tx: tx.clone() }).await.is_err() {
            return "this process is stopping".into();
        }
        let for_us = |down: &link::Down| {
            let dispatch = matches!(down.message, Some(link::down::Message::Dispatch(_)));
            !self.minion || !dispatch || down.incarnation == self.incarnation.0
        };
        let ended = Rarely::new(async {
            tokio::select! {
                () = cut.cancelled() => "cut".to_owned(),
                () = leave.cancelled() => MOVED.to_owned(),
                why = over => why,
            }
        });
        let why = tokio::select! {
            why = ended => why,
            why = read::messages(link, &mut stream, self.limits.max_message, (), &self.events, for_us) => why,
        };
        tx.cut();
        let _ = self.events.send(LinkEvent::Down { link, why: why.clone() }).await;
        why
    }

    fn hello(&self) -> Encoded {
        let hello = link::Hello {
            oldest: *PROTOCOL.start(),
            newest: *PROTOCOL.end(),
            incarnation: self.incarnation.0,
            software: SOFTWARE.into(),
        };
        Encoded::new(&link::Up { message: Some(link::up::Message::Hello(hello)) })
    }
}

/// Ends a link's way out with its dialler, however that ends: HTTP/2 would keep the connection for it.
struct CutWhenOver(LinkTx);

impl Drop for CutWhenOver {
    fn drop(&mut self) {
        self.0.cut();
    }
}

/// A link that a parent is about to take.
struct Attached {
    link: LinkId,
    peer: Identity,
    tx: LinkTx,
    cut: CancellationToken,
    leave: CancellationToken,
}

/// Why a parent takes no link, before it is known where that is.
enum TurnedAway {
    Standby(String),
    Refused(String),
}

impl TurnedAway {
    fn by(code: Option<Code>, why: &str) -> TurnedAway {
        match code {
            Some(Code::NotOwner) => TurnedAway::Standby(why.into()),
            _ => TurnedAway::Refused(why.into()),
        }
    }

    fn of(self, address: String) -> DialError {
        match self {
            TurnedAway::Standby(why) => DialError::Standby { address, why },
            TurnedAway::Refused(why) => DialError::Refused { address, why },
        }
    }
}

fn turned_away(address: &str, status: &Status) -> DialError {
    TurnedAway::by(Code::of(status), status.message()).of(address.to_owned())
}

/// The parent's first message.
async fn welcome(stream: &mut impl Frames, time: Duration) -> Result<PeerHello, TurnedAway> {
    let refused = |why: &str| TurnedAway::Refused(why.into());
    let frame = timeout(time, stream.next()).await.map_err(|_| refused("no welcome in time"))?;
    let frame = frame.map_err(TurnedAway::Refused)?.ok_or_else(|| refused("no welcome"))?;
    let wire =
        read::wire::<Down>(frame, &mut Assembler::default(), MAX_FRAME).map_err(TurnedAway::Refused)?;
    match wire.and_then(|(down, _)| down.message) {
        Some(link::down::Message::Welcome(welcome)) if PROTOCOL.contains(&welcome.version) => {
            let software = welcome.software.chars().take(64).collect();
            Ok(PeerHello { incarnation: Incarnation(0), software, protocol: welcome.version })
        }
        Some(link::down::Message::Welcome(welcome)) => {
            Err(refused(&format!("refused (version): it speaks link protocol {}", welcome.version)))
        }
        Some(link::down::Message::Refusal(said)) => {
            let why: String = said.why.chars().take(MAX_REASON).collect();
            Err(TurnedAway::by(Code::named(&said.code), &why))
        }
        _ => Err(refused("its first message is no welcome")),
    }
}
