//! Whether a minion may run what it is sent: all but the signature itself, which is checked where the keys are.
//!
//! A job comes over hands that are not trusted: whoever passes it on may keep it back, and that is all. What stands in the signed
//! part is the owner's word; what stands beside it is believed only as far as it can be proven by that. Whether the job has been
//! here before is the journal's to know ([`crate::seat`]).

use crate::{
    ids::{Epoch, Incarnation, Jid, MinionId},
    job::{CancelSpec, JobSpec},
    merkle::leaf,
    message::Dispatch,
    outcome::Reason,
    signing::Span,
    time::{Millis, WallMicros},
};

/// By how much clocks may differ. It only bounds how long after its time a job that was kept back may still be brought to a minion
/// that never had it.
pub const CLOCK_TOLERANCE: Millis = 5 * 60 * 1_000;

/// Who is asked to run jobs.
#[derive(Debug, Clone)]
pub struct Bearer {
    fabric: String,
    id: MinionId,
    incarnation: Incarnation,
    tolerance: Millis,
    /// The newest owner that signed anything for this minion.
    newest: Epoch,
}

impl Bearer {
    /// A minion under its journal.
    pub fn new(fabric: impl Into<String>, id: MinionId, incarnation: Incarnation) -> Bearer {
        Bearer::with_tolerance(fabric, id, incarnation, CLOCK_TOLERANCE)
    }

    /// The same, with clocks that differ by less: for simulated time.
    pub fn with_tolerance(
        fabric: impl Into<String>,
        id: MinionId,
        incarnation: Incarnation,
        tolerance: Millis,
    ) -> Bearer {
        Bearer { fabric: fabric.into(), id, incarnation, tolerance, newest: Epoch(0) }
    }

