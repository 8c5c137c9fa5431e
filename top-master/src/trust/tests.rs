//! The owner's book: who is named in it, what survives, what is refused.

use std::sync::Arc;

use relay_core::{
    identity::{Identity, Role, check_region},
    signing::{JobKeys as _, JobSigner as _, Span},
};
use relay_runtime::{
    authority::{Authority, DevAuthority, Scope},
    config::{TlsConfig, TopMasterConfig, load_top_master},
    store::{SqliteStore, Store},
    trust::{Denied, Enrolment},
};

use super::{book::BookError, *};
use crate::audit::Audit;

const FABRIC: &str = "acme.example";

/// A top master's files, and a store.
struct Place {
    dir: tempfile::TempDir,
    store: Arc<dyn Store>,
}

fn who() -> Identity {
    Identity::new("top-1", Role::TopMaster, check_region("core").unwrap(), FABRIC.parse().unwrap()).unwrap()
}

impl Place {
    async fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let authority = DevAuthority::create(&dir.path().join("ca"), FABRIC.parse().unwrap()).unwrap();
        authority.issue(&who(), &dir.path().join("pem")).unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&dir.path().join("store")).unwrap());
        store.begin().await.unwrap();
        Place { dir, store }
    }

    /// The configuration with this directory of trust and this state.
    fn config(&self, trust: &str, state: &str) -> TopMasterConfig {
        let file = self.dir.path().join("config.yaml");
        std::fs::write(self.dir.path().join("policy.yaml"), "{version: 1, allow: {any: {'*': ['*']}}}")
            .unwrap();
        let text = format!(
            "id: top-1\nregion: core\nfabric: {FABRIC}\nlisten: 127.0.0.1:0\noperators: 127.0.0.1:0\nadmin: 127.0.0.1:0\n\
             state_dir: {state}\ntls: {{ca: ca/ca.crt, cert: pem/top-1.pem, key: pem/top-1.key}}\ntrust: {{dir: {trust}}}\npolicy: policy.yaml\n"
        );
        std::fs::write(&file, text).unwrap();
        load_top_master(&file).unwrap_or_else(|e| panic!("{e}"))
    }

    fn open(&self, state: &str) -> Trust {
        let config = self.config("ca/trust", state);
        std::fs::create_dir_all(&config.state_dir).unwrap();
        Trust::open(&config).unwrap_or_else(|e| panic!("{e:#}")).0
    }

    async fn begin(&self, state: &str) -> (Trust, Book) {
        let trust = self.open(state);
        let book = Book::begin(trust.clone(), self.store.clone(), Audit::double().0).await.unwrap();
        (trust, book)
    }
}

fn span() -> Span {
    let now = trust::now() * 1_000_000;
    Span { not_before: now, not_after: now + 1_000_000 }
}

#[tokio::test]
async fn jobs_are_signed_by_a_key_that_the_bundle_names() {
    let place = Place::new().await;
    let trust = place.open("state");
    assert!(trust.signing().sign(b"job", span()).is_err(), "nobody has heard of it yet");
    Book::begin(trust.clone(), place.store.clone(), Audit::double().0).await.unwrap();
    let signature = trust.signing().sign(b"job", span()).unwrap();
    let public = trust.trusted().key(signature.key, span()).unwrap();
    assert!(trust::key::ed25519_signed(&public, b"job", &signature.bytes));
}

async fn deny(book: &Book, uid: u64, up_to_generation: u32) -> Result<(), BookError> {
    let now = trust::now();
    book.deny(Denied { uid, up_to_generation, until: now + 3_600 }, now).await
}

/// A takeover: what the former owner signed still counts, and who was denied stays so.
#[tokio::test]
async fn the_next_owner_goes_on_with_the_book() {
    let place = Place::new().await;
    let (first, book) = place.begin("one").await;
    let signature = first.signing().sign(b"job", span()).unwrap();
    deny(&book, 7, 3).await.unwrap();
    let gone = Enrolment { uid: 7, generation: 3 };
    assert!(first.trusted().is_denied(gone));

    let (second, _) = place.begin("two").await;
    assert!(second.trusted().is_denied(gone));
    assert!(second.trusted().key(signature.key, span()).is_some());
    assert_eq!(second.trusted().now().job_keys(), 2);
    assert!(second.trusted().now().versions() > first.trusted().now().versions());
    // Everybody who followed the first one follows the second.
    let newer = second.trusted().bundle().unwrap();
    assert_eq!(first.trusted().offer(&newer, trust::now()), Ok(true));
}

#[tokio::test]
async fn who_has_been_replaced_writes_nothing_more() {
    let place = Place::new().await;
    let (first, book) = place.begin("one").await;
    let _second = place.begin("two").await;
    let before = first.trusted().now().versions();
    assert!(matches!(deny(&book, 7, 3).await, Err(BookError::Moved)));
    assert_eq!(first.trusted().now().versions(), before, "and says nothing");
}

/// A list that names it is one that nobody reads, the next owner neither.
#[tokio::test]
async fn nobody_without_an_enrolment_gets_into_the_list() {
    let place = Place::new().await;
    let (first, book) = place.begin("one").await;
    let before = first.trusted().now().versions();
    assert!(matches!(deny(&book, 0, 3).await, Err(BookError::Unknown)));
    assert_eq!(first.trusted().now().versions(), before);
    place.begin("two").await;
}

