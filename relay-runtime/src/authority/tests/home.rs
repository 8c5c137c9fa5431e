//! The life of an authority: made, read again, its issuers and its root replaced; and what of it is refused.

use super::{super::held::ANCHORS_FILE, *};
use crate::trust::{Enrolment, Seconds};

const NOW: Seconds = 1_800_000_000;
const YEAR: Seconds = 365 * 24 * 3600;

fn aws() -> Scope {
    Scope::Region(check_region("aws").unwrap())
}

fn made() -> (tempfile::TempDir, Authority) {
    let dir = tempfile::tempdir().unwrap();
    let scopes = [aws(), Scope::TopMasters(check_region("core").unwrap())];
    let authority = Authority::init(&dir.path().join("ca"), fabric(), &scopes, NOW).unwrap();
    (dir, authority)
}

fn refused<T>(result: Result<T, AuthorityError>) -> String {
    result.err().expect("a refusal").to_string()
}

#[test]
fn an_authority_is_made_once_and_read_again() {
    let (dir, authority) = made();
    let home = dir.path().join("ca");
    assert!(refused(Authority::init(&home, fabric(), &[], NOW)).contains("already"));
    assert!(refused(Authority::open(&home)).contains("another"), "locked");
    let pin = authority.pin();
    drop(authority);
    let again = Authority::open(&home).unwrap();
    assert_eq!((again.pin(), again.fabric().clone(), again.held().issuers().len()), (pin, fabric(), 2));
    let held = Held::open(&again.trust_dir()).unwrap();
    let public = PublicKey::from_spki(&rcgen::PublicKeyData::subject_public_key_info(
        &rcgen::KeyPair::generate().unwrap(),
    ))
    .unwrap();
    let lasts = LEAF_LIFE;
    assert!(held.issue(&who("x", Role::Minion, "aws"), &public, Enrolment::NONE, lasts, NOW).is_ok());
    let nobody = held.issue(&who("x", Role::Minion, "azure"), &public, Enrolment::NONE, lasts, NOW);
    assert!(refused(nobody).contains("no issuer"));
    let late = held.issue(&who("x", Role::Minion, "aws"), &public, Enrolment::NONE, lasts, NOW + 2 * YEAR);
    assert!(refused(late).contains("expired"));
    assert!(refused(Authority::open(dir.path())).contains("ca init"));
}

#[test]
fn an_issuer_is_replaced() {
    let (_dir, mut authority) = made();
    let mark = Held::mark(&authority.trust_dir());
    let before = authority.held().issuer(&aws(), NOW).unwrap().stem();
    authority.rotate(&aws(), NOW + 9).unwrap();
    assert_ne!(authority.held().issuer(&aws(), NOW + 9).unwrap().stem(), before);
    assert_eq!(authority.held().issuers().len(), 2);
    assert_ne!(Held::mark(&authority.trust_dir()), mark, "who looks sees it");
    let nowhere = Scope::Region(check_region("nowhere").unwrap());
    assert!(refused(authority.rotate(&nowhere, NOW)).contains("no issuer"));
}

#[test]
fn a_root_is_replaced_in_two_steps() {
    let (dir, mut authority) = made();
    let old = authority.pin().unwrap();
    assert!(refused(authority.retire_root(false, NOW)).contains("introduced"));
    let new = authority.introduce_root(NOW + 1).unwrap();
    assert!(refused(authority.introduce_root(NOW + 1)).contains("retire"));
    let standing = |authority: &Authority| -> Vec<_> {
        authority.roots().iter().map(|root| (root.pin, root.standing)).collect()
    };
    assert_eq!(standing(&authority), [(old, Standing::Leaving), (new, Standing::Current)]);
    assert!(refused(authority.retire_root(false, NOW)).contains("aws"), "its issuers are in use");
    for scope in [aws(), Scope::TopMasters(check_region("core").unwrap())] {
        authority.rotate(&scope, NOW + 2).unwrap();
    }
    assert!(authority.held().issuers().iter().all(|issuer| issuer.root() == Some(new)));
    authority.retire_root(false, NOW + 3).unwrap();
    assert_eq!(standing(&authority), [(new, Standing::Current), (old, Standing::Retired)]);
    assert_eq!((authority.held().anchors().version, authority.held().issuers().len()), (3, 2));
    drop(authority);
    let mut again = Authority::open(&dir.path().join("ca")).unwrap();
    assert_eq!(again.pin(), Some(new));
    again.extend(NOW + YEAR).unwrap();
    let signers = again.held().signed().signatures.len();
    assert_eq!((again.held().anchors().version, signers), (4, 2), "the old root still shows the way");
}

#[test]
fn issuers_of_a_retired_root_are_left_out() {
    let (_dir, mut authority) = made();
    authority.introduce_root(NOW + 1).unwrap();
    authority.rotate(&aws(), NOW + 2).unwrap();
    authority.retire_root(true, NOW + 3).unwrap();
    assert_eq!(authority.held().issuers().len(), 1);
    assert!(authority.held().retired().is_empty(), "and removed");
}

#[test]
fn without_the_root_only_what_needs_it_is_refused() {
    let (dir, authority) = made();
    drop(authority);
    let roots = dir.path().join("ca/roots");
    for entry in fs::read_dir(&roots).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().unwrap() == "key" {
            fs::remove_file(path).unwrap();
        }
    }
    let mut authority = Authority::open(&dir.path().join("ca")).unwrap();
    assert!(!authority.roots()[0].key);
    for refusal in [
        refused(authority.rotate(&aws(), NOW)),
        refused(authority.introduce_root(NOW)),
        refused(authority.extend(NOW)),
    ] {
        assert!(refusal.contains("roots/"), "{refusal}");
    }
    assert!(authority.held().issuer(&aws(), NOW).is_ok());
}

#[test]
fn a_directory_that_was_tampered_with_is_not_used() {
    let (dir, authority) = made();
    let trust = authority.trust_dir();
    drop(authority);
    let other = tempfile::tempdir().unwrap();
    let alien = Authority::init(&other.path().join("ca"), fabric(), &[aws()], NOW).unwrap();
    let issuers = |dir: &Path| -> Vec<_> {
        fs::read_dir(dir.join("issuers")).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    // An issuer of another authority, put there.
    for path in issuers(&alien.trust_dir()) {
        fs::copy(&path, trust.join("issuers").join(path.file_name().unwrap())).unwrap();
    }
    let held = Held::open(&trust).unwrap();
    assert_eq!((held.issuers().len(), held.retired().len()), (2, 1), "it is left out");
    let anchors = fs::read(trust.join(ANCHORS_FILE)).unwrap();
    let mut bad = anchors.clone();
    let place = bad.len() / 2;
    bad[place] ^= 1;
    fs::write(trust.join(ANCHORS_FILE), &bad).unwrap();
    assert!(Held::open(&trust).is_err());
    fs::write(trust.join(ANCHORS_FILE), &anchors).unwrap();
    let list = trust.join("list.key");
    fs::copy(alien.trust_dir().join("list.key"), &list).unwrap();
    assert!(refused(Held::open(&trust)).contains("the anchors name"));
    fs::set_permissions(&list, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    assert!(refused(Held::open(&trust)).contains("0640"));
    drop(dir);
}
