//! The minions that a plan counts: those that are known, or as many as the file expects under made-up ids.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::{MinionId, RegionName},
    target::{Glob, RangeSet},
    topology::{Membership, Region, Topology, ranges},
};

/// Minions by their region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    regions: BTreeMap<MinionId, RegionName>,
}

impl Fleet {
    /// Minions whose region is known: from certificates, as the inventory has them.
    pub fn known(minions: impl IntoIterator<Item = (MinionId, RegionName)>) -> Fleet {
        Fleet { regions: minions.into_iter().collect() }
    }

    /// Ids alone: each belongs to the region that lists it, else to the one with a range set that names it, else to the first in
    /// the file with a pattern that it matches. Grains are not looked at. Those that belong nowhere are left out; they come back beside it.
    pub fn of_ids(topology: &Topology, ids: impl IntoIterator<Item = MinionId>) -> (Fleet, Vec<MinionId>) {
        let member = Members::of(topology);
        let (mut fleet, mut strangers) = (Fleet::default(), Vec::new());
        for id in ids {
            match member.region(&id) {
                Some(region) => drop(fleet.regions.insert(id, region.clone())),
                None => strangers.push(id),
            }
        }
        (fleet, strangers)
    }

    /// As many minions as each region expects: the ids that it lists, those of its range sets, and for the rest its patterns with
    /// numbers in place of stars. The same file gives the same ids, and a higher count adds to them.
    pub fn expected(topology: &Topology) -> Fleet {
        let mut fleet = Fleet::default();
        for region in &topology.regions {
            for id in made_up(region) {
                fleet.regions.entry(id).or_insert_with(|| region.name.clone());
            }
        }
        fleet
    }

    /// The region of a minion.
    pub fn region(&self, id: &MinionId) -> Option<&RegionName> {
        self.regions.get(id)
    }
    /// All minions with their regions, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&MinionId, &RegionName)> {
        self.regions.iter()
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.regions.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }
}

/// Who belongs where, ready to ask.
struct Members<'t> {
    listed: BTreeMap<&'t MinionId, &'t RegionName>,
    ranges: Vec<(&'t RangeSet, &'t RegionName)>,
    patterns: Vec<(Glob, &'t RegionName)>,
}

impl<'t> Members<'t> {
    fn of(topology: &'t Topology) -> Members<'t> {
        let mut members = Members { listed: BTreeMap::new(), ranges: Vec::new(), patterns: Vec::new() };
        for region in &topology.regions {
            let Membership { ids, patterns, .. } = &region.minions;
            for id in ids {
                members.listed.entry(id).or_insert(&region.name);
            }
            members.ranges.extend(region.ranges.iter().map(|set| (set, &region.name)));
            members.patterns.extend(patterns.iter().map(|text| (Glob::new(text), &region.name)));
        }
        members
    }

    fn region(&self, id: &MinionId) -> Option<&'t RegionName> {
        let listed = self.listed.get(id).copied();
        listed
            .or_else(|| {
                self.ranges.iter().find(|(set, _)| set.matches(id.as_str())).map(|(_, region)| *region)
            })
            .or_else(|| self.patterns.iter().find(|(p, _)| p.matches(id.as_str())).map(|(_, region)| *region))
    }
}

/// The expected minions of a region: those named one by one, then made-up ones by turns over its patterns.
fn made_up(region: &Region) -> impl Iterator<Item = MinionId> {
    let Membership { count, patterns, .. } = &region.minions;
    let any = format!("{}-*", region.name);
    let starred: Vec<String> = patterns.iter().filter(|p| p.contains('*')).cloned().collect();
    let forms = if starred.is_empty() { vec![any.clone()] } else { starred };
    let count = *count as usize;
    let listed = listed(region, count);
    let rest = count - listed.len();
    let numbered = (0..rest + listed.len()).filter_map(move |n| {
        let form = &forms[n % forms.len()];
        // A pattern may have what no id has (`[ab]*`, `{x,y}*`); then the region's name serves.
        number(form, n).or_else(|| number(&any, n))
    });
    let own = listed.clone();
    listed.into_iter().chain(numbered.filter(move |id| !own.contains(id)).take(rest))
}

/// The ids that a region lists and then those of its range sets, each once, and no more than `most`.
fn listed(region: &Region, most: usize) -> BTreeSet<MinionId> {
    let named = region.ranges.iter().flat_map(ranges::ids).filter_map(|id| id.parse().ok());
    let mut listed = BTreeSet::new();
    for id in region.minions.ids.iter().cloned().chain(named) {
        if listed.len() == most {
            break;
        }
        listed.insert(id);
    }
    listed
}

/// A pattern with its first star replaced by a number and the others by nothing.
fn number(pattern: &str, n: usize) -> Option<MinionId> {
    pattern.replacen('*', &format!("{n:05}"), 1).replace('*', "").replace('?', "0").parse().ok()
}
