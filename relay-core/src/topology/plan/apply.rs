//! Carrying out a plan on the topology that it was made for.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Change, Edit, Part, Plan};
use crate::{
    document::Problem,
    topology::{
        Topology,
        render::{parts, topology},
    },
};

/// Why a plan cannot be applied. Nothing is changed then.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ApplyError {
    /// The topology is not the one that the plan was made for.
    #[error("the topology has changed since this plan was made: {part} is not as it was; plan again")]
    Moved {
        /// Where they differ first.
        part: Part,
    },
    /// What comes out is no good topology. A plan of two checked ones never ends here.
    #[error("what the plan makes is no good topology: {}", .0.first().map_or("", |p| &p.what))]
    Broken(Vec<Problem>),
}

impl Plan {
    /// The topology after the changes.
    ///
    /// # Errors
    /// The topology is not the one that was planned for, or the result does not check.
    pub fn apply(&self, to: &Topology) -> Result<Topology, ApplyError> {
        apply(&self.changes, to)
    }
}

/// The topology after some changes.
///
/// # Errors
/// As [`Plan::apply`].
pub fn apply(changes: &[Change], to: &Topology) -> Result<Topology, ApplyError> {
    let mut parts = parts(to);
    for Change { part, edit } in changes {
        change(&mut parts, part, edit).ok_or_else(|| ApplyError::Moved { part: part.clone() })?;
    }
    topology(&parts).map_err(ApplyError::Broken)
}

/// Nothing if the part is not as it was.
fn change(parts: &mut BTreeMap<Part, Map<String, Value>>, part: &Part, edit: &Edit) -> Option<()> {
    match edit {
        Edit::Added(fields) => {
            let there = parts.insert(part.clone(), fields.clone());
            there.is_none().then_some(())
        }
        Edit::Removed(fields) => (parts.remove(part)? == *fields).then_some(()),
        Edit::Field { name, before, after } => {
            let fields = parts.get_mut(part)?;
            if fields.get(name) != before.as_ref() {
                return None;
            }
            match after {
                Some(value) => drop(fields.insert(name.clone(), value.clone())),
                None => drop(fields.shift_remove(name)),
            }
            Some(())
        }
    }
}
