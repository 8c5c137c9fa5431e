//! The names of minions by number, for those who answer operators outside the loop.
//!
//! Numbers are never used again and ids and regions never change, so the list only grows: whoever holds an older copy
//! is not wrong, only short.

use std::sync::{Arc, PoisonError, RwLock};

use relay_core::{
    Members,
    ids::{MinionId, RegionName},
    inventory::{Inventory, MinionNo},
};

type Names = Vec<Option<(MinionId, RegionName)>>;

/// Shared by the loop, which fills it, and the operators' calls, which read it.
#[derive(Debug, Clone, Default)]
pub struct Directory(Arc<RwLock<Names>>);

impl Directory {
    /// Notes minions that may be new.
    pub fn note(&self, inventory: &Inventory, members: impl IntoIterator<Item = MinionNo>) {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for no in members {
            let at = no as usize;
            if names.len() <= at {
                names.resize(at + 1, None);
            }
            if names[at].is_none() {
                names[at] = inventory.get(no).map(|m| (m.id.clone(), m.region.clone()));
            }
        }
    }

    /// The ids of members, in order of their numbers.
    pub fn ids(&self, members: &Members) -> Vec<String> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let id = |no: u32| names.get(no as usize)?.as_ref().map(|(id, _)| id.as_str().to_owned());
        members.iter().filter_map(id).collect()
    }

    /// Members by region, regions by name.
    pub fn by_region(&self, members: &Members) -> Vec<(RegionName, Members)> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut regions = std::collections::BTreeMap::<RegionName, Members>::new();
        for no in members {
            if let Some(Some((_, region))) = names.get(no as usize) {
                match regions.get_mut(region) {
                    Some(set) => {
                        set.insert(no);
                    }
                    None => drop(regions.insert(region.clone(), Members::from_iter([no]))),
                }
            }
        }
        regions.into_iter().collect()
    }
}
