//! The roster a syndic shows its parents: who is below it, numbered.
//!
//! A number stands for one (id, incarnation) for the life of the spool, so that a set of numbers on the wire or in the
//! spool can never come to mean another journal. Changes are gathered and sent as versioned deltas; a parent that
//! missed one asks for the whole. What a parent makes of it is [`crate::tier`]'s.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    Members,
    ids::{Incarnation, MinionId},
    merkle::{Hash, leaf},
    message::{RosterChange, RosterEntry, RosterUpdate},
    time::WallMicros,
};

/// Most numbers one roster hands out; beyond it newcomers are refused. Far above what one syndic can hold links for.
pub const MAX_ROSTER: u32 = 200_000;

/// The number of a (id, incarnation).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    /// Its number.
    pub no: u32,
    /// Given just now: it must be durable before anything refers to it.
    pub new: bool,
}

/// The numbered list of minions below this syndic.
#[derive(Debug, Default)]
pub struct Roster {
    entries: BTreeMap<u32, RosterEntry>,
    /// Ordered, so that compacting a spool twice gives the same bytes.
    numbers: BTreeMap<(MinionId, Incarnation), u32>,
    /// The same, by number.
    named: BTreeMap<u32, (MinionId, Incarnation)>,
    current: HashMap<MinionId, u32>,
    next: u32,
    version: u64,
    touched: BTreeSet<u32>,
    flipped: BTreeSet<u32>,
    dropped: Members,
}

impl Roster {
    /// A roster with the numbers that a spool remembers; nobody is in it until seen again.
    pub fn restore(numbers: impl IntoIterator<Item = (u32, MinionId, Incarnation)>) -> Roster {
        let mut roster = Roster::default();
        for (no, id, incarnation) in numbers {
            roster.next = roster.next.max(no + 1);
            roster.named.insert(no, (id.clone(), incarnation));
            roster.numbers.insert((id, incarnation), no);
        }
        roster
    }

    /// Whether a minion has a number under this journal.
    pub fn has_number(&self, id: &MinionId, incarnation: Incarnation) -> bool {
        self.numbers.contains_key(&(id.clone(), incarnation))
    }

    /// The number of a minion; a new one for a new incarnation. `None` when the roster is full.
    pub fn number(&mut self, id: &MinionId, incarnation: Incarnation) -> Option<Numbered> {
        if let Some(&no) = self.numbers.get(&(id.clone(), incarnation)) {
            return Some(Numbered { no, new: false });
        }
        if self.next >= MAX_ROSTER {
            return None;
        }
        let no = self.next;
        self.next += 1;
        self.named.insert(no, (id.clone(), incarnation));
        self.numbers.insert((id.clone(), incarnation), no);
        Some(Numbered { no, new: true })
    }

    /// Puts an entry in, or its new grains. An older incarnation of the same id is retired.
    pub fn put(&mut self, entry: RosterEntry) {
        if let Some(old) = self.current.insert(entry.id.clone(), entry.no).filter(|old| *old != entry.no) {
            self.entries.remove(&old);
            self.touched.remove(&old);
            self.flipped.remove(&old);
            self.dropped.insert(old);
        }
        self.dropped.remove(entry.no);
        self.touched.insert(entry.no);
        self.entries.insert(entry.no, entry);
    }

    /// Marks entries up or down.
    pub fn set_up(&mut self, members: &Members, up: bool, since: WallMicros) {
        for no in members {
            if let Some(entry) = self.entries.get_mut(&no).filter(|e| e.up != up) {
                entry.up = up;
                entry.since = since;
                self.flipped.insert(no);
            }
        }
    }

    /// Who has this number.
    pub fn get(&self, no: u32) -> Option<&RosterEntry> {
        self.entries.get(&no)
    }

    /// The entry of an id.
    pub fn by_id(&self, id: &MinionId) -> Option<&RosterEntry> {
        self.current.get(id).and_then(|no| self.entries.get(no))
    }

