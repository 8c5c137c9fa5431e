//! Accepting connections: the listener, the TLS handshake, who is admitted, and the calls of operators. Attaching is
//! [`super::attach`]'s.
//!
//! Admission is bounded at each step: handshakes in flight, their time, links in all. A connection that fails a step is
//! refused, logged and counted, and disturbs nobody else.

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use hyper::{body::Incoming as Body, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use relay_core::identity::{FabricName, Identity};
use relay_proto::Code;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Status;
use tracing::{debug, warn};

use super::{
    attach::LinkService,
    bounds::{self, Crowd, Said},
    ending::{self, Shown},
    framed,
    pace::CONNECT_TIME,
    serving::{Server, Serving, Until},
    strangers::Strangers,
    unread,
};
use crate::{identity::seen, rarely::Rarely, telemetry, tls::ServerTls, trust::Enrolment};

/// TLS handshakes in flight. Each costs about a millisecond of one core.
pub const MAX_HANDSHAKES: usize = 64;
/// How long a handshake may take: who is silent gives its place back then. Who waits behind a crowd of such has
/// [`CONNECT_TIME`] for its own, which must be left by then.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(3);
const _: () = assert!(HANDSHAKE_TIME.as_secs() < CONNECT_TIME.as_secs());
/// How long the first message may take after the handshake, and the reading of a refusal.
pub(super) const HELLO_TIME: Duration = Duration::from_secs(5);
/// Links one process accepts. Bounded by its descriptors; checked at start.
pub const MAX_LINKS: usize = 16_000;
/// Concurrent calls on one connection of an operator: a watch or two, and what is typed meanwhile.
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
    /// What serves connections that are in frames of our own from the first byte on; nothing where there are none.
    fn frames(&self) -> Option<&LinkService> {
        None
    }
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
            // Boxed: it is over soon, and what it needs is not kept with the connection.
            shaken = Box::pin(self.handshake(socket)) => shaken,
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
        let Served { mut serving, says_so } = served(serve, peer.clone(), cut.clone(), tls);
        let ended = Rarely::new(async {
            tokio::select! {
                () = cut.cancelled() => {}
                why = ending::ended(shown) => warn!(%address, %peer, %why, "connection cut"),
                () = over(strangers.as_deref()) => debug!(%address, "connection without a certificate ended: its time is up"),
            }
        });
        let by_itself = tokio::select! {
            () = ended => false,
            () = &mut serving => true,
        };
        cut.cancel();
        if says_so && !by_itself {
            serving.await;
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
        let seen = chain.first().map(|shown| seen(shown, &self.fabric)).transpose();
        let seen = seen.map_err(|e| ("identity", e.to_string()))?;
        let current = self.tls.current().zip(before).zip(seen.as_ref());
        let shown = current.map(|((own, before), seen)| Shown::new(own, &before, chain, seen)).transpose();
        let identity = seen.as_ref().map(|seen| seen.identity.clone());
        let shown =
            shown.map_err(|ended| (ended.word(), format!("{ended}: {}", named(identity.as_ref()))))?;
        Ok((tls, identity, shown))
    }
}

/// One connection, until it ends. Boxed: what one kind needs is not kept for the other, of which there are thousands.
struct Served {
    serving: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// It has to be told when it is cut, and ends by itself then: it says to the role's loop that a link is gone.
    says_so: bool,
}

fn served<S: Serve>(serve: S, peer: Peer, cut: CancellationToken, tls: TlsStream<TcpStream>) -> Served {
    let framed = tls.get_ref().1.alpn_protocol() == Some(framed::ALPN);
    match (serve.frames().filter(|_| framed).cloned(), &peer.identity) {
        (Some(links), Some(identity)) => {
            Served { serving: Box::pin(links.framed(identity.clone(), cut, tls)), says_so: true }
        }
        (Some(_), None) => {
            refused("certificate");
            Served { serving: Box::pin(std::future::ready(())), says_so: false }
        }
        (None, _) => Served { serving: Box::pin(calls(serve, peer, cut, tls)), says_so: false },
    }
}

async fn calls<S: Serve>(serve: S, peer: Peer, cut: CancellationToken, tls: TlsStream<TcpStream>) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new());
    bounds::harden(&mut builder);
    serve.settings(&mut builder);
    let begun = CancellationToken::new();
    let service = {
        let (peer, begun) = (peer.clone(), begun.clone());
        service_fn(move |request| {
            begun.cancel();
            serve.serve(peer.clone(), cut.clone(), request)
        })
    };
    let connection = builder.serve_connection(TokioIo::new(tls), service);
    tokio::select! {
        () = bounds::unused(&begun) => debug!(%peer, "connection ended: no call came"),
        ended = connection => if let Err(error) = ended { debug!(%peer, %error, "connection ended") },
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

pub(super) fn refused(why: &'static str) {
    metrics::counter!(telemetry::HANDSHAKES_REFUSED_TOTAL, "why" => why).increment(1);
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
                    unread::discard(request.into_body()).await;
                    return Ok(Code::Denied.status(why).into_http());
                }
            }
            let (mut inner, until) = match serving {
                Ok(serving) => serving,
                Err(nobody) => {
                    unread::discard(request.into_body()).await;
                    return Ok(told(nobody, &peer).into_http());
                }
            };
            let (head, body) = request.into_parts();
            let (body, rest) = unread::lend(body);
            let body = tonic::body::Body::new(body.map_err(Status::from_error_generic));
            let mut request = http::Request::from_parts(head, body);
            if let Some(identity) = &peer.identity {
                request.extensions_mut().insert(identity.clone());
            }
            request.extensions_mut().insert(peer);
            let answer = tokio::select! {
                biased;
                () = until.cancelled() => return Ok(server.borrow().refusal().into_http()),
                answer = inner.call(request) => answer?,
            };
            rest.read().await;
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
