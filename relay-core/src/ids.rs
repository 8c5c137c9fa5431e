//! Names of things: minion and syndic ids, jids, request ids, incarnations, epochs.
//!
//! Each is a parsed type: what crosses the edge of a process becomes one of these or is refused there, so that no id
//! ever reaches a path, a query or a log unparsed (CVE-2025-22242 opened a file named by a jid).

use std::{fmt, str::FromStr, sync::Arc};

use crate::time::WallMicros;

/// Longest minion or syndic id, in bytes. With role, region and fabric it must fit a DNS name of 253.
pub const MAX_ID_BYTES: usize = 128;
/// Longest single label of an id (between dots), in bytes: the DNS limit.
pub const MAX_LABEL_BYTES: usize = 63;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing there.
    #[error("an id may not be empty")]
    Empty,
    /// Longer than [`MAX_ID_BYTES`].
    #[error("an id has at most {MAX_ID_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// A part between dots is empty or longer than [`MAX_LABEL_BYTES`].
    #[error("{0:?}: each part between dots has 1 to {MAX_LABEL_BYTES} characters")]
    Label(String),
    /// A character that may not be in an id.
    #[error("{text:?}: {found:?} may not be in an id (letters, digits, '-', '_' and '.' may)")]
    Character {
        /// The whole text.
        text: String,
        /// The first offending character.
        found: char,
    },
}

/// Checks the form all ids share: DNS-like labels of letters, digits, `-` and `_`, separated by dots.
pub fn check_id(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong(text.len()));
    }
    if let Some(found) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
        return Err(IdError::Character { text: text.into(), found });
    }
    match text.split('.').find(|l| l.is_empty() || l.len() > MAX_LABEL_BYTES) {
        Some(_) => Err(IdError::Label(text.into())),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check_id(text)?;
                Ok(Self(text.into()))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// A minion's id, as operators write it (`web01`, `db-3.prod`). Cheap to clone.
    MinionId
}
text_id! {
    /// The id of a syndic or a top master: the name of a place in the tree above the minions.
    TierId
}
text_id! {
    /// A region's name (`aws`, `on-prem`): one label, no dots, since it stands between dots in a certificate's name.
    RegionName
}

/// Microseconds of 9999-12-31T23:59:59.999999Z: the last moment Salt's 20 digits can name.
const LAST_JID: u64 = 253_402_300_799_999_999;

/// A job's id: Salt's 20 digits, `YYYYMMDDhhmmssffffff` in UTC. Sorts by time. Unique in the store (create-if-absent;
/// a clash takes the next microsecond).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jid(WallMicros);

impl Jid {
    /// The jid that names a moment.
    pub fn from_micros(micros: WallMicros) -> Self {
        Jid(micros.min(LAST_JID))
    }
    /// Microseconds since 1970 UTC: the form in stores and on the wire.
    pub fn micros(self) -> WallMicros {
        self.0
    }
    /// The jid to try after a clash.
    pub fn next(self) -> Self {
        Jid::from_micros(self.0 + 1)
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamp = jiff::Timestamp::from_microsecond(self.0 as i64).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let t = stamp.to_zoned(jiff::tz::TimeZone::UTC);
        let (y, mo, d, h, mi, s) = (t.year(), t.month(), t.day(), t.hour(), t.minute(), t.second());
        write!(f, "{y:04}{mo:02}{d:02}{h:02}{mi:02}{s:02}{:06}", self.0 % 1_000_000)
    }
}
impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is no jid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a jid: a jid has 20 digits, the UTC time YYYYMMDDhhmmssffffff (for example 20261121073656123456)"
)]
pub struct JidError(pub String);

impl FromStr for Jid {
    type Err = JidError;
    fn from_str(text: &str) -> Result<Self, JidError> {
        let bad = || JidError(text.chars().take(64).collect());
        if text.len() != 20 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let n = |range: std::ops::Range<usize>| text[range].parse::<i32>().map_err(|_| bad());
        let date = jiff::civil::DateTime::new(
            n(0..4)? as i16,
            n(4..6)? as i8,
            n(6..8)? as i8,
            n(8..10)? as i8,
            n(10..12)? as i8,
            n(12..14)? as i8,
            n(14..20)? * 1000,
        )
        .map_err(|_| bad())?;
        let stamp = jiff::tz::TimeZone::UTC.to_timestamp(date).map_err(|_| bad())?;
        u64::try_from(stamp.as_microsecond()).map(Jid::from_micros).map_err(|_| bad())
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $int:ty, $digits:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:0", $digits, "x}"), self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let found = text.chars().find(|c| !c.is_ascii_hexdigit());
                match (found, <$int>::from_str_radix(text, 16)) {
                    (None, Ok(n)) => Ok(Self(n)),
                    (Some(found), _) => Err(IdError::Character { text: text.into(), found }),
                    (None, Err(_)) if text.is_empty() => Err(IdError::Empty),
                    (None, Err(_)) => Err(IdError::TooLong(text.len())),
                }
            }
        }
    };
}

random_id! {
    /// 128 bits chosen by the client before its first try. A retry carries the same one and gets the same jid.
    RequestId, u128, 32
}
random_id! {
    /// A random number made with a minion's journal or a syndic's spool. What was sent to one incarnation is never
    /// offered to another: a lost journal cannot make an old job start again.
    Incarnation, u64, 16
}

/// The fencing number of a job's owner: a write under an older one is refused everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_dns_like() {
        for good in ["a", "web01", "db-3.prod", "UPPER_case", &"x".repeat(63)] {
            assert!(good.parse::<MinionId>().is_ok(), "{good}");
        }
        for bad in ["", ".", "a..b", "a/b", "../x", "a b", "a\0", "ünï", &"x".repeat(64), &"a.".repeat(100)]
        {
            assert!(bad.parse::<MinionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn jid_is_salts_twenty_digits() {
        let jid = Jid::from_micros(1_795_246_616_123_456);
        assert_eq!(jid.to_string(), "20261121073656123456");
        for bad in [
            "",
            "1",
            "2026112106365612345",
            "20261321063656123456",
            "2026112106365612345x",
            "99999999999999999999",
        ] {
            assert!(bad.parse::<Jid>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn jid_text_is_lossless_and_sorts(a in 0u64..LAST_JID, b in 0u64..LAST_JID) {
            let (a, b) = (Jid::from_micros(a), Jid::from_micros(b));
            prop_assert_eq!(a.to_string().parse::<Jid>().unwrap(), a);
            prop_assert_eq!(a < b, a.to_string() < b.to_string());
        }
        #[test]
        fn request_id_text_is_lossless(n: u128) {
            prop_assert_eq!(RequestId(n).to_string().parse::<RequestId>().unwrap(), RequestId(n));
        }
    }
}
