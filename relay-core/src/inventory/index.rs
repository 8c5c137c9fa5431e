//! Grain key -> value -> minions, as a tree along the keys, kept up to date with each change.
//!
//! A list's elements stand as values of the list's own key, and maps inside lists as if they stood there themselves.
//! So `G@roles:web` finds `roles: [web, db]`, and `G@disks:name:sda` finds `disks: [{name: sda}]`.

use std::{collections::BTreeMap, net::IpAddr, ops::Bound, sync::OnceLock};

use serde_json::Value;

use super::{
    MinionNo,
    evaluate::{Scope, sorted},
    grains::searchable,
    sorted::SortedIds,
};
use crate::{
    Members,
    target::{Glob, GrainMatch, GrainRegex, Regex, Subnet},
};

/// The whole index: the top level's keys.
#[derive(Debug, Default)]
pub(super) struct GrainIndex {
    root: Node,
    /// The values of the grains `ipv4` and `ipv6` that are such addresses, in order: a subnet is a range of them.
    addresses: BTreeMap<IpAddr, Posting>,
    /// The same in one piece of memory, with [`MANY`] for more than one. Made by the first subnet that asks after a change.
    address_rows: OnceLock<Vec<(IpAddr, MinionNo)>>,
}

/// Stands for a set of minions where one number has its place: far above [`super::MAX_RESTORED_NO`].
const MANY: MinionNo = MinionNo::MAX;
/// A key with so many values gets them in one piece of memory when a pattern has to look at all of them: a walk over the
/// tree waits for the memory at each.
const ROWS_FROM: usize = if cfg!(test) { 3 } else { 1000 };

/// The grains that hold addresses.
const ADDRESSES: [&str; 2] = ["ipv4", "ipv6"];

/// What is known under one key.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The minions that have anything here: a value, even one too long to search for, or a map that is not empty.
    present: Members,
    values: BTreeMap<Box<str>, Posting>,
    /// The values again, if there are [`ROWS_FROM`] of them. Made by the first pattern that asks after a change.
    rows: OnceLock<SortedIds>,
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
        each_address(grains, &mut |address| {
            self.address_rows.take();
            match self.addresses.get_mut(&address) {
                Some(posting) => posting.insert(no),
                None => drop(self.addresses.insert(address, Posting::One(no))),
            }
        });
    }

    /// Takes out the grains of a minion: exactly those that were added.
    pub(super) fn remove(&mut self, grains: &Value, no: MinionNo) {
        self.root.remove(grains, no);
        each_address(grains, &mut |address| {
            self.address_rows.take();
            if self.addresses.get_mut(&address).is_some_and(|posting| posting.remove(no)) {
                self.addresses.remove(&address);
            }
        });
    }

    /// The minions whose grains match, at least those in the scope. The first key is always literal, as in Salt.
    pub(super) fn matching(&self, pattern: &GrainMatch, scope: Scope<'_>) -> Members {
        let mut found = Members::new();
        let (key, rest) = pattern.split();
        if let Some(node) = self.root.children.get(key) {
            node.matching(rest, pattern.delimiter(), scope, &mut found);
        }
        found
    }

    /// The minions with a grain value, or a key of a map, that the regular expression matches; at least those in the
    /// scope.
    pub(super) fn matching_regex(&self, pattern: &GrainRegex, scope: Scope<'_>) -> Members {
        let mut found = Members::new();
        let (key, rest) = pattern.pattern().split();
        if let Some(node) = self.root.children.get(key) {
            let delimiter = pattern.pattern().delimiter();
            node.matching_regex(rest, delimiter, pattern.readings(), scope, &mut found);
        }
        found
    }

    /// Where the keys of a pattern lead, as far as there are such keys, and what of the pattern is left there.
    pub(super) fn lead<'p>(&self, pattern: &'p GrainMatch) -> (&Node, &'p str) {
        let (mut node, mut rest) = (&self.root, pattern.as_str());
        while let Some((key, deeper)) = rest.split_once(pattern.delimiter())
            && let Some(child) = node.children.get(key)
        {
            (node, rest) = (child, deeper);
        }
        (node, rest)
    }

    /// The minions with an address in a subnet, at least those in the scope.
    pub(super) fn within(&self, subnet: &Subnet, scope: Scope<'_>) -> Members {
        let rows = self.address_rows.get_or_init(|| {
            self.addresses.iter().map(|(address, posting)| (*address, posting.row())).collect()
        });
        let from = rows.partition_point(|(address, _)| *address < subnet.first());
        let near = rows[from..].iter().take_while(|(address, _)| *address <= subnet.last());
        let (mut found, mut single) = (Members::new(), Vec::new());
        for (address, no) in near {
            match *no {
                MANY => self.addresses.get(address).into_iter().for_each(|all| all.add_to(&mut found)),
                no if scope.holds(no) => single.push(no),
                _ => {}
            }
        }
        found | sorted(single)
    }
}

