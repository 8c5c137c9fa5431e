//! a01: every call there is, without credentials and with those of somebody who is no operator (CVE-2020-11651). The list is read
//! from the `.proto` files, so what is added is called, too.

use abuse_tests::{
    region::{REGION, SYNDIC, identity_of, operators, ports, region, serves_on},
    rpc,
    surface::{self, Method},
    trail::Trail,
};
use fabric_tests::{Fabric, TOP};
use prost::Message as _;
use relay_core::identity::{Identity, Role};
use relay_proto::{
    operator::{PutScheduleRequest, Schedule, SubmitRequest},
    trust::RevokeRequest,
};
use relay_runtime::{
    link::{self, Channel},
    tls,
};
use tonic::Code;

/// Calls that are answered to who shows no certificate, and what they are for. Whoever adds one has to say so here.
const OPEN: [(&str, &str); 3] = [
    ("/relay.access.v1.Access/Login", "operators"),
    ("/relay.trust.v1.Enrol/Request", "links"),
    ("/relay.trust.v1.Enrol/Renew", "links"),
];

/// A connection without a certificate; nothing where none is let in.
async fn nobody(fabric: &Fabric, at: std::net::SocketAddr, owner: &Identity) -> Option<Channel> {
    let any = fabric.pki().load("any", Role::Operator, "core");
    let tls = tls::client_without_certificate(&any.roots).expect("a TLS configuration");
    link::channel(&at.to_string(), &owner.to_dns(), tls).await.ok()
}

/// A call with an empty request, on a connection of its own. What is refused by closing the connection is refused.
async fn refusal(channel: &Channel, method: &Method) -> Code {
    match rpc::call(channel, &method.path, Vec::new()).await {
        Ok(messages) => panic!("{} was served: {messages:?}", method.path),
        Err(status) => status.code(),
    }
}

/// What says "not you", and not "not so".
fn is_no(code: Code) -> bool {
    matches!(
        code,
        Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented
            | Code::Unavailable
            | Code::Unknown
    )
}

#[tokio::test]
async fn no_call_is_served_to_who_shows_nothing() {
    let mut fabric = region().await;
    let methods = surface::methods();
    assert!(methods.len() >= 25, "only {} calls: were they found?", methods.len());
    for (open, _) in OPEN {
        assert!(methods.iter().any(|m| m.path == open), "{open} is no call any more");
    }
    for (port, at, owner) in ports(&fabric) {
        for method in &methods {
            let Some(channel) = nobody(&fabric, at, &owner).await else { continue };
            let code = refusal(&channel, method).await;
            let open = OPEN.iter().any(|(path, on)| *path == method.path && port.contains(on));
            assert!(open || is_no(code), "{port}: {} to nobody: {code:?}", method.path);
        }
    }
    // Where calls are taken, each of them is on record, as far as the bounds of the log go; where links are, there is no call.
    let trail = Trail::of(&fabric);
    let told = trail.shows(20, "deny", "127.0.0.1", &[("how", "nobody"), ("subject", "call")]).await;
    assert!(
        told.iter().all(|r| r["details"]["path"].as_str().is_some_and(|path| path.starts_with("/relay.")))
    );
    trail.is_whole();
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn no_call_of_operators_is_served_to_who_is_none() {
    let mut fabric = region().await;
    for (id, role, region) in [
        ("aws-1-m-00", Role::Minion, "aws"),
        ("mallory", Role::Syndic, "aws"),
        ("mallory", Role::TopMaster, "core"),
    ] {
        let shown = fabric.pki().load(&format!("{id}-x"), role, region);
        for method in surface::methods() {
            let channel = abuse_tests::region::channel(operators(&fabric), &identity_of(TOP), &shown).await;
            let code = refusal(&channel, &method).await;
            assert!(is_no(code), "{} to a {role}: {code:?}", method.path);
        }
    }
    // Who tried it can be read in the audit log, and that is whole.
    let trail = Trail::of(&fabric);
    for who in ["aws-1-m-00-x.minion.aws", "mallory-x.syndic.aws", "mallory-x.top-master.core"] {
        let path = [("how", "certificate"), ("subject", "call"), ("path", "/relay.")];
        trail.shows(20, "deny", who, &path).await;
    }
    trail.is_whole();
    serves_on(&mut fabric).await;
}

/// What an operator may do whom no rule names: find out who he is, and end his login.
const OWN: [&str; 3] =
    ["/relay.access.v1.Access/Login", "/relay.access.v1.Access/Logout", "/relay.access.v1.Access/WhoAmI"];

/// Each call asks its rule by itself: one that forgot to would be served here.
#[tokio::test]
async fn no_call_is_served_to_an_operator_whom_no_rule_names() {
    let policy = "version: 1\nallow: {any: {tester: ['*', '@jobs', '@runner', '@wheel']}}\n";
    let builder = Fabric::builder().syndic(SYNDIC, REGION).minions(SYNDIC, 2).policy(policy);
    let mut fabric = builder.start().await;
    let trail = Trail::of(&fabric);
    let methods = surface::methods();
    let calls = methods.iter().filter(|m| !m.path.starts_with("/relay.link.") && !m.path.contains("Enrol/"));
    let mut denied = 0;
    for method in calls.filter(|method| !OWN.contains(&&*method.path)) {
        // A caller each, so that each refusal is on record by itself.
        let name = format!("mallory-{denied}");
        let shown = fabric.pki().load(&name, Role::Operator, "core");
        let channel = abuse_tests::region::channel(operators(&fabric), &identity_of(TOP), &shown).await;
        // One that is not even whole may be told so first: that tells nothing. One in which nothing is missing is told whose it is not.
        let refusals = [(Vec::new(), &[Code::PermissionDenied, Code::InvalidArgument][..])];
        for (body, codes) in refusals.into_iter().chain([(plausible(method), &[Code::PermissionDenied][..])])
        {
            match rpc::call(&channel, &method.path, body).await {
                Ok(messages) => panic!("{} was served: {messages:?}", method.path),
                Err(status) => assert!(codes.contains(&status.code()), "{}: {status}", method.path),
            }
        }
        trail.shows(1, "deny", &name, &[("how", "certificate")]).await;
        denied += 1;
    }
    assert!(denied >= 35, "only {denied} calls: were they found?");
    trail.is_whole();
    serves_on(&mut fabric).await;
}

/// A request of which nothing is missing.
fn plausible(method: &Method) -> Vec<u8> {
    let job = SubmitRequest {
        request_id: vec![7; 16],
        target: "*".into(),
        function: "test.ping".into(),
        args: br#"{"args":[],"kwargs":{}}"#.to_vec(),
        ..Default::default()
    };
    match method.path.rsplit('/').next().unwrap_or_default() {
        "Submit" | "Plan" => job.encode_to_vec(),
        "PutSchedule" => {
            let job = SubmitRequest { request_id: Vec::new(), ..job };
            let (name, cron) = ("abuse".into(), "0 0 1 1 *".into());
            let schedule = Schedule { name, cron, job: Some(job), ..Default::default() };
            PutScheduleRequest { schedule: Some(schedule), replace: true }.encode_to_vec()
        }
        "Revoke" => RevokeRequest { uid: 1, up_to_generation: 1 }.encode_to_vec(),
        // A name, a target, an id: whatever text comes first.
        _ => method
            .fields
            .iter()
            .filter(|field| !field.is_bytes)
            .take(1)
            .flat_map(|f| f.request(b"x"))
            .collect(),
    }
}
