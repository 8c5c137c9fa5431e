//! What operators decide. Always about one key, by its whole fingerprint; a name alone is enough to turn somebody away.

use super::{Enrolled, Event, Fingerprint, State, Step};
use crate::time::WallMicros;

/// Why a decision changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// The name is unknown, or nobody has asked since it was deleted.
    #[error("nobody of this name has asked")]
    Nobody,
    /// No key of the name has the fingerprint.
    #[error(
        "no key that asked for this name has this fingerprint: compare what the newcomer logs with what \"keys show\" says"
    )]
    Fingerprint,
    /// The name is a member's, with another key.
    #[error("it is accepted with another key, which is not replaced: delete it first, if it is gone")]
    Taken,
    /// Only what waits can be rejected.
    #[error("it is accepted: to withdraw that, delete it")]
    Accepted,
    /// What is in quarantine is released, or deleted.
    #[error(
        "it is quarantined: release it by the fingerprint of the machine that is the true one, or delete it"
    )]
    Quarantined,
    /// Only what is in quarantine can be released.
    #[error("it is not quarantined")]
    NotQuarantined,
}

/// Whether a decision had anything to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It counts from now on.
    Now,
    /// It was so before.
    Before,
}

/// Who decides, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deciding<'a> {
    /// Who.
    pub by: &'a str,
    /// Now.
    pub at: WallMicros,
}

impl Enrolled {
    /// Lets in the key with this fingerprint. `uid` is new, and not 0.
    ///
    /// # Errors
    /// Nobody has asked, not with this key, or the name is taken.
    pub fn accept(&self, key: Fingerprint, uid: u64, now: Deciding<'_>) -> Result<Step<Done>, Undecided> {
        match self.state {
            State::Retired => Err(Undecided::Nobody),
            State::Quarantined => Err(Undecided::Quarantined),
            State::Accepted if self.fingerprint == key => Ok(Step::answer(Done::Before)),
            State::Accepted => Err(Undecided::Taken),
            State::Pending | State::Rejected | State::Conflict => {
                let chosen = self.chosen(key)?;
                Ok(Step::keep(Done::Now, chosen.member(uid, now.at, now.by), Event::Accepted))
            }
        }
    }

    /// Turns away whoever waits; with a fingerprint, that key only.
    ///
    /// # Errors
    /// Nobody waits, not with this key, or it is a member.
    pub fn reject(&self, key: Option<Fingerprint>, now: Deciding<'_>) -> Result<Step<Done>, Undecided> {
        if let Some(without) = self.without_rival(key) {
            return Ok(Step::keep(Done::Now, without, Event::Rejected));
        }
        self.is_of(key)?;
        match self.state {
            State::Retired => Err(Undecided::Nobody),
            State::Accepted => Err(Undecided::Accepted),
            State::Quarantined => Err(Undecided::Quarantined),
            State::Rejected if self.rivals.is_empty() => Ok(Step::answer(Done::Before)),
            State::Rejected | State::Pending | State::Conflict => {
                let (rivals, by) =
                    (if key.is_some() { self.rivals.clone() } else { Vec::new() }, now.by.into());
                let record = Enrolled { state: State::Rejected, decided: now.at, by, rivals, ..self.clone() };
                Ok(Step::keep(Done::Now, record, Event::Rejected))
            }
        }
    }

    /// Forgets it, whatever it is; with a fingerprint, only if that is its key, or that other key that asked for the name.
    ///
    /// # Errors
    /// It is forgotten already, or has no such key.
    pub fn delete(&self, key: Option<Fingerprint>, now: Deciding<'_>) -> Result<Step<Done>, Undecided> {
        if let Some(without) = self.without_rival(key) {
            return Ok(Step::keep(Done::Now, without, Event::Deleted));
        }
        self.is_of(key)?;
        if self.state == State::Retired {
            return Err(Undecided::Nobody);
        }
        let (decided, by, rivals) = (now.at, now.by.into(), Vec::new());
        let record = Enrolled { state: State::Retired, decided, by, rivals, ..self.clone() };
        let denial = self.withdrawn();
        Ok(Step::keep(Done::Now, record, Event::Deleted).deny(denial))
    }

    /// Lets a quarantined one in again, with this key and under a new `uid`: what was given out before stays denied.
    ///
    /// # Errors
    /// It is not quarantined, or has no such key.
    pub fn release(&self, key: Fingerprint, uid: u64, now: Deciding<'_>) -> Result<Step<Done>, Undecided> {
        if self.state != State::Quarantined {
            return Err(Undecided::NotQuarantined);
        }
        let released = self.chosen(key)?.member(uid, now.at, now.by);
        Ok(Step::keep(Done::Now, released, Event::Released).deny(self.withdrawn()))
    }

    /// The record with this key as the one that counts.
    fn chosen(&self, key: Fingerprint) -> Result<Enrolled, Undecided> {
        let rival = self.rivals.iter().find(|rival| rival.fingerprint == key);
        match rival {
            _ if self.fingerprint == key => Ok(self.clone()),
            Some(rival) => Ok(Enrolled {
                fingerprint: key,
                from: rival.from.clone(),
                asked: rival.asked,
                via: String::new(),
                software: String::new(),
                ..self.clone()
            }),
            None => Err(Undecided::Fingerprint),
        }
    }

    /// The record without this other key; nothing if it is none of the other keys.
    fn without_rival(&self, key: Option<Fingerprint>) -> Option<Enrolled> {
        let at = self.rivals.iter().position(|rival| Some(rival.fingerprint) == key)?;
        let mut without = self.clone();
        without.rivals.remove(at);
        Some(without)
    }

    fn is_of(&self, key: Option<Fingerprint>) -> Result<(), Undecided> {
        match key.is_none_or(|key| key == self.fingerprint) {
            true => Ok(()),
            false => Err(Undecided::Fingerprint),
        }
    }
}
