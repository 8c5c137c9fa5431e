//! A signed cancel: what a minion asks for before it stops a job, made once at the top master and changed by nobody between.
//!
//! Owns the bytes that are signed, as [`crate::envelope`] does for jobs. Whether a minion heeds one is `relay_core::warrant`'s.

use bytes::Bytes;
use prost::Message;
use relay_core::{
    ids::{Epoch, Jid},
    job::CancelSpec,
    outcome::Reason,
    signing::{KeyId, Signature, Span},
};

use crate::link;

/// What is signed begins with this, so that no signature over a job is one of a cancel, nor the other way round.
const DOMAIN: &[u8] = b"relay cancel v1\0";
/// Largest sealed cancel, in bytes: a signature, four numbers and the name of a fabric, with room for fields to come.
pub const MAX_SEAL_BYTES: usize = 1_024;

/// Encodes a cancel with a signature over what it is given.
///
/// # Errors
/// Those of `sign`.
pub fn seal_with<E>(spec: &CancelSpec, sign: impl FnOnce(&[u8]) -> Result<Signature, E>) -> Result<Bytes, E> {
    let body = link::CancelOrder {
        fabric: spec.fabric.clone(),
        jid: spec.jid.micros(),
        epoch: spec.epoch.0,
        not_before: spec.span.not_before,
        not_after: spec.span.not_after,
    };
    let body = body.encode_to_vec();
    let signature = sign(&message(&body))?;
    let sealed = link::SealedCancel {
        body: body.into(),
        key_id: signature.key.0.to_vec(),
        signature: signature.bytes.to_vec(),
    };
    Ok(sealed.encode_to_vec().into())
}

fn message(body: &[u8]) -> Vec<u8> {
    [DOMAIN, body].concat()
}

/// A cancel and its signature, read and not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What it says.
    pub spec: CancelSpec,
    /// What is signed.
    pub message: Vec<u8>,
    /// The signature that it came with.
    pub signature: Signature,
}

/// What a minion is to verify.
///
/// # Errors
/// There is no signature, or it is not of a form that this version knows.
pub fn signed(seal: &Bytes) -> Result<Signed, Reason> {
    let sealed = link::SealedCancel::decode(seal.clone()).map_err(|_| Reason::Version)?;
    if sealed.body.is_empty() {
        return Err(Reason::Unsigned);
    }
    let key = KeyId(sealed.key_id.as_slice().try_into().map_err(|_| Reason::Unsigned)?);
    let bytes = sealed.signature.as_slice().try_into().map_err(|_| Reason::Unsigned)?;
    let message = message(&sealed.body);
    let order = link::CancelOrder::decode(sealed.body).map_err(|_| Reason::Version)?;
    let spec = CancelSpec {
        fabric: order.fabric,
        jid: Jid::from_micros(order.jid),
        epoch: Epoch(order.epoch),
        span: Span { not_before: order.not_before, not_after: order.not_after },
    };
    Ok(Signed { spec, message, signature: Signature { key, bytes } })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    fn spec() -> CancelSpec {
        CancelSpec {
            fabric: "test".into(),
            jid: Jid::from_micros(7),
            epoch: Epoch(3),
            span: Span { not_before: 1, not_after: 1 << 50 },
        }
    }

    /// A signature that anybody can check: the digest of what is signed.
    fn sign(message: &[u8]) -> Result<Signature, Infallible> {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&Sha256::digest(message));
        Ok(Signature { key: KeyId([1; 8]), bytes })
    }

    fn sealed() -> Bytes {
        let Ok(seal) = seal_with(&spec(), sign);
        seal
    }

    #[test]
    fn a_cancel_survives_and_is_short() {
        let Signed { spec: read, message, signature } = signed(&sealed()).unwrap();
        assert_eq!((read, Ok(signature)), (spec(), sign(&message)));
        assert!(message.starts_with(DOMAIN));
        let long = CancelSpec { fabric: "f".repeat(253), ..spec() };
        let Ok(seal) = seal_with(&long, sign);
        assert!(seal.len() <= MAX_SEAL_BYTES / 2, "{} bytes", seal.len());
    }

    #[test]
    fn what_is_not_signed_is_told_from_what_is_not_known() {
        assert_eq!(signed(&Bytes::new()), Err(Reason::Unsigned));
        assert_eq!(signed(&Bytes::from_static(b"\xff")), Err(Reason::Version));
        let whole = link::SealedCancel::decode(sealed()).unwrap();
        let with = |change: fn(&mut link::SealedCancel)| {
            let mut other = whole.clone();
            change(&mut other);
            signed(&other.encode_to_vec().into()).map(drop)
        };
        assert_eq!(with(|_| {}), Ok(()));
        assert_eq!(with(|s| s.signature.truncate(63)), Err(Reason::Unsigned));
        assert_eq!(with(|s| s.key_id.push(1)), Err(Reason::Unsigned));
        assert_eq!(with(|s| s.body = Bytes::from_static(b"\xff")), Err(Reason::Version));
    }

    /// The same key signs both, and neither is taken for the other.
    #[test]
    fn no_job_is_a_cancel() {
        let job = relay_core::job::JobSpec {
            jid: spec().jid,
            fabric: spec().fabric,
            function: String::new(),
            args: Bytes::new(),
            caller: String::new(),
            run_limit: 0,
            epoch: spec().epoch,
            request: [0; 32],
            targets: Default::default(),
            span: spec().span,
        };
        let Ok(job) = crate::envelope::seal_with(&job, sign);
        let taken = signed(&job.envelope).is_ok_and(|s| Ok(s.signature) == sign(&s.message));
        assert!(!taken);
    }

    proptest! {
        #[test]
        fn no_altered_cancel_has_a_signature_that_fits(at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = sealed().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let read = signed(&bytes.into());
            let fits = |s: &Signed| Ok(s.signature.bytes) == sign(&s.message).map(|s| s.bytes);
            // But for the key's name, which is not signed: another key does not fit.
            let other_key = |s: &Signed| s.signature.key != KeyId([1; 8]) && s.spec == spec();
            prop_assert!(read.is_err() || read.is_ok_and(|s| !fits(&s) || other_key(&s)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = signed(&bytes.into());
        }
    }
}
