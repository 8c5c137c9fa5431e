//! Who was found out: a minion or a syndic refused what came from its parent because it is forged, and says so to its other parents.
//!
//! A syndic in the attacker's hands drops what would give it away. So who refuses something keeps that ([`Book`]) until a parent
//! other than the forger has heard it. On the way up equal ones become one ([`Gathered`]), and each who reports has a ration
//! ([`Ration`]): a report proves nothing, and who makes them up must not be able to crowd out the others.
//!
//! Owns what is kept, told and passed on. What is a forgery is [`crate::warrant`]'s and [`crate::seat`]'s; what becomes of a report,
//! [`crate::owner`]'s and the top master's.

use crate::{
    Members,
    ids::{Jid, MinionId, TierId},
    outcome::Reason,
    time::{Millis, WallMicros},
};

mod book;
mod gathered;
pub use book::{Book, KEEP, Kept, MAX_KEPT, PER_KIND};
pub use gathered::{Gathered, MAX_GATHERED};

/// Most suspicions of one message: what a syndic sends at once is [`A_MINUTE_OF_A_SYNDIC`].
pub const MAX_TOLD: usize = 256;
/// How long a ration lasts.
pub const RATION: Millis = 60_000;
/// Suspicions of one minion that are taken in each [`RATION`], and that it tells in one: every kind, from one parent.
pub const A_MINUTE_OF_A_MINION: u32 = 16;
/// Suspicions that a syndic passes on in each [`RATION`]. They are folded: so many different ones.
pub const A_MINUTE_OF_A_SYNDIC: u32 = 60;
/// Suspicions over one syndic's link that are taken in each [`RATION`]: two of its minutes may fall into one here.
pub const A_MINUTE_OF_A_LINK: u32 = 2 * A_MINUTE_OF_A_SYNDIC;
/// A parent's answers to heartbeats after which what was told before is taken for heard: the first may answer a heartbeat that was
/// sent before it.
pub(crate) const ANSWERS: u8 = 2;

/// What was forged, or what was wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Forgery {
    /// A job without a signature.
    Unsigned,
    /// A job signed by a key that the fabric's list does not name.
    UnknownKey,
    /// A job with a signature that is not of it.
    BadSignature,
    /// A job of another fabric.
    WrongFabric,
    /// Another job under a jid that is known, or another content than its digest says.
    DigestMismatch,
    /// A job from an owner that another one has replaced.
    StaleEpoch,
    /// A job for somebody else.
    NotTarget,
    /// A job whose time is over.
    Outdated,
    /// A job in a form that the reader does not know: nobody's, or that of an owner newer than it is.
    Version,
    /// A bundle of trust that nobody signed who may.
    Trust,
    /// A cancel that the owner did not sign.
    Cancel,
    /// A kind that the reader is too old for.
    Other,
}

impl Forgery {
    /// Every kind.
    pub const ALL: [Forgery; 12] = [
        Forgery::Unsigned,
        Forgery::UnknownKey,
        Forgery::BadSignature,
        Forgery::WrongFabric,
        Forgery::DigestMismatch,
        Forgery::StaleEpoch,
        Forgery::NotTarget,
        Forgery::Outdated,
        Forgery::Version,
        Forgery::Trust,
        Forgery::Cancel,
        Forgery::Other,
    ];

    /// Its word, in files, metrics and the audit log. Those about jobs are the words of the reasons.
    pub fn word(self) -> &'static str {
        match self {
            Forgery::Unsigned => "unsigned",
            Forgery::UnknownKey => "unknown_key",
            Forgery::BadSignature => "bad_signature",
            Forgery::WrongFabric => "wrong_fabric",
            Forgery::DigestMismatch => "digest_mismatch",
            Forgery::StaleEpoch => "stale_epoch",
            Forgery::NotTarget => "not_target",
            Forgery::Outdated => "outdated",
            Forgery::Version => "version",
            Forgery::Trust => "trust",
            Forgery::Cancel => "cancel",
            Forgery::Other => "other",
        }
    }

    /// The kind that a word names.
    pub fn from_word(word: &str) -> Option<Forgery> {
        Forgery::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// The kind of a job that was refused for this reason, if an honest parent sends none that is.
    pub fn of(reason: Reason) -> Option<Forgery> {
        Some(match reason {
            Reason::Unsigned => Forgery::Unsigned,
            Reason::UnknownKey => Forgery::UnknownKey,
            Reason::BadSignature => Forgery::BadSignature,
            Reason::WrongFabric => Forgery::WrongFabric,
            Reason::DigestMismatch => Forgery::DigestMismatch,
            Reason::StaleEpoch => Forgery::StaleEpoch,
            Reason::NotTarget => Forgery::NotTarget,
            Reason::Outdated => Forgery::Outdated,
            Reason::Version => Forgery::Version,
            _ => return None,
        })
    }

    /// What it was about.
    pub fn thing(self) -> &'static str {
        match self {
            Forgery::Trust => "bundle of trust",
            Forgery::Cancel => "cancel",
            Forgery::Other => "message",
            _ => "job",
        }
    }
}

/// Who refused it.
#[derive(Debug, Clone, PartialEq)]
pub enum Witness {
    /// Minions, in the sender's roster.
    Minions(Members),
    /// The sender of the message itself, a syndic.
    Sender,
    /// A syndic below the sender.
    Below(TierId),
}

/// What was refused, and who says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspicion {
    /// What it was.
    pub kind: Forgery,
    /// The job that it was about; none if it was about none, or about several.
    pub jid: Option<Jid>,
    /// Over whose link it came.
    pub parent: TierId,
    /// When the first came, by the clock of who says so: for people.
    pub at: WallMicros,
    /// How often.
    pub count: u64,
    /// Who says so.
    pub witness: Witness,
}

/// Who refused it, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reporter {
    /// So many minions, and the names of the first of them.
    Minions(u64, Vec<MinionId>),
    /// A syndic.
    Syndic(TierId),
}

/// What an owner was told, after all that it could check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The syndic over whose link it came.
    pub via: TierId,
    /// Who says so, as that syndic says.
    pub by: Reporter,
    /// Whom they accuse.
    pub accused: TierId,
    /// What it was.
    pub kind: Forgery,
    /// The job.
    pub jid: Option<Jid>,
    /// When, by their clock.
    pub at: WallMicros,
    /// How often.
    pub count: u64,
}

/// So much of each in each [`RATION`].
#[derive(Debug)]
pub struct Ration<K> {
    since: Millis,
    taken: std::collections::BTreeMap<K, u32>,
}

impl<K> Default for Ration<K> {
    fn default() -> Self {
        Ration { since: 0, taken: Default::default() }
    }
}

impl<K: Ord> Ration<K> {
    /// Whether this one may have one more, of at most so many.
    pub fn take(&mut self, now: Millis, whose: K, most: u32) -> bool {
        if now >= self.since + RATION {
            (self.since, self.taken) = (now, Default::default());
        }
        let taken = self.taken.entry(whose).or_default();
        let may = *taken < most;
        *taken += u32::from(may);
        may
    }

    /// When there is more.
    pub fn renewed(&self) -> Millis {
        self.since + RATION
    }
}

#[cfg(test)]
mod tests;
