//! A record of the log: an event with its place, as one line of canonical JSON.
//!
//! The line is an object with its keys in the order of their bytes, no space, and each text with as few escapes as JSON allows:
//! for one record there is one line, so hashing the line hashes the record. `prev` has the hash of the line before it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    event::{Event, Kind, MAX_DETAIL, MAX_DETAIL_KEY, MAX_DETAILS, MAX_HOW, MAX_SUBJECT, MAX_WHO},
    tree::{Hash, Hex, from_hex, leaf_hash},
};
use crate::{ids::Epoch, time::WallMicros};

/// The version of the record's form.
pub const FORMAT: u64 = 1;
/// No record is longer, in bytes: what the bounds of [`Event`] allow if every byte of its texts is escaped.
pub const MAX_RECORD_BYTES: usize =
    512 + 6 * (MAX_WHO + MAX_HOW + MAX_SUBJECT) + MAX_DETAILS * (6 * (MAX_DETAIL_KEY + MAX_DETAIL) + 6);

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log, from 0.
    pub seq: u64,
    /// The leaf hash of the record before it; `None` for the first.
    pub prev: Option<Hash>,
    /// When it was reported, by the owner's wall clock.
    pub at: WallMicros,
    /// Of the owner that wrote it.
    pub epoch: Epoch,
    /// What happened.
    pub event: Event,
}

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// No JSON.
    #[error("it is no JSON: {0}")]
    Json(String),
    /// A newer build wrote it.
    #[error("it has format {0}, this build reads {FORMAT}: take the build that wrote it")]
    Format(u64),
    /// A key is missing, or its value is another kind of thing.
    #[error("{0:?} is missing, or not what it should be")]
    Field(&'static str),
    /// Not as it would have been written.
    #[error("it is not in canonical form: something in it was changed")]
    NotCanonical,
}

impl Entry {
    /// The line, without its end.
    pub fn encode(&self) -> Vec<u8> {
        let Entry { seq, prev, at, epoch, event } = self;
        let Event { kind, who, how, subject, details } = event;
        let details: Map<String, Value> =
            details.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
        let prev = prev.as_ref().map(|hash| Hex(hash).to_string()).unwrap_or_default();
        let line: [(&str, Value); 10] = [
            ("at", (*at).into()),
            ("details", details.into()),
            ("epoch", epoch.0.into()),
            ("format", FORMAT.into()),
            ("how", how.as_str().into()),
            ("kind", kind.word().into()),
            ("prev", prev.into()),
            ("seq", (*seq).into()),
            ("subject", subject.as_str().into()),
            ("who", who.as_str().into()),
        ];
        let line: Map<String, Value> = line.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Value::Object(line).to_string().into_bytes()
    }

    /// Reads a line. Only what [`Entry::encode`] writes is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(line: &[u8]) -> Result<Entry, EntryError> {
        let object: Map<String, Value> =
            serde_json::from_slice(line).map_err(|e| EntryError::Json(e.to_string()))?;
        match number(&object, "format")? {
            FORMAT => {}
            other => return Err(EntryError::Format(other)),
        }
        let prev = match text(&object, "prev")? {
            "" => None,
            hex => Some(from_hex(hex).ok_or(EntryError::Field("prev"))?),
        };
        let event = Event {
            kind: Kind::from_word(text(&object, "kind")?).ok_or(EntryError::Field("kind"))?,
            who: text(&object, "who")?.to_owned(),
            how: text(&object, "how")?.to_owned(),
            subject: text(&object, "subject")?.to_owned(),
            details: details(&object)?,
        };
        let (at, epoch) = (number(&object, "at")?, Epoch(number(&object, "epoch")?));
        let entry = Entry { seq: number(&object, "seq")?, prev, at, epoch, event };
        match entry.encode() == line {
            true => Ok(entry),
            false => Err(EntryError::NotCanonical),
        }
    }

    /// The line's hash in the tree.
    pub fn leaf(&self) -> Hash {
        leaf_hash(&self.encode())
    }
}

fn number(object: &Map<String, Value>, key: &'static str) -> Result<u64, EntryError> {
    object.get(key).and_then(Value::as_u64).ok_or(EntryError::Field(key))
}

