//! Jobs as minions read them: the envelope, its signature, and link messages as they come off the wire.

use std::convert::Infallible;

use prost::Message;
use relay_core::{
    ids::{Epoch, Jid},
    job::{Job, JobSpec},
    merkle::TargetRoot,
    signing::{KeyId, Signature, Span},
};
use relay_proto::{convert, envelope, link};
use sha2::{Digest, Sha256};

/// What a signature is here: anybody can make one, so what is compared is what was signed.
fn sign(message: &[u8]) -> Result<Signature, Infallible> {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&Sha256::digest(message));
    Ok(Signature { key: KeyId([1; 8]), bytes })
}

/// A job that is good, as bytes: where mutations start.
pub fn good() -> Vec<u8> {
    let spec = JobSpec {
        jid: Jid::from_micros(7),
        fabric: "test".into(),
        function: "test.ping".into(),
        args: r#"{"args":[],"kwargs":{}}"#.into(),
        caller: "root".into(),
        run_limit: 60_000,
        epoch: Epoch(3),
        request: [5; 32],
        targets: TargetRoot { hash: [6; 32], count: 5_000 },
        span: Span { not_before: 1, not_after: 1 << 50 },
    };
    envelope::seal_with(&spec, sign).map(|job| job.envelope.to_vec()).unwrap_or_default()
}

/// Bytes as an envelope, and as messages in both directions of a link.
///
/// Nothing panics; what opens as signed is signed over just what is in it, so that nothing can be added, dropped or spelled in
/// another way; what a tier reads of the targets is what the minion reads.
pub fn envelope(data: &[u8]) {
    let digest: [u8; 32] = Sha256::digest(data).into();
    // As a tier reads it off a link.
    let job = envelope::job(Jid::from_micros(7), digest, data.to_vec().into());
    let _ = envelope::open(&job);
    let targets = job.targets;
    if let Ok(signed) = envelope::signed(&job) {
        assert_eq!(targets, Some(signed.spec.targets), "a tier reads other targets than a minion");
        let of_it = sign(&signed.message).map(|s| s.bytes == signed.signature.bytes).unwrap_or(false);
        if of_it {
            // The signature is over the bytes of the body as they came, so what says the same is the same.
            assert_eq!(envelope::open(&job).as_ref(), Ok(&signed.spec));
        }
    }
    let wrong = Job { digest: [0; 32], ..job };
    assert!(envelope::signed(&wrong).is_err(), "another digest");
    if let Ok(up) = link::Up::decode(data) {
        let _ = convert::up_in(up);
    }
    if let Ok(down) = link::Down::decode(data) {
        let _ = convert::down_in(down);
    }
}
