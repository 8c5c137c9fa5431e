//! The port where links are accepted, with the service `Enrol` beside them: the one thing that is open to those who show no
//! certificate. How many of them there are, how long they may stay and how often they may ask is bounded here.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::{body::Incoming as Body, server::conn::http2};
use hyper_util::rt::TokioExecutor;
use relay_core::{
    enrol::rate::{Rate, Rates},
    identity::{Identity, Role},
};
use relay_proto::Code;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::CALL_TIME;
use crate::{
    clock::Clock,
    link::{
        LinkService, Server, Serving,
        accept::{Answer, HttpResponse, Peer, Serve},
        strangers::Strangers,
    },
    source::network,
};

/// Connections without a certificate, in all: each lives for a few round trips.
pub const MAX_STRANGERS: usize = 256;
/// The same from one address. A site of a thousand newcomers behind one has each of them wait for a turn; an attacker there
/// leaves room for other addresses.
pub const MAX_STRANGERS_PER_ADDRESS: usize = 64;
/// How long such a connection may last: a slow call, and its handshake.
pub const STRANGER_TIME: Duration = Duration::from_secs(20);
/// Requests of enrolment worked on at a time: each costs two signatures to check, and at the owner a commit.
pub const MAX_AT_ONCE: usize = 32;
/// How often one address may ask: a site's machines ask anew each 10 s to 100 s while they wait.
pub const ADDRESS_RATE: Rate = Rate { burst: 300, per_second: 30 };
/// How often one syndic may, for all that are behind it.
pub const SYNDIC_RATE: Rate = Rate { burst: 3_000, per_second: 300 };
/// Addresses remembered at a time, some 100 bytes each.
pub const MAX_SOURCES: usize = 8_192;

/// The path of every call of the service.
const ENROL: &str = "/relay.trust.v1.Enrol/";

/// A port with links and enrolment.
#[derive(Clone)]
pub struct Gate<S, T> {
    /// What serves everything else.
    pub links: S,
    /// The service, while somebody answers.
    pub enrol: Server<T>,
    /// Who is here without a certificate.
    pub strangers: Arc<Strangers>,
}

impl<S, T> Gate<S, T> {
    /// A port with the bounds above.
    pub fn new(links: S, enrol: Server<T>) -> Gate<S, T> {
        let strangers = Strangers::new(MAX_STRANGERS, MAX_STRANGERS_PER_ADDRESS, STRANGER_TIME);
        Gate { links, enrol, strangers }
    }
}

impl<S, T> Serve for Gate<S, T>
where
    S: Serve,
    T: tower_service::Service<http::Request<tonic::body::Body>, Response = HttpResponse, Error = Infallible>,
    T: Clone + Send + Sync + 'static,
    T::Future: Send,
{
    fn serve(&self, peer: Peer, cut: CancellationToken, request: http::Request<Body>) -> Answer {
        if !request.uri().path().starts_with(ENROL) {
            return self.links.serve(peer, cut, request);
        }
        let serving = Serving::now(&self.enrol);
        Box::pin(async move {
            let (mut service, until) = match serving {
                Ok(serving) => serving,
                Err(nobody) => return Ok(nobody.into_http()),
            };
            let mut request = request.map(|body| {
                tonic::body::Body::new(body.map_err(|error| Status::from_error(Box::new(error))))
            });
            request.extensions_mut().insert(peer);
            let answer = tokio::select! {
                () = until.cancelled() => None,
                answer = timeout(CALL_TIME, service.call(request)) => Some(answer),
            };
            match answer {
                Some(Ok(answer)) => answer,
                Some(Err(_)) => Ok(Code::Busy.status("this took too long: ask again").into_http()),
                None => Ok(Code::NotOwner.status("who answered this does so no more: ask again").into_http()),
            }
        })
    }

    fn settings(&self, builder: &mut http2::Builder<TokioExecutor>) {
        self.links.settings(builder);
    }

    fn frames(&self) -> Option<&LinkService> {
        self.links.frames()
    }

    fn strangers(&self) -> Option<Arc<Strangers>> {
        Some(self.strangers.clone())
    }
}

/// Bounds on requests, where they are served.
#[derive(Clone)]
pub struct Pace {
    clock: Clock,
    slots: Arc<Semaphore>,
    addresses: Arc<Mutex<Rates<IpAddr>>>,
    syndics: Arc<Mutex<Rates<String>>>,
}

impl Pace {
    /// Nobody has asked yet.
    pub fn new(clock: Clock) -> Pace {
        Pace {
            clock,
            slots: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            addresses: Arc::new(Mutex::new(Rates::new(ADDRESS_RATE, MAX_SOURCES))),
            syndics: Arc::new(Mutex::new(Rates::new(SYNDIC_RATE, MAX_SOURCES))),
        }
    }

    /// A turn for somebody, if there is one.
    ///
    /// # Errors
    /// It has asked too often, or too many ask now.
    pub fn turn(&self, peer: &Peer) -> Result<OwnedSemaphorePermit, Status> {
        let now = self.clock.now();
        let may = match syndic(peer) {
            Some(syndic) => {
                self.syndics.lock().unwrap_or_else(PoisonError::into_inner).take(syndic.to_dns(), now)
            }
            None => {
                let address = network(peer.address.ip());
                self.addresses.lock().unwrap_or_else(PoisonError::into_inner).take(address, now)
            }
        };
        let often = || Code::Busy.status("too many requests from there: ask again later");
        let many = |_| Code::Busy.status("too many requests at the moment: ask again later");
        may.then_some(()).ok_or_else(often)?;
        self.slots.clone().try_acquire_owned().map_err(many)
    }
}

/// The syndic that passes something on, if it is one.
pub fn syndic(peer: &Peer) -> Option<&Identity> {
    peer.identity.as_deref().filter(|identity| identity.role() == Role::Syndic)
}

/// Where a request comes from: as the syndic says that passes it on, or as it is seen here.
pub fn origin(peer: &Peer, said: &str) -> String {
    // Longest form of an address, with its zone.
    const MAX_SAID: usize = 64;
    match syndic(peer) {
        Some(_) if !said.is_empty() => said.chars().filter(|c| !c.is_control()).take(MAX_SAID).collect(),
        _ => peer.address.ip().to_canonical().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Enrolment;

    #[test]
    fn an_ipv6_network_asks_as_often_as_one_address() {
        let pace = Pace::new(Clock::start());
        let turn = |host: u128, network: u128| {
            let ip = std::net::Ipv6Addr::from((0x2001_0db8 << 96) | (network << 64) | host);
            pace.turn(&Peer { identity: None, enrolment: Enrolment::NONE, address: (ip, 1).into() })
        };
        // Far more than come back by time while this runs.
        let most = 4 * u128::from(ADDRESS_RATE.burst);
        let refused = (0..most).find(|host| turn(*host, 1).is_err());
        assert!(refused.is_some_and(|at| at >= ADDRESS_RATE.burst.into()), "{refused:?}");
        assert!(turn(1, 2).is_ok(), "a neighbour");
    }
}
