//! The operators' port: who makes a call, and which service it is for.
//!
//! Owns authentication (a client certificate of the role operator, or a token on a connection without a certificate), routing by
//! service, and that whatever a call has begun ends with its caller's right to it. A path is compared byte by byte: one that is
//! written in another way is another one, and there is none (CVE-2026-33186). Leaves TLS to relay-runtime's link, logins to
//! [`crate::login`], and what a caller may do to the services: each finds an `Arc<Caller>` among its request's extensions.
//!
//! What a call asks of its caller stands in one table ([`crate::access::surface`]), which is looked up before any handler: what has no line in
//! it is not there.
//!
//! A call without credentials, or with wrong ones, is told nothing but that, whatever its path; with one exception: [`LOGIN`].

mod services;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Method, Request, header::AUTHORIZATION};
use relay_core::{
    access::{Caller, How},
    audit::{Event, Kind},
    identity::{Identity, Role},
};
use relay_proto::Code;
use relay_runtime::{
    link::{
        accept::{HttpResponse, Peer},
        serving::Until,
    },
    secret::Secret,
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

use crate::{
    access::{
        Access,
        surface::{self, Asked, Door},
    },
    login::{Logins, Session},
};
pub use services::Services;

/// The one call that is answered without credentials, as the table has it.
pub const LOGIN: &str = "/relay.access.v1.Access/Login";
/// Ends the login it is made with, and is answered nevertheless.
const LOGOUT: &str = "/relay.access.v1.Access/Logout";

/// What stands before the services of operators. Clones share it.
#[derive(Clone)]
pub struct Front(Arc<Parts>);

struct Parts {
    logins: Logins,
    services: Services,
    access: Access,
}

/// Operators call, and nobody else: the certificate of a member of the fabric opens no call.
///
/// # Errors
/// Why not.
pub fn admit(peer: &Identity) -> Result<(), String> {
    match peer.role() {
        Role::Operator => Ok(()),
        _ => Err(format!("{peer}: only operators may call")),
    }
}

impl Front {
    /// Before these services, for who has logged in here or shows a certificate. Who is not let in is recorded.
    pub fn new(logins: Logins, services: Services, access: Access) -> Front {
        Front(Arc::new(Parts { logins, services, access }))
    }

    async fn answer(self, mut request: Request<Body>) -> HttpResponse {
        let path = request.uri().path().to_owned();
        let plain = request.method() == Method::POST && request.uri().query().is_none();
        let presented = take_token(&mut request);
        let peer = request.extensions().get::<Peer>().cloned();
        let identity = peer.as_ref().and_then(|peer| peer.identity.clone());
        let admitted = identity.as_deref().map_or(Ok(()), admit).map_err(|why| Code::Denied.status(why));
        let asked = surface::at(Door::Operators, &path);
        if plain && asked == Some(Asked::Nothing) && admitted.is_ok() {
            // Who calls is what the call is to find out.
            return self.0.services.call(&path, request).await;
        }
        let session = match admitted.and_then(|()| self.authenticate(identity, presented)) {
            Ok(session) => session,
            Err(refused) => {
                self.0.access.audit().note(refusal(peer.as_ref(), &path, &refused));
                return refused.into_http();
            }
        };
        if !plain {
            return Status::unimplemented("calls are made with POST, to a path without a query").into_http();
        }
        let Some(asked) = asked else {
            return Status::unimplemented("there is no such call on this port").into_http();
        };
        if let Err(refused) = self.0.access.enters(&session.caller, asked, &path).await {
            return refused.into_http();
        }
        let over = if path == LOGOUT { CancellationToken::new() } else { session.over.clone() };
        request.extensions_mut().insert(session.caller.clone());
        request.extensions_mut().insert(session.clone());
        let answer = tokio::select! {
            biased;
            () = over.cancelled() => return ended().into_http(),
            answer = self.0.services.call(&path, request) => answer,
        };
        // The session goes with the body: a stream keeps its login in use.
        let refusal = move || {
            let _ = &session;
            ended()
        };
        answer.map(|body| Body::new(Until::new(body, refusal, over)))
    }

    fn authenticate(
        &self,
        certificate: Option<Arc<Identity>>,
        presented: Result<Option<Presented>, ()>,
    ) -> Result<Session, Status> {
        match (certificate, presented) {
            // Two answers to the question who calls: neither is taken.
            (Some(_), Ok(Some(_)) | Err(())) => {
                Err(Code::Unauthenticated.status("a certificate and a token: show one of the two"))
            }
            (Some(identity), Ok(None)) => certified(&identity),
            (None, Ok(Some(Presented(token)))) => self.0.logins.take(token.expose()).ok_or_else(ended),
            (None, Ok(None) | Err(())) => Err(stranger()),
        }
    }
}

/// That somebody was not let in.
fn refusal(peer: Option<&Peer>, path: &str, why: &Status) -> Event {
    let (who, how) = match peer {
        Some(Peer { identity: Some(identity), .. }) => (identity.to_dns(), "certificate"),
        Some(peer) => (peer.address.ip().to_string(), "nobody"),
        None => (String::new(), "nobody"),
    };
    Event::new(Kind::Deny, who, how).about("call").with("path", path).with("why", why.message())
}

/// Who shows an operator's certificate. That it still counts is seen to by whoever keeps the connection.
fn certified(identity: &Identity) -> Result<Session, Status> {
    let caller = Caller::new(identity.id(), [], How::Certificate);
    let caller = caller.map_err(|e| Code::Denied.status(format!("the certificate names no caller: {e}")))?;
    Ok(Session {
        caller: Arc::new(caller),
        token: None,
        until: 0,
        over: CancellationToken::new(),
        used: None,
    })
}

/// A token as it was presented.
struct Presented(Secret);

/// Takes the credentials out of a request: nothing behind the front is to see them. Error: they cannot be read, or there are
/// several.
fn take_token(request: &mut Request<Body>) -> Result<Option<Presented>, ()> {
    let several = request.headers().get_all(AUTHORIZATION).iter().count() > 1;
    let Some(value) = request.headers_mut().remove(AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(crate::login::bearer).filter(|_| !several);
    token.map(|token| Some(Presented(Secret::new(token.to_owned())))).ok_or(())
}

/// What is said without credentials.
fn stranger() -> Status {
    Code::Unauthenticated.status("not logged in: show an operator's certificate or a token (relayctl login)")
}

/// What is said with a token that opens nothing. The same for one that never did: who tries tokens learns nothing.
fn ended() -> Status {
    Code::Unauthenticated.status("this login is not valid (any more): log in again (relayctl login)")
}

impl tower_service::Service<Request<Body>> for Front {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let front = self.clone();
        Box::pin(async move { Ok(front.answer(request).await) })
    }
}
