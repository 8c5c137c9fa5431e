//! Sealing and opening a job: what travels from the top master to the minion, signed once, and changed by nobody between.
//!
//! Owns the bytes that are signed. Who has keys is the processes' (`relay_core::signing`), whether a minion may run what it is
//! sent, `relay_core::warrant`'s.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use relay_core::{
    ids::{Epoch, Jid},
    job::{CancelSpec, Job, JobSpec, Seal},
    merkle::TargetRoot,
    outcome::Reason,
    signing::{JobSigner, KeyId, NoKey, Signature, Span},
};
use sha2::{Digest, Sha256};

use crate::{cancel, error::WireError, link};

/// The envelope version this build writes.
const ENVELOPE_VERSION: u32 = 2;
/// The version before jobs were signed: read of what a store kept, and run by no minion.
const UNSIGNED_VERSION: u32 = 1;
/// What is signed begins with this, so that no signature over anything else is one of a job.
const DOMAIN: &[u8] = b"relay job v2\0";
/// Largest envelope: function, arguments and caller. What is larger belongs into a file that the job fetches.
pub const MAX_ENVELOPE_BYTES: usize = 256 << 10;

/// Seals jobs with the keys of a top master.
#[derive(Debug, Clone)]
pub struct Sealer(pub Arc<dyn JobSigner>);

impl Seal for Sealer {
    fn seal(&self, spec: &JobSpec) -> Result<Job, NoKey> {
        seal_with(spec, |message| self.0.sign(message, spec.span))
    }

    fn seal_cancel(&self, spec: &CancelSpec) -> Result<Bytes, NoKey> {
        cancel::seal_with(spec, |message| self.0.sign(message, spec.span))
    }
}

/// Encodes a job, once for the whole fabric, with a signature over what it is given.
///
/// # Errors
/// Those of `sign`.
pub fn seal_with<E>(spec: &JobSpec, sign: impl FnOnce(&[u8]) -> Result<Signature, E>) -> Result<Job, E> {
    let body = link::Envelope {
        version: ENVELOPE_VERSION,
        fabric: spec.fabric.clone(),
        jid: spec.jid.micros(),
        function: spec.function.clone(),
        args: spec.args.to_vec(),
        caller: spec.caller.clone(),
        run_limit_ms: spec.run_limit,
        epoch: spec.epoch.0,
        request: spec.request.to_vec(),
        target_root: spec.targets.hash.to_vec(),
        target_count: spec.targets.count,
        not_before: spec.span.not_before,
        not_after: spec.span.not_after,
    };
    let body = body.encode_to_vec();
    let signature = sign(&message(&body))?;
    let signed = link::SignedEnvelope {
        body: body.into(),
        key_id: signature.key.0.to_vec(),
        signature: signature.bytes.to_vec(),
    };
    let envelope = signed.encode_to_vec();
    let digest = Sha256::digest(&envelope).into();
    Ok(Job { jid: spec.jid, digest, envelope: envelope.into(), targets: Some(spec.targets) })
}

fn message(body: &[u8]) -> Vec<u8> {
    [DOMAIN, body].concat()
}

/// A job and its signature, read and not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What it says.
    pub spec: JobSpec,
    /// What is signed.
    pub message: Vec<u8>,
    /// The signature that it came with.
    pub signature: Signature,
}

/// A job as it came over a wire, or as a store kept it. Whether the digest is that of these bytes is not asked here.
pub fn job(jid: Jid, digest: [u8; 32], envelope: Bytes) -> Job {
    Job { jid, digest, targets: targets(&envelope), envelope }
}

/// Reads an envelope of any version. Used by minions on what they have verified, and by a top master on what its store kept.
///
/// # Errors
/// It is not an envelope, or of a newer version.
pub fn open(job: &Job) -> Result<JobSpec, WireError> {
    match split(&job.envelope)? {
        Some(signed) => spec_in(signed.body, ENVELOPE_VERSION),
        None => spec_in(job.envelope.clone(), UNSIGNED_VERSION),
    }
}

/// What a minion is to verify. The digest is of these bytes.
///
/// # Errors
/// It is not what a minion of this version could run.
pub fn signed(job: &Job) -> Result<Signed, Reason> {
    let digest: [u8; 32] = Sha256::digest(&job.envelope).into();
    if digest != job.digest {
        return Err(Reason::DigestMismatch);
    }
    let Some(signed) = split(&job.envelope).map_err(|_| Reason::Version)? else {
        return Err(
            spec_in(job.envelope.clone(), UNSIGNED_VERSION).map_or(Reason::Version, |_| Reason::Unsigned)
        );
    };
    let key = KeyId(signed.key_id.as_slice().try_into().map_err(|_| Reason::Unsigned)?);
    let bytes = signed.signature.as_slice().try_into().map_err(|_| Reason::Unsigned)?;
    let message = message(&signed.body);
    let spec = spec_in(signed.body, ENVELOPE_VERSION).map_err(|_| Reason::Version)?;
    Ok(Signed { spec, message, signature: Signature { key, bytes } })
}

/// The root of the targets, as a tier between reads it. Nothing, where there is none that it could read: its minions will not run
/// that.
fn targets(envelope: &Bytes) -> Option<TargetRoot> {
    let signed = split(envelope).ok()??;
    let link::EnvelopeTargets { target_root, target_count } =
        link::EnvelopeTargets::decode(signed.body).ok()?;
    Some(TargetRoot { hash: target_root.try_into().ok()?, count: target_count })
}

