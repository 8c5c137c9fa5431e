//! Bodies that came over a link before: a link to or from a syndic carries an equal body once per connection.
//!
//! Folding makes one body of equal answers that are there at the same time; those that come later, and those of the next job, would
//! carry it again. So both ends remember bodies by one rule, which depends on nothing but what is on the wire, in order: each body
//! that stands in a `ReturnGroup` itself and has [`MIN_BODY`] to [`MAX_BODY`] bytes gets the next number, from 1, and the oldest are
//! forgotten as soon as there are more than [`MAX_REMEMBERED`] bytes or [`MAX_BODIES`] of them. A later group names the number instead.
//! Returns are sent in the order in which they are encoded, and a link that loses one ends; the next connection begins with nothing
//! remembered, so what is sent again is right by construction.
//!
//! What is remembered is a copy: a few bytes must not keep the buffer of the message that they came in. Which links remember is decided
//! where they begin: a parent does so only for who may speak for others ([`super::LinkLimits::remembers`]), so no minion can fill its
//! syndic's memory, and idle links of minions cost none. Spool, core and store know whole bodies only.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use relay_proto::link;

/// Shorter bodies are not worth a number.
pub const MIN_BODY: usize = 64;
/// Longer ones would push out many others; an answer of this size is rarely one of many.
pub const MAX_BODY: usize = 64 << 10;
/// Bytes of bodies that each end of a link remembers: the answers of several jobs side by side. It is part of the protocol.
pub const MAX_REMEMBERED: usize = 256 << 10;
/// Bodies that each end remembers: what each costs beside its bytes is bounded, too. It is part of the protocol.
pub const MAX_BODIES: usize = 1_024;

const _: () = assert!(MAX_BODY <= MAX_REMEMBERED, "a body that was just remembered is still there");

/// Whether a body in full is remembered.
fn counts(body: &Bytes) -> bool {
    (MIN_BODY..=MAX_BODY).contains(&body.len())
}

/// The rule, which is the same at both ends.
#[derive(Debug, Default)]
struct Ring {
    bodies: VecDeque<Bytes>,
    bytes: usize,
    /// How many were forgotten: the oldest that is left has the number after it.
    forgotten: u64,
}

impl Ring {
    /// Remembers a copy of a body, and gives its number.
    fn add(&mut self, body: Bytes) -> u64 {
        self.bytes += body.len();
        self.bodies.push_back(body);
        self.forgotten + self.bodies.len() as u64
    }

    /// Forgets the oldest body, if there are too many. To be called after each [`Ring::add`], until there is none.
    fn forget(&mut self) -> Option<Bytes> {
        if self.bytes <= MAX_REMEMBERED && self.bodies.len() <= MAX_BODIES {
            return None;
        }
        let oldest = self.bodies.pop_front()?;
        self.bytes -= oldest.len();
        self.forgotten += 1;
        Some(oldest)
    }

    fn get(&self, number: u64) -> Option<&Bytes> {
        let at = number.checked_sub(self.forgotten)?.checked_sub(1)?;
        self.bodies.get(usize::try_from(at).ok()?)
    }
}

/// What was said on a connection: the sender's end.
#[derive(Debug, Default)]
pub struct Said {
    ring: Ring,
    /// By content: two bodies are equal when all their bytes are.
    numbers: HashMap<Bytes, u64>,
}

impl Said {
    /// Puts numbers in the place of bodies that were said before. The message has to be the next one on the connection.
    pub fn shorten(&mut self, returns: &mut link::Returns) {
        for group in returns.groups.iter_mut().filter(|group| counts(&group.body)) {
            match self.numbers.get(&group.body) {
                Some(number) => {
                    group.same_body = *number;
                    group.body = Bytes::new();
                }
                None => self.remember(&group.body),
            }
        }
    }

    fn remember(&mut self, body: &[u8]) {
        let body = Bytes::copy_from_slice(body);
        let number = self.ring.add(body.clone());
        self.numbers.insert(body, number);
        while let Some(oldest) = self.ring.forget() {
            self.numbers.remove(&oldest);
        }
    }
}

/// What a reference to a body may not be. The peer is not one of ours, or one gone wrong: the link ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// No such number (any more).
    #[error("same_body: number {number} is not remembered, only {oldest} to {newest} are")]
    Unknown {
        /// The number.
        number: u64,
        /// The oldest that is remembered.
        oldest: u64,
        /// The newest; less than `oldest` if there is none.
        newest: u64,
    },
    /// A number, and a body as well.
    #[error("same_body: number {number}, and a body of {bytes} bytes beside it")]
    Both {
        /// The number.
        number: u64,
        /// Bytes of the body.
        bytes: usize,
    },
    /// More than a message of this link may have in full.
    #[error("same_body: more than {limit} bytes with all bodies in full")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

/// What was heard on a connection: the receiver's end.
#[derive(Debug, Default)]
pub struct Heard(Ring);

impl Heard {
    /// Puts bodies in the place of their numbers. `limit`: how large a message of this link may be, in bytes. An honest sender's bodies
    /// stay below it together, since without numbers they had to.
    ///
    /// # Errors
    /// What no honest sender says. What it remembers then is of no use any more.
    pub fn expand(&mut self, returns: &mut link::Returns, limit: usize) -> Result<(), BodyError> {
        let mut bytes = 0;
        for group in &mut returns.groups {
            match std::mem::take(&mut group.same_body) {
                0 => self.remember(&group.body),
                number if group.body.is_empty() => group.body = self.body(number)?,
                number => return Err(BodyError::Both { number, bytes: group.body.len() }),
            }
            bytes += group.body.len();
            if bytes > limit {
                return Err(BodyError::TooLarge { limit });
            }
        }
        Ok(())
    }

    fn remember(&mut self, body: &Bytes) {
        if counts(body) {
            self.0.add(Bytes::copy_from_slice(body));
            while self.0.forget().is_some() {}
        }
    }

    fn body(&self, number: u64) -> Result<Bytes, BodyError> {
        let (oldest, newest) = (self.0.forgotten + 1, self.0.forgotten + self.0.bodies.len() as u64);
        self.0.get(number).cloned().ok_or(BodyError::Unknown { number, oldest, newest })
    }
}

#[cfg(test)]
mod tests;
