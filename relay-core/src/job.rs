//! A job as the tiers carry it: opaque bytes with a name and a digest.
//!
//! What is inside (function, arguments, caller, run limit) is read by the minion alone; the tiers between pass the
//! encoded bytes on unread and unchanged, so they are encoded once for the whole fabric.

use std::fmt;

use bytes::Bytes;

use crate::{
    ids::{Epoch, Jid},
    merkle::TargetRoot,
    signing::{NoKey, Span},
    time::Millis,
};

/// Most jobs open at one owner. Beyond it new jobs are refused; each open job costs a few bitmaps.
pub const MAX_OPEN_JOBS: usize = 1_000;

/// The sealed job: what every hop forwards unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub jid: Jid,
    /// SHA-256 of `envelope`: the same jid under another digest is refused as a security event.
    pub digest: [u8; 32],
    /// The encoded job, with its signature.
    pub envelope: Bytes,
    /// What the envelope says of the targets: by this a tier sees whether a dispatch is for who the owner meant. Nothing in an
    /// envelope of before jobs were signed; no minion takes those any more.
    pub targets: Option<TargetRoot>,
}

/// What a job says, before it is sealed and after it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSpec {
    /// Its name.
    pub jid: Jid,
    /// The fabric it is for.
    pub fabric: String,
    /// The function, as `test.ping`.
    pub function: String,
    /// Its arguments as JSON: `{"args":[…],"kwargs":{…}}`.
    pub args: Bytes,
    /// Who asked for it.
    pub caller: String,
    /// How long one minion may take, from its start.
    pub run_limit: Millis,
    /// The epoch of the owner that accepted it.
    pub epoch: Epoch,
    /// SHA-256 over the operator's request.
    pub request: [u8; 32],
    /// The targets, frozen.
    pub targets: TargetRoot,
    /// When it may run.
    pub span: Span,
}

/// That a job is to be stopped, as an owner signs it. It counts at every minion, whether the job is there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelSpec {
    /// The fabric.
    pub fabric: String,
    /// The job.
    pub jid: Jid,
    /// The epoch of the owner that signs it.
    pub epoch: Epoch,
    /// When it counts. A job is cancelled for good; this only bounds for how long its key is needed, and how long the signature can
    /// be brought again.
    pub span: Span,
}

/// Turns a spec into the signed bytes every hop forwards. Supplied by the wire crate, so that the core knows no encoding, and by
/// whoever has the keys.
pub trait Seal: fmt::Debug + Send + Sync {
    /// Encodes and signs a job, once for the whole fabric.
    ///
    /// # Errors
    /// There is no key to sign it with.
    fn seal(&self, spec: &JobSpec) -> Result<Job, NoKey>;

    /// Encodes and signs that a job is to be stopped, once for the whole fabric.
    ///
    /// # Errors
    /// There is no key to sign it with.
    fn seal_cancel(&self, spec: &CancelSpec) -> Result<Bytes, NoKey>;
}