/// Calls `each` with the addresses in the grains for them. An address in the other one's grain is none, as in Salt.
fn each_address(grains: &Value, each: &mut impl FnMut(IpAddr)) {
    for name in ADDRESSES {
        if let Some(grain) = grains.get(name) {
            each_leaf(grain, &mut |text| {
                let address = text.parse::<IpAddr>().ok().filter(|a| a.is_ipv4() == (name == ADDRESSES[0]));
                address.into_iter().for_each(&mut *each);
            });
        }
    }
}

/// Calls `each` with a text, or every text in a list of them.
fn each_leaf(value: &Value, each: &mut impl FnMut(&str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| each_leaf(item, each)),
        Value::String(text) => each(text),
        _ => {}
    }
}

impl Node {
    /// The values here, in lower case.
    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(|value| &**value)
    }

    /// The keys below.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.children.keys().map(|key| &**key)
    }

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
        self.rows.take();
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
        self.rows.take();
        if self.values.get_mut(text.as_str()).is_some_and(|posting| posting.remove(no)) {
            self.values.remove(text.as_str());
        }
    }

    /// Adds those for whom `rest` (keys and a glob, or a glob alone) matches here. Where the keys end is not known, so
    /// both readings are tried, as in Salt; each level of the index is looked at once per reading at most.
    fn matching(&self, rest: &str, delimiter: char, scope: Scope<'_>, found: &mut Members) {
        self.values_matching(&GrainMatch::value_glob(rest), scope, found);
        if let Some(child) = self.children.get(rest) {
            *found |= &child.present;
        }
        let Some((key, deeper)) = rest.split_once(delimiter) else { return };
        if key == "*" {
            self.children.values().for_each(|child| child.matching(deeper, delimiter, scope, found));
        } else if let Some(child) = self.children.get(key) {
            child.matching(deeper, delimiter, scope, found);
        }
    }

    fn values_matching(&self, glob: &Glob, scope: Scope<'_>, found: &mut Members) {
        if glob.is_everything() {
            *found |= &self.present;
        } else if glob.is_literal() {
            self.values.get(glob.as_str()).into_iter().for_each(|posting| posting.add_to(found));
        } else {
            self.values_from(glob.literal_prefix(), |value| glob.matches(value), scope, found);
        }
    }

    /// As `matching`, with the regular expression that each rest is, if it is one. Salt matches it with the keys of a
    /// map too.
    fn matching_regex(
        &self,
        rest: &str,
        delimiter: char,
        readings: &[Option<Regex>],
        scope: Scope<'_>,
        found: &mut Members,
    ) {
        let Some((reading, readings)) = readings.split_first() else { return };
        if let Some(regex) = reading {
            self.values_from(regex.literal_prefix(), |value| regex.matches(value), scope, found);
            let keys = self.children.iter().filter(|(key, _)| regex.matches(&key.to_lowercase()));
            keys.for_each(|(_, child)| *found |= &child.present);
        }
        let Some((key, deeper)) = rest.split_once(delimiter) else { return };
        if key == "*" {
            let children = self.children.values();
            children.for_each(|child| child.matching_regex(deeper, delimiter, readings, scope, found));
        } else if let Some(child) = self.children.get(key) {
            child.matching_regex(deeper, delimiter, readings, scope, found);
        }
    }

    /// Adds those with a value that begins with `prefix` and matches, which is asked of nobody outside the scope.
    fn values_from(
        &self,
        prefix: &str,
        matches: impl Fn(&str) -> bool,
        scope: Scope<'_>,
        found: &mut Members,
    ) {
        if self.values.len() >= ROWS_FROM {
            return self.rows_from(prefix, matches, scope, found);
        }
        let from = self.values.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let near = from.take_while(|(value, _)| value.starts_with(prefix));
        for (_, posting) in near.filter(|(value, posting)| posting.is_in(scope) && matches(value)) {
            posting.add_to(found);
        }
    }

    fn rows_from(&self, prefix: &str, matches: impl Fn(&str) -> bool, scope: Scope<'_>, found: &mut Members) {
        let rows = self.rows.get_or_init(|| {
            SortedIds::new(self.values.iter().map(|(value, posting)| (&**value, posting.row())))
        });
        let mut single = Vec::new();
        for row in rows.starting_with(prefix) {
            match row.no {
                MANY if matches(row.id) => {
                    self.values.get(row.id).into_iter().for_each(|all| all.add_to(found));
                }
                no if no != MANY && scope.holds(no) && matches(row.id) => single.push(no),
                _ => {}
            }
        }
        *found |= sorted(single);
    }
}

impl Posting {
    /// The one minion, or [`MANY`].
    fn row(&self) -> MinionNo {
        match self {
            Posting::One(no) => *no,
            Posting::Many(_) => MANY,
        }
    }

    fn insert(&mut self, no: MinionNo) {
        match self {
            Posting::One(own) if *own == no => {}
            Posting::One(own) => *self = Posting::Many([*own, no].into_iter().collect()),
            Posting::Many(all) => {
                all.insert(no);
            }
        }
    }

    /// Whether any of them is in question.
    fn is_in(&self, scope: Scope<'_>) -> bool {
        match self {
            Posting::One(no) => scope.holds(*no),
            Posting::Many(all) => scope.holds_any(all),
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
        self.root.children.is_empty() && self.root.values.is_empty() && self.addresses.is_empty()
    }
}
