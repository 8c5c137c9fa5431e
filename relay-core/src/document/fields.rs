//! Takes a map apart key by key, and reports keys that nobody asked for, keys written twice and keys that are missing.

use super::{At, Kind, Node, Position, Sink};

/// A mistyped key is shown its nearest neighbour if it is at least this similar (Jaro-Winkler, 0 to 1).
const SIMILAR: f64 = 0.8;

/// The keys of one map while they are being read.
pub struct Fields<'n> {
    what: &'static str,
    at: Position,
    entries: &'n [(At<String>, Node)],
    asked: Vec<&'static str>,
    sink: &'n Sink,
}

impl<'n> Fields<'n> {
    /// Opens a map. `what` names it in messages (`a syndic`). Keys written twice are reported here.
    pub fn open(node: &'n Node, what: &'static str, sink: &'n Sink) -> Option<Self> {
        let entries = entries(node, what, sink)?;
        Some(Fields { what, at: node.at, entries, asked: Vec::new(), sink })
    }

    /// Where the map starts.
    pub fn at(&self) -> Position {
        self.at
    }

    /// Where a key's value starts, or the map if the key is absent: for problems found later.
    pub fn at_key(&self, key: &str) -> Position {
        self.find(key).map_or(self.at, |n| n.at)
    }

    fn find(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(k, _)| k.value == key).map(|(_, node)| node)
    }

    /// Reads a key that has to be there. Nothing if it is absent or unreadable; both are reported.
    pub fn need<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'n Node, &'n Sink) -> Option<T>,
    ) -> Option<T> {
        self.asked.push(key);
        match self.find(key) {
            Some(node) if !node.is_empty() => read(node, self.sink),
            Some(node) => self.sink.refuse(
                node.at,
                format!("{}: {key:?} has no value", self.what),
                "write one after the colon",
            ),
            None => {
                let what = format!("{} has no {key:?}", self.what);
                self.sink.refuse(self.at, what, format!("add a line \"{key}: ...\""))
            }
        }
    }

    /// Reads a key that may be absent (or empty). `Some(None)` if it is; nothing if it is there and unreadable.
    pub fn may<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'n Node, &'n Sink) -> Option<T>,
    ) -> Option<Option<T>> {
        self.asked.push(key);
        match self.find(key) {
            Some(node) if !node.is_empty() => read(node, self.sink).map(Some),
            _ => Some(None),
        }
    }

    /// Reads a key with a default.
    pub fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&'n Node, &'n Sink) -> Option<T>,
    ) -> Option<T> {
        self.may(key, read).map(|found| found.unwrap_or(default))
    }

    /// Ends the map: every key that was not asked for is a mistake, most likely a mistyped one.
    pub fn close(self) {
        for (key, _) in self.entries.iter().filter(|(k, _)| !self.asked.contains(&k.value.as_str())) {
            let hint = match nearest(&key.value, &self.asked) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("remove it; {} has: {}", self.what, self.asked.join(", ")),
            };
            self.sink.note(super::Problem::error(
                key.at,
                format!("{} has no key {:?}", self.what, super::read::clip(&key.value)),
                hint,
            ));
        }
    }
}

/// The entries of a map, with keys written twice reported. Nothing if it is no map.
pub fn entries<'n>(node: &'n Node, what: &str, sink: &Sink) -> Option<&'n [(At<String>, Node)]> {
    let Kind::Map(entries) = &node.kind else {
        let found = node.describe();
        return sink.refuse(node.at, format!("{what} is a map, found {found}"), "write \"key: value\" lines");
    };
    let mut first = std::collections::HashMap::new();
    for (key, _) in entries {
        if let Some(before) = first.insert(key.value.as_str(), key.at) {
            let what =
                format!("{what}: the key {:?} stands here a second time (first at {before})", key.value);
            sink.note(super::Problem::error(key.at, what, "remove one of the two"));
        }
    }
    Some(entries)
}

/// The known word most like a mistyped one, if any is near.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |k: &&str| strsim::jaro_winkler(word, k);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) >= SIMILAR).then_some(best)
}
