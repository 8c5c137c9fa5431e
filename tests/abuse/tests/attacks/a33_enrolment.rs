//! a16, a26, a33 of joining: requests that are forged, tokens that are not good, names that are taken, copies. None gets a certificate, and
//! each is on record with who asked.

use abuse_tests::{
    region::{REGION, SYNDIC, channel, identity_of, serves_on},
    trail::Trail,
};
use fabric_tests::{Fabric, TOP, newcomer::Decision, pki::who};
use relay_core::identity::Role;
use relay_proto::{
    Code,
    trust::{EnrolRequest, RenewRequest, enrol_client::EnrolClient},
};
use relay_runtime::enrol::{FORMAT, proof::OwnKey};

/// Where newcomers call from.
const HERE: &str = "127.0.0.1";

async fn region() -> Fabric {
    Fabric::builder().syndic(SYNDIC, REGION).minions(SYNDIC, 2).start().await
}

fn request(id: &str, region: &str, csr: &[u8]) -> EnrolRequest {
    EnrolRequest {
        format: FORMAT,
        id: id.into(),
        role: "minion".into(),
        region: region.into(),
        csr: csr.to_vec(),
        ..Default::default()
    }
}

/// A syndic in the attacker's hands asks for others, past its own gate.
#[tokio::test]
async fn a_syndic_gets_nobody_in_who_is_not_of_its_region() {
    let mut fabric = region().await;
    let trail = Trail::of(&fabric);
    let shown = fabric.pki().load("mallory", Role::Syndic, REGION);
    let channel = channel(fabric.listen(TOP), &identity_of(TOP), &shown).await;
    let mut enrol = EnrolClient::new(channel);
    let csr = OwnKey::generate().unwrap().csr().unwrap();
    let refused = enrol.request(request("web01", "azure", &csr)).await.unwrap_err();
    assert_eq!(Code::of(&refused), Some(Code::Denied), "{refused}");
    trail
        .shows(1, "deny", "mallory.syndic.aws", &[("subject", "web01"), ("why", "passes on for region")])
        .await;
    // A token that nobody made; the proof is good for itself. And one whose proof is for another name.
    let token = relay_core::enrol::token::JoinToken::of(rand::random());
    let key = relay_runtime::enrol::proof::TokenKey::of(&token).unwrap();
    let asked = request("web02", REGION, &csr);
    let join = Some(key.prove(&who("web02", Role::Minion, REGION), &csr));
    let refused = enrol.request(EnrolRequest { join, ..asked.clone() }).await.unwrap_err();
    assert_eq!(Code::of(&refused), Some(Code::Denied), "{refused}");
    trail.shows(1, "deny", "", &[("how", "token"), ("subject", "web02"), ("why", "")]).await;
    let join = Some(key.prove(&who("web01", Role::Minion, REGION), &csr));
    let refused = enrol.request(EnrolRequest { join, ..asked }).await.unwrap_err();
    assert_eq!(Code::of(&refused), Some(Code::Invalid), "{refused}");
    // What is forged in itself is no request, and changes nothing.
    let mut forged = csr.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    for csr in [&forged[..], &[], &[0xff; 64]] {
        let refused = enrol.request(request("web03", REGION, csr)).await.unwrap_err();
        assert_eq!(Code::of(&refused), Some(Code::Invalid), "{refused}");
    }
    // A renewal with somebody else's certificate and a key of its own (a16).
    let victim = fabric.pki().load("aws-1-m-00", Role::Minion, REGION);
    let chain = victim.certs.iter().map(|der| der.to_vec()).collect();
    let renewal = RenewRequest { format: FORMAT, chain, csr, signature: vec![7; 70], ..Default::default() };
    let refused = enrol.renew(renewal).await.unwrap_err();
    assert!(matches!(Code::of(&refused), Some(Code::Invalid | Code::Denied)), "{refused}");
    for id in ["web01", "web02", "web03"] {
        assert_eq!(fabric.operator().keys(id).await.unwrap(), [], "{id}");
    }
    trail.is_whole();
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn another_key_for_a_name_and_a_deleted_one_are_on_record() {
    let mut fabric = region().await;
    let trail = Trail::of(&fabric);
    fabric.newcomer("web01", "web01", SYNDIC, "").start();
    let first = fabric.stands("web01", "pending").await;
    trail
        .shows(1, "enrol", HERE, &[("subject", "web01"), ("asking_key", &first.fingerprint), ("via", SYNDIC)])
        .await;
    fabric.decide(Decision::Accept, "web01").await;
    fabric.minion_is("web01", true).await;
    trail
        .shows(
            1,
            "enrol",
            "tester",
            &[("event", "keys.accepted"), ("subject", "web01"), ("fingerprint", &first.fingerprint)],
        )
        .await;
    fabric.newcomer("other", "web01", SYNDIC, "").start();
    let conflict =
        [("subject", "web01"), ("event", "enrol.conflict"), ("state", "accepted"), ("via", SYNDIC)];
    let told = trail.shows(1, "deny", HERE, &conflict).await;
    assert_ne!(told[0]["details"]["asking_key"], first.fingerprint.as_str());
    fabric.kill9("other");
    fabric.decide(Decision::Delete, "web01").await;
    fabric.minion_is("web01", false).await;
    trail.shows(1, "enrol", "tester", &[("subject", "web01"), ("event", "keys.deleted")]).await;
    // Its certificate opens nothing any more: it is cut off in the handshake.
    fabric.kill9("web01");
    fabric.daemon("web01").start();
    fabric.metric_reaches(SYNDIC, "relay_handshakes_refused_total", "why=\"revoked\"", 1.0).await;
    fabric.kill9("web01");
    trail.is_whole();
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn a_copy_is_on_record_with_where_it_asked_from() {
    let mut fabric = region().await;
    let trail = Trail::of(&fabric);
    fabric.certificate_life(10).await;
    fabric.newcomer("web01", "web01", SYNDIC, "").start();
    fabric.stands("web01", "pending").await;
    fabric.decide(Decision::Accept, "web01").await;
    fabric.minion_is("web01", true).await;
    fabric.kill9("web01");
    fabric.cloned("web01", "copy");
    for process in ["web01", "copy"] {
        fabric.daemon(process).start();
    }
    fabric.stands("web01", "quarantined").await;
    let cloned =
        [("subject", "web01"), ("event", "enrol.clone_detected"), ("why", "clone detected"), ("from", HERE)];
    trail.shows(1, "deny", "web01", &cloned).await;
    fabric.minion_is("web01", false).await;
    for process in ["web01", "copy"] {
        fabric.kill9(process);
    }
    trail.is_whole();
    serves_on(&mut fabric).await;
}
