//! Certificates of the right shape and of every wrong one, made with rcgen.

use std::net::IpAddr;

use rcgen::{CertificateParams, KeyPair, SanType};
use relay_core::identity::{Role, check_region};

use super::*;
use crate::authority::DevAuthority;

fn fabric() -> FabricName {
    "acme.example".parse().unwrap()
}

fn minion() -> Identity {
    Identity::new("web01", Role::Minion, check_region("aws").unwrap(), fabric()).unwrap()
}

/// A self-signed certificate with these names; `peer_identity` looks at names alone.
fn named(names: Vec<SanType>) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    // A good name where it does not count.
    params.distinguished_name.push(rcgen::DnType::CommonName, minion().to_dns());
    params.subject_alt_names = names;
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

#[test]
fn one_dns_name_is_an_identity() {
    assert_eq!(peer_identity(&named(vec![dns(&minion().to_dns())]), &fabric()).unwrap(), minion());
}

#[test]
fn every_other_shape_is_refused() {
    let good = || dns("web01.minion.aws.acme.example");
    let ip = SanType::IpAddress(IpAddr::from([127, 0, 0, 1]));
    let uri = SanType::URI("spiffe://acme.example/web01".try_into().unwrap());
    let mail = SanType::Rfc822Name("web01.minion.aws.acme.example".try_into().unwrap());
    for (names, said) in [
        (vec![], "no DNS name"),
        (vec![dns("*.minion.aws.acme.example")], "wildcard"),
        (vec![good(), dns("web02.minion.aws.acme.example")], "2 names"),
        (vec![good(), good()], "2 names"),
        (vec![good(), ip.clone()], "2 names"),
        (vec![uri.clone(), good()], "2 names"),
        (vec![ip], "not a DNS name"),
        (vec![uri], "not a DNS name"),
        (vec![mail], "not a DNS name"),
        (vec![dns("web01.minion.aws.other.example")], "is not of the fabric"),
        (vec![dns("web01.king.aws.acme.example")], "no role"),
        (vec![dns("minion.aws.acme.example")], "not of the form"),
        (vec![dns("web01.minion.aws.acme.example\0.evil")], "is not of the fabric"),
    ] {
        let error = peer_identity(&named(names), &fabric()).unwrap_err().to_string();
        assert!(error.contains(said), "{said:?} not in {error:?}");
    }
    let mut torn = named(vec![good()]).to_vec();
    torn.push(0);
    assert!(peer_identity(&torn.clone().into(), &fabric()).is_err(), "bytes after the end");
    torn.truncate(100);
    assert!(peer_identity(&torn.into(), &fabric()).is_err(), "cut off");
}

#[test]
fn an_alien_root_is_refused() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let our_root = DevAuthority::create(ours.path(), fabric()).unwrap();
    let alien = DevAuthority::create(theirs.path(), fabric()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(our_root.root_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let verify = |authority: &DevAuthority| {
        let (pem, _) = authority.issue_pem(&minion()).unwrap();
        let leaf = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        verifier.verify_client_cert(&leaf, &[], UnixTime::now())
    };
    assert!(verify(&our_root).is_ok());
    // Same fabric name, same subject of the root, other key.
    assert!(verify(&alien).is_err());
    // Opened again it is the same root.
    assert!(verify(&DevAuthority::open(ours.path(), fabric()).unwrap()).is_ok());
}

#[test]
fn what_was_issued_loads() {
    let dir = tempfile::tempdir().unwrap();
    let authority = DevAuthority::create(dir.path(), fabric()).unwrap();
    let tls = authority.issue(&minion(), &dir.path().join("pki")).unwrap();
    let loaded = load(&tls, &fabric()).unwrap();
    assert_eq!((loaded.identity, loaded.certs.len(), loaded.roots.len()), (minion(), 1, 1));
    let again = authority.issue(&minion(), &dir.path().join("pki")).unwrap();
    assert_eq!(load(&again, &fabric()).unwrap().identity, minion());
    assert!(load(&tls, &"other.example".parse().unwrap()).is_err());
}
