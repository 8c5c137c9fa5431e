//! The loopback HTTP address a daemon is watched through: `/metrics`, `/healthz`, `/readyz`.
//!
//! Owns the listener's bounds and the two answers about the process. Leaves to the daemon when its loop beats, when it
//! counts as ready and why not; the figures themselves are `telemetry`'s.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use relay_core::time::Millis;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::telemetry;

#[cfg(test)]
mod tests;

/// Connections served at once: a scraper, a probe and a few people. More wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 16;
/// A client that has not sent its request head by then is cut off, so that silent ones cannot fill the 16 places.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A whole exchange, answer read included. The largest answer is some hundred KiB over loopback.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests have no body here and short heads; this is the least hyper accepts twice over.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// After a failed accept (out of descriptors, as a rule): long enough not to spin, short against a probe's patience.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The local monotonic clock, the same one that the daemon's loop reads.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// What the three paths answer from.
#[derive(Clone)]
pub struct AdminParts {
    /// Rendered at `/metrics`.
    pub metrics: PrometheusHandle,
    /// Behind `/healthz`.
    pub health: Health,
    /// Behind `/readyz`.
    pub readiness: Readiness,
    /// Read when `/healthz` is asked.
    pub clock: Clock,
}

/// Why [`serve`] did not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address can be reached from other machines, and nothing here asks who is calling.
    #[error("the admin address {0} is not a loopback address; use 127.0.0.1 or [::1]")]
    NotLoopback(SocketAddr),
    /// The listener does not tell its address.
    #[error("the admin listener: {0}")]
    Listener(#[from] std::io::Error),
}

/// Whether the process's main loop still turns. Clones share the beat.
#[derive(Debug, Clone)]
pub struct Health {
    last: Arc<AtomicU64>,
    limit: Millis,
}

impl Health {
    /// Counts `now` as the first beat. `limit`: milliseconds without a beat until the process counts as stuck.
    pub fn new(now: Millis, limit: Millis) -> Self {
        Self { last: Arc::new(AtomicU64::new(now)), limit }
    }

    /// Called by the main loop each time it goes round.
    pub fn beat(&self, now: Millis) {
        self.last.fetch_max(now, Ordering::Relaxed);
    }

    /// Milliseconds since the last beat, if those are more than the limit.
    pub fn stuck_for(&self, now: Millis) -> Option<Millis> {
        let silent = now.saturating_sub(self.last.load(Ordering::Relaxed));
        (silent > self.limit).then_some(silent)
    }
}

/// Whether the process can do its work, and if not, why. Clones share the cell.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<Option<String>>>);

impl Readiness {
    /// Not ready, for this reason (`starting`).
    pub fn not_yet(reason: impl Into<String>) -> Self {
        Self(Arc::new(Mutex::new(Some(reason.into()))))
    }

    /// From now on ready.
    pub fn ready(&self) {
        self.put(None);
    }

    /// From now on not ready. The reason is shown to whoever asks: say what is missing and since when.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.put(Some(reason.into()));
    }

    /// The reason why not, or `None` when ready.
    pub fn why_not(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, state: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// How long one client may take. The tests shorten it; everything else uses [`PATIENCE`].
#[derive(Clone, Copy)]
struct Patience {
    head: Duration,
    exchange: Duration,
}

const PATIENCE: Patience = Patience { head: HEAD_TIMEOUT, exchange: EXCHANGE_TIMEOUT };

/// Serves until `token` is cancelled; open exchanges are then cut.
///
/// # Errors
/// [`AdminError::NotLoopback`], [`AdminError::Listener`]; nothing has been accepted then.
pub async fn serve(
    listener: TcpListener,
    parts: AdminParts,
    token: CancellationToken,
) -> Result<(), AdminError> {
    serve_patiently(listener, parts, token, PATIENCE).await
}

async fn serve_patiently(
    listener: TcpListener,
    parts: AdminParts,
    token: CancellationToken,
    patience: Patience,
) -> Result<(), AdminError> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(AdminError::NotLoopback(address));
    }
    let mut open = JoinSet::new();
    token.run_until_cancelled(accept_all(&listener, &parts, &mut open, patience)).await;
    open.shutdown().await;
    Ok(())
}

async fn accept_all(
    listener: &TcpListener,
    parts: &AdminParts,
    open: &mut JoinSet<()>,
    patience: Patience,
) -> Infallible {
    loop {
        while open.len() >= MAX_CONNECTIONS {
            open.join_next().await;
        }
        // Finished ones are reaped while waiting, or an idle daemon would keep their results.
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { open.spawn(exchange(stream, parts.clone(), patience)); }
                Err(error) => {
                    tracing::warn!(%error, "the admin address cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// One request and its answer: without keep-alive no client can hold a place longer than [`EXCHANGE_TIMEOUT`].
async fn exchange(stream: TcpStream, parts: AdminParts, patience: Patience) {
    let answering = service_fn(|request: Request<Incoming>| {
        let answer = answer(&parts, request.method(), request.uri().path());
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answering);
    match tokio::time::timeout(patience.exchange, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin exchange failed"),
        Err(_) => tracing::debug!("an admin exchange took too long"),
    }
}

fn answer(parts: &AdminParts, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let known: fn(&AdminParts) -> Response<Full<Bytes>> = match path {
        "/metrics" => scrape,
        "/healthz" => health,
        "/readyz" => readiness,
        _ => return text(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n".into()),
    };
    if method != Method::GET {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into());
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return refusal;
    }
    known(parts)
}

fn scrape(parts: &AdminParts) -> Response<Full<Bytes>> {
    telemetry::refresh_process_metrics();
    let mut response = text(StatusCode::OK, parts.metrics.render());
    response.headers_mut().insert(CONTENT_TYPE, EXPOSITION);
    response
}

fn health(parts: &AdminParts) -> Response<Full<Bytes>> {
    match parts.health.stuck_for((parts.clock)()) {
        None => text(StatusCode::OK, "ok\n".into()),
        Some(silent) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the main loop has not turned for {silent} ms (limit {} ms)\n", parts.health.limit),
        ),
    }
}

fn readiness(parts: &AdminParts) -> Response<Full<Bytes>> {
    match parts.readiness.why_not() {
        None => text(StatusCode::OK, "ready\n".into()),
        Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    // A probe must never see yesterday's answer.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
