//! Keys for a simulated fabric: the real envelope, the real tree, and a signature that takes no time.
//!
//! Whoever knows [`SECRET`] can sign, and in a simulation only the top masters do: to everybody else a signature is a hash that
//! he cannot make.

use std::convert::Infallible;

use bytes::Bytes;
use relay_core::{
    ids::Jid,
    job::{CancelSpec, Job, JobSpec, Seal},
    message::Dispatch,
    outcome::Reason,
    signing::{KeyId, NoKey, Signature},
};
use relay_proto::{cancel, envelope};
use sha2::{Digest, Sha256};

use crate::{sabotage::Sabotage, world::World};

/// Known to top masters, and to who verifies (as if it were the other half of a key).
const SECRET: &[u8] = b"known to top masters";
const KEY: KeyId = KeyId([1; 8]);

/// What top masters seal with.
#[derive(Debug)]
pub struct Sealer;

impl Seal for Sealer {
    fn seal(&self, spec: &JobSpec) -> Result<Job, NoKey> {
        let Ok(job) = envelope::seal_with(spec, |message| Ok::<_, Infallible>(sign(message)));
        Ok(job)
    }

    fn seal_cancel(&self, spec: &CancelSpec) -> Result<Bytes, NoKey> {
        let Ok(seal) = cancel::seal_with(spec, |message| Ok::<_, Infallible>(sign(message)));
        Ok(seal)
    }
}

fn sign(message: &[u8]) -> Signature {
    let digest: [u8; 32] = Sha256::new().chain_update(SECRET).chain_update(message).finalize().into();
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&digest);
    Signature { key: KEY, bytes }
}

impl World {
    /// What a minion checks before its journal is asked, as the real one does.
    pub fn examine(&mut self, no: usize, dispatch: &Dispatch) -> Result<(), Reason> {
        let signed = envelope::signed(&dispatch.job)?;
        if signed.signature.key != KEY {
            return Err(Reason::UnknownKey);
        }
        if sign(&signed.message) != signed.signature && self.sabotage != Sabotage::TakeUnsigned {
            return Err(Reason::BadSignature);
        }
        let wall = self.true_wall();
        let told = self.minions[no].bearer.check(wall, &signed.spec, dispatch);
        match (told, self.sabotage) {
            (Err(Reason::NotTarget), Sabotage::TakeUnproven | Sabotage::SendToAll) => Ok(()),
            (Err(Reason::Outdated), Sabotage::TakeOutdated) => Ok(()),
            (told, _) => told,
        }
    }

    /// The same for a cancel.
    pub fn examine_cancel(&mut self, no: usize, jid: Jid, seal: &Bytes) -> Result<(), Reason> {
        let signed = cancel::signed(seal)?;
        if signed.signature.key != KEY {
            return Err(Reason::UnknownKey);
        }
        if sign(&signed.message) != signed.signature {
            return Err(Reason::BadSignature);
        }
        let wall = self.true_wall();
        self.minions[no].bearer.check_cancel(wall, &signed.spec, jid)
    }
}