    /// The leaf of a number in the tree over a job's targets, whether its minion is still there or not.
    pub fn leaf(&self, no: u32) -> Option<Hash> {
        self.named.get(&no).map(|(id, incarnation)| leaf(*incarnation, id))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every number ever given, for the spool's compaction.
    pub fn numbers(&self) -> impl Iterator<Item = (u32, &MinionId, Incarnation)> {
        self.numbers.iter().map(|((id, incarnation), no)| (*no, id, *incarnation))
    }

    /// What changed since the last call, as one delta.
    pub fn delta(&mut self) -> Option<RosterUpdate> {
        let mut changes = Vec::new();
        if !self.dropped.is_empty() {
            changes.push(RosterChange::Drop(std::mem::take(&mut self.dropped)));
        }
        let touched = std::mem::take(&mut self.touched);
        changes.extend(touched.iter().filter_map(|no| self.entries.get(no).cloned()).map(RosterChange::Put));
        let flipped = std::mem::take(&mut self.flipped);
        let (mut up, mut down) = (Members::new(), Members::new());
        for no in flipped.difference(&touched) {
            match self.entries.get(no) {
                Some(e) if e.up => up.insert(*no),
                _ => down.insert(*no),
            };
        }
        let named = [(up, RosterChange::Up as fn(Members) -> RosterChange), (down, RosterChange::Down)];
        changes.extend(named.into_iter().filter(|(set, _)| !set.is_empty()).map(|(set, change)| change(set)));
        if changes.is_empty() {
            return None;
        }
        self.version += 1;
        Some(RosterUpdate::Delta { from: self.version - 1, to: self.version, changes })
    }

    /// The whole roster, at the version of the last delta taken. Take the delta first.
    ///
    /// It also names every number of which only the spool knows (retired, or not seen since a restart): without them
    /// a parent could not tell whose the returns are that the spool kept.
    pub fn full(&self) -> RosterUpdate {
        let absent = self.numbers.iter().filter(|(_, no)| !self.entries.contains_key(no));
        let remembered = absent.map(|((id, incarnation), &no)| RosterEntry {
            no,
            id: id.clone(),
            incarnation: *incarnation,
            up: false,
            since: 0,
            grains: "".into(),
        });
        let entries = remembered.chain(self.entries.values().cloned()).collect();
        RosterUpdate::Full { version: self.version, entries }
    }
}

/// The roster of a minion: itself, under number 0.
pub fn roster_of_one(id: &MinionId, incarnation: Incarnation, grains: Arc<str>) -> RosterUpdate {
    let entry = RosterEntry { no: 0, id: id.clone(), incarnation, up: true, since: 0, grains };
    RosterUpdate::Full { version: 1, entries: vec![entry] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(roster: &mut Roster, id: &str, incarnation: u64) -> RosterEntry {
        let id: MinionId = id.parse().unwrap();
        let no = roster.number(&id, Incarnation(incarnation)).unwrap().no;
        RosterEntry { no, id, incarnation: Incarnation(incarnation), up: true, since: 0, grains: "{}".into() }
    }

    #[test]
    fn a_number_is_one_incarnation() {
        let mut roster = Roster::default();
        let a1 = entry(&mut roster, "a", 1);
        let a2 = entry(&mut roster, "a", 2);
        assert_ne!(a1.no, a2.no);
        roster.put(a1.clone());
        roster.delta();
        roster.put(a2.clone());
        let Some(RosterUpdate::Delta { from: 1, to: 2, changes }) = roster.delta() else { panic!("a delta") };
        assert_eq!(
            changes,
            vec![RosterChange::Drop([a1.no].into_iter().collect()), RosterChange::Put(a2.clone())]
        );
        let back =
            Roster::restore(roster.numbers().map(|(no, id, i)| (no, id.clone(), i)).collect::<Vec<_>>());
        assert_eq!(back.numbers().count(), 2);
        assert!(back.is_empty());
    }

    #[test]
    fn the_whole_names_those_of_whom_only_the_spool_knows() {
        let mut roster = Roster::restore([(0, "a".parse().unwrap(), Incarnation(1))]);
        let b = entry(&mut roster, "b", 1);
        roster.put(b.clone());
        roster.delta();
        let RosterUpdate::Full { entries, .. } = roster.full() else { panic!("the whole") };
        assert_eq!((entries[0].no, entries[0].up, entries[0].is_remembered()), (0, false, true));
        assert_eq!(entries[1], b);
    }

    #[test]
    fn flips_are_one_delta() {
        let mut roster = Roster::default();
        for id in ["a", "b", "c"] {
            let e = entry(&mut roster, id, 1);
            roster.put(e);
        }
        roster.delta();
        roster.set_up(&[0, 2].into_iter().collect(), false, 5);
        let Some(RosterUpdate::Delta { changes, .. }) = roster.delta() else { panic!("a delta") };
        assert_eq!(changes, vec![RosterChange::Down([0, 2].into_iter().collect())]);
        assert_eq!(roster.delta(), None);
        assert_eq!([0, 1, 2].map(|no| roster.get(no).unwrap().up), [false, true, false]);
    }
}
