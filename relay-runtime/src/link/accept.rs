//! Accepting links: the listener, the TLS handshake, the gRPC service, and who is admitted.
//!
//! Admission is bounded at each step: handshakes in flight, their time, links in all. A connection that fails a step is
//! refused, logged and counted, and disturbs nobody else.

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{body::Incoming as Body, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use relay_core::{
    identity::{FabricName, Identity},
    ids::Incarnation,
    message::{LinkId, Up},
};
use relay_proto::{Code, PROTOCOL, link};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Status, Streaming, server::Grpc};
use tracing::{debug, warn};

use super::{
    LinkEvent, LinkIds, LinkLimits, PeerHello, SOFTWARE,
    bounds::{self, Crowd, Said},
    codec::FrameCodec,
    ending::{self, Shown},
    frame::{Assembler, Encoded, MAX_FRAME},
    lanes::{Lane, LinkTx, Response, lanes},
    read,
    serving::{Server, Serving, Until},
    strangers::Strangers,
};
use crate::{identity::peer_identity, telemetry, tls::ServerTls, trust::Enrolment};

/// TLS handshakes in flight (SECURITY section 4). Each costs about a millisecond of one core.
pub const MAX_HANDSHAKES: usize = 64;
/// How long a handshake, and then the first message, may take (SECURITY section 4).
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// Links one process accepts. Bounded by its descriptors; checked at start.
pub const MAX_LINKS: usize = 16_000;
/// Concurrent calls on one connection of an operator (SECURITY section 4).
pub const MAX_STREAMS: u32 = 64;
/// Connections of operators without a certificate.
const MAX_GUESTS: usize = 2_000;
/// The same from one address: a bastion that a whole team works on.
const MAX_GUESTS_PER_ADDRESS: usize = 256;
/// HTTP/2 pings on connections of operators, who have no heartbeat of their own.
const PING: Duration = Duration::from_secs(10);

/// What listens on one port.
#[derive(Clone)]
pub struct Acceptor {
    /// TLS, as it is when a connection comes.
    pub tls: ServerTls,
    /// The fabric whose names are read.
    pub fabric: FabricName,
    /// Stops it all.
    pub token: CancellationToken,
    /// Owns the tasks.
    pub tasks: TaskTracker,
}

/// A connection's boxed HTTP answer.
pub type HttpResponse = http::Response<tonic::body::Body>;
/// An answer to come.
pub type Answer = Pin<Box<dyn Future<Output = Result<HttpResponse, Infallible>> + Send>>;

/// Who is at the other end of a connection, as far as TLS tells.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Who its certificate names. Nobody, where a port takes connections without one ([`crate::tls::server_open`]) and none
    /// was shown.
    pub identity: Option<Arc<Identity>>,
    /// Which enrolment its certificate is of, and which of its renewals.
    pub enrolment: Enrolment,
    /// Where it connects from.
    pub address: SocketAddr,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.identity {
            Some(identity) => identity.fmt(f),
            None => write!(f, "{} without a certificate", self.address),
        }
    }
}

/// What serves the calls of one connection.
pub trait Serve: Clone + Send + Sync + 'static {
    /// Serves one call. `cut` drops the whole connection.
    fn serve(&self, peer: Peer, cut: CancellationToken, request: http::Request<Body>) -> Answer;
    /// The HTTP/2 settings of this port.
    fn settings(&self, builder: &mut http2::Builder<TokioExecutor>);
    /// The bounds of this port's connections without a certificate; nothing where they count as any other.
    fn strangers(&self) -> Option<Arc<Strangers>> {
        None
    }
}

