//! The fuzz targets on certificates and envelopes, on the stable compiler: random bytes, and mutations of good ones.
//! `fuzz/Cargo.toml` says how to run them for as long as one likes.

#[path = "../../fuzz/src/certificate.rs"]
mod certificates;
#[path = "../../fuzz/src/envelope.rs"]
mod envelopes;

use proptest::prelude::*;
use relay_core::identity::{Identity, Role, check_region};
use relay_runtime::{authority::DevAuthority, identity::peer_identity};
use rustls_pki_types::{CertificateDer, pem::PemObject};

/// Certificates of each role, as the throw-away authority makes them.
fn corpus() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a directory");
    let fabric: relay_core::identity::FabricName = "test.example".parse().expect("a fabric");
    let authority = DevAuthority::create(dir.path(), fabric.clone()).expect("an authority");
    let made = Role::ALL.map(|role| {
        let region = check_region("aws").expect("a region");
        let who = Identity::new("web01", role, region, fabric.clone()).expect("an identity");
        let (pem, _) = authority.issue_pem(&who).expect("a certificate");
        CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate").to_vec()
    });
    made.into()
}

/// One change: where, how many bytes go, and what comes.
type Edit = (prop::sample::Index, usize, Vec<u8>);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..4);
    prop::collection::vec((any::<prop::sample::Index>(), 0..4usize, bytes), 1..6)
}

fn edited(seed: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for (at, gone, come) in edits {
        let at = at.index(bytes.len() + 1);
        let end = (at + gone).min(bytes.len());
        bytes.splice(at..end, come.iter().copied());
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn mutated_envelopes(edits in edits()) {
        envelopes::envelope(&edited(&envelopes::good(), &edits));
    }

    #[test]
    fn random_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
        certificates::certificate(&data);
        envelopes::envelope(&data);
    }
}

#[test]
fn mutated_certificates() {
    let corpus = corpus();
    proptest!(ProptestConfig::with_cases(3_000), |(seed in 0..4usize, edits in edits())| {
        certificates::certificate(&edited(&corpus[seed], &edits));
    });
}

/// The corpus is what it should be: else its mutations would all stop at the first byte.
#[test]
fn the_corpus_itself_is_good() {
    let fabric = "test.example".parse().unwrap();
    for der in corpus() {
        certificates::certificate(&der);
        let der = CertificateDer::from(der.as_slice());
        assert_eq!(peer_identity(&der, &fabric).unwrap().id(), "web01");
    }
    envelopes::envelope(&envelopes::good());
}
