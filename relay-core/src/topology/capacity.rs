//! What each region carries: with every syndic up, and without any one of them.
//!
//! Losing a syndic loses what hangs below it alone, too: a region whose syndics have one parent among the syndics of
//! another is cut off with it.

use std::collections::HashSet;

use super::{Region, Syndic, Topology};
use crate::ids::{RegionName, TierId};

/// What one region carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionCapacity {
    /// The region.
    pub region: RegionName,
    /// How many minions the file expects.
    pub expected: u64,
    /// Syndics that take minions.
    pub active: usize,
    /// Syndics that are kept free.
    pub standby: usize,
    /// How many minions the active ones carry.
    pub capacity: u64,
    /// How many the standby ones carry.
    pub reserve: u64,
    /// What is left for this region when one syndic is lost, whichever region that one is in; only losses that this region
    /// feels. The worst first.
    pub losses: Vec<Loss>,
}

/// What is left of a region without one syndic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Who is lost.
    pub lost: TierId,
    /// The region's own syndics that no top master reaches then, with the lost one.
    pub cut_off: Vec<TierId>,
    /// How many minions the others carry, standby ones among them.
    pub left: u64,
}

impl RegionCapacity {
    /// What is left in the worst case. Nothing if the region feels no single loss (never: it has a syndic).
    pub fn worst(&self) -> Option<&Loss> {
        self.losses.first()
    }
    /// How many minions are without a syndic in the worst case.
    pub fn short(&self) -> u64 {
        self.worst().map_or(0, |loss| self.expected.saturating_sub(loss.left))
    }
}

impl Topology {
    /// What each region carries, in the order of the file.
    pub fn capacity(&self) -> Vec<RegionCapacity> {
        let order = self.top_down();
        let losses: Vec<(&TierId, HashSet<&TierId>)> =
            self.syndics().map(|(_, s)| (&s.id, self.reached_without(&s.id, &order))).collect();
        self.regions.iter().map(|region| of(region, &losses)).collect()
    }

    /// The syndics that still have a way up. `order` has parents before their children.
    fn reached_without<'t>(&'t self, lost: &TierId, order: &[(&Region, &'t Syndic)]) -> HashSet<&'t TierId> {
        let mut reached: HashSet<&TierId> = self.top_masters.iter().map(|t| &t.id).collect();
        for (_, syndic) in order {
            if syndic.id != *lost && syndic.parents.iter().any(|parent| reached.contains(parent)) {
                reached.insert(&syndic.id);
            }
        }
        reached
    }
}

fn of(region: &Region, losses: &[(&TierId, HashSet<&TierId>)]) -> RegionCapacity {
    let carried = |wanted: &dyn Fn(&Syndic) -> bool| -> u64 {
        region.syndics.iter().filter(|s| wanted(s)).map(|s| u64::from(s.capacity)).sum()
    };
    let loss = |(lost, reached): &(&TierId, HashSet<&TierId>)| {
        let cut_off: Vec<TierId> =
            region.syndics.iter().map(|s| &s.id).filter(|id| !reached.contains(id)).cloned().collect();
        let left = carried(&|s| reached.contains(&s.id));
        (!cut_off.is_empty()).then(|| Loss { lost: (*lost).clone(), cut_off, left })
    };
    let mut losses: Vec<Loss> = losses.iter().filter_map(loss).collect();
    losses.sort_by_key(|loss| loss.left);
    let standby = region.syndics.iter().filter(|s| s.standby).count();
    RegionCapacity {
        region: region.name.clone(),
        expected: u64::from(region.minions.count),
        active: region.syndics.len() - standby,
        standby,
        capacity: carried(&|s| !s.standby),
        reserve: carried(&|s| s.standby),
        losses,
    }
}

#[cfg(test)]
mod tests;
