//! Calls of operators over real HTTP/2 and TLS: what a refusal leaves of their connection.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use relay_proto::Code;
use relay_runtime::link::accept::{self, CallService, HttpResponse};
use tower_service::Service;

use super::*;

/// Answers whatever it is asked without reading it, as what knows no such call does.
#[derive(Clone)]
struct Unreading;

impl Service<http::Request<tonic::body::Body>> for Unreading {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = Ready<Result<HttpResponse, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<tonic::body::Body>) -> Self::Future {
        ready(Ok(Status::unimplemented("no such call").into_http()))
    }
}

fn anybody(_: &Identity) -> Result<(), String> {
    Ok(())
}

/// Calls over one connection, one after the other, each with a body of some frames: what each was told.
async fn told(pki: &Pki, serving: Serving<Unreading>, calls: usize) -> Vec<tonic::Code> {
    let listener = TcpListener::bind(ANYWHERE).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (token, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (_keep, inner) = watch::channel(serving);
    let acceptor = Acceptor {
        tls: tls::server_at(&pki.load("s", Role::Syndic), Port::Open).unwrap().into(),
        fabric: FABRIC.parse().unwrap(),
        token: token.clone(),
        tasks: tasks.clone(),
    };
    let service = CallService { inner, admit: anybody, strangers: accept::guests() };
    tasks.spawn(acceptor.run(listener, service));
    let config = tls::client(&pki.load("person", Role::Operator)).unwrap();
    let mut caller = channel(&address, &who("s", Role::Syndic).to_dns(), config).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..calls {
        std::future::poll_fn(|cx| caller.poll_ready(cx)).await.unwrap();
        let body = tonic::body::Body::new(http_body_util::Full::new(Bytes::from(vec![0; 40_000])));
        let answer = caller.call(http::Request::post("/some/Call").body(body).unwrap()).await;
        told.push(match answer {
            Ok(answer) => Status::from_header_map(answer.headers()).map_or(tonic::Code::Ok, |s| s.code()),
            Err(_) => tonic::Code::Aborted,
        });
    }
    drop(caller);
    token.cancel();
    tasks.close();
    timeout(PATIENCE, tasks.wait()).await.expect("every task ends");
    told
}

/// HTTP/2 counts what comes for a call that is over as its peer's error ([`relay_runtime::link::bounds::MAX_LOCAL_RESETS`]).
/// Two threads: on one, each body is there before its call is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_outlives_any_number_of_refused_calls() {
    let pki = Pki::new();
    let unread = Serving::By(Unreading, CancellationToken::new());
    assert_eq!(told(&pki, unread, 1_000).await, [tonic::Code::Unimplemented; 1_000]);
    let standby = Serving::Nobody(Code::NotOwner, "top-2 owns".into());
    let code = Code::NotOwner.status("").code();
    assert_eq!(told(&pki, standby, 1_000).await, [code; 1_000]);
}
