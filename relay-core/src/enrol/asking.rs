//! What a request to join leads to.

use super::{Enrolled, Event, Fingerprint, NOTED_EVERY, Rival, State, Step, TOUCHED_EVERY};
use crate::time::WallMicros;

/// A request to join, its form checked and its signature good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asking<'a> {
    /// The key that asks.
    pub fingerprint: Fingerprint,
    /// Now.
    pub at: WallMicros,
    /// Where from.
    pub from: &'a str,
    /// Who passed it on; empty if nobody did.
    pub via: &'a str,
    /// Its software.
    pub software: &'a str,
    /// The name of a token that is good for this name, if it holds one.
    pub token: Option<&'a str>,
    /// The uid it gets if it is let in now: new, and not 0.
    pub uid: u64,
    /// When a certificate given now ends.
    pub until: WallMicros,
    /// Whether another request may wait.
    pub room: bool,
}

/// What the one who asked is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It waits for an operator.
    Waits,
    /// It gets a certificate of this enrolment and generation; a use of its token is spent if it says so.
    Issued {
        /// The enrolment.
        uid: u64,
        /// The certificate's number.
        generation: u32,
        /// Whether its token let it in.
        joined: bool,
    },
    /// It is not let in.
    Refused(State),
    /// Too many wait.
    Full,
}

impl Enrolled {
    /// What a request leads to, given what is known of the name.
    pub fn asked(known: Option<&Enrolled>, asking: &Asking<'_>) -> Step<Taken> {
        match known {
            None => newcomer(asking),
            Some(record) if record.state == State::Retired => newcomer(asking),
            Some(record) if record.fingerprint == asking.fingerprint => record.again(asking),
            Some(record) => record.rivalled(asking),
        }
    }

    /// The key that is known asks again.
    fn again(&self, asking: &Asking<'_>) -> Step<Taken> {
        match self.state {
            State::Pending => match asking.token {
                Some(token) => joined(self.clone(), token, asking),
                None if asking.at.saturating_sub(self.asked) < TOUCHED_EVERY => Step::answer(Taken::Waits),
                None => Step {
                    record: Some(Enrolled { asked: asking.at, ..self.clone() }),
                    ..Step::answer(Taken::Waits)
                },
            },
            // Its certificate was lost, or has not been fetched. It keeps its number: whoever has seen the request can send
            // it again, and must not thereby make the certificate that is in use an old one.
            State::Accepted => {
                let answer = Taken::Issued { uid: self.uid, generation: self.generation, joined: false };
                if asking.until < self.until.saturating_add(NOTED_EVERY) {
                    return Step::answer(answer);
                }
                let record = Enrolled { until: asking.until, ..self.clone() };
                Step::keep(answer, record, Event::Issued)
            }
            refused => Step::answer(Taken::Refused(refused)),
        }
    }

    /// Another key asks for the name.
    fn rivalled(&self, asking: &Asking<'_>) -> Step<Taken> {
        // A name in quarantine: whoever asks for it learns that, and not more.
        let told = if self.state == State::Quarantined { self.state } else { State::Conflict };
        let (fingerprint, from) = (asking.fingerprint, asking.from.to_owned());
        let mut record = self.clone();
        match record.note(Rival { fingerprint, from, asked: asking.at }) {
            true => Step::keep(Taken::Refused(told), record, Event::Conflict),
            false => Step::answer(Taken::Refused(told)),
        }
    }
}

fn newcomer(asking: &Asking<'_>) -> Step<Taken> {
    let record = Enrolled {
        state: State::Pending,
        fingerprint: asking.fingerprint,
        former: None,
        uid: 0,
        generation: 0,
        until: 0,
        asked: asking.at,
        decided: 0,
        by: String::new(),
        from: asking.from.into(),
        via: asking.via.into(),
        software: asking.software.into(),
        why: String::new(),
        rivals: Vec::new(),
    };
    match asking.token {
        Some(token) => joined(record, token, asking),
        None if !asking.room => Step::answer(Taken::Full),
        None => Step::keep(Taken::Waits, record, Event::Asked),
    }
}

fn joined(record: Enrolled, token: &str, asking: &Asking<'_>) -> Step<Taken> {
    let record =
        Enrolled { until: asking.until, ..record.member(asking.uid, asking.at, &format!("token {token}")) };
    Step::keep(Taken::Issued { uid: asking.uid, generation: 1, joined: true }, record, Event::Joined)
}

impl Enrolled {
    /// The record as a member's, from a decision on.
    pub(super) fn member(self, uid: u64, at: WallMicros, by: &str) -> Enrolled {
        Enrolled {
            state: State::Accepted,
            former: None,
            uid,
            generation: 1,
            until: 0,
            decided: at,
            by: by.into(),
            why: String::new(),
            // They lost; who asks again is noted again.
            rivals: Vec::new(),
            ..self
        }
    }
}
