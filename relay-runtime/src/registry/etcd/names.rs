//! Keys as etcd has them: the prefix, and the text of the key. And what is found there, as entries.

use bytes::Bytes;
use etcd_client::KeyValue;

use super::super::{Area, Entry, Key, LeaseId, Revision};

/// What is shown of a key that is not ours.
const SHOWN_CHARS: usize = 300;

/// The names of the keys below one prefix.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn below(prefix: &str) -> Names {
        Names { prefix: prefix.to_owned() }
    }

    pub(super) fn of(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    /// What the names of all keys of an area begin with.
    pub(super) fn start(&self, area: Area) -> String {
        format!("{}{}", self.prefix, area.prefix())
    }

    /// The key of this name. Nothing, and a warning, for a name that somebody else gave.
    pub(super) fn key(&self, name: &[u8]) -> Option<Key> {
        let text = std::str::from_utf8(name).ok();
        let key = text.and_then(|text| text.strip_prefix(self.prefix.as_str())?.parse().ok());
        if key.is_none() {
            let name: String = String::from_utf8_lossy(name).chars().take(SHOWN_CHARS).collect();
            tracing::warn!(name, "a key below our prefix that is none of the registry's; it is left alone");
        }
        key
    }

    /// What etcd holds under one of our names.
    pub(super) fn entry(&self, found: &KeyValue) -> Option<Entry> {
        let key = self.key(found.key())?;
        Some(Entry {
            key,
            value: Bytes::copy_from_slice(found.value()),
            revision: revision(found.mod_revision()),
            lease: (found.lease() != 0).then_some(LeaseId(found.lease() as u64)),
        })
    }
}

/// A revision as etcd counts it; never negative there.
pub(super) fn revision(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lossless_and_foreign_ones_are_none_of_ours() {
        let names = Names::below("/relay/acme.example");
        let key = Key::Leader("owner".parse().unwrap());
        assert_eq!(names.of(&key), "/relay/acme.example/leaders/owner");
        assert!(names.of(&key).starts_with(&names.start(Area::Leaders)));
        assert_eq!(names.key(names.of(&key).as_bytes()), Some(key));
        for name in [&b"/relay/acme.example/minions/a"[..], b"/relay/acme.exam", b"/leaders/owner", b"\xff"] {
            assert_eq!(names.key(name), None, "{name:?}");
        }
    }
}
