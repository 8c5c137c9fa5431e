//! Roots and bundles for tests.

use bytes::Bytes;
use relay_core::identity::FabricName;
use relay_proto::trust::Signed;

use super::{
    Anchors, Belief, Denied, JobKey, Keys, Seconds,
    bundle::{self, Root},
    key::SecretKey,
};
use crate::authority::{ROOT_LIFE, RootKey};

pub const NOW: Seconds = 1_800_000_000;

pub fn fabric() -> FabricName {
    "acme.example".parse().unwrap()
}

pub fn root() -> RootKey {
    RootKey::make(NOW, ROOT_LIFE).unwrap()
}

pub fn list_key() -> SecretKey {
    SecretKey::generate().unwrap()
}

pub fn anchors(version: u64, roots: &[&RootKey], list: &[&SecretKey]) -> Anchors {
    Anchors {
        fabric: fabric(),
        version,
        expires: NOW + 1_000,
        roots: roots.iter().map(|root| root.root().clone()).collect(),
        list_keys: list.iter().map(|key| key.public()).collect(),
    }
}

pub fn sign_anchors(anchors: &Anchors, by: &[&RootKey]) -> Signed {
    let payload = anchors.encode();
    let signatures = by.iter().map(|root| root.sign(&payload).unwrap()).collect();
    Signed { payload, signatures }
}

pub fn keys(version: u64) -> Keys {
    Keys { fabric: fabric(), version, expires: NOW + 1_000, job_keys: Vec::new(), denied: Vec::new() }
}

pub fn job_key(key: &SecretKey) -> JobKey {
    JobKey { public: key.public(), owner: "top-1".into(), not_before: NOW, not_after: NOW + 500 }
}

pub fn denied(uid: u64, up_to_generation: u32) -> Denied {
    Denied { uid, up_to_generation, until: NOW + 500 }
}

/// An ordinary bundle of one root and one list key.
pub fn bundle(root: &RootKey, list: &SecretKey, anchors_version: u64, keys: &Keys) -> Bytes {
    let signed = sign_anchors(&anchors(anchors_version, &[root], &[list]), &[root]);
    bundle::encode(&signed, &keys.sign(list))
}

/// Believes these roots and nothing more.
pub fn ground(roots: &[&RootKey]) -> Belief {
    let certificates: Vec<_> = roots.iter().map(|root: &&RootKey| certificate(root.root())).collect();
    Belief::of_roots(fabric(), &certificates).unwrap()
}

fn certificate(root: &Root) -> rustls_pki_types::CertificateDer<'static> {
    root.certificate.clone()
}
