//! Enrolment: who becomes a member of the fabric, stays one, and ceases to be one. The rules, without keys and stores.
//!
//! For each name (role, region and id) there is one record, [`Enrolled`]. A newcomer asks with a key of its own
//! ([`Enrolled::asked`]), an operator or a join token decides ([`decision`]), and from then on the certificate is renewed
//! with a key that is new each time ([`renewal`]). Certificates are made from the record, never from what a newcomer says.
//!
//! Three rules carry the rest:
//! * another key for a name that somebody has is a conflict: it is noted, and replaces nothing;
//! * each certificate has a generation. Whoever shows an old one holds a copy of keys that were given up: the name is
//!   quarantined, since nobody can tell from here who is the original;
//! * who is deleted loses the `uid` that its certificates name. The next holder of the name has another one.

use std::{fmt, str::FromStr};

use crate::time::WallMicros;

mod asking;
pub mod decision;
pub mod rate;
pub mod renewal;
#[cfg(test)]
mod tests;
pub mod token;

pub use asking::{Asking, Taken};
pub use token::JoinToken;

/// Requests that wait for an operator, in all. A fabric of 5,000 minions may ask at once, and some of them twice.
pub const MAX_PENDING: usize = 10_000;
/// The same from one address: whole sites stand behind one, and one alone must not use up [`MAX_PENDING`].
pub const MAX_PENDING_PER_ADDRESS: usize = 2_500;
/// Other keys kept with a name that somebody has. More are refused all the same, and not kept.
pub const MAX_RIVALS: usize = 8;
/// That a pending one has asked again is written down this seldom, in microseconds: it asks each few seconds.
pub const TOUCHED_EVERY: WallMicros = 3_600 * 1_000_000;
/// That a certificate was given once more is written down this seldom, in microseconds: who has seen a request can send it as
/// often as he likes.
pub const NOTED_EVERY: WallMicros = 60 * 1_000_000;
/// A pending one that has not asked for so long, in microseconds, is forgotten: it has gone away.
pub const PENDING_FOR: WallMicros = 24 * 3_600 * 1_000_000;
/// How long after the end of its certificate a member may still renew it, in microseconds: a machine that was off for some
/// weeks comes back by itself; one that was off for longer is deleted and accepted anew.
pub const LATE_FOR: WallMicros = 30 * 24 * 3_600 * 1_000_000;

/// SHA-256 of a public key (its SubjectPublicKeyInfo): what operators compare. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// A text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fingerprint: write all 64 hexadecimal digits of the SHA-256 that the newcomer logs")]
pub struct FingerprintError(String);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;
    /// In either case, with or without colons between bytes and `sha256:` before them, as other tools print it; but whole.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let bad = || FingerprintError(text.chars().take(80).collect());
        let digits = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("SHA256:")).unwrap_or(text);
        let plain = digits.len() == 64;
        let colons = digits.len() == 95 && digits.bytes().skip(2).step_by(3).all(|b| b == b':');
        if !digits.is_ascii() || !(plain || colons) {
            return Err(bad());
        }
        let step = if plain { 2 } else { 3 };
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let pair = &digits[at * step..at * step + 2];
            // `from_str_radix` takes a sign.
            if !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Fingerprint(bytes))
    }
}

/// How somebody stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It has asked, and nobody has decided.
    Pending,
    /// It is a member.
    Accepted,
    /// An operator said no.
    Rejected,
    /// Several keys ask for the name, or one asks for the name of a member. Never in a record: it follows from the others
    /// ([`Enrolled::shown`]), and is what the later ones are told.
    Conflict,
    /// It was a member; a copy of its keys was seen.
    Quarantined,
    /// It was deleted. Its uid never counts again.
    Retired,
}

impl State {
    /// All of them.
    pub const ALL: [State; 6] = [
        State::Pending,
        State::Accepted,
        State::Rejected,
        State::Conflict,
        State::Quarantined,
        State::Retired,
    ];

    /// The word for it on the wire, in records and for people.
    pub fn word(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Accepted => "accepted",
            State::Rejected => "rejected",
            State::Conflict => "conflict",
            State::Quarantined => "quarantined",
            State::Retired => "retired",
        }
    }

    /// The state of a word.
    pub fn of(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Another key that asked for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// The key.
    pub fingerprint: Fingerprint,
    /// Where it asked from.
    pub from: String,
    /// When it asked first.
    pub asked: WallMicros,
}

