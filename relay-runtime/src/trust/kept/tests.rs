//! What is believed after a restart.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{
    super::{
        Keys, Seconds, now,
        testing::{self, *},
    },
    *,
};
use crate::authority::RootKey;

fn roots(roots: &[&RootKey]) -> Ground {
    Ground::Roots(roots.iter().map(|root| root.root().certificate.clone()).collect())
}

fn fresh(version: u64) -> Keys {
    Keys { expires: now() + 1_000, ..keys(version) }
}

/// Believes a bundle of this root that counts now.
fn believing(root: &RootKey, version: u64, dir: &Path) -> Trusted {
    let list = list_key();
    let anchors = super::super::Anchors { expires: now() + 1_000, ..anchors(version, &[root], &[&list]) };
    let bytes = bundle::encode(&sign_anchors(&anchors, &[root]), &fresh(version).sign(&list));
    let (trusted, keeping) = Trusted::open(dir, &fabric(), &roots(&[root])).unwrap();
    assert!(trusted.offer(&bytes, now()).unwrap());
    keeping.write(&trusted.now()).unwrap();
    trusted
}

fn versions(dir: &Path, ground: &Ground) -> (u64, u64) {
    Trusted::open(dir, &fabric(), ground).unwrap().0.now().versions()
}

#[tokio::test]
async fn a_restart_believes_no_less() {
    let (dir, root) = (tempfile::tempdir().unwrap(), testing::root());
    let ground = roots(&[&root]);
    let (trusted, keeping) = Trusted::open(dir.path(), &fabric(), &ground).unwrap();
    let token = CancellationToken::new();
    let kept = tokio::spawn(keeping.run(token.clone()));
    let list = list_key();
    let bytes = bundle(&root, &list, 3, &keys(4));
    trusted.offer(&bytes, NOW).unwrap();
    while !dir.path().join(FILE).exists() {
        tokio::task::yield_now().await;
    }
    token.cancel();
    kept.await.unwrap();
    assert_eq!(versions(dir.path(), &ground), (3, 4));
    let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (again, _) = Trusted::open(dir.path(), &fabric(), &ground).unwrap();
    assert_eq!(again.offer(&bundle(&root, &list, 2, &keys(3)), NOW as Seconds).unwrap_err().word(), "older");
}

/// A configuration with another root begins anew, unless that root is one that is known.
#[test]
fn what_is_kept_has_to_go_with_the_configuration() {
    let (dir, a, b) = (tempfile::tempdir().unwrap(), root(), root());
    believing(&a, 2, dir.path());
    assert_eq!(versions(dir.path(), &roots(&[&a])), (2, 2));
    assert_eq!(versions(dir.path(), &roots(&[&b])), (0, 0));
    assert_eq!(versions(dir.path(), &roots(&[&b, &a])), (2, 2));
    assert_eq!(versions(dir.path(), &Ground::Pin(a.pin())), (2, 2));
    let nothing = Trusted::open(dir.path(), &fabric(), &Ground::Pin(b.pin()));
    assert!(matches!(nothing, Err(TrustFileError::Nothing { .. })));
    let elsewhere = "other.example".parse().unwrap();
    let (other, _) = Trusted::open(dir.path(), &elsewhere, &roots(&[&a])).unwrap();
    assert_eq!(other.now().versions(), (0, 0));
}

#[test]
fn a_damaged_file_is_set_aside_and_a_newer_one_refused() {
    let (dir, root) = (tempfile::tempdir().unwrap(), testing::root());
    believing(&root, 2, dir.path());
    let (path, ground) = (dir.path().join(FILE), roots(&[&root]));
    let good = fs::read(&path).unwrap();
    fs::write(&path, &good[..good.len() - 9]).unwrap();
    assert_eq!(versions(dir.path(), &ground), (0, 0));
    assert!(!path.exists() && dir.path().join("trust.damaged").exists());
    let newer = Kept { format: FORMAT + 1, ..Kept::decode(&*good).unwrap() };
    fs::write(&path, newer.encode_to_vec()).unwrap();
    let refused = Trusted::open(dir.path(), &fabric(), &ground);
    assert!(matches!(refused, Err(TrustFileError::Newer { found: 2, .. })));
    assert_eq!(fs::read(&path).unwrap(), newer.encode_to_vec(), "nothing is changed");
}

#[test]
fn a_newcomer_begins_with_a_fingerprint_and_keeps_what_it_was_told() {
    let (dir, alien) = (tempfile::tempdir().unwrap(), testing::root());
    let root = root();
    let bytes = bundle(&root, &list_key(), 1, &keys(1));
    let trusted = Trusted::of_pin(fabric(), root.pin(), &bytes, NOW).unwrap();
    assert!(trusted.now().roots().iter().any(|known| known.pin == root.pin()));
    assert!(Trusted::of_pin(fabric(), alien.pin(), &bytes, NOW).is_err());
    let ground = Ground::Pin(root.pin());
    trusted.keep(dir.path(), &ground).unwrap();
    assert_eq!(versions(dir.path(), &ground), (1, 1));
}