/// Who has lost its store begins above what others have seen.
#[tokio::test]
async fn a_lost_store_makes_no_version_go_down() {
    let place = Place::new().await;
    let (first, _) = place.begin("one").await;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&place.dir.path().join("other")).unwrap());
    store.begin().await.unwrap();
    let second = place.open("two");
    Book::begin(second.clone(), store.clone(), Audit::double().0).await.unwrap();
    // Within the same second the clock does not help: the next one does.
    let book = Book::begin(second.clone(), store, Audit::double().0).await.unwrap();
    deny(&book, 1, 1).await.unwrap();
    assert_eq!(first.trusted().offer(&second.trusted().bundle().unwrap(), trust::now()), Ok(true));
}

#[tokio::test]
async fn a_change_of_the_directory_is_published() {
    let place = Place::new().await;
    let dir = place.dir.path().join("real");
    let region = check_region("core").unwrap();
    let scopes = [Scope::TopMasters(region.clone()), Scope::Region(region)];
    let mut authority = Authority::init(&dir, FABRIC.parse().unwrap(), &scopes, trust::now()).unwrap();
    let made = relay_runtime::authority::member(|public| {
        let lasts = std::time::Duration::from_secs(3_600);
        authority.held().issue(&who(), public, Enrolment { uid: 5, generation: 1 }, lasts, trust::now())
    });
    let pem = place.dir.path().join("pem");
    let made = made.unwrap();
    std::fs::write(pem.join("top-1.pem"), made.chain_pem()).unwrap();
    std::fs::write(pem.join("top-1.key"), made.key_pem()).unwrap();
    std::fs::write(place.dir.path().join("ca/ca.crt"), relay_runtime::authority::pem(&made.chain[2..]))
        .unwrap();
    let config = place.config("real/trust", "state");
    std::fs::create_dir_all(&config.state_dir).unwrap();
    let (trust, _) = Trust::open(&config).unwrap();
    let book = Book::begin(trust.clone(), place.store.clone(), Audit::double().0).await.unwrap();
    let old = trust.trusted().now();
    let new = authority.introduce_root(trust::now()).unwrap();
    assert!(trust.reread(&dir.join("trust")).await);
    book.look(trust::now()).await.unwrap();
    let now = trust.trusted().now();
    assert!(now.roots().iter().any(|root| root.pin == new) && now.roots().len() == 2);
    assert!(now.versions().0 > old.versions().0);

    // Another authority of the same name is none.
    let alien = place.dir.path().join("alien");
    drop(authority);
    let _alien = Authority::init(&alien, FABRIC.parse().unwrap(), &scopes, trust::now()).unwrap();
    assert!(trust.reread(&alien.join("trust")).await);
    assert!(matches!(book.look(trust::now()).await, Err(BookError::Authority(_))));
}

#[tokio::test]
async fn the_own_certificate_is_renewed_by_the_own_issuer() {
    let place = Place::new().await;
    let trust = place.open("state");
    let authority = DevAuthority::open(&place.dir.path().join("ca"), FABRIC.parse().unwrap()).unwrap();
    authority.add_issuers(&[Scope::TopMasters(check_region("core").unwrap())]).unwrap();
    assert!(trust.reread(&place.dir.path().join("ca/trust")).await);
    let tls = trust.tls().clone();
    let before = tls.own().certs.clone();
    trust.0.renewal.look(&trust.0.own, &trust.held(), &tls);
    assert_eq!(tls.own().certs, before, "it counts for a month yet");

    // One that has an hour of its day left.
    let short = relay_runtime::authority::member(|public| {
        let lasts = std::time::Duration::from_secs(20);
        trust.held().issue(&who(), public, Enrolment { uid: 9, generation: 4 }, lasts, trust::now())
    });
    let short = short.unwrap();
    let file = place.dir.path().join("short.pem");
    short.keep(&file).unwrap();
    let files = TlsConfig { ca: place.dir.path().join("ca/ca.crt"), cert: file.clone(), key: file };
    tls.renew(relay_runtime::identity::load(&files, &FABRIC.parse().unwrap()).unwrap()).unwrap();
    trust.0.renewal.look(&trust.0.own, &trust.held(), &tls);
    let renewed = Enrolment::of_certificate(&tls.own().certs[0]);
    assert_eq!((renewed.uid, renewed.generation), (9, 5));
    // A restart finds it: the configured one counts longer here, so it is put away.
    std::fs::remove_file(place.dir.path().join("pem/top-1.pem")).unwrap();
    let config = trust.0.renewal.load(&place_config(&place), trust.trusted()).unwrap();
    assert_eq!(Enrolment::of_certificate(&config.certs[0]), renewed);
}

fn place_config(place: &Place) -> TopMasterConfig {
    // Its certificate is looked for when it is loaded.
    let authority = DevAuthority::open(&place.dir.path().join("ca"), FABRIC.parse().unwrap()).unwrap();
    authority.issue(&who(), &place.dir.path().join("pem")).unwrap();
    let config = place.config("ca/trust", "state");
    std::fs::remove_file(place.dir.path().join("pem/top-1.pem")).unwrap();
    config
}
