//! a25: certificates that are nearly right, against real ports; and servers that are no servers, against real children. What is
//! checked in the process itself is in `relay-runtime`'s tests; `no_dangerous_tls` reads the tree.

use abuse_tests::{
    forge::{Forger, Leaf, dns},
    h2::Wire,
    region::{REGION, SYNDIC, identity_of, insider, ports, region, serves_on},
};
use fabric_tests::{
    TOP,
    pki::{Pki, who},
    until,
};
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use relay_core::identity::{Identity, Role};
use relay_runtime::{identity::LoadedIdentity, tls};

/// The right certificate for a port.
fn right(port: &str) -> Identity {
    match port {
        "operators" => who("mallory", Role::Operator, "core"),
        "links of the top master" => who("mallory", Role::Syndic, REGION),
        _ => who("mallory", Role::Minion, REGION),
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// Certificates by the fabric's own root, wrong in one thing.
fn wrong(forger: &Forger, like: &Identity) -> Vec<(&'static str, LoadedIdentity)> {
    let name = like.to_dns();
    let leaf = || Leaf::of(like);
    let one = |what, leaf: Leaf| (what, forger.forge(leaf, like));
    let other = name.replace("mallory", "*");
    vec![
        one("expired", Leaf { life: (-7_200, -3_600), ..leaf() }),
        one("not valid yet", Leaf { life: (3_600, 7_200), ..leaf() }),
        one("for servers only", Leaf { usages: vec![ExtendedKeyUsagePurpose::ServerAuth], ..leaf() }),
        one("for signing code", Leaf { usages: vec![ExtendedKeyUsagePurpose::CodeSigning], ..leaf() }),
        one("a wildcard", Leaf { names: vec![dns(&other)], ..leaf() }),
        one("two names", Leaf { names: vec![dns(&name), dns(&name.replace("mallory", "bob"))], ..leaf() }),
        one("its name twice", Leaf { names: vec![dns(&name), dns(&name)], ..leaf() }),
        one("a URI beside", Leaf { names: vec![dns(&name), uri("spiffe://test.example/root")], ..leaf() }),
        one("a URI instead", Leaf { names: vec![uri(&format!("https://{name}"))], ..leaf() }),
        one(
            "an address instead",
            Leaf { names: vec![SanType::IpAddress("127.0.0.1".parse().unwrap())], ..leaf() },
        ),
        one(
            "an e-mail beside",
            Leaf { names: vec![dns(&name), SanType::Rfc822Name("a@b.c".try_into().unwrap())], ..leaf() },
        ),
        one("only a common name", Leaf { names: vec![], common_name: Some(name.clone()), ..leaf() }),
        one(
            "another fabric",
            Leaf { names: vec![dns(&name.replace("test.example", "test.example.evil"))], ..leaf() },
        ),
        one("no fabric", Leaf { names: vec![dns("localhost")], ..leaf() }),
        one(
            "an unknown role",
            Leaf { names: vec![dns(&name.replace(like.role().word(), "root"))], ..leaf() },
        ),
        one("capitals", Leaf { names: vec![dns(&name.replace("test.example", "TEST.example"))], ..leaf() }),
        one("a dot at the end", Leaf { names: vec![dns(&format!("{name}."))], ..leaf() }),
        (
            "signed by a member",
            forger.forge_below(Leaf::of(&who("aws-1-m-00", Role::Minion, REGION)), leaf(), like),
        ),
    ]
}

#[tokio::test]
async fn a_certificate_that_is_wrong_in_one_thing_opens_nothing() {
    let mut fabric = region().await;
    let forger = Forger::with_key_in(fabric.pki().root().parent().unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    let alien = Pki::create(elsewhere.path());
    for (port, at, owner) in ports(&fabric) {
        let like = right(port);
        let good = forger.forge(Leaf::of(&like), &like);
        // The forger's certificate is as good as the authority's where nothing is wrong with it.
        let mut control = Wire::connect(at, &owner.to_dns(), &good).await.unwrap();
        assert!(control.is_let_in().await.unwrap(), "{port}: a certificate with which nothing is wrong");
        let mut cases = wrong(&forger, &like);
        let roots = good.roots.clone();
        cases.push((
            "another root",
            LoadedIdentity { roots, ..alien.load("mallory", like.role(), like.region().as_str()) },
        ));
        // A certificate without its key (a16): somebody else's certificate, and the attacker's own key.
        let (roots, certs) = (good.roots.clone(), insider(&fabric, port).certs);
        cases
            .push(("another's key", LoadedIdentity { roots, certs, ..forger.forge(Leaf::of(&like), &like) }));
        for (what, shown) in cases {
            if tls::client(&shown).is_err() {
                // Not even our own client would show it.
                assert_eq!(what, "another's key", "{port}");
                continue;
            }
            let opened = match Wire::connect(at, &owner.to_dns(), &shown).await {
                Ok(mut wire) => wire.is_let_in().await.unwrap(),
                Err(_) => false,
            };
            assert!(!opened, "{port}: {what}");
        }
    }
    let refused = fabric.metric(TOP, "relay_handshakes_refused_total", "");
    assert!(refused >= 36.0, "only {refused} refusals are counted");
    serves_on(&mut fabric).await;
}

/// Serves TLS under a certificate until somebody connects; says how the handshake ended, seen from here.
async fn impostor(at: std::net::SocketAddr, shown: &LoadedIdentity) -> Result<(), String> {
    // Of a syndic that is down. For a moment another test's connection may have it, or a minion that dialled itself.
    let listener = until("the syndic's port", async || tokio::net::TcpListener::bind(at).await.ok()).await;
    let acceptor = tokio_rustls::TlsAcceptor::from(tls::server(shown).expect("a TLS configuration"));
    let (socket, _) = listener.accept().await.unwrap();
    acceptor.accept(socket).await.map(drop).map_err(|e| e.to_string())
}

#[tokio::test]
async fn a_minion_or_a_stranger_is_no_syndic_to_a_minion() {
    let mut fabric = region().await;
    let at = fabric.listen(SYNDIC);
    let forger = Forger::with_key_in(fabric.pki().root().parent().unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    let alien = Pki::create(elsewhere.path());
    let syndic = identity_of(SYNDIC);
    let roots = fabric.pki().load("x", Role::Minion, REGION).roots;
    let serving = |names: Vec<SanType>| Leaf {
        names,
        usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        ..Leaf::of(&syndic)
    };
    let impostors = [
        ("a minion", fabric.pki().load("aws-1-m-00", Role::Minion, REGION)),
        // The syndic's own name, in a certificate that is not for servers.
        ("a client by that name", forger.forge(Leaf::of(&syndic), &syndic)),
        ("another syndic", fabric.pki().load("aws-9", Role::Syndic, REGION)),
        ("another region's", forger.forge(serving(vec![dns("aws-1.syndic.azure.test.example")]), &syndic)),
        (
            "expired",
            forger.forge(Leaf { life: (-7_200, -60), ..serving(vec![dns(&syndic.to_dns())]) }, &syndic),
        ),
        ("a wildcard", forger.forge(serving(vec![dns("*.syndic.aws.test.example")]), &syndic)),
        (
            "two names",
            forger.forge(serving(vec![dns(&syndic.to_dns()), dns("aws-2.syndic.aws.test.example")]), &syndic),
        ),
        ("another root's", alien.load(SYNDIC, Role::Syndic, REGION)),
    ];
    fabric.kill9(SYNDIC);
    for (what, shown) in impostors {
        let shown = LoadedIdentity { roots: roots.clone(), ..shown };
        let shaken = tokio::time::timeout(std::time::Duration::from_secs(30), impostor(at, &shown)).await;
        let shaken = shaken.unwrap_or_else(|_| panic!("{what}: nobody dialled"));
        // With these TLS is content, and what comes after it is not: the link is not attached.
        if !["two names", "a wildcard"].contains(&what) {
            shaken.expect_err(what);
        }
    }
    assert!(
        !fabric
            .log("aws-1-m")
            .lines()
            .rev()
            .take_while(|l| !l.contains("link lost"))
            .any(|l| l.contains("attached"))
    );
    fabric.restart(SYNDIC).await;
    until("the minions to be back", async || (fabric.up().await.len() == 2).then_some(())).await;
    serves_on(&mut fabric).await;
}
