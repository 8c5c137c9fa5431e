//! Who is let in, and where a call goes.

use std::{convert::Infallible, net::SocketAddr};

use http_body_util::BodyExt;
use relay_core::identity::Role;
use relay_proto::access::access_server::AccessServer;
use relay_runtime::{
    clock::Clock,
    config::LoginConfig,
    passwords,
    store::{SqliteStore, Store},
    trust::Enrolment,
};
use tempfile::TempDir;
use tower_service::Service as _;

use super::*;
use crate::{
    access::Policies,
    audit::{Audit, Reported},
    login::AccessService,
};

/// Everybody may look, and nobody may prune.
const RULES: &str = "{version: 1, allow: {any: {'*': ['@runner', '@jobs']}}}";

/// Answers with its caller, as text, in the place of the service for operators.
#[derive(Clone)]
struct Echo;

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "relay.operator.v1.Operator";
}

impl tower_service::Service<Request<Body>> for Echo {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = std::future::Ready<Result<HttpResponse, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        assert!(request.headers().get(AUTHORIZATION).is_none(), "credentials reach a service");
        let text = request.extensions().get::<Arc<Caller>>().map(|c| c.to_string()).unwrap_or_default();
        let body = match request.uri().path() {
            "/relay.operator.v1.Operator/Watch" => Body::new(Endless),
            _ => Body::new(text),
        };
        std::future::ready(Ok(http::Response::new(body)))
    }
}

/// A body on which nothing ever comes.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Infallible>>> {
        Poll::Pending
    }
}

struct House {
    front: Front,
    logins: Logins,
    reported: Reported,
    _dir: TempDir,
}

impl House {
    async fn new() -> House {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&dir.path().join("store")).unwrap());
        store.begin().await.unwrap();
        let users = dir.path().join("users");
        let line = passwords::line("alice", &Secret::new("correct horse".into()), &[]).unwrap();
        std::fs::write(&users, line).unwrap();
        std::fs::set_permissions(&users, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let config = LoginConfig { password_file: Some(users), ..LoginConfig::default() };
        let (audit, reported) = Audit::double();
        let logins = Logins::restore(&config, store, Clock::start(), audit.clone()).await.unwrap();
        let access = Access::new(Policies::of_text(RULES), audit);
        let services =
            Services::default().with(Echo).with(AccessServer::new(AccessService::new(logins.clone())));
        House { front: Front::new(logins.clone(), services, access), logins, reported, _dir: dir }
    }

    async fn token(&self) -> Secret {
        let word = Secret::new("correct horse".into());
        let from = std::net::Ipv4Addr::LOCALHOST.into();
        self.logins.log_in("alice", word, "", from).await.map(|opened| opened.token).unwrap()
    }

    async fn call(&self, call: Call<'_>) -> HttpResponse {
        self.front.clone().call(call.request()).await.unwrap()
    }
}

#[derive(Clone, Copy)]
struct Call<'a> {
    path: &'a str,
    method: &'a str,
    role: Option<Role>,
    headers: &'a [&'a str],
}

const ECHO: Call<'static> =
    Call { path: "/relay.operator.v1.Operator/Status", method: "POST", role: None, headers: &[] };

impl Call<'_> {
    fn request(self) -> Request<Body> {
        let region = relay_core::identity::check_region("core").unwrap();
        let identity = self.role.map(|role| {
            Arc::new(Identity::new("carol", role, region, "test.example".parse().unwrap()).unwrap())
        });
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let mut request = Request::builder().method(self.method).uri(self.path);
        for header in self.headers {
            request = request.header(AUTHORIZATION, *header);
        }
        request.extension(Peer { identity, enrolment: Enrolment::NONE, address }).body(Body::empty()).unwrap()
    }
}

fn status(answer: &HttpResponse) -> Option<Status> {
    Status::from_header_map(answer.headers())
}

async fn text(answer: HttpResponse) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_certificate_or_a_token_says_who_calls() {
    let house = House::new().await;
    let certificate = Call { role: Some(Role::Operator), ..ECHO };
    assert_eq!(text(house.call(certificate).await).await, "carol (certificate)");
    let bearer = format!("Bearer {}", house.token().await.expose());
    assert_eq!(text(house.call(Call { headers: &[&bearer], ..ECHO }).await).await, "alice (file)");
}

