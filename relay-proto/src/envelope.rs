//! Sealing and opening a job: what travels unread from the top master to the minion.

use prost::Message;
use relay_core::{
    ids::Jid,
    job::{Job, JobSpec},
    message::Dispatch,
    outcome::Reason,
};
use sha2::{Digest, Sha256};

use crate::{error::WireError, link};

/// The envelope version this build writes and reads.
const ENVELOPE_VERSION: u32 = 1;
/// Largest envelope (SECURITY section 4: "envelope 256 KiB").
pub const MAX_ENVELOPE_BYTES: usize = 256 << 10;

/// Encodes a job, once for the whole fabric.
pub fn seal(spec: &JobSpec) -> Job {
    let envelope = link::Envelope {
        version: ENVELOPE_VERSION,
        fabric: spec.fabric.clone(),
        jid: spec.jid.micros(),
        function: spec.function.clone(),
        args: spec.args.to_vec(),
        caller: spec.caller.clone(),
        run_limit_ms: spec.run_limit,
    };
    let envelope = envelope.encode_to_vec();
    Job { jid: spec.jid, digest: Sha256::digest(&envelope).into(), envelope: envelope.into() }
}

/// Reads an envelope. Used by minions, and by a top master on what its store kept.
pub fn open(job: &Job) -> Result<JobSpec, WireError> {
    let envelope =
        link::Envelope::decode(job.envelope.clone()).map_err(|e| WireError::Decode(e.to_string()))?;
    if envelope.version != ENVELOPE_VERSION {
        return Err(WireError::field("envelope version", envelope.version));
    }
    Ok(JobSpec {
        jid: Jid::from_micros(envelope.jid),
        fabric: envelope.fabric,
        function: envelope.function,
        args: envelope.args.into(),
        caller: envelope.caller,
        run_limit: envelope.run_limit_ms,
    })
}

/// What a minion checks before its journal is even asked: the digest is of these bytes, and they name this job and
/// this fabric. The reason goes into the dispatch as its flaw.
pub fn verify(dispatch: &Dispatch, fabric: &str) -> Result<JobSpec, Reason> {
    let digest: [u8; 32] = Sha256::digest(&dispatch.job.envelope).into();
    if digest != dispatch.job.digest {
        return Err(Reason::DigestMismatch);
    }
    let spec = open(&dispatch.job).map_err(|_| Reason::Version)?;
    if spec.jid != dispatch.job.jid || spec.fabric != fabric {
        return Err(Reason::DigestMismatch);
    }
    Ok(spec)
}
