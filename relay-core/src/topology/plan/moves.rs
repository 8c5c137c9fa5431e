//! Which minions change their syndic, and how many would do so ideally.

use std::collections::{BTreeMap, BTreeSet};

use super::Fleet;
use crate::{
    ids::{MinionId, RegionName, TierId},
    placement::{Placement, quotas},
    topology::{Region, Topology},
};

/// All moves of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// Region by region, by name: those that have minions before or after.
    pub regions: Vec<RegionMoves>,
    /// From where to where how many go, the most first.
    pub ways: Vec<Way>,
}

/// From one syndic to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Where they are.
    pub from: TierId,
    /// Where they go.
    pub to: TierId,
    /// How many.
    pub minions: u64,
}

/// The moves of one region's minions: of those that are in it afterwards, or were and belong nowhere then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionMoves {
    /// The region.
    pub region: RegionName,
    /// Minions that are there before and after, in this region then.
    pub minions: u64,
    /// How many of them get another syndic.
    pub moved: u64,
    /// How many of them ideally would, in thousandths: what the shares of syndics grow by.
    pub ideal_thousandths: u64,
    /// How many of those that move come from another region. Their certificates name it, so they need new ones.
    pub from_elsewhere: u64,
    /// Minions that are only there afterwards.
    pub joined: u64,
    /// Minions that were in this region and are nowhere afterwards.
    pub left: u64,
}

impl Moves {
    /// How many minions move.
    pub fn moved(&self) -> u64 {
        self.regions.iter().map(|r| r.moved).sum()
    }
    /// How many stay in the fabric, moved or not.
    pub fn minions(&self) -> u64 {
        self.regions.iter().map(|r| r.minions).sum()
    }
    /// How many ideally would move, in thousandths.
    pub fn ideal_thousandths(&self) -> u64 {
        self.regions.iter().map(|r| r.ideal_thousandths).sum()
    }
}

/// Where everybody is placed.
fn placed(topology: &Topology, fleet: &Fleet) -> BTreeMap<RegionName, Placement> {
    let mut members: BTreeMap<&RegionName, Vec<&MinionId>> = BTreeMap::new();
    fleet.iter().for_each(|(id, region)| members.entry(region).or_default().push(id));
    let of = |region: &Region| {
        let own = members.remove(&region.name).unwrap_or_default();
        (region.name.clone(), Placement::new(&region.syndics, own))
    };
    topology.regions.iter().map(of).collect()
}

pub(super) fn between(from: (&Topology, &Fleet), to: (&Topology, &Fleet)) -> Moves {
    let (before, after) = (placed(from.0, from.1), placed(to.0, to.1));
    let mut tally = Tally::default();
    let home = |placements: &BTreeMap<RegionName, Placement>, fleet: &Fleet, id: &MinionId| {
        let region = fleet.region(id)?;
        let syndic = placements.get(region)?.primary(id)?;
        Some((region.clone(), syndic.clone()))
    };
    let ids: BTreeSet<&MinionId> = from.1.iter().chain(to.1.iter()).map(|(id, _)| id).collect();
    for id in ids {
        match (home(&before, from.1, id), home(&after, to.1, id)) {
            (Some(was), Some(is)) => tally.stays(was, is),
            (None, Some((region, _))) => tally.of(&region).joined += 1,
            (Some((region, _)), None) => tally.of(&region).left += 1,
            (None, None) => {}
        }
    }
    tally.conclude(from.0, to.0)
}

#[derive(Default)]
struct Tally {
    regions: BTreeMap<RegionName, RegionMoves>,
    ways: BTreeMap<(TierId, TierId), u64>,
}

impl Tally {
    fn of(&mut self, region: &RegionName) -> &mut RegionMoves {
        self.regions.entry(region.clone()).or_insert_with(|| RegionMoves {
            region: region.clone(),
            minions: 0,
            moved: 0,
            ideal_thousandths: 0,
            from_elsewhere: 0,
            joined: 0,
            left: 0,
        })
    }

    fn stays(&mut self, was: (RegionName, TierId), is: (RegionName, TierId)) {
        let region = self.of(&is.0);
        region.minions += 1;
        region.from_elsewhere += u64::from(was.0 != is.0);
        if was.1 != is.1 {
            region.moved += 1;
            *self.ways.entry((was.1, is.1)).or_default() += 1;
        }
    }

    fn conclude(mut self, from: &Topology, to: &Topology) -> Moves {
        for region in self.regions.values_mut() {
            let own = region.minions - region.from_elsewhere;
            let shares = (shares(from, &region.region, own), shares(to, &region.region, own));
            region.ideal_thousandths = grown(&shares.0, &shares.1) + region.from_elsewhere * 1000;
        }
        let mut ways: Vec<Way> =
            self.ways.into_iter().map(|((from, to), minions)| Way { from, to, minions }).collect();
        ways.sort_by_key(|way| std::cmp::Reverse(way.minions));
        Moves { regions: self.regions.into_values().collect(), ways }
    }
}

/// What each syndic of a region ideally has of `minions`, in thousandths.
fn shares(topology: &Topology, region: &RegionName, minions: u64) -> BTreeMap<TierId, u64> {
    let Some(region) = topology.region(region) else { return BTreeMap::new() };
    let active: Vec<_> = region.syndics.iter().filter(|s| !s.standby).collect();
    let wants: Vec<(u32, u32)> = active.iter().map(|s| (s.weight, s.capacity)).collect();
    let ideal = quotas(minions, &wants).into_iter().map(|quota| quota.ideal_thousandths);
    active.iter().map(|s| s.id.clone()).zip(ideal).collect()
}

/// What those that get more get more.
fn grown(before: &BTreeMap<TierId, u64>, after: &BTreeMap<TierId, u64>) -> u64 {
    after.iter().map(|(id, now)| now.saturating_sub(before.get(id).copied().unwrap_or(0))).sum()
}
