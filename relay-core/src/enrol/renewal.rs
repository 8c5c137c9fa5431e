//! Renewing a certificate, and how a copy of keys is found out.
//!
//! A member makes a new key for each renewal and signs the request with the key that it holds. So of two machines with the
//! same key the first to renew leaves the other one behind with a generation that nobody should hold any more. One thing looks
//! like that and is none: the answer to a renewal was lost. Then the same request comes again, with the same new key.

use super::{Enrolled, Event, Fingerprint, LATE_FOR, Rival, State, Step};
use crate::time::WallMicros;

/// A renewal: the certificate that is shown is of this fabric, and the request is signed with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewing<'a> {
    /// The enrolment that the certificate names.
    pub uid: u64,
    /// Its number.
    pub generation: u32,
    /// Its key.
    pub held: Fingerprint,
    /// When it ended or ends.
    pub ends: WallMicros,
    /// The key of the next one.
    pub next: Fingerprint,
    /// Where from.
    pub from: &'a str,
    /// Now.
    pub at: WallMicros,
    /// When a certificate given now ends.
    pub until: WallMicros,
}

/// What the one who renews is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// It gets the certificate with this number.
    Issued {
        /// The number.
        generation: u32,
    },
    /// It gets none.
    Refused(State),
    /// Its certificate ended too long ago: it has to be deleted and to ask anew.
    TooLate,
}

impl Enrolled {
    /// What a renewal leads to, given what is known of the name.
    pub fn renewed(known: Option<&Enrolled>, renewing: &Renewing<'_>) -> Step<Renewed> {
        let Some(record) = known.filter(|record| record.uid == renewing.uid && record.uid != 0) else {
            // Deleted, or of a holder before this one.
            return Step::answer(Renewed::Refused(State::Retired));
        };
        match record.state {
            State::Accepted => record.renew(renewing),
            refused => Step::answer(Renewed::Refused(refused)),
        }
    }

    fn renew(&self, renewing: &Renewing<'_>) -> Step<Renewed> {
        let &Renewing { generation, held, next, at, until, .. } = renewing;
        // Before all else: keys of long ago, found in a backup, shall not put anybody into quarantine.
        if at.saturating_sub(renewing.ends) > LATE_FOR {
            return Step::answer(Renewed::TooLate);
        }
        let newest = generation == self.generation && held == self.fingerprint;
        // The store may be older than what it gave out, if it came from a backup: the certificate is proof.
        let ahead = generation > self.generation;
        let lost = generation.checked_add(1) == Some(self.generation)
            && self.former == Some(held)
            && next == self.fingerprint;
        if !(newest || ahead || lost) {
            return self.cloned(renewing);
        }
        let record = match lost {
            true => Enrolled { until: until.max(self.until), ..self.clone() },
            false => Enrolled {
                fingerprint: next,
                former: Some(held),
                generation: generation.saturating_add(1),
                until,
                ..self.clone()
            },
        };
        Step::keep(Renewed::Issued { generation: record.generation }, record, Event::Issued)
    }

    /// Two hold keys of this member.
    fn cloned(&self, renewing: &Renewing<'_>) -> Step<Renewed> {
        let &Renewing { generation, held, from, at, .. } = renewing;
        let newest = self.generation;
        let why = format!(
            "clone detected: generation {generation} was shown from {from} when {newest} was the newest, so two machines \
             hold keys of this one"
        );
        let mut record = Enrolled { state: State::Quarantined, decided: at, why, ..self.clone() };
        record.note(Rival { fingerprint: held, from: from.into(), asked: at });
        let denial = record.withdrawn();
        Step::keep(Renewed::Refused(State::Quarantined), record, Event::Cloned).deny(denial)
    }
}