    /// Whether this job, of which the signature holds, is one for this minion to run now.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&mut self, wall: WallMicros, spec: &JobSpec, dispatch: &Dispatch) -> Result<(), Reason> {
        if spec.jid != dispatch.job.jid {
            return Err(Reason::DigestMismatch);
        }
        if spec.fabric != self.fabric {
            return Err(Reason::WrongFabric);
        }
        let own = [leaf(self.incarnation, &self.id)];
        dispatch.proof.verify(&own, &spec.targets).map_err(|_| Reason::NotTarget)?;
        self.newest = self.newest.max(spec.epoch);
        // An owner offers on what those before it signed; what comes from one of those is taken from the newer one, or not at all.
        if dispatch.epoch < self.newest {
            return Err(Reason::StaleEpoch);
        }
        self.counts(wall, &spec.span)
    }

    /// Whether this cancel, of which the signature holds, is one of the job that it came for. It counts whoever has the job: a
    /// minion that has not keeps it from starting.
    ///
    /// # Errors
    /// The first reason why not. Of a former owner's, or one whose time is over, an honest tier may still have a copy: the owner
    /// sends it one of its own.
    pub fn check_cancel(&mut self, wall: WallMicros, spec: &CancelSpec, jid: Jid) -> Result<(), Reason> {
        if spec.jid != jid {
            return Err(Reason::DigestMismatch);
        }
        if spec.fabric != self.fabric {
            return Err(Reason::WrongFabric);
        }
        if spec.epoch < self.newest {
            return Err(Reason::StaleEpoch);
        }
        self.newest = spec.epoch;
        self.counts(wall, &spec.span)
    }

    fn counts(&self, wall: WallMicros, span: &Span) -> Result<(), Reason> {
        let tolerance = self.tolerance * 1_000;
        if wall.saturating_add(tolerance) < span.not_before {
            return Err(Reason::NotYet);
        }
        if wall > span.not_after.saturating_add(tolerance) {
            return Err(Reason::Outdated);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        Members,
        job::Job,
        merkle::{Proof, Tree},
    };

    const MINUTE: WallMicros = 60_000_000;

    fn id(no: u32) -> MinionId {
        format!("m{no}").parse().unwrap()
    }

    fn bearer(no: u32) -> Bearer {
        Bearer::new("test", id(no), Incarnation(u64::from(no) + 1))
    }

    fn tree() -> Tree {
        Tree::full((0..5).map(|no| leaf(Incarnation(u64::from(no) + 1), &id(no))).collect())
    }

    fn spec() -> JobSpec {
        JobSpec {
            jid: Jid::from_micros(7),
            fabric: "test".into(),
            function: "test.ping".into(),
            args: Default::default(),
            caller: "root".into(),
            run_limit: 1,
            epoch: Epoch(4),
            request: [0; 32],
            targets: tree().root(),
            span: Span { not_before: 100 * MINUTE, not_after: 101 * MINUTE },
        }
    }

    fn dispatch(proof: Proof) -> Dispatch {
        let job = Job {
            jid: spec().jid,
            digest: [0; 32],
            envelope: Default::default(),
            targets: Some(spec().targets),
        };
        Dispatch {
            job: Arc::new(job),
            epoch: Epoch(4),
            members: Members::from_iter([0]),
            proof,
            reoffer: false,
            deliver_within: 9,
            flaw: None,
        }
    }

    fn proof(no: u32) -> Proof {
        tree().prove(vec![no]).unwrap()
    }

    #[test]
    fn a_target_runs_it_and_nobody_else() {
        for no in 0..5 {
            let mut minion = bearer(no);
            assert_eq!(minion.check(100 * MINUTE, &spec(), &dispatch(proof(no))), Ok(()));
            let another = dispatch(proof((no + 1) % 5));
            assert_eq!(minion.check(100 * MINUTE, &spec(), &another), Err(Reason::NotTarget));
            assert_eq!(
                minion.check(100 * MINUTE, &spec(), &dispatch(Proof::default())),
                Err(Reason::NotTarget)
            );
        }
        let mut stranger = Bearer::new("test", id(9), Incarnation(1));
        assert_eq!(stranger.check(100 * MINUTE, &spec(), &dispatch(proof(0))), Err(Reason::NotTarget));
        let mut new_journal = Bearer::new("test", id(0), Incarnation(99));
        assert_eq!(new_journal.check(100 * MINUTE, &spec(), &dispatch(proof(0))), Err(Reason::NotTarget));
    }

    #[test]
    fn its_time_is_what_is_signed_and_what_clocks_may_differ() {
        let at = |minute: u64| bearer(0).check(minute * MINUTE, &spec(), &dispatch(proof(0)));
        assert_eq!([94, 95, 106, 107].map(at), [Err(Reason::NotYet), Ok(()), Ok(()), Err(Reason::Outdated)]);
    }

    #[test]
    fn another_fabric_or_another_jid_is_another_job() {
        let other = JobSpec { fabric: "prod".into(), ..spec() };
        assert_eq!(bearer(0).check(100 * MINUTE, &other, &dispatch(proof(0))), Err(Reason::WrongFabric));
        let other = JobSpec { jid: Jid::from_micros(8), ..spec() };
        assert_eq!(bearer(0).check(100 * MINUTE, &other, &dispatch(proof(0))), Err(Reason::DigestMismatch));
    }

    #[test]
    fn a_former_owners_dispatch_is_not_taken_but_its_job_is_from_the_next_one() {
        let mut minion = bearer(0);
        let mut check = |signed: u64, sent: u64| {
            let dispatch = Dispatch { epoch: Epoch(sent), ..dispatch(proof(0)) };
            minion.check(100 * MINUTE, &JobSpec { epoch: Epoch(signed), ..spec() }, &dispatch)
        };
        assert_eq!(check(4, 3), Err(Reason::StaleEpoch), "an owner cannot send what a later one signed");
        assert_eq!(check(4, 4), Ok(()));
        assert_eq!(check(6, 6), Ok(()));
        assert_eq!(check(4, 4), Err(Reason::StaleEpoch));
        assert_eq!(check(4, 6), Ok(()));
    }

    #[test]
    fn a_cancel_is_of_its_job_its_fabric_its_time_and_no_former_owner() {
        let jid = Jid::from_micros(7);
        let span = Span { not_before: 100 * MINUTE, not_after: 200 * MINUTE };
        let good = CancelSpec { fabric: "test".into(), jid, epoch: Epoch(4), span };
        let check = |minute: u64, spec: &CancelSpec| bearer(0).check_cancel(minute * MINUTE, spec, jid);
        assert_eq!(
            [94, 95, 205, 206].map(|at| check(at, &good)),
            [Err(Reason::NotYet), Ok(()), Ok(()), Err(Reason::Outdated)]
        );
        let other = CancelSpec { fabric: "prod".into(), ..good.clone() };
        assert_eq!(check(100, &other), Err(Reason::WrongFabric));
        let other = CancelSpec { jid: Jid::from_micros(8), ..good.clone() };
        assert_eq!(check(100, &other), Err(Reason::DigestMismatch));
        let mut minion = bearer(0);
        let mut at = |epoch| {
            minion.check_cancel(100 * MINUTE, &CancelSpec { epoch: Epoch(epoch), ..good.clone() }, jid)
        };
        assert_eq!([at(4), at(3), at(5), at(4)].map(|told| told.is_ok()), [true, false, true, false]);
        assert_eq!(at(4), Err(Reason::StaleEpoch));
    }
}
