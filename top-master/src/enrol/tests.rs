//! The desk with real keys, certificates and a real store: what is durable, what is written down, what happens at once.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use relay_core::{
    access::{Caller, How},
    audit::Kind,
    enrol::{Denial, token::JoinToken},
    identity::{FabricName, Identity, Role, check_region},
};
use relay_proto::{
    Code,
    trust::{
        CreateTokenRequest, EnrolReply, EnrolRequest, Key, ListKeysRequest, Named, RenewRequest, enrol_reply,
        enrol_server::Enrol as _,
    },
};
use relay_runtime::{
    authority::{DevAuthority, Held, PublicKey, Scope},
    clock::Clock,
    enrol::{
        FORMAT,
        proof::{OwnKey, TokenKey},
    },
    link::accept::Peer,
    store::{SqliteStore, Store},
    trust::{self, Enrolment},
};
use rustls_pki_types::CertificateDer;
use tonic::{Request, Status};

use super::{Authority, Desk, EnrolService, Parts, members};
use crate::audit::{Audit, Reported};

const FABRIC: &str = "acme.example";

fn fabric() -> FabricName {
    FABRIC.parse().unwrap()
}

/// Issuers of a throw-away authority; remembers what was denied.
struct Issuers {
    held: Held,
    denied: Mutex<Vec<Denial>>,
}

impl Authority for Issuers {
    fn issue(
        &self,
        who: &Identity,
        spki: &[u8],
        enrolment: Enrolment,
    ) -> Result<Vec<CertificateDer<'static>>, String> {
        let public = PublicKey::from_spki(spki).unwrap();
        let issued = self.held.issue(who, &public, enrolment, self.life(), trust::now());
        issued.map_err(|error| error.to_string())
    }
    fn life(&self) -> Duration {
        Duration::from_secs(3_600)
    }
    fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.held.anchors().roots.iter().map(|root| root.certificate.clone()).collect()
    }
    fn bundle(&self) -> Option<Bytes> {
        None
    }
    fn deny(&self, denial: Denial) -> BoxFuture<'_, Result<(), String>> {
        self.denied.lock().unwrap().push(denial);
        Box::pin(async { Ok(()) })
    }
}

struct Place {
    dir: tempfile::TempDir,
    store: Arc<dyn Store>,
    issuers: Arc<Issuers>,
    desk: Desk,
    reported: Reported,
}

async fn open(dir: &Path) -> Arc<dyn Store> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&dir.join("store")).unwrap());
    store.begin().await.unwrap();
    store
}

impl Place {
    async fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let authority = DevAuthority::create(&dir.path().join("ca"), fabric()).unwrap();
        authority.add_issuers(&[Scope::Region(check_region("aws").unwrap())]).unwrap();
        let issuers = Arc::new(Issuers { held: authority.held().unwrap(), denied: Mutex::default() });
        let store = open(dir.path()).await;
        let (desk, reported) = desk(store.clone(), issuers.clone()).await;
        Place { dir, store, issuers, desk, reported }
    }

    /// The next owner, with the same store.
    async fn again(&mut self) {
        self.store.close().await;
        self.store = open(self.dir.path()).await;
        (self.desk, self.reported) = desk(self.store.clone(), self.issuers.clone()).await;
    }

    async fn ask(&self, id: &str, key: &OwnKey, token: Option<&TokenKey>) -> Result<EnrolReply, Status> {
        self.ask_from(id, key, token, None).await
    }

    async fn ask_from(
        &self,
        id: &str,
        key: &OwnKey,
        token: Option<&TokenKey>,
        via: Option<Identity>,
    ) -> Result<EnrolReply, Status> {
        let csr = key.csr().unwrap();
        let request = EnrolRequest {
            format: FORMAT,
            id: id.into(),
            role: "minion".into(),
            region: "aws".into(),
            join: token.map(|token| token.prove(&who(id, Role::Minion, "aws"), &csr)),
            csr,
            software: "test".into(),
            from: "192.0.2.7".into(),
        };
        let service = EnrolService::new(self.desk.clone());
        service.request(by(request, via)).await.map(tonic::Response::into_inner)
    }

    async fn renew(&self, chain: &[Vec<u8>], held: &OwnKey, next: &OwnKey) -> Result<EnrolReply, Status> {
        let csr = next.csr().unwrap();
        let request = RenewRequest {
            format: FORMAT,
            chain: chain.to_vec(),
            signature: held.sign_renewal(&csr).unwrap(),
            csr,
            from: String::new(),
        };
        let service = EnrolService::new(self.desk.clone());
        service.renew(by(request, None)).await.map(tonic::Response::into_inner)
    }

    async fn one(&self, id: &str) -> Key {
        let request = ListKeysRequest { ids: vec![id.into()], ..ListKeysRequest::default() };
        self.desk.listed(request).await.unwrap().pop().unwrap()
    }

    async fn accept(&self, id: &str) {
        let key = self.one(id).await;
        let named = Named { id: key.id, role: key.role, region: key.region, fingerprint: key.fingerprint };
        let decided = self.desk.decide(&alice(), &named, members::let_in).await.unwrap();
        assert!(decided.done, "{}", decided.why);
    }

    /// A member's key and its first certificate.
    async fn member(&self, id: &str) -> (OwnKey, Vec<Vec<u8>>) {
        let key = OwnKey::generate().unwrap();
        assert_eq!(state(&self.ask(id, &key, None).await), "pending");
        self.accept(id).await;
        let chain = issued(self.ask(id, &key, None).await);
        (key, chain)
    }
}

