//! The two halves of a bundle: made, signed, and read with every doubt that bytes from elsewhere deserve.
//!
//! Reading says whether bytes have the form and who signed them; whether they may replace what is believed is
//! [`super::belief`]'s.

use bytes::Bytes;
use prost::Message;
use relay_core::{
    identity::FabricName,
    signing::{self, Span},
};
use relay_proto::trust::{self as wire, Bundle, Signature, Signed};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    Seconds,
    key::{self, KeyId, PUBLIC_BYTES, Pin, SecretKey},
};

/// The version of both messages that this build writes and reads.
const FORMAT: u32 = 1;
/// Largest bundle taken, in bytes. 16,384 denied enrolments are some 400 KiB; a store's record and a minion's link hold this.
pub const MAX_BUNDLE_BYTES: usize = 1 << 20;
/// Most roots: the one, the next, and a few that a long rotation leaves.
pub const MAX_ROOTS: usize = 8;
/// Most keys that may sign lists.
pub const MAX_LIST_KEYS: usize = 8;
/// Most keys that sign jobs: a top master has two or three of them listed.
pub const MAX_JOB_KEYS: usize = 256;
/// Most entries of the deny list. An entry goes when its certificates have expired: a day later.
pub const MAX_DENIED: usize = 16_384;
/// Most signatures looked at.
const MAX_SIGNATURES: usize = MAX_ROOTS;
/// Longest name of a key's owner, in bytes.
const MAX_OWNER: usize = 128;
/// What is put before the bytes that are signed, so that no signature counts for anything else.
const ANCHORS_DOMAIN: &[u8] = b"relay anchors v1\0";
const KEYS_DOMAIN: &[u8] = b"relay keys v1\0";

/// Why bytes are no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// More bytes than [`MAX_BUNDLE_BYTES`].
    #[error("it has {0} bytes, a bundle has at most {MAX_BUNDLE_BYTES}")]
    Size(usize),
    /// Not the encoding.
    #[error("{0} cannot be decoded")]
    Decode(&'static str),
    /// Made by a newer build.
    #[error("{0} are of format {1}, this build reads {FORMAT}: upgrade it")]
    Format(&'static str, u32),
    /// Too many of something, or too few.
    #[error("{what}: there are {found}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
    },
    /// A part that is not what it should be.
    #[error("{0} is not what it should be")]
    Part(&'static str),
}

/// A root as the anchors name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its certificate.
    pub certificate: CertificateDer<'static>,
    /// The fingerprint of its key.
    pub pin: Pin,
    /// Its P-256 key: the point, uncompressed.
    point: Vec<u8>,
}

impl Root {
    /// From a certificate: an authority's, with a P-256 key.
    pub fn read(der: CertificateDer<'static>) -> Result<Root, Flaw> {
        let flaw = Flaw::Part("a root");
        let (rest, certificate) = X509Certificate::from_der(&der).map_err(|_| flaw.clone())?;
        let spki = certificate.public_key();
        let point = spki.subject_public_key.data.to_vec();
        let pin = Pin(key::id_of_spki(spki.raw));
        // Uncompressed, 32 bytes each: the only form that certificates have (RFC 5480).
        if !rest.is_empty() || !certificate.is_ca() || point.len() != 65 || point[0] != 4 {
            return Err(flaw);
        }
        Ok(Root { certificate: der, pin, point })
    }

    /// Whether it signed a certificate: the part that is signed, and the signature.
    pub(crate) fn certified(&self, tbs: &[u8], signature: &[u8]) -> bool {
        key::p256_signed(&self.point, tbs, signature)
    }

    fn signed(&self, signed: &Signed) -> bool {
        let message = [ANCHORS_DOMAIN, &signed.payload].concat();
        let mut own = signed.signatures.iter().take(MAX_SIGNATURES).filter(|s| s.key_id == self.pin.0);
        own.any(|s| key::p256_signed(&self.point, &message, &s.signature))
    }
}

/// The half that roots sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchors {
    /// Whose it is.
    pub fabric: FabricName,
    /// Rises with every change.
    pub version: u64,
    /// From when on nobody takes it for new.
    pub expires: Seconds,
    /// The roots that count, the newest last.
    pub roots: Vec<Root>,
    /// The keys that sign lists.
    pub list_keys: Vec<[u8; PUBLIC_BYTES]>,
}

