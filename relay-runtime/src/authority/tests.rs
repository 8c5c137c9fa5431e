//! What an authority makes, and what of it counts: names, roles, lives, files.

mod home;

use std::{fs, os::unix::fs::MetadataExt};

use relay_core::identity::{FabricName, Identity, Role, check_region};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

fn fabric() -> FabricName {
    "acme.example".parse().unwrap()
}

fn who(id: &str, role: Role, region: &str) -> Identity {
    Identity::new(id, role, check_region(region).unwrap(), fabric()).unwrap()
}

/// Roles and whether they serve, and the life in days, of a throw-away authority's certificates and of an issuer's.
#[test]
fn only_who_is_dialled_may_serve() {
    let dir = tempfile::tempdir().unwrap();
    let authority = DevAuthority::create(dir.path(), fabric()).unwrap();
    for role in Role::ALL {
        let (pem, _) = authority.issue_pem(&who("one", role, "aws")).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        let serves = matches!(role, Role::TopMaster | Role::Syndic);
        assert_eq!((usage.client_auth, usage.server_auth, usage.any), (true, serves, false), "{role}");
        assert!(!certificate.is_ca(), "{role}");
        let (from, until) = life_of(&der).unwrap();
        assert_eq!(until - from, 30 * 24 * 3600 + shape::BACKDATED.as_secs(), "{role}");
        assert_eq!(crate::trust::Enrolment::of_certificate(&der), crate::trust::Enrolment::NONE);
    }
}

#[test]
fn keys_are_their_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let authority = DevAuthority::create(dir.path(), fabric()).unwrap();
    let tls = authority.issue(&who("one", Role::Minion, "aws"), dir.path()).unwrap();
    authority.add_issuers(&[Scope::Region(check_region("aws").unwrap())]).unwrap();
    let issuers = fs::read_dir(authority.trust_dir().join("issuers")).unwrap().map(|e| e.unwrap().path());
    let secret = issuers.filter(|path| path.extension().unwrap() == "key");
    let named = [tls.key, dir.path().join("ca.secret"), authority.trust_dir().join("list.key")];
    for key in secret.chain(named) {
        assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600, "{}", key.display());
    }
}

#[test]
fn a_root_is_not_overwritten_and_serves_its_own_fabric_only() {
    let dir = tempfile::tempdir().unwrap();
    let authority = DevAuthority::create(dir.path(), fabric()).unwrap();
    assert!(matches!(DevAuthority::create(dir.path(), fabric()), Err(AuthorityError::File { .. })));
    let root = fs::read_to_string(authority.root_file()).unwrap();
    assert_eq!(root, DevAuthority::open(dir.path(), fabric()).unwrap().root_pem());
    let region = check_region("aws").unwrap();
    let alien = Identity::new("one", Role::Minion, region, "other.example".parse().unwrap()).unwrap();
    assert!(matches!(authority.issue_pem(&alien), Err(AuthorityError::Fabric { .. })));
}