fn text<'o>(object: &'o Map<String, Value>, key: &'static str) -> Result<&'o str, EntryError> {
    object.get(key).and_then(Value::as_str).ok_or(EntryError::Field(key))
}

fn details(object: &Map<String, Value>) -> Result<BTreeMap<String, String>, EntryError> {
    let wrong = EntryError::Field("details");
    let Some(Value::Object(details)) = object.get("details") else { return Err(wrong) };
    let pair = |(key, value): (&String, &Value)| value.as_str().map(|text| (key.clone(), text.to_owned()));
    details.iter().map(pair).collect::<Option<_>>().ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let kind = (0..Kind::ALL.len()).prop_map(|i| Kind::ALL[i]);
        let details = prop::collection::btree_map(".{0,20}", ".{0,20}", 0..5);
        let event = (kind, ".{0,20}", ".{0,20}", ".{0,20}", details);
        (event, any::<(u64, Option<Hash>, u64, u64)>()).prop_map(|(event, (seq, prev, at, epoch))| {
            let (kind, who, how, subject, details) = event;
            let event = Event { kind, who, how, subject, details };
            Entry { seq, prev, at, epoch: Epoch(epoch), event }
        })
    }

    proptest! {
        #[test]
        fn records_come_back(entry in entry()) {
            let line = entry.encode();
            prop_assert!(!line.contains(&b'\n'));
            prop_assert_eq!(Entry::decode(&line), Ok(entry));
        }

        /// No other line says the same.
        #[test]
        fn a_changed_line_is_another_record_or_none(entry in entry(), at: prop::sample::Index, bit in 0..8) {
            let line = entry.encode();
            let mut changed = line.clone();
            changed[at.index(line.len())] ^= 1u8 << bit;
            prop_assert_ne!(Entry::decode(&changed), Ok(entry));
        }

        #[test]
        fn any_bytes_are_looked_at_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Entry::decode(&bytes).is_err());
        }
    }

    /// Whoever checks a log without this program goes by this.
    #[test]
    fn the_form_is_this() {
        let event = Event::new(Kind::Job, "ali\"ce", "certificate")
            .about("20261121090454342531")
            .with("b", "\u{1}ü")
            .with("a", "/");
        let entry = Entry { seq: 7, prev: Some([0xab; 32]), at: 12, epoch: Epoch(3), event };
        let line = format!(
            r#"{{"at":12,"details":{{"a":"/","b":"\u0001ü"}},"epoch":3,"format":1,"how":"certificate","kind":"job","prev":"{}","seq":7,"subject":"20261121090454342531","who":"ali\"ce"}}"#,
            "ab".repeat(32)
        );
        assert_eq!(String::from_utf8(entry.encode()).unwrap(), line);
        let spaced = line.replacen("\"at\":12", "\"at\": 12", 1);
        assert_eq!(Entry::decode(spaced.as_bytes()), Err(EntryError::NotCanonical));
        let newer = line.replacen("\"format\":1", "\"format\":2", 1);
        assert_eq!(Entry::decode(newer.as_bytes()), Err(EntryError::Format(2)));
        let more = line.replacen("}}", "},\"more\":1}", 1).replacen("\"seq\":7,", "\"seq\":7,\"x\":1,", 1);
        assert!(Entry::decode(more.as_bytes()).is_err());
    }

    #[test]
    fn the_longest_record_is_within_its_bound() {
        let long = "\u{1}".repeat(9_999);
        let event = Event::new(Kind::UnknownResolved, &long, &long).about(&long);
        let key = |n: u8| format!("{}{}", "\u{1}".repeat(MAX_DETAIL_KEY - 1), n as char);
        let event = (b'a'..b'a' + MAX_DETAILS as u8).fold(event, |event, n| event.with(&key(n), &long));
        let entry = Entry { seq: u64::MAX, prev: Some([1; 32]), at: u64::MAX, epoch: Epoch(u64::MAX), event };
        let size = entry.encode().len();
        assert!(size <= MAX_RECORD_BYTES && size > MAX_RECORD_BYTES / 10 * 9, "{size} of {MAX_RECORD_BYTES}");
    }
}
