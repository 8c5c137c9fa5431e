//! Grain key -> value -> minions, as a tree along the keys, kept up to date with each change.
//!
//! A list's elements stand as values of the list's own key, and maps inside lists as if they stood there themselves.
//! So `G@roles:web` finds `roles: [web, db]`, and `G@disks:name:sda` finds `disks: [{name: sda}]`.

use std::{collections::BTreeMap, ops::Bound};

use serde_json::Value;

use super::{MinionNo, grains::searchable};
use crate::{
    Members,
    target::{Glob, GrainMatch, GrainRegex, Regex, Subnet},
};

/// The whole index: the top level's keys.
#[derive(Debug, Default)]
pub(super) struct GrainIndex {
    root: Node,
}

/// What is known under one key.
#[derive(Debug, Default)]
struct Node {
    /// The minions that have anything here: a value, even one too long to search for, or a map that is not empty.
    present: Members,
    values: BTreeMap<Box<str>, Posting>,
    children: BTreeMap<Box<str>, Node>,
}

/// Who has a value. Many values (addresses, serial numbers) belong to one minion, and a bitmap of one
/// takes two more allocations.
#[derive(Debug, Clone)]
enum Posting {
    One(MinionNo),
    Many(Members),
}

impl GrainIndex {
    /// Adds the grains of a minion.
    pub(super) fn add(&mut self, grains: &Value, no: MinionNo) {
        self.root.add(grains, no);
    }

    /// Takes out the grains of a minion: exactly those that were added.
    pub(super) fn remove(&mut self, grains: &Value, no: MinionNo) {
        self.root.remove(grains, no);
    }

    /// The minions whose grains match. The first key is always literal, as in Salt.
    pub(super) fn matching(&self, pattern: &GrainMatch) -> Members {
        let mut found = Members::new();
        let (key, rest) = pattern.split();
        if let Some(node) = self.root.children.get(key) {
            node.matching(rest, pattern.delimiter(), &mut found);
        }
        found
    }

    /// The minions with a grain value, or a key of a map, that the regular expression matches.
    pub(super) fn matching_regex(&self, pattern: &GrainRegex) -> Members {
        let mut found = Members::new();
        let (key, rest) = pattern.pattern().split();
        if let Some(node) = self.root.children.get(key) {
            node.matching_regex(rest, pattern.pattern().delimiter(), pattern.readings(), &mut found);
        }
        found
    }

    /// The minions with an address in a subnet: each address that any minion has is looked at once.
    pub(super) fn within(&self, subnet: &Subnet) -> Members {
        let mut found = Members::new();
        if let Some(node) = self.root.children.get(subnet.grain()) {
            node.values_from("", |value| subnet.matches(value), &mut found);
        }
        found
    }
}

