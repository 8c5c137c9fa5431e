//! Records: small values under keys, by area. For what a top master keeps besides jobs and is no table of its own:
//! enrolments, tokens, approvals, the audit log.
//!
//! Owns the areas, the bounds, and what a put expects. What a value means is its area's owner's, who writes a format number
//! into each.

use std::{collections::HashSet, fmt};

use bytes::Bytes;

use super::{StoreError, value::Hex};

/// Longest key, in bytes. The longest there is names a role, a region and a minion (253 bytes of DNS name together).
pub const MAX_RECORD_KEY: usize = 512;
/// Longest value, in bytes: the bundle of all trust of a large fabric is some 100 KiB.
pub const MAX_RECORD_VALUE: usize = 1 << 20;
/// Most puts in one call of [`super::Store::put_records`]: one transaction of some ten milliseconds.
pub const MAX_RECORD_PUTS: usize = 4_096;
/// Most bytes of keys and values in one call of [`super::Store::put_records`]: a database has them in memory several times over.
pub const MAX_RECORD_PUT_BYTES: usize = 8 << 20;
/// Most records in one answer of [`super::Store::records`]; a larger limit is cut to it.
pub const MAX_RECORD_PAGE: usize = 1_000;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Area {
    /// Who asked to join, and what was decided.
    Enrolled,
    /// Tokens to join with.
    Token,
    /// The bundle of trust, and what it is made of.
    Trust,
    /// Sessions and tokens of operators.
    Login,
    /// Jobs that wait for a second person.
    Approval,
    /// The records of the audit log, by their number.
    Audit,
    /// How long the audit log is, and the signed statements of it.
    Checkpoint,
}

impl Area {
    /// All of them.
    pub const ALL: [Area; 7] = [
        Area::Enrolled,
        Area::Token,
        Area::Trust,
        Area::Login,
        Area::Approval,
        Area::Audit,
        Area::Checkpoint,
    ];

    /// Its word, in the database and for people.
    pub fn word(self) -> &'static str {
        match self {
            Area::Enrolled => "enrolled",
            Area::Token => "token",
            Area::Trust => "trust",
            Area::Login => "login",
            Area::Approval => "approval",
            Area::Audit => "audit",
            Area::Checkpoint => "checkpoint",
        }
    }

    /// The area of a word.
    pub fn from_word(word: &str) -> Option<Area> {
        Area::ALL.into_iter().find(|area| area.word() == word)
    }
}

/// A value that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name within its area.
    pub key: Bytes,
    /// Another one with every put, in the whole store: never used again, so that who expects it meets what was read.
    pub revision: u64,
    /// What its area's owner wrote.
    pub value: Bytes,
}

/// What must be so for a put to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// There is no such record.
    Absent,
    /// It is there as it was read.
    Revision(u64),
    /// Nothing.
    Any,
}

impl Expect {
    /// Whether it is so, if this is the revision that is there.
    pub(super) fn holds(self, found: Option<u64>) -> bool {
        match self {
            Expect::Absent => found.is_none(),
            Expect::Revision(revision) => found == Some(revision),
            Expect::Any => true,
        }
    }
}

/// A record to be kept or removed.
#[derive(Clone, PartialEq, Eq)]
pub struct PutRecord {
    /// Of which area.
    pub area: Area,
    /// Its name there; not empty, at most [`MAX_RECORD_KEY`].
    pub key: Bytes,
    /// What must be so.
    pub expect: Expect,
    /// What is kept from now on, at most [`MAX_RECORD_VALUE`]; `None` removes it.
    pub value: Option<Bytes>,
}

impl PutRecord {
    /// Which record, for people.
    fn name(&self) -> String {
        format!("{} {}", self.area.word(), Hex(&self.key))
    }
}

/// A value may be a secret's hash: it is not shown.
impl fmt::Debug for PutRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.value.as_ref().map(Bytes::len);
        write!(f, "PutRecord({}, {:?}, {bytes:?} bytes)", self.name(), self.expect)
    }
}

/// Refuses what no store can keep.
pub(super) fn fit(puts: &[PutRecord]) -> Result<(), StoreError> {
    let refused = |what: String, why: String| Err(StoreError::Unfit { what, why });
    if puts.len() > MAX_RECORD_PUTS {
        let why = format!("{} are put at once, at most {MAX_RECORD_PUTS} may be", puts.len());
        return refused("the records".into(), why);
    }
    let (mut bytes, mut seen) = (0, HashSet::new());
    for put in puts {
        let length = put.value.as_ref().map_or(0, Bytes::len);
        bytes += put.key.len() + length;
        let why = match put.key.len() {
            0 => "it has no key".to_owned(),
            key if key > MAX_RECORD_KEY => format!("its key has {key} bytes, at most {MAX_RECORD_KEY}"),
            _ if length > MAX_RECORD_VALUE => format!("it has {length} bytes, at most {MAX_RECORD_VALUE}"),
            _ if !seen.insert((put.area, &put.key)) => "it is put twice at once".to_owned(),
            _ => continue,
        };
        return refused(put.name(), why);
    }
    match bytes {
        0..=MAX_RECORD_PUT_BYTES => Ok(()),
        _ => refused("the records".into(), format!("{bytes} bytes at once, at most {MAX_RECORD_PUT_BYTES}")),
    }
}
