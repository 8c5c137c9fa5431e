//! What tests of several modules need.

use crate::{
    job::{Job, JobSpec, Seal},
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
}