#[tokio::test]
async fn nothing_but_login_is_answered_without_credentials() {
    let house = House::new().await;
    let token = house.token().await;
    let (bearer, basic) = (format!("Bearer {}", token.expose()), format!("Basic {}", token.expose()));
    let (most, last) = bearer.split_at(bearer.len() - 1);
    let wrong = format!("{most}{}", if last == "0" { "1" } else { "0" });
    let paths = [
        "/relay.operator.v1.Operator/Status",
        "/relay.access.v1.Access/WhoAmI",
        "/relay.access.v1.Access/Logout",
        "/relay.access.v1.access/Login",
        "/relay.access.v1.Access/login",
        "/relay.access.v1.Access/Login/",
        "//relay.access.v1.Access/Login",
        "/relay.access.v1.Access%2FLogin",
        "/relay.access.v1.Access/Login?x=1",
        "/no.such.Service/Call",
        "/",
    ];
    let shown: [&[&str]; 6] = [&[], &[&wrong], &[&basic], &[""], &["Bearer"], &[&bearer, &bearer]];
    for path in paths {
        for headers in shown {
            let refused = house.call(Call { path, headers, ..ECHO }).await;
            let code = status(&refused).map(|s| s.code());
            assert_eq!(code, Some(tonic::Code::Unauthenticated), "{path} {headers:?}");
        }
    }
    let reported = house.reported.events();
    assert!(
        reported.iter().any(|event| event.kind == Kind::Deny && event.who == "127.0.0.1"),
        "{reported:?}"
    );
    assert!(!format!("{reported:?}").contains(&wrong["Bearer relaytoken_".len()..]), "a token in the audit");
    let both = Call { role: Some(Role::Operator), headers: &[&bearer], ..ECHO };
    assert_eq!(status(&house.call(both).await).unwrap().code(), tonic::Code::Unauthenticated);
    // Login itself gets an answer of its own: this request has no message in it.
    let login = house.call(Call { path: LOGIN, ..ECHO }).await;
    assert_ne!(status(&login).map(|s| s.code()), Some(tonic::Code::Unauthenticated));
}

#[tokio::test]
async fn a_members_certificate_opens_nothing_whatever_else_is_shown() {
    let house = House::new().await;
    let bearer = format!("Bearer {}", house.token().await.expose());
    for role in [Role::Minion, Role::Syndic, Role::TopMaster] {
        for path in ["/relay.operator.v1.Operator/Status", LOGIN, "/no.such/Call"] {
            for headers in [&[][..], &[bearer.as_str()]] {
                let refused = house.call(Call { path, role: Some(role), headers, ..ECHO }).await;
                assert_eq!(Code::of(&status(&refused).unwrap()), Some(Code::Denied), "{role} {path}");
            }
        }
    }
    let seen = house.reported.events();
    assert!(seen.iter().filter(|e| e.kind == Kind::Deny).all(|e| e.how == "certificate"), "{seen:?}");
}

#[tokio::test]
async fn what_the_table_does_not_allow_comes_to_no_handler() {
    let house = House::new().await;
    let operator = Call { role: Some(Role::Operator), ..ECHO };
    for (path, expected) in [
        ("/relay.operator.v1.Operator/Status", None),
        // Whether the job is his own is the handler's to see.
        ("/relay.operator.v1.Operator/Cancel", None),
        ("/relay.operator.v1.Operator/PruneJobs", Some(tonic::Code::PermissionDenied)),
        ("/relay.operator.v1.Operator/NotInTheTable", Some(tonic::Code::Unimplemented)),
        ("/relay.link.v1.Link/Attach", Some(tonic::Code::Unimplemented)),
        ("/relay.trust.v1.Enrol/Request", Some(tonic::Code::Unimplemented)),
    ] {
        let code = status(&house.call(Call { path, ..operator }).await).map(|status| status.code());
        assert_eq!(code, expected, "{path}");
    }
    let seen = house.reported.events();
    assert!(matches!(&seen[..], [one] if one.kind == Kind::Deny && one.subject == "jobs.prune"), "{seen:?}");
}

#[tokio::test]
async fn a_path_written_in_another_way_is_no_call() {
    let house = House::new().await;
    let operator = Call { role: Some(Role::Operator), ..ECHO };
    for (path, method) in [
        ("/relay.operator.v1.operator/Status", "POST"),
        ("//relay.operator.v1.Operator/Status", "POST"),
        ("/relay.operator.v1.Operator/Status/", "POST"),
        ("/relay.operator.v1.Operator/", "POST"),
        ("/relay.operator.v1.Operator", "POST"),
        ("/relay.operator.v1.Operator./Status", "POST"),
        ("/relay%2Eoperator.v1.Operator/Status", "POST"),
        ("/x/../relay.operator.v1.Operator/Status", "POST"),
        ("/relay.operator.v1.Operator/Status?x", "POST"),
        ("/relay.operator.v1.Operator/Status", "GET"),
        ("/relay.operator.v1.Operator/Status", "PUT"),
    ] {
        let refused = house.call(Call { path, method, ..operator }).await;
        let code = status(&refused).map(|s| s.code());
        assert_eq!(code, Some(tonic::Code::Unimplemented), "{method} {path}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_login_it_was_made_with() {
    let house = House::new().await;
    let (token, other) = (house.token().await, house.token().await);
    let stream = async |token: &Secret| {
        let bearer = format!("Bearer {}", token.expose());
        house
            .call(Call { path: "/relay.operator.v1.Operator/Watch", headers: &[&bearer], ..ECHO })
            .await
            .into_body()
    };
    let (mut cut, mut stays) = (stream(&token).await, stream(&other).await);
    let digest = house.logins.take(token.expose()).unwrap().token.unwrap();
    house.logins.log_out(&digest).await.unwrap();
    let last = cut.frame().await.unwrap().unwrap();
    let status = Status::from_header_map(last.trailers_ref().unwrap()).unwrap();
    assert_eq!(Code::of(&status), Some(Code::Unauthenticated));
    assert!(cut.frame().await.is_none());
    let more = std::future::poll_fn(|cx| {
        Poll::Ready(hyper::body::Body::poll_frame(Pin::new(&mut stays), cx).is_pending())
    });
    assert!(more.await, "somebody else's stream goes on");
}