/// What is known of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// How it stands; never [`State::Conflict`].
    pub state: State,
    /// Its key: the one that asked, and later that of the newest certificate.
    pub fingerprint: Fingerprint,
    /// The key of the certificate before that: its holder may not have got the newest one.
    pub former: Option<Fingerprint>,
    /// Names this enrolment in certificates. Never used twice; 0 before it is accepted.
    pub uid: u64,
    /// The number of the newest certificate, from 1.
    pub generation: u32,
    /// When the newest certificate ends; 0 before there is one.
    pub until: WallMicros,
    /// When it asked last, give or take [`TOUCHED_EVERY`].
    pub asked: WallMicros,
    /// When its state changed last by a decision.
    pub decided: WallMicros,
    /// Who decided.
    pub by: String,
    /// Where it asked from, as the tier that it asked saw it.
    pub from: String,
    /// The syndic that passed it on; empty if there was none.
    pub via: String,
    /// What software it is, as it says.
    pub software: String,
    /// Why it is quarantined; empty otherwise.
    pub why: String,
    /// Other keys that asked for the name, oldest first.
    pub rivals: Vec<Rival>,
}

/// Certificates that count no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// Those of this enrolment.
    pub uid: u64,
    /// Up to and with this generation.
    pub up_to: u32,
    /// Until when any of them would count otherwise.
    pub until: WallMicros,
}

/// Something that happened, for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Somebody new asked.
    Asked,
    /// Somebody was let in by a token.
    Joined,
    /// Another key asked for a name.
    Conflict,
    /// A certificate was given.
    Issued,
    /// A copy of keys was seen.
    Cloned,
    /// An operator let somebody in.
    Accepted,
    /// An operator turned somebody away.
    Rejected,
    /// An operator forgot somebody.
    Deleted,
    /// An operator let a quarantined one in again.
    Released,
}

impl Event {
    /// The word for it in the audit log.
    pub fn word(self) -> &'static str {
        match self {
            Event::Asked => "enrol.asked",
            Event::Joined => "enrol.joined",
            Event::Conflict => "enrol.conflict",
            Event::Issued => "enrol.issued",
            Event::Cloned => "enrol.clone_detected",
            Event::Accepted => "keys.accepted",
            Event::Rejected => "keys.rejected",
            Event::Deleted => "keys.deleted",
            Event::Released => "keys.released",
        }
    }
}

/// What a rule leads to: what is to be kept, and what is to be done once it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<T> {
    /// The answer.
    pub answer: T,
    /// The record from now on; nothing if it stays as it is.
    pub record: Option<Enrolled>,
    /// Certificates that count no more from now on.
    pub deny: Option<Denial>,
    /// What to write into the audit log.
    pub event: Option<Event>,
}

impl<T> Step<T> {
    fn answer(answer: T) -> Step<T> {
        Step { answer, record: None, deny: None, event: None }
    }
    fn keep(answer: T, record: Enrolled, event: Event) -> Step<T> {
        Step { record: Some(record), event: Some(event), ..Step::answer(answer) }
    }
    fn deny(self, denial: Option<Denial>) -> Step<T> {
        Step { deny: denial, ..self }
    }
}

impl Enrolled {
    /// How it is shown: several keys of whom nobody is a member are a conflict.
    pub fn shown(&self) -> State {
        match self.state {
            State::Pending | State::Rejected if !self.rivals.is_empty() => State::Conflict,
            state => state,
        }
    }

    /// Whether it waits and has gone away: then it is forgotten.
    pub fn is_stale(&self, at: WallMicros) -> bool {
        self.state == State::Pending && at.saturating_sub(self.asked) >= PENDING_FOR
    }

    /// What denies its certificates, if it can have one.
    pub fn withdrawn(&self) -> Option<Denial> {
        (self.uid != 0).then_some(Denial { uid: self.uid, up_to: u32::MAX, until: self.until })
    }

    /// Notes another key, if there is room for it and it is not noted yet. False: nothing changed.
    fn note(&mut self, rival: Rival) -> bool {
        let known = rival.fingerprint == self.fingerprint
            || self.rivals.iter().any(|noted| noted.fingerprint == rival.fingerprint);
        let room = self.rivals.len() < MAX_RIVALS;
        if !known && room {
            self.rivals.push(rival);
        }
        !known && room
    }
}
