//! When a top master may own the fabric: what it does about its lease and the leadership next, and whether new jobs may come.
//!
//! Owns the decisions. The registry decides who leads, and the store makes it exact (an owner that was replaced is fenced);
//! asking both, and running what an owner runs, is the top master's shell. Time is its monotonic clock's.

use crate::time::Millis;

/// A registry that did not answer, or an owner that could not begin, is tried again after this.
pub const RETRY: Millis = 500;

/// The times a tenure keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenureRule {
    /// Life of a lease since it was kept last.
    pub ttl: Millis,
    /// How long a standby leaves a vacancy to the former owner, which may only have been cut from the registry.
    pub grace: Millis,
}

/// What the registry shows of the leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leader {
    /// Nobody has it.
    Nobody,
    /// We have, under our present lease.
    Ours,
    /// Somebody else has, or we ourselves in a former life.
    Other {
        /// It is we, before a restart: nobody has to be waited for.
        ourselves: bool,
        /// It is stopping, and hands over.
        leaving: bool,
    },
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Get a lease, and register under it.
    Grant,
    /// Keep the lease.
    Keep,
    /// Stand for the leadership.
    Stand,
    /// Nothing before this moment, unless something is heard.
    Wait(Millis),
}

/// One top master's standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure {
    rule: TenureRule,
    /// Until when the lease lives, at the least: counted from when the request that was answered was made.
    lease: Option<Millis>,
    keep_at: Millis,
    /// No call before: the last one failed.
    retry_at: Millis,
    leader: Leader,
    /// Since when nobody leads, and from when on we may stand.
    vacant: (Millis, Millis),
    owns: bool,
    /// Since when the registry has not answered.
    silent: Option<Millis>,
}

impl Tenure {
    /// A standby without a lease.
    pub fn new(rule: TenureRule, now: Millis) -> Tenure {
        let (leader, vacant) = (Leader::Nobody, (now, now));
        Tenure { rule, lease: None, keep_at: now, retry_at: now, leader, vacant, owns: false, silent: None }
    }

    // ---- what was heard ----

    /// A lease was granted, or kept: it lives on from when that was asked.
    pub fn kept(&mut self, asked: Millis) {
        self.lease = Some(asked + self.rule.ttl);
        self.keep_at = asked + self.rule.ttl / 3;
        self.silent = None;
    }

    /// The registry knows our lease no more.
    pub fn lease_ended(&mut self, now: Millis) {
        (self.lease, self.silent) = (None, None);
        if self.leader == Leader::Ours {
            self.heard(now, Leader::Nobody);
        }
    }

    /// The registry did not answer.
    pub fn unanswered(&mut self, now: Millis) {
        self.silent.get_or_insert(now);
        self.retry_at = now + RETRY;
    }

    /// The registry shows who leads.
    pub fn heard(&mut self, now: Millis, leader: Leader) {
        let before = std::mem::replace(&mut self.leader, leader);
        match leader {
            Leader::Ours => self.owns = true,
            Leader::Other { .. } => self.owns = false,
            Leader::Nobody => match before {
                Leader::Nobody => {}
                Leader::Other { ourselves: false, leaving: false } => {
                    self.vacant = (now, now + self.rule.grace)
                }
                Leader::Ours | Leader::Other { .. } => self.vacant = (now, now),
            },
        }
    }

    /// The owner's work ended: the store was taken over by another, or could not be had. Others come first now. True: we
    /// led, and must resign.
    pub fn term_ended(&mut self, now: Millis) -> bool {
        self.owns = false;
        // A standby that sees us resign waits for the grace from then on, and is to be the first.
        self.vacant = (now, now + 2 * self.rule.grace);
        let led = self.leader == Leader::Ours;
        if led {
            self.leader = Leader::Nobody;
        }
        led
    }

    // ---- what follows ----

    /// What to do now.
    pub fn next(&self, now: Millis) -> Step {
        let due = |at: Millis, step: Step| if at <= now { step } else { Step::Wait(at) };
        if self.lease.is_none() {
            return due(self.retry_at, Step::Grant);
        }
        let keep_at = self.keep_at.max(self.retry_at);
        if keep_at <= now {
            return Step::Keep;
        }
        if self.leader != Leader::Nobody {
            return Step::Wait(keep_at);
        }
        let stand_at = if self.owns { self.retry_at } else { self.vacant.1.max(self.retry_at) };
        if stand_at <= now { Step::Stand } else { Step::Wait(stand_at.min(keep_at)) }
    }

    /// Whether an owner's work is to be done here. It goes on while the registry can't be reached: who comes after us
    /// fences us in the store.
    pub fn owns(&self) -> bool {
        self.owns
    }

    /// Whether we know that we own: new jobs are taken only then.
    ///
    /// # Errors
    /// Since when we don't.
    pub fn certain(&self, now: Millis) -> Result<(), Millis> {
        match (self.leader, self.lease) {
            (Leader::Ours, Some(until)) if now < until => Ok(()),
            (_, Some(until)) if until <= now => Err(self.silent.unwrap_or(until)),
            _ => Err(self.silent.unwrap_or(self.vacant.0)),
        }
    }

    /// Until when [`Tenure::certain`] holds, if nothing else is heard; 0 if it does not.
    pub fn certain_until(&self) -> Millis {
        self.lease.filter(|_| self.leader == Leader::Ours).unwrap_or(0)
    }

    /// Since when the registry has not answered.
    pub fn silent(&self) -> Option<Millis> {
        self.silent
    }