impl Anchors {
    /// What the roots are to sign: an encoded `Anchors`.
    pub fn encode(&self) -> Vec<u8> {
        let wire = wire::Anchors {
            format: FORMAT,
            fabric: self.fabric.to_string(),
            version: self.version,
            expires: self.expires,
            roots: self.roots.iter().map(|root| root.certificate.to_vec()).collect(),
            list_keys: self.list_keys.iter().map(|key| key.to_vec()).collect(),
        };
        wire.encode_to_vec()
    }

    /// The bytes that a root's signature is over.
    pub fn message(payload: &[u8]) -> Vec<u8> {
        [ANCHORS_DOMAIN, payload].concat()
    }

    /// From bytes that somebody may have signed.
    pub fn read(payload: &[u8]) -> Result<Anchors, Flaw> {
        let wire = wire::Anchors::decode(payload).map_err(|_| Flaw::Decode("the anchors"))?;
        if wire.format != FORMAT {
            return Err(Flaw::Format("the anchors", wire.format));
        }
        counted("roots", wire.roots.len(), 1, MAX_ROOTS)?;
        counted("list keys", wire.list_keys.len(), 1, MAX_LIST_KEYS)?;
        let roots: Vec<Root> =
            wire.roots.into_iter().map(|der| Root::read(der.into())).collect::<Result<_, _>>()?;
        let list_keys =
            wire.list_keys.iter().map(|key| public(key, "a list key")).collect::<Result<_, _>>()?;
        let fabric = wire.fabric.parse().map_err(|_| Flaw::Part("the anchors' fabric"))?;
        if (1..roots.len()).any(|i| roots[..i].iter().any(|other| other.pin == roots[i].pin)) {
            return Err(Flaw::Part("a root that is named twice"));
        }
        Ok(Anchors { fabric, version: wire.version, expires: wire.expires, roots, list_keys })
    }

    /// Whether one of these signed them.
    pub fn signed_by_one(signed: &Signed, roots: &[Root]) -> bool {
        roots.iter().any(|root| root.signed(signed))
    }

    /// Whether each of these signed them.
    pub fn signed_by_each<'a>(signed: &Signed, mut roots: impl Iterator<Item = &'a Root>) -> bool {
        roots.all(|root| root.signed(signed))
    }
}

/// A key that signs jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobKey {
    /// Ed25519.
    pub public: [u8; PUBLIC_BYTES],
    /// The top master that has it, for people.
    pub owner: String,
    /// From when on it counts.
    pub not_before: Seconds,
    /// Until when.
    pub not_after: Seconds,
}

impl JobKey {
    /// Its name in the signatures of jobs.
    pub fn id(&self) -> signing::KeyId {
        signing::KeyId::of_fingerprint(&key::id_of_ed25519(&self.public))
    }

    /// Whether it is good for all of a job's time.
    pub fn covers(&self, span: Span) -> bool {
        let micros = |seconds: Seconds| seconds.saturating_mul(1_000_000);
        span.not_before <= span.not_after
            && micros(self.not_before) <= span.not_before
            && span.not_after <= micros(self.not_after)
    }
}

/// Certificates that count no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// Of this enrolment,
    pub uid: u64,
    /// up to and with this generation.
    pub up_to_generation: u32,
    /// When they would have expired: then the entry goes.
    pub until: Seconds,
}

/// The half that a list key signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Whose it is.
    pub fabric: FabricName,
    /// Rises with every change.
    pub version: u64,
    /// From when on nobody takes it for new, and none of its job keys counts.
    pub expires: Seconds,
    /// The keys that sign jobs.
    pub job_keys: Vec<JobKey>,
    /// The certificates that count no more; each enrolment once.
    pub denied: Vec<Denied>,
}

impl Keys {
    /// Encodes and signs.
    pub fn sign(&self, by: &SecretKey) -> Signed {
        let wire = wire::Keys {
            format: FORMAT,
            fabric: self.fabric.to_string(),
            version: self.version,
            expires: self.expires,
            job_keys: self.job_keys.iter().map(job_key_out).collect(),
            denied: self.denied.iter().map(denied_out).collect(),
        };
        let payload = wire.encode_to_vec();
        let signature = by.sign(&[KEYS_DOMAIN, &payload].concat()).to_vec();
        Signed { payload, signatures: vec![Signature { key_id: by.id().to_vec(), signature }] }
    }

