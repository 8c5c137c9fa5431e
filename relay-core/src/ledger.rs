//! The ledger of one job at one tier: where each target stands.
//!
//! Owns the rule that at every instant `targets = unsent + in flight + outcomes`, disjoint (invariant I2), and that a
//! slot's history is `empty -> final` or `empty -> unknown -> final`. Holds no bodies: answers are known by their key.
//! When to send and what to believe is decided in [`crate::tier`], [`crate::owner`] and [`crate::relay`].

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use crate::{
    Members, members,
    outcome::{Answer, Outcome, Reason},
};

/// An answer without its body: equal answers have equal keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerKey {
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// Exit code.
    pub retcode: i32,
    /// Said by a tier.
    pub by_tier: bool,
    /// SHA-256 over body and truncation mark.
    pub body: [u8; 32],
}

impl AnswerKey {
    /// The key of an answer.
    pub fn of(answer: &Answer) -> AnswerKey {
        let mut hash = Sha256::new();
        hash.update(&answer.body);
        if let Some(whole) = &answer.truncated {
            hash.update(whole);
        }
        AnswerKey {
            outcome: answer.outcome,
            reason: answer.reason,
            retcode: answer.retcode,
            by_tier: answer.by_tier,
            body: hash.finalize().into(),
        }
    }
}

/// Answers of one job, numbered in the order in which they first came: the row number in the store.
pub type GroupNo = u32;

/// All who gave one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What they say.
    pub key: AnswerKey,
    /// Who.
    pub members: Members,
}

/// What a record changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The group the answer belongs to.
    pub group: GroupNo,
    /// It is the first of its group: the body must be kept.
    pub first: bool,
    /// Who got an outcome by it. Empty: all duplicates, nothing changed.
    pub members: Members,
    /// Groups of `unknown` that lost members to it, and whom.
    pub resolved: Vec<(GroupNo, Members)>,
}

/// Where each target of one job stands.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    targets: Members,
    unsent: Members,
    in_flight: Members,
    started: Members,
    unknown: Members,
    groups: Vec<Group>,
    index: HashMap<AnswerKey, GroupNo>,
}

impl Ledger {
    /// All targets unsent.
    pub fn new(targets: Members) -> Ledger {
        Ledger { unsent: targets.clone(), targets, ..Ledger::default() }
    }

    /// A ledger as a store remembers it: groups in order, and who was sent the job.
    pub fn restore(targets: Members, sent: &Members, groups: Vec<Group>) -> Ledger {
        let mut ledger = Ledger { targets, ..Ledger::default() };
        let mut done = Members::new();
        for (no, group) in groups.into_iter().enumerate() {
            done |= &group.members;
            if !group.key.outcome.is_final() {
                ledger.unknown |= &group.members;
            }
            ledger.index.insert(group.key.clone(), no as GroupNo);
            ledger.groups.push(group);
        }
        let open = &ledger.targets - &done;
        ledger.in_flight = &open & sent;
        ledger.unsent = open - sent;
        ledger
    }

    /// Adds targets (a syndic hears of them dispatch by dispatch). Those already there are left as they are.
    pub fn extend(&mut self, members: &Members) {
        let new = members - &self.targets;
        self.unsent |= &new;
        self.targets |= new;
    }

    /// Puts members back to unsent whose outcome was only said by a tier, because a parent offers them again.
    pub fn reopen_said_by_tier(&mut self, members: &Members) {
        for group in self.groups.iter_mut().filter(|g| g.key.by_tier) {
            let back = &group.members & members;
            group.members -= &back;
            self.unsent |= back;
        }
    }

    /// Puts members back to unsent, whatever was said of them: it got lost above, and must be asked for anew.
    pub fn reopen(&mut self, members: &Members) {
        for group in &mut self.groups {
            let back = &group.members & members;
            group.members -= &back;
            self.unknown -= &back;
            self.unsent |= back;
        }
    }

    /// These are being sent now: unsent -> in flight.
    pub fn sent(&mut self, members: &Members) {
        let now = &self.unsent & members;
        self.unsent -= &now;
        self.in_flight |= now;
    }

    /// Heartbeats say that these run.
    pub fn seen_running(&mut self, members: &Members) -> bool {
        let before = self.started.len();
        self.started |= members & &self.in_flight;
        self.started.len() != before
    }

    /// Writes an answer into the slots that may still take it. Duplicates and strangers are left out.
    pub fn record(&mut self, answer: &Answer, members: &Members) -> Recorded {
        let key = AnswerKey::of(answer);
        let empty = (members & &self.unsent) | (members & &self.in_flight);
        let resolving = if key.outcome.is_final() { members & &self.unknown } else { Members::new() };
        let taken = &empty | &resolving;
        let known = self.index.get(&key).copied();
        let mut recorded =
            Recorded { group: known.unwrap_or(0), first: false, members: taken, resolved: Vec::new() };
        if recorded.members.is_empty() {
            return recorded;
        }
        recorded.resolved = self.resolve(&resolving);
        members::remove(&mut self.unsent, &empty);
        members::remove(&mut self.in_flight, &empty);
        members::remove(&mut self.started, &recorded.members);
        if !key.outcome.is_final() {
            self.unknown |= &recorded.members;
        }
        let no = known.unwrap_or(self.groups.len() as GroupNo);
        if known.is_none() {
            self.index.insert(key.clone(), no);
            self.groups.push(Group { key, members: Members::new() });
        }
        members::add(&mut self.groups[no as usize].members, &recorded.members);
        Recorded { group: no, first: known.is_none(), ..recorded }
    }

