//! What tests of several modules need.

use bytes::Bytes;

use crate::{
    job::{CancelSpec, Job, JobSpec, Seal},
    signing::NoKey,
};

/// Seals a job with nothing in it, and no signature; or refuses to.
#[derive(Debug, Default)]
pub(crate) struct Sealing {
    pub(crate) keyless: bool,
}

impl Seal for Sealing {
    fn seal(&self, spec: &JobSpec) -> Result<Job, NoKey> {
        match self.keyless {
            true => Err(NoKey("none is announced".into())),
            false => Ok(Job {
                jid: spec.jid,
                digest: [0; 32],
                envelope: Default::default(),
                targets: Some(spec.targets),
            }),
        }
    }

    fn seal_cancel(&self, spec: &CancelSpec) -> Result<Bytes, NoKey> {
        match self.keyless {
            true => Err(NoKey("none is announced".into())),
            false => Ok(format!("{} {} {}", spec.jid.micros(), spec.epoch.0, spec.span.not_after).into()),
        }
    }
}
