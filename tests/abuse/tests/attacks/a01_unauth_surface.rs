//! a01: every call there is, without credentials and with those of somebody who is no operator (CVE-2020-11651). The list is read
//! from the `.proto` files, so what is added is called, too.

use abuse_tests::{
    console::Console,
    region::{identity_of, operators, ports, region, serves_on},
    rpc,
    surface::{self, Method},
};
use fabric_tests::{Fabric, TOP};
use relay_core::identity::{Identity, Role};
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
    let console = Console::of(&fabric, "console");
    let told = console.run(&["audit", "tail", "-n", "1000", "--out", "jsonl"]);
    assert_eq!(told.code, 0, "{}", told.said);
    for id in ["aws-1-m-00-x", "mallory-x"] {
        let denied = told.said.lines().any(|line| line.contains("\"deny\"") && line.contains(id));
        assert!(denied, "nothing about {id} in {}", told.said);
    }
    let export = fabric.dir().join("export.jsonl").display().to_string();
    let exported = console.run(&["audit", "export", &export]);
    assert_eq!(exported.code, 0, "{}", exported.said);
    serves_on(&mut fabric).await;
}