    fn resolve(&mut self, members: &Members) -> Vec<(GroupNo, Members)> {
        if members.is_empty() {
            return Vec::new();
        }
        self.unknown -= members;
        let groups = self.groups.iter_mut().enumerate();
        let unknown = groups.filter(|(_, g)| !g.key.outcome.is_final() && !g.members.is_disjoint(members));
        unknown
            .map(|(no, g)| {
                let left = &g.members & members;
                g.members -= &left;
                (no as GroupNo, left)
            })
            .collect()
    }

    /// Every target.
    pub fn targets(&self) -> &Members {
        &self.targets
    }
    /// Never written to a wire by this tier.
    pub fn unsent(&self) -> &Members {
        &self.unsent
    }
    /// Sent, no outcome yet.
    pub fn in_flight(&self) -> &Members {
        &self.in_flight
    }
    /// In flight, and seen running in a heartbeat.
    pub fn started(&self) -> &Members {
        &self.started
    }
    /// Declared `unknown`, not resolved yet.
    pub fn unknown(&self) -> &Members {
        &self.unknown
    }
    /// The answers so far.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }
    /// Every slot has a value.
    pub fn is_complete(&self) -> bool {
        self.unsent.is_empty() && self.in_flight.is_empty()
    }

    /// How many have each outcome.
    pub fn counts(&self) -> BTreeMap<Outcome, u64> {
        let mut counts = BTreeMap::new();
        for group in self.groups.iter().filter(|g| !g.members.is_empty()) {
            *counts.entry(group.key.outcome).or_default() += group.members.len();
        }
        counts
    }

    /// Checks I2: the sets are disjoint and make up the targets. For tests and the simulator.
    pub fn check(&self) -> Result<(), String> {
        let mut seen = Members::new();
        let sets = [("unsent", &self.unsent), ("in flight", &self.in_flight)];
        let named = sets.into_iter().chain(self.groups.iter().map(|g| (g.key.outcome.word(), &g.members)));
        for (name, set) in named {
            if !seen.is_disjoint(set) {
                return Err(format!("I2: {name} overlaps another set: {:?}", &seen & set));
            }
            seen |= set;
        }
        if seen != self.targets {
            return Err(format!("I2: slots {seen:?} are not the targets {:?}", self.targets));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(members: &[u32]) -> Members {
        members.iter().copied().collect()
    }
    fn ok() -> Answer {
        Answer::bare(Outcome::Ok, Reason::None)
    }
    fn unknown() -> Answer {
        Answer::bare(Outcome::Unknown, Reason::NoReport)
    }

    #[test]
    fn a_slot_is_written_once() {
        let mut ledger = Ledger::new(set(&[1, 2, 3]));
        ledger.sent(&set(&[1, 2]));
        assert_eq!(ledger.record(&ok(), &set(&[1, 9])).members, set(&[1]));
        let failed = Answer { retcode: 1, ..Answer::bare(Outcome::Failed, Reason::None) };
        assert!(ledger.record(&failed, &set(&[1])).members.is_empty());
        assert_eq!(ledger.counts(), BTreeMap::from([(Outcome::Ok, 1)]));
        assert!(!ledger.is_complete());
    }

    #[test]
    fn a_late_return_resolves_unknown_once() {
        let mut ledger = Ledger::new(set(&[1, 2]));
        ledger.sent(&set(&[1, 2]));
        assert_eq!(ledger.record(&unknown(), &set(&[1, 2])).group, 0);
        assert!(ledger.is_complete());
        let late = ledger.record(&ok(), &set(&[2]));
        assert_eq!((late.members, late.resolved, late.first), (set(&[2]), vec![(0, set(&[2]))], true));
        assert!(
            ledger.record(&unknown(), &set(&[2])).members.is_empty(),
            "a final outcome never becomes unknown"
        );
        assert_eq!(ledger.unknown(), &set(&[1]));
        ledger.check().unwrap();
    }

    #[test]
    fn restore_is_what_was() {
        let mut ledger = Ledger::new(set(&[1, 2, 3, 4]));
        ledger.sent(&set(&[1, 2]));
        ledger.record(&ok(), &set(&[1]));
        let back = Ledger::restore(set(&[1, 2, 3, 4]), &set(&[1, 2]), ledger.groups().to_vec());
        assert_eq!((back.in_flight(), back.unsent()), (&set(&[2]), &set(&[3, 4])));
        back.check().unwrap();
    }

    proptest! {
        #[test]
        fn any_history_keeps_i2(steps in prop::collection::vec((0u8..6, prop::collection::vec(0u32..12, 0..6)), 0..60)) {
            let mut ledger = Ledger::new((0..10).collect());
            for (kind, members) in steps {
                let members: Members = members.into_iter().collect();
                let done_before: Members = ledger.groups().iter().filter(|g| g.key.outcome.is_final())
                    .fold(Members::new(), |all, g| all | &g.members);
                match kind {
                    0 => ledger.sent(&members),
                    1 => { ledger.record(&ok(), &members); }
                    2 => { ledger.record(&unknown(), &members); }
                    3 => { ledger.record(&Answer::by_tier(Outcome::NotStarted, Reason::Unreachable), &members); }
                    4 => { ledger.seen_running(&members); }
                    _ => ledger.extend(&members),
                }
                ledger.check().unwrap();
                let done: Members = ledger.groups().iter().filter(|g| g.key.outcome.is_final())
                    .fold(Members::new(), |all, g| all | &g.members);
                prop_assert!(done_before.is_subset(&done), "a final outcome was taken back");
                prop_assert!(ledger.started().is_subset(ledger.in_flight()));
            }
        }
    }
}
