//! The names of minions by number, for those who answer operators outside the loop.
//!
//! Numbers are never used again and ids and regions never change, so the list only grows: whoever holds an older copy
//! is not wrong, only short.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use relay_core::{
    Members,
    ids::{MinionId, RegionName},
    inventory::Inventory,
};

#[derive(Debug, Default)]
struct Names {
    ids: Vec<Option<MinionId>>,
    regions: BTreeMap<RegionName, Members>,
    known: Members,
}

/// Shared by the loop, which fills it, and the operators' calls, which read it.
#[derive(Debug, Clone, Default)]
pub struct Directory(Arc<RwLock<Names>>);

impl Directory {
    /// Notes the minions that are new.
    pub fn note(&self, inventory: &Inventory) {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Names { ids, regions, known } = &mut *names;
        for no in inventory.all() - &*known {
            let (at, Some(minion)) = (no as usize, inventory.get(no)) else { continue };
            if ids.len() <= at {
                ids.resize(at + 1, None);
            }
            ids[at] = Some(minion.id.clone());
            regions.entry(minion.region.clone()).or_default().insert(no);
            known.insert(no);
        }
    }

    /// The ids of members, in order of their numbers.
    pub fn ids(&self, members: &Members) -> Vec<String> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let id = |no: u32| names.ids.get(no as usize)?.as_ref().map(|id| id.as_str().to_owned());
        members.iter().filter_map(id).collect()
    }

    /// Members by region, regions by name.
    pub fn by_region(&self, members: &Members) -> Vec<(RegionName, Members)> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let there = names.regions.iter().map(|(region, all)| (region, all & members));
        there.filter(|(_, there)| !there.is_empty()).map(|(region, there)| (region.clone(), there)).collect()
    }
}