    /// Since when nobody led, before we did.
    pub fn vacant_since(&self) -> Millis {
        self.vacant.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULE: TenureRule = TenureRule { ttl: 3_000, grace: 2_000 };
    const OTHER: Leader = Leader::Other { ourselves: false, leaving: false };
    const LEAVING: Leader = Leader::Other { ourselves: false, leaving: true };
    const FORMER_SELF: Leader = Leader::Other { ourselves: true, leaving: false };

    /// One with a lease that was asked for at 0, which hears this of the leadership at 100.
    fn hears(leader: Leader) -> Tenure {
        let mut tenure = Tenure::new(RULE, 0);
        tenure.kept(0);
        tenure.heard(100, leader);
        tenure
    }

    #[test]
    fn first_a_lease_then_the_leadership_at_once() {
        let mut tenure = Tenure::new(RULE, 0);
        assert_eq!(tenure.next(0), Step::Grant);
        tenure.kept(0);
        assert_eq!(tenure.next(1), Step::Stand);
        assert!(!tenure.owns());
        tenure.heard(2, Leader::Ours);
        assert!(tenure.owns() && tenure.certain(2) == Ok(()));
        assert_eq!(tenure.next(2), Step::Wait(1_000), "kept every third of its life");
        assert_eq!(tenure.next(1_000), Step::Keep);
    }

    #[test]
    fn who_waits_how_long_for_a_vacancy() {
        let table = [
            (OTHER, Step::Wait(2_200)),
            (LEAVING, Step::Stand),
            (FORMER_SELF, Step::Stand),
            (Leader::Ours, Step::Stand),
        ];
        for (before, next) in table {
            let mut tenure = hears(before);
            tenure.kept(150);
            assert_eq!(tenure.next(160), Step::Wait(1_150), "{before:?}: it is held");
            tenure.heard(200, Leader::Nobody);
            tenure.kept(1_300);
            assert_eq!(tenure.next(1_300), next, "{before:?}");
            assert_eq!(tenure.vacant_since(), 200);
        }
        let mut tenure = hears(OTHER);
        tenure.heard(200, Leader::Nobody);
        tenure.heard(1_500, Leader::Nobody);
        tenure.kept(2_100);
        assert_eq!(tenure.next(2_200), Step::Stand, "hearing of it again changes nothing");
    }

    #[test]
    fn a_registry_that_is_away_stops_new_jobs_when_the_lease_is_over_and_nothing_else() {
        let mut tenure = hears(Leader::Ours);
        tenure.kept(1_000);
        tenure.unanswered(2_600);
        assert_eq!(tenure.next(2_600), Step::Wait(3_100), "tried again after a pause");
        assert_eq!(tenure.certain(3_999), Ok(()), "a lease's life after the last answer");
        assert_eq!(tenure.certain(4_000), Err(2_600), "and it says since when nothing was heard");
        assert!(tenure.owns(), "running jobs go on");
        tenure.kept(60_000);
        assert_eq!(tenure.certain(60_001), Ok(()), "by itself");
    }

    #[test]
    fn an_owner_whose_lease_was_lost_stands_again_at_once_and_takes_jobs_only_then() {
        let mut tenure = hears(Leader::Ours);
        tenure.lease_ended(5_000);
        assert!(tenure.owns());
        assert_eq!(tenure.certain(5_000), Err(5_000));
        assert_eq!(tenure.next(5_000), Step::Grant);
        tenure.kept(5_001);
        assert_eq!(tenure.next(5_002), Step::Stand);
        assert_eq!(tenure.certain(5_002), Err(5_000), "a lease alone is no leadership");
        tenure.heard(5_003, Leader::Ours);
        assert_eq!(tenure.certain(5_003), Ok(()));
    }

    #[test]
    fn an_owner_ends_when_another_leads() {
        let mut tenure = hears(Leader::Ours);
        tenure.lease_ended(5_000);
        tenure.kept(5_001);
        tenure.heard(5_003, OTHER);
        assert!(!tenure.owns());
        assert_eq!(tenure.next(5_003), Step::Wait(6_001));
    }

    #[test]
    fn after_a_term_that_ended_others_come_first() {
        let mut tenure = hears(Leader::Ours);
        tenure.kept(900);
        assert!(tenure.term_ended(1_000), "it must resign");
        assert!(!tenure.owns());
        tenure.kept(4_500);
        assert_eq!(tenure.next(4_999), Step::Wait(5_000), "who sees us resign is ready by 3,000");
        assert_eq!(tenure.next(5_000), Step::Stand);
        assert!(!hears(OTHER).term_ended(1_000), "there is nothing to resign from");
    }

    proptest! {
        /// Whatever is heard: new jobs only with a lease and the leadership, and never an owner while another leads.
        #[test]
        fn certainty_needs_a_lease_and_the_leadership(events in proptest::collection::vec((0..7u8, 0..2_000u64), 0..60)) {
            let (mut tenure, mut now, mut until, mut ours) = (Tenure::new(RULE, 0), 0, 0, false);
            for (event, pause) in events {
                now += pause;
                match event {
                    0 => { tenure.kept(now); until = now + RULE.ttl; }
                    1 => { tenure.lease_ended(now); (until, ours) = (0, false); }
                    2 => tenure.unanswered(now),
                    3 => { tenure.heard(now, Leader::Nobody); ours = false; }
                    4 => { tenure.heard(now, Leader::Ours); ours = true; }
                    5 => { tenure.heard(now, OTHER); ours = false; prop_assert!(!tenure.owns()); }
                    _ => { prop_assert_eq!(tenure.term_ended(now), ours); ours = false; prop_assert!(!tenure.owns()); }
                }
                prop_assert_eq!(tenure.certain(now).is_ok(), ours && now < until);
                prop_assert!(!ours || tenure.owns());
                // It always asks the registry again, within a third of a lease's life or the pause after a failure.
                if let Step::Wait(at) = tenure.next(now) {
                    prop_assert!(at > now && at <= now + RULE.ttl / 3 + RETRY);
                }
            }
        }
    }
}