async fn desk(store: Arc<dyn Store>, issuers: Arc<Issuers>) -> (Desk, Reported) {
    let (audit, reported) = Audit::double();
    let parts = Parts { fabric: fabric(), store, authority: issuers, audit, clock: Clock::start() };
    (Desk::open(parts).await.unwrap(), reported)
}

fn who(id: &str, role: Role, region: &str) -> Identity {
    Identity::new(id, role, check_region(region).unwrap(), fabric()).unwrap()
}

fn alice() -> Caller {
    Caller::new("alice", [], How::Certificate).unwrap()
}

fn by<T>(request: T, via: Option<Identity>) -> Request<T> {
    let mut request = Request::new(request);
    let peer = Peer {
        identity: via.map(Arc::new),
        enrolment: Enrolment::NONE,
        address: "192.0.2.1:999".parse().unwrap(),
    };
    request.extensions_mut().insert(peer);
    request
}

fn state(reply: &Result<EnrolReply, Status>) -> String {
    match reply {
        Err(status) => Code::of(status).map_or_else(|| status.to_string(), |code| code.word().into()),
        Ok(reply) => match reply.state.as_ref().unwrap() {
            enrol_reply::State::Pending(_) => "pending".into(),
            enrol_reply::State::Issued(_) => "issued".into(),
            enrol_reply::State::Refused(refused) => refused.state.clone(),
        },
    }
}

fn issued(reply: Result<EnrolReply, Status>) -> Vec<Vec<u8>> {
    match reply.unwrap().state.unwrap() {
        enrol_reply::State::Issued(issued) => issued.chain,
        other => panic!("{other:?}"),
    }
}

fn enrolment(chain: &[Vec<u8>]) -> Enrolment {
    Enrolment::of_certificate(&CertificateDer::from(chain[0].clone()))
}

#[tokio::test]
async fn who_waits_and_who_is_a_member_outlives_the_owner_and_is_written_down() {
    let mut place = Place::new().await;
    let (key, chain) = place.member("web01").await;
    let waiting = OwnKey::generate().unwrap();
    assert_eq!(state(&place.ask("web02", &waiting, None).await), "pending");
    let words: Vec<(Kind, String)> = place
        .reported
        .events()
        .iter()
        .map(|event| (event.kind, event.details.get("event").cloned().unwrap_or_default()))
        .collect();
    let expected = ["enrol.asked", "keys.accepted", "enrol.issued", "enrol.asked"];
    assert_eq!(words, expected.map(|word| (Kind::Enrol, word.to_owned())));
    assert_eq!(place.reported.events()[1].who, "alice");
    place.again().await;
    assert_eq!(place.desk.waiting.all(), 1);
    assert_eq!(state(&place.ask("web02", &waiting, None).await), "pending");
    let again = issued(place.ask("web01", &key, None).await);
    assert_eq!(enrolment(&again), enrolment(&chain), "a lost answer is given again, with the same number");
    assert!(place.reported.events().is_empty(), "nothing has happened: {:?}", place.reported.seen());
    assert_eq!(place.one("web01").await.from, "192.0.2.1", "only a syndic is believed about others");
}

#[tokio::test]
async fn a_copy_is_denied_before_it_is_told_and_again_after_a_crash() {
    let mut place = Place::new().await;
    let (key, chain) = place.member("web01").await;
    let [a, b, c] = [(); 3].map(|()| OwnKey::generate().unwrap());
    let second = issued(place.renew(&chain, &key, &a).await);
    assert_eq!(enrolment(&second).generation, 2);
    assert_eq!(state(&place.renew(&chain, &key, &a).await), "issued", "the answer was lost");
    assert!(place.issuers.denied.lock().unwrap().is_empty());
    assert_eq!(state(&place.renew(&chain, &key, &b).await), "quarantined");
    assert_eq!(state(&place.renew(&second, &a, &c).await), "quarantined");
    let uid = enrolment(&chain).uid;
    let denied = |place: &Place| {
        place.issuers.denied.lock().unwrap().iter().map(|d| (d.uid, d.up_to)).collect::<Vec<_>>()
    };
    assert_eq!(denied(&place), [(uid, u32::MAX)]);
    let caught = place.reported.events().pop().unwrap();
    assert_eq!((caught.kind, caught.details["event"].as_str()), (Kind::Deny, "enrol.clone_detected"));
    // It may be that the owner died between the two.
    place.again().await;
    assert_eq!(denied(&place), [(uid, u32::MAX); 2]);
}