impl Acceptor {
    /// Accepts connections until stopped.
    pub async fn run<S: Serve>(self, listener: TcpListener, serve: S) {
        let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
        let links = Arc::new(Semaphore::new(MAX_LINKS));
        let (crowd, said) = (Crowd::default(), Arc::new(Said::default()));
        loop {
            // Waiting here leaves newcomers in the kernel's backlog: they are slowed down, not turned away.
            let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                () = self.token.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (socket, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, or reset before we looked (RUSTSEC-2024-0376): go on, not in a tight loop.
                    warn!(%error, "accept failed");
                    refused("accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(seat) = links.clone().try_acquire_owned() else {
                refused("too_many_links");
                continue;
            };
            let this = self.clone();
            let (serve, crowd, said) = (serve.clone(), crowd.clone(), said.clone());
            self.tasks.spawn(async move {
                this.connection(socket, address, permit, (seat, crowd, said), serve).await
            });
        }
    }

    async fn connection<S: Serve>(
        self,
        socket: TcpStream,
        address: SocketAddr,
        permit: OwnedSemaphorePermit,
        (seat, crowd, said): (OwnedSemaphorePermit, Crowd, Arc<Said>),
        serve: S,
    ) {
        let shaken = tokio::select! {
            () = self.token.cancelled() => return,
            shaken = self.handshake(socket) => shaken,
        };
        let (tls, identity, shown) = match shaken {
            Ok(shaken) => shaken,
            Err((why, detail)) => {
                refused(why);
                if let Some(unsaid) = said.one() {
                    warn!(%address, why, detail, unsaid, "connection refused");
                }
                return;
            }
        };
        drop(permit);
        let strangers = serve.strangers().filter(|_| identity.is_none());
        let place = strangers.as_ref().map(|strangers| strangers.enter(address.ip()));
        if let Some(None) = place {
            refused("strangers");
            // Who floods a port without a certificate must not fill the log either.
            return debug!(%address, "connection refused: too many without a certificate");
        }
        let own = identity.as_ref().map(|identity| crowd.enter(identity));
        if let Some(None) = own {
            refused("crowded");
            return debug!(%address, "connection refused: this peer has all of its connections already");
        }
        let cut = self.token.child_token();
        let enrolment = shown.as_ref().map_or(Enrolment::NONE, Shown::enrolment);
        let peer = Peer { identity: identity.map(Arc::new), enrolment, address };
        debug!(%address, %peer, "connected");
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new());
        bounds::harden(&mut builder);
        serve.settings(&mut builder);
        let begun = CancellationToken::new();
        let service = {
            let (cut, peer, begun) = (cut.clone(), peer.clone(), begun.clone());
            service_fn(move |request| {
                begun.cancel();
                serve.serve(peer.clone(), cut.clone(), request)
            })
        };
        let connection = builder.serve_connection(TokioIo::new(tls), service);
        tokio::select! {
            () = cut.cancelled() => {}
            () = bounds::unused(&begun) => debug!(%address, %peer, "connection ended: no call came"),
            why = ending::ended(shown) => warn!(%address, %peer, %why, "connection cut"),
            () = over(strangers.as_deref()) => debug!(%address, "connection without a certificate ended: its time is up"),
            ended = connection => if let Err(error) = ended { debug!(%address, %peer, %error, "connection ended") },
        }
        drop((seat, place, own));
    }

    async fn handshake(
        &self,
        socket: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Option<Identity>, Option<Shown>), (&'static str, String)> {
        let _ = socket.set_nodelay(true);
        let before = self.tls.current().map(|own| own.trusted().now());
        let config = self.tls.config().map_err(|e| ("tls", e.to_string()))?;
        let tls = timeout(HANDSHAKE_TIME, TlsAcceptor::from(config).accept(socket));
        let tls =
            tls.await.map_err(|_| ("handshake_time", format!("no TLS handshake in {HANDSHAKE_TIME:?}")))?;
        let tls = tls.map_err(|e| ("handshake", e.to_string()))?;
        // Where one is asked for, rustls has seen to it that one was shown.
        let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
        let identity = chain.first().map(|shown| peer_identity(shown, &self.fabric)).transpose();
        let identity = identity.map_err(|e| ("identity", e.to_string()))?;
        let current = self.tls.current().zip(before).filter(|_| !chain.is_empty());
        let shown = current.map(|(own, before)| Shown::new(own, &before, chain)).transpose();
        let shown =
            shown.map_err(|ended| (ended.word(), format!("{ended}: {}", named(identity.as_ref()))))?;
        Ok((tls, identity, shown))
    }
}

fn named(identity: Option<&Identity>) -> String {
    identity.map(Identity::to_string).unwrap_or_default()
}

/// The end of a stranger's time; never, for others.
async fn over(bounds: Option<&Strangers>) {
    match bounds {
        Some(strangers) => tokio::time::sleep(strangers.time()).await,
        None => std::future::pending().await,
    }
}

fn refused(why: &'static str) {
    metrics::counter!(telemetry::HANDSHAKES_REFUSED_TOTAL, "why" => why).increment(1);
}

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
            let refuse = |status: Status| {
                refused("link");
                warn!(%peer, why = status.message(), "link refused");
                status
            };
            let limits =
                (service.admit)(&service.own, &peer).map_err(|why| refuse(Code::Denied.status(why)))?;
            // A standby is asked again and again: nothing for the log.
            let (events, until) = Serving::now(&service.events).inspect_err(|_| refused("standby"))?;
            let mut stream = request.into_inner();
            let hello = first(&mut stream).await.map_err(refuse)?;
            let (tx, outgoing) = lanes(limits.max_queued, cut);
            let _ = tx.send(Lane::Control, welcome(hello.protocol).frames());
            let link =
                Attached { link: service.ids.next(), max_message: limits.max_message, tx, events, until };
            service.tasks.spawn(async move { link.run((*peer).clone(), hello, stream).await });
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