/// A signed envelope; nothing, if it is one of before there were signatures.
fn split(envelope: &Bytes) -> Result<Option<link::SignedEnvelope>, WireError> {
    let signed = link::SignedEnvelope::decode(envelope.clone());
    let signed = signed.map_err(|e| WireError::Decode(e.to_string()))?;
    Ok((!signed.body.is_empty()).then_some(signed))
}

fn spec_in(body: Bytes, version: u32) -> Result<JobSpec, WireError> {
    let envelope = link::Envelope::decode(body).map_err(|e| WireError::Decode(e.to_string()))?;
    if envelope.version != version {
        return Err(WireError::field("envelope version", envelope.version));
    }
    let hash = |field, bytes: Vec<u8>| match version {
        UNSIGNED_VERSION => Ok([0; 32]),
        _ => bytes.try_into().map_err(|_| WireError::field(field, "not 32 bytes")),
    };
    Ok(JobSpec {
        jid: Jid::from_micros(envelope.jid),
        fabric: envelope.fabric,
        function: envelope.function,
        args: envelope.args.into(),
        caller: envelope.caller,
        run_limit: envelope.run_limit_ms,
        epoch: Epoch(envelope.epoch),
        request: hash("envelope request", envelope.request)?,
        targets: TargetRoot {
            hash: hash("envelope target root", envelope.target_root)?,
            count: envelope.target_count,
        },
        span: Span { not_before: envelope.not_before, not_after: envelope.not_after },
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn spec() -> JobSpec {
        JobSpec {
            jid: Jid::from_micros(7),
            fabric: "test".into(),
            function: "test.ping".into(),
            args: "{}".into(),
            caller: "root".into(),
            run_limit: 60_000,
            epoch: Epoch(3),
            request: [5; 32],
            targets: TargetRoot { hash: [6; 32], count: 5_000 },
            span: Span { not_before: 1, not_after: u64::MAX },
        }
    }

    /// A signature that anybody can check: the digest of what is signed.
    fn sign(message: &[u8]) -> Result<Signature, Infallible> {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&Sha256::digest(message));
        Ok(Signature { key: KeyId([1; 8]), bytes })
    }

    fn sealed() -> Job {
        seal_with(&spec(), sign).unwrap_or_else(|never| match never {})
    }

    /// What a top master of before signed nothing.
    fn unsigned() -> Job {
        let old = link::Envelope { version: 1, fabric: "test".into(), jid: 7, ..Default::default() };
        let envelope = old.encode_to_vec();
        Job {
            jid: spec().jid,
            digest: Sha256::digest(&envelope).into(),
            envelope: envelope.into(),
            targets: None,
        }
    }

    #[test]
    fn a_job_survives_and_its_signature_covers_all_of_it() {
        let job = sealed();
        assert_eq!(open(&job), Ok(spec()));
        assert_eq!(targets(&job.envelope), Some(spec().targets));
        let Signed { spec: read, message, signature } = signed(&job).unwrap();
        assert_eq!((read, Ok(signature)), (spec(), sign(&message)));
        assert!(message.starts_with(DOMAIN) && message.len() < job.envelope.len());
    }

    #[test]
    fn what_is_not_signed_is_told_from_what_is_not_known() {
        let old = unsigned();
        assert_eq!((signed(&old), targets(&old.envelope)), (Err(Reason::Unsigned), None));
        assert_eq!(open(&old).unwrap().jid, spec().jid, "but a store may have kept it");
        let other = Job { envelope: "x".into(), ..unsigned() };
        assert_eq!(signed(&other), Err(Reason::DigestMismatch));
        let strange =
            Job { digest: Sha256::digest(b"\xff").into(), envelope: (&b"\xff"[..]).into(), ..unsigned() };
        assert_eq!((signed(&strange), targets(&strange.envelope)), (Err(Reason::Version), None));
        for (key_id, signature) in [(vec![1; 8], vec![1; 63]), (Vec::new(), vec![1; 64])] {
            let body = link::SignedEnvelope::decode(sealed().envelope).unwrap().body;
            let bytes = link::SignedEnvelope { body, key_id, signature }.encode_to_vec();
            let job = Job { digest: Sha256::digest(&bytes).into(), envelope: bytes.into(), ..sealed() };
            assert_eq!(signed(&job), Err(Reason::Unsigned));
        }
    }

    /// A minion of before refuses a signed job by its version, and runs nothing.
    #[test]
    fn a_former_version_reads_no_version_in_it() {
        assert_eq!(link::Envelope::decode(sealed().envelope).unwrap().version, 0);
    }

    proptest! {
        #[test]
        fn no_altered_job_has_a_signature_that_fits(at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = sealed().envelope.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let job = Job { digest: Sha256::digest(&bytes).into(), envelope: bytes.into(), ..sealed() };
            let fits = signed(&job).is_ok_and(|s| Ok(s.signature.bytes) == sign(&s.message).map(|s| s.bytes));
            // But for the key's name, which is not signed: another key does not fit.
            prop_assert!(!fits || signed(&job).is_ok_and(|s| s.signature.key != KeyId([1; 8]) && s.spec == spec()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let job = Job { digest: Sha256::digest(&bytes).into(), envelope: bytes.into(), ..sealed() };
            let (_, _, _) = (open(&job), targets(&job.envelope), signed(&job));
        }
    }
}
