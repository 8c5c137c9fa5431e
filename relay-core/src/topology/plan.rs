//! What changes from one topology to another: who is added, removed or changed, field by field; which minions move; what
//! each region carries then.
//!
//! A plan is made of two checked topologies and can be applied to the first one only; whoever applies it to another is
//! told where they differ. Running jobs, and doing it, belong to the top master.

mod apply;
mod fleet;
mod moves;
#[cfg(test)]
mod tests;

pub use super::render::Part;
pub use apply::ApplyError;
pub use fleet::Fleet;
pub use moves::{Moves, RegionMoves, Way};

use serde_json::Value;

use super::{Topology, capacity::RegionCapacity, render::parts};

/// What changes, and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Digest of the topology that it starts from.
    pub from: String,
    /// Digest of the topology that it ends with.
    pub to: String,
    /// What changes, in the order fabric, top masters, regions, syndics, node groups, labels.
    pub changes: Vec<Change>,
    /// Which minions move.
    pub moves: Moves,
    /// What each region carries after it.
    pub capacity: Vec<RegionCapacity>,
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Of whom.
    pub part: Part,
    /// What becomes of it.
    pub edit: Edit,
}

/// What becomes of a part.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// It is new, with these fields.
    Added(serde_json::Map<String, Value>),
    /// It goes; it had these fields.
    Removed(serde_json::Map<String, Value>),
    /// One of its fields changes.
    Field {
        /// Its name; a dot is a map in the file.
        name: String,
        /// Before. Nothing: it was not set.
        before: Option<Value>,
        /// After. Nothing: it is not set any more.
        after: Option<Value>,
    },
}

impl Plan {
    /// The plan from one topology to another. `before` and `after` are the minions that each of them has: known ones, or
    /// made up from the file ([`Fleet`]).
    pub fn between(from: (&Topology, &Fleet), to: (&Topology, &Fleet)) -> Plan {
        Plan {
            from: from.0.digest(),
            to: to.0.digest(),
            changes: changes(from.0, to.0),
            moves: moves::between(from, to),
            capacity: to.0.capacity(),
        }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// What differs between two topologies. Comments, the order of keys and of entries, and defaults written out are no
/// difference.
pub fn changes(from: &Topology, to: &Topology) -> Vec<Change> {
    let (before, mut after) = (parts(from), parts(to));
    let mut changes = Vec::new();
    for (part, old) in before {
        match after.remove(&part) {
            None => changes.push(Change { part, edit: Edit::Removed(old) }),
            Some(new) => changes.extend(edits(&old, &new).map(|edit| Change { part: part.clone(), edit })),
        }
    }
    changes.extend(after.into_iter().map(|(part, new)| Change { part, edit: Edit::Added(new) }));
    // By part, in a stable way: edits of one stay in the order of its fields.
    changes.sort_by(|a, b| a.part.cmp(&b.part));
    changes
}

fn edits<'p>(
    old: &'p serde_json::Map<String, Value>,
    new: &'p serde_json::Map<String, Value>,
) -> impl Iterator<Item = Edit> + 'p {
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    let differ = names.filter(|name| old.get(*name) != new.get(*name));
    differ.map(move |name| Edit::Field {
        name: name.clone(),
        before: old.get(name).cloned(),
        after: new.get(name).cloned(),
    })
}
