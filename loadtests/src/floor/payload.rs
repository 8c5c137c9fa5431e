//! How many bytes a job and a return have on a minion's link: computed with the fabric's own encoders.

use std::{convert::Infallible, sync::Arc};

use relay_core::{
    Members,
    ids::{Epoch, Incarnation, Jid},
    job::JobSpec,
    merkle::{Proof, TargetRoot},
    message::{Dispatch, Down, ReturnBatch, ReturnGroup, Up},
    outcome::{Answer, Outcome, Reason},
    signing::{KeyId, Signature, Span},
};
use relay_proto::{convert, envelope};
use relay_runtime::{clock::wall, link::frame::Encoded};
use serde::{Deserialize, Serialize};

use crate::fabric::{FABRIC, NO_ARGUMENTS, OPERATOR};

/// What gRPC puts before a message, in bytes.
const GRPC_PREFIX: usize = 5;
/// The top master's default for `run_timeout_ms`.
const RUN_LIMIT: u64 = 60_000;
/// The top master's default for `delivery_timeout_ms`.
const DELIVERY: u64 = 10_000;

/// So many targets has the job of which this is the size: each one's proof grows by a hash when they double.
const MINIONS: u32 = 5_000;

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// A job on its way down one link.
    pub job: usize,
    /// One answer on its way up.
    pub answer: usize,
}

impl Payload {
    /// Those of `test.ping`, as a minion's link carries them above TLS and HTTP/2.
    pub fn of_ping() -> Payload {
        let jid = Jid::from_micros(wall());
        let job = Encoded::new(&convert::down_out(&Down::Dispatch(dispatch(jid))));
        let depth = MINIONS.next_power_of_two().ilog2() as usize;
        let proof = Proof { size: MINIONS, places: vec![MINIONS / 2], hashes: vec![[0; 32]; depth] };
        let job = job
            .frames_for(Incarnation(u64::MAX), Some(&proof))
            .iter()
            .map(|frame| frame.len())
            .sum::<usize>();
        let answer = Encoded::new(&convert::up_out(&Up::Returns(returns(jid)))).bytes();
        Payload { job: job + GRPC_PREFIX, answer: answer + GRPC_PREFIX }
    }
}

fn dispatch(jid: Jid) -> Dispatch {
    let spec = JobSpec {
        jid,
        fabric: FABRIC.into(),
        function: "test.ping".into(),
        args: NO_ARGUMENTS.into(),
        caller: OPERATOR.into(),
        run_limit: RUN_LIMIT,
        epoch: Epoch(1),
        request: [0; 32],
        targets: TargetRoot { hash: [0; 32], count: MINIONS },
        span: Span { not_before: jid.micros(), not_after: jid.micros() + DELIVERY * 1_000 },
    };
    let signature = Signature { key: KeyId([0; 8]), bytes: [0; 64] };
    let Ok(job) = envelope::seal_with(&spec, |_| Ok::<_, Infallible>(signature));
    Dispatch {
        job: Arc::new(job),
        epoch: Epoch(1),
        members: Members::from_iter([0]),
        proof: Proof::default(),
        reoffer: false,
        deliver_within: DELIVERY,
        flaw: None,
    }
}

fn returns(jid: Jid) -> ReturnBatch {
    let answer = Answer { body: "true".into(), ..Answer::bare(Outcome::Ok, Reason::None) };
    let group = ReturnGroup { jid, answer: Arc::new(answer), members: Members::from_iter([0]) };
    ReturnBatch { seq: 1, groups: vec![group] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_carries_its_digest_and_envelope_and_an_answer_is_small() {
        let payload = Payload::of_ping();
        // Three hashes and a signature, jid twice, incarnation, function, arguments, fabric; and a proof of 13 hashes.
        assert!((700..1_000).contains(&payload.job), "{payload:?}");
        assert!((15..100).contains(&payload.answer), "{payload:?}");
    }
}