impl Node {
    fn add(&mut self, value: &Value, no: MinionNo) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match self.children.get_mut(key.as_str()) {
                        Some(child) => child.add(value, no),
                        None => self.children.entry(key.as_str().into()).or_default().add(value, no),
                    }
                }
                if map.is_empty() {
                    return;
                }
            }
            Value::Array(items) => return items.iter().for_each(|item| self.add(item, no)),
            leaf => self.add_leaf(leaf, no),
        }
        self.present.insert(no);
    }

    fn add_leaf(&mut self, leaf: &Value, no: MinionNo) {
        let Some(text) = searchable(leaf) else { return };
        match self.values.get_mut(text.as_str()) {
            Some(posting) => posting.insert(no),
            None => {
                self.values.insert(text.into(), Posting::One(no));
            }
        }
    }

    fn remove(&mut self, value: &Value, no: MinionNo) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| self.remove_child(key, value, no)),
            Value::Array(items) => items.iter().for_each(|item| self.remove(item, no)),
            leaf => self.remove_leaf(leaf, no),
        }
        self.present.remove(no);
    }

    fn remove_child(&mut self, key: &str, value: &Value, no: MinionNo) {
        let Some(child) = self.children.get_mut(key) else { return };
        child.remove(value, no);
        if child.present.is_empty() && child.values.is_empty() && child.children.is_empty() {
            self.children.remove(key);
        }
    }

    fn remove_leaf(&mut self, leaf: &Value, no: MinionNo) {
        let Some(text) = searchable(leaf) else { return };
        if self.values.get_mut(text.as_str()).is_some_and(|posting| posting.remove(no)) {
            self.values.remove(text.as_str());
        }
    }

    /// Adds those for whom `rest` (keys and a glob, or a glob alone) matches here. Where the keys end is not known, so
    /// both readings are tried, as in Salt; each level of the index is looked at once per reading at most.
    fn matching(&self, rest: &str, delimiter: char, found: &mut Members) {
        self.values_matching(&GrainMatch::value_glob(rest), found);
        if let Some(child) = self.children.get(rest) {
            *found |= &child.present;
        }
        let Some((key, deeper)) = rest.split_once(delimiter) else { return };
        if key == "*" {
            self.children.values().for_each(|child| child.matching(deeper, delimiter, found));
        } else if let Some(child) = self.children.get(key) {
            child.matching(deeper, delimiter, found);
        }
    }

    fn values_matching(&self, glob: &Glob, found: &mut Members) {
        if glob.is_everything() {
            *found |= &self.present;
        } else if glob.is_literal() {
            self.values.get(glob.as_str()).into_iter().for_each(|posting| posting.add_to(found));
        } else {
            self.values_from(glob.literal_prefix(), |value| glob.matches(value), found);
        }
    }

    /// As `matching`, with the regular expression that each rest is, if it is one. Salt matches it with the keys of a
    /// map too.
    fn matching_regex(&self, rest: &str, delimiter: char, readings: &[Option<Regex>], found: &mut Members) {
        let Some((reading, readings)) = readings.split_first() else { return };
        if let Some(regex) = reading {
            self.values_from(regex.literal_prefix(), |value| regex.matches(value), found);
            let keys = self.children.iter().filter(|(key, _)| regex.matches(&key.to_lowercase()));
            keys.for_each(|(_, child)| *found |= &child.present);
        }
        let Some((key, deeper)) = rest.split_once(delimiter) else { return };
        if key == "*" {
            let children = self.children.values();
            children.for_each(|child| child.matching_regex(deeper, delimiter, readings, found));
        } else if let Some(child) = self.children.get(key) {
            child.matching_regex(deeper, delimiter, readings, found);
        }
    }

    /// Adds those with a value that begins with `prefix` and matches.
    fn values_from(&self, prefix: &str, matches: impl Fn(&str) -> bool, found: &mut Members) {
        let from = self.values.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let near = from.take_while(|(value, _)| value.starts_with(prefix));
        let mut single = Vec::new();
        for (_, posting) in near.filter(|(value, _)| matches(value)) {
            match posting {
                Posting::One(no) => single.push(*no),
                Posting::Many(all) => *found |= all,
            }
        }
        // A bitmap grows by far the fastest at its end.
        single.sort_unstable();
        found.extend(single);
    }
}

impl Posting {
    fn insert(&mut self, no: MinionNo) {
        match self {
            Posting::One(own) if *own == no => {}
            Posting::One(own) => *self = Posting::Many([*own, no].into_iter().collect()),
            Posting::Many(all) => {
                all.insert(no);
            }
        }
    }

    /// Takes one out; says whether nobody is left.
    fn remove(&mut self, no: MinionNo) -> bool {
        match self {
            Posting::One(own) => *own == no,
            Posting::Many(all) => {
                all.remove(no);
                all.is_empty()
            }
        }
    }

    fn add_to(&self, found: &mut Members) {
        match self {
            Posting::One(no) => {
                found.insert(*no);
            }
            Posting::Many(all) => *found |= all,
        }
    }
}

#[cfg(test)]
impl GrainIndex {
    /// Whether nothing at all is indexed.
    pub(super) fn is_empty(&self) -> bool {
        self.root.children.is_empty() && self.root.values.is_empty()
    }
}