    /// From bytes that somebody may have signed.
    pub fn read(payload: &[u8]) -> Result<Keys, Flaw> {
        let wire = wire::Keys::decode(payload).map_err(|_| Flaw::Decode("the keys"))?;
        if wire.format != FORMAT {
            return Err(Flaw::Format("the keys", wire.format));
        }
        counted("job keys", wire.job_keys.len(), 0, MAX_JOB_KEYS)?;
        counted("denied enrolments", wire.denied.len(), 0, MAX_DENIED)?;
        let fabric = wire.fabric.parse().map_err(|_| Flaw::Part("the keys' fabric"))?;
        let job_keys = wire.job_keys.into_iter().map(job_key_in).collect::<Result<_, _>>()?;
        let denied = wire.denied.into_iter().map(denied_in).collect::<Result<_, _>>()?;
        Ok(Keys { fabric, version: wire.version, expires: wire.expires, job_keys, denied })
    }

    /// The fingerprint of the list key that signed these bytes; none if none of them did.
    pub fn signer(signed: &Signed, list_keys: &[[u8; PUBLIC_BYTES]]) -> Option<KeyId> {
        let message = [KEYS_DOMAIN, &signed.payload].concat();
        let good = |public: &&[u8; PUBLIC_BYTES]| {
            let id = key::id_of_ed25519(public);
            let mut own = signed.signatures.iter().take(MAX_SIGNATURES).filter(|s| s.key_id == id);
            own.any(|s| key::ed25519_signed(public, &message, &s.signature))
        };
        list_keys.iter().find(good).map(key::id_of_ed25519)
    }
}

/// Puts a bundle together.
pub fn encode(anchors: &Signed, keys: &Signed) -> Bytes {
    Bundle { anchors: Some(anchors.clone()), keys: Some(keys.clone()) }.encode_to_vec().into()
}

/// Takes a bundle apart: anchors and keys, both still to be judged.
pub fn decode(bytes: &[u8]) -> Result<(Signed, Signed), Flaw> {
    if bytes.len() > MAX_BUNDLE_BYTES {
        return Err(Flaw::Size(bytes.len()));
    }
    let bundle = Bundle::decode(bytes).map_err(|_| Flaw::Decode("the bundle"))?;
    Ok((bundle.anchors.ok_or(Flaw::Part("the anchors"))?, bundle.keys.ok_or(Flaw::Part("the keys"))?))
}

fn counted(what: &'static str, found: usize, least: usize, most: usize) -> Result<(), Flaw> {
    if (least..=most).contains(&found) { Ok(()) } else { Err(Flaw::Count { what, found }) }
}

fn public(bytes: &[u8], what: &'static str) -> Result<[u8; PUBLIC_BYTES], Flaw> {
    bytes.try_into().map_err(|_| Flaw::Part(what))
}

fn job_key_out(key: &JobKey) -> wire::JobKey {
    let JobKey { public, owner, not_before, not_after } = key;
    wire::JobKey {
        public: public.to_vec(),
        owner: owner.clone(),
        not_before: *not_before,
        not_after: *not_after,
    }
}

fn job_key_in(wire: wire::JobKey) -> Result<JobKey, Flaw> {
    let wire::JobKey { public: key, owner, not_before, not_after } = wire;
    if owner.len() > MAX_OWNER || not_before >= not_after {
        return Err(Flaw::Part("a job key"));
    }
    Ok(JobKey { public: public(&key, "a job key")?, owner, not_before, not_after })
}

fn denied_out(denied: &Denied) -> wire::Denied {
    let Denied { uid, up_to_generation, until } = *denied;
    wire::Denied { uid, up_to_generation, until }
}

fn denied_in(wire: wire::Denied) -> Result<Denied, Flaw> {
    let wire::Denied { uid, up_to_generation, until } = wire;
    // Enrolment 0 is everybody who has none.
    if uid == 0 { Err(Flaw::Part("a denied enrolment")) } else { Ok(Denied { uid, up_to_generation, until }) }
}
