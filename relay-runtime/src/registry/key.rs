//! The keys there are: a closed list, so that nothing per minion and nothing of a job can be registered.

use std::{fmt, str::FromStr};

use relay_core::ids::TierId;

/// What may be registered. As text, a path: `/syndics/top-1/aws-2`. Ids hold no `/`, so the text is lossless.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A top master that is alive, under its lease.
    TopMaster(TierId),
    /// A syndic attached to a top master, under that top master's lease.
    Syndic {
        /// Where it is attached.
        top_master: TierId,
        /// Which it is.
        syndic: TierId,
    },
    /// The active topology.
    Topology,
    /// Who does a thing that only one top master may do (`prune`), under its lease.
    Leader(TierId),
}

/// A part of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Area {
    /// All of them.
    All,
    /// [`Key::TopMaster`].
    TopMasters,
    /// [`Key::Syndic`], of all top masters.
    Syndics,
    /// [`Key::Topology`].
    Topology,
    /// [`Key::Leader`].
    Leaders,
}

impl Key {
    /// The part of the keys that this one belongs to.
    pub fn area(&self) -> Area {
        match self {
            Key::TopMaster(_) => Area::TopMasters,
            Key::Syndic { .. } => Area::Syndics,
            Key::Topology => Area::Topology,
            Key::Leader(_) => Area::Leaders,
        }
    }
}

impl Area {
    /// What the text of every key in it begins with.
    pub fn prefix(self) -> &'static str {
        match self {
            Area::All => "/",
            Area::TopMasters => "/top-masters/",
            Area::Syndics => "/syndics/",
            Area::Topology => "/topology/",
            Area::Leaders => "/leaders/",
        }
    }

    /// Whether a key is in it.
    pub fn holds(self, key: &Key) -> bool {
        self == Area::All || self == key.area()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.area().prefix())?;
        match self {
            Key::TopMaster(id) | Key::Leader(id) => write!(f, "{id}"),
            Key::Syndic { top_master, syndic } => write!(f, "{top_master}/{syndic}"),
            Key::Topology => f.write_str("active"),
        }
    }
}

/// A text that is no key of ours: somebody else writes into the registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a key of the registry")]
pub struct KeyError(pub String);

impl FromStr for Key {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Key, KeyError> {
        parse(text).ok_or_else(|| KeyError(text.chars().take(300).collect()))
    }
}

fn parse(text: &str) -> Option<Key> {
    let mut parts = text.strip_prefix('/')?.split('/');
    let (area, first, second) = (parts.next()?, parts.next()?, parts.next());
    let id = |text: &str| text.parse::<TierId>().ok();
    match (area, second, parts.next()) {
        ("top-masters", None, None) => Some(Key::TopMaster(id(first)?)),
        ("syndics", Some(second), None) => Some(Key::Syndic { top_master: id(first)?, syndic: id(second)? }),
        ("topology", None, None) if first == "active" => Some(Key::Topology),
        ("leaders", None, None) => Some(Key::Leader(id(first)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> TierId {
        text.parse().unwrap()
    }

    #[test]
    fn text_is_lossless_and_lies_in_its_area() {
        let keys = [
            Key::TopMaster(id("top-1")),
            Key::Syndic { top_master: id("top-1"), syndic: id("aws-1.x") },
            Key::Topology,
            Key::Leader(id("prune")),
        ];
        for key in keys {
            let text = key.to_string();
            assert_eq!(text.parse::<Key>().unwrap(), key);
            assert!(text.starts_with(key.area().prefix()), "{text}");
            assert!(Area::All.holds(&key) && key.area().holds(&key));
        }
        assert!(!Area::Leaders.holds(&Key::Topology));
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in [
            "",
            "/",
            "/syndics/a",
            "/syndics/a/b/c",
            "/top-masters/a b",
            "/top-masters/a/b",
            "/topology/old",
            "/minions/a",
            "top-masters/a",
        ] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
    }
}
