//! How many bytes a job and a return have on a minion's link: computed with the fabric's own encoders.

use std::sync::Arc;

use relay_core::{
    Members,
    ids::{Epoch, Incarnation, Jid},
    job::JobSpec,
    message::{Dispatch, Down, ReturnBatch, ReturnGroup, Up},
    outcome::{Answer, Outcome, Reason},
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
        let job = job.frames_for(Incarnation(u64::MAX)).iter().map(|frame| frame.len()).sum::<usize>();
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
    };
    Dispatch {
        job: Arc::new(envelope::seal(&spec)),
        epoch: Epoch(1),
        members: Members::from_iter([0]),
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
        // SHA-256, jid twice, incarnation, function, arguments, fabric: well over 100 bytes, under one segment.
        assert!((100..1_000).contains(&payload.job), "{payload:?}");
        assert!((15..100).contains(&payload.answer), "{payload:?}");
    }
}