#[tokio::test]
async fn a_renewal_needs_the_key_and_a_certificate_of_this_fabric() {
    let place = Place::new().await;
    let (key, chain) = place.member("web01").await;
    let [next, other] = [(); 2].map(|()| OwnKey::generate().unwrap());
    assert_eq!(state(&place.renew(&chain, &other, &next).await), "invalid", "signed by another key");
    let elsewhere = Place::new().await;
    let (alien, foreign) = elsewhere.member("web01").await;
    assert_eq!(state(&place.renew(&foreign, &alien, &next).await), "denied");
    assert_eq!(state(&place.renew(&[], &key, &next).await), "invalid");
    assert_eq!(state(&place.renew(&chain, &key, &next).await), "issued");
    assert_eq!(place.one("web01").await.generation, 2);
}

#[tokio::test]
async fn uses_of_a_token_are_spent_once_each_however_many_come_at_once() {
    let place = Place::new().await;
    let token = TokenKey::of(&JoinToken::of([9; 16])).unwrap();
    let request = CreateTokenRequest {
        public: token.public(),
        role: "minion".into(),
        region: "aws".into(),
        id: "web*".into(),
        uses: 3,
        ttl_s: 60,
        cidrs: vec!["192.0.2.0/24".into()],
    };
    let (hash, made) = members::made(request, "alice").unwrap();
    place.desk.keep_token(&hash, &made).await.unwrap();
    let mut asked = tokio::task::JoinSet::new();
    let place = Arc::new(place);
    for n in 0..8 {
        let place = place.clone();
        asked.spawn(async move {
            let token = TokenKey::of(&JoinToken::of([9; 16])).unwrap();
            state(&place.ask(&format!("web0{n}"), &OwnKey::generate().unwrap(), Some(&token)).await)
        });
    }
    let told = asked.join_all().await;
    // Who was pushed aside too often is told to come again; nobody gets in beyond the uses.
    let joined = told.iter().filter(|told| *told == "issued").count();
    assert!(
        (1..=3).contains(&joined)
            && told.iter().all(|told| ["issued", "denied", "busy"].contains(&told.as_str())),
        "{told:?}"
    );
    assert_eq!(place.desk.tokens().await.unwrap()[0].token.used, joined as u32);
    let refused = place.ask("db01", &OwnKey::generate().unwrap(), Some(&token)).await.unwrap_err();
    assert_eq!(refused.message(), "the join token is not good for this", "not why");
    let denied = place.reported.events().into_iter().rev().find(|event| event.kind == Kind::Deny).unwrap();
    assert!(
        ["it is for ids like web*", "it was used as often as it may be"]
            .contains(&denied.details["why"].as_str())
    );
    // Revoked, it is good for nobody.
    let name = place.desk.tokens().await.unwrap()[0].name.clone();
    place.desk.revoke_token(&name).await.unwrap();
    assert_eq!(state(&place.ask("web99", &OwnKey::generate().unwrap(), Some(&token)).await), "denied");
}

#[tokio::test]
async fn a_syndic_passes_on_for_its_own_region_and_says_where_from() {
    let place = Place::new().await;
    let key = OwnKey::generate().unwrap();
    let far = who("azure-1", Role::Syndic, "azure");
    assert_eq!(state(&place.ask_from("web01", &key, None, Some(far)).await), "denied");
    assert_eq!(place.reported.events()[0].kind, Kind::Deny);
    let near = who("aws-1", Role::Syndic, "aws");
    assert_eq!(state(&place.ask_from("web01", &key, None, Some(near)).await), "pending");
    let known = place.one("web01").await;
    assert_eq!((known.from.as_str(), known.via.as_str()), ("192.0.2.7", "aws-1"));
}

#[tokio::test]
async fn who_has_gone_away_is_forgotten_and_makes_room() {
    let place = Place::new().await;
    let (_, _) = place.member("web01").await;
    assert_eq!(state(&place.ask("web02", &OwnKey::generate().unwrap(), None).await), "pending");
    let now = relay_runtime::clock::wall();
    place.desk.sweep(now).await.unwrap();
    assert_eq!(place.desk.waiting.all(), 1);
    place.desk.sweep(now + 2 * relay_core::enrol::PENDING_FOR).await.unwrap();
    assert_eq!(place.desk.waiting.all(), 0);
    let all = place.desk.listed(ListKeysRequest::default()).await.unwrap();
    assert_eq!(all.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["web01"]);
}