/// The first message: who it says it is, and that we have a version in common.
async fn first(stream: &mut Streaming<Bytes>) -> Result<PeerHello, Status> {
    let frame = timeout(HANDSHAKE_TIME, stream.message()).await;
    let frame = frame.map_err(|_| Code::Invalid.status("no hello in time"))??;
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
    tx: LinkTx,
    events: mpsc::Sender<LinkEvent<Up>>,
    until: CancellationToken,
}

impl Attached {
    async fn run(self, peer: Identity, hello: PeerHello, mut stream: Streaming<Bytes>) {
        let Attached { link, max_message, tx, events, until } = self;
        let up = LinkEvent::Up { link, peer, hello, tx: tx.clone() };
        if events.send(up).await.is_err() {
            return tx.cut();
        }
        let cut = tx.cut_token().clone();
        let why = tokio::select! {
            () = cut.cancelled() => "cut".to_owned(),
            () = until.cancelled() => return tx.cut(), // nobody is there to be told
            why = read::messages(link, &mut stream, max_message, &events, |_| true) => why,
        };
        tx.cut();
        let _ = events.send(LinkEvent::Down { link, why }).await;
    }
}

/// A gRPC service of operators on its own port: any tower service that tonic generates.
#[derive(Clone)]
pub struct CallService<T> {
    /// The service. Calls end when it goes.
    pub inner: Server<T>,
    /// Whether who shows this certificate may call at all. Who may not is counted here, and refused and recorded by the service,
    /// which finds the [`Peer`] among the request's extensions; who shows none is its to judge, too.
    pub admit: fn(&Identity) -> Result<(), String>,
    /// The bounds of connections without a certificate.
    pub strangers: Arc<Strangers>,
}

/// Connections of operators without a certificate, in all and from one address (behind which a team may sit); they last as
/// long as their callers' logins.
pub fn guests() -> Arc<Strangers> {
    Strangers::new(MAX_GUESTS, MAX_GUESTS_PER_ADDRESS, Duration::MAX)
}

/// What a stranger is told where nobody serves: less than a member, who is told where to go.
fn told(nobody: Status, peer: &Peer) -> Status {
    match Code::of(&nobody).filter(|_| peer.identity.is_none()) {
        Some(code) => code.status("this one does not serve now: ask another one"),
        None => nobody,
    }
}

impl<T> Serve for CallService<T>
where
    T: tower_service::Service<http::Request<tonic::body::Body>, Response = HttpResponse, Error = Infallible>,
    T: Clone + Send + Sync + 'static,
    T::Future: Send,
{
    // Who serves is asked for each call: a connection outlives it.
    fn serve(&self, peer: Peer, _: CancellationToken, request: http::Request<Body>) -> Answer {
        let server = self.inner.clone();
        let admitted = peer.identity.as_deref().map_or(Ok(()), self.admit);
        Box::pin(async move {
            let serving = Serving::now(&server);
            if let Err(why) = admitted {
                refused("operator");
                warn!(%peer, why, "call refused");
                if serving.is_err() {
                    return Ok(Code::Denied.status(why).into_http());
                }
            }
            let (mut inner, until) = match serving {
                Ok(serving) => serving,
                Err(nobody) => return Ok(told(nobody, &peer).into_http()),
            };
            let mut request =
                request.map(|body| tonic::body::Body::new(body.map_err(Status::from_error_generic)));
            if let Some(identity) = &peer.identity {
                request.extensions_mut().insert(identity.clone());
            }
            request.extensions_mut().insert(peer);
            let answer = tokio::select! {
                biased;
                () = until.cancelled() => return Ok(server.borrow().refusal().into_http()),
                answer = inner.call(request) => answer?,
            };
            let refusal = move || server.borrow().refusal();
            Ok(answer.map(|body| tonic::body::Body::new(Until::new(body, refusal, until))))
        })
    }

    fn strangers(&self) -> Option<Arc<Strangers>> {
        Some(self.strangers.clone())
    }

    fn settings(&self, builder: &mut http2::Builder<TokioExecutor>) {
        builder.max_concurrent_streams(MAX_STREAMS).keep_alive_interval(PING).keep_alive_timeout(2 * PING);
    }
}

/// A hyper error as a status.
trait FromGeneric {
    fn from_error_generic(error: hyper::Error) -> Status;
}
impl FromGeneric for Status {
    fn from_error_generic(error: hyper::Error) -> Status {
        Status::from_error(Box::new(error))
    }
}
