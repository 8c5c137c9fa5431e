//! The active topology against what is really attached.

use std::collections::{BTreeMap, BTreeSet};

use relay_core::{
    Members,
    ids::{MinionId, RegionName, TierId},
    inventory::{Inventory, Minion},
    owner::Owner,
    placed::Above,
    placement::Placement,
    target::{Glob, Target},
    topology::{Membership, Region, Topology},
};
use relay_proto::{Code, operator as proto};
use relay_runtime::{
    registry::{Area, Key},
    store::Which,
};
use tonic::Status;

use super::{Topologies, wire};
use crate::operator::store_error;

/// Strangers that are named; of more, the number is enough.
const MAX_STRANGERS: usize = 100;
/// The words for the two roles.
const TOP_MASTER: &str = "top-master";
const SYNDIC: &str = "syndic";

/// What the loop knows, taken at one moment.
struct Sight {
    /// The syndics on links of ours.
    linked: BTreeMap<TierId, RegionName>,
    minions: Vec<Seen>,
    strangers: Vec<MinionId>,
}

struct Seen {
    id: MinionId,
    region: RegionName,
    syndic: TierId,
    up: bool,
}

impl Topologies {
    /// How things stand.
    pub(crate) async fn status(&self) -> Result<proto::TopologyStatusReply, Status> {
        let active = self.parts().store.revision(Which::Active).await.map_err(store_error)?;
        let effective = self.effective().borrow().clone();
        let topology = effective.map(|effective| effective.topology);
        let shape = topology.clone();
        let sight = self.look(move |owner| Sight::of(owner, shape.as_deref())).await;
        let mut sight = sight.ok_or_else(wire::stopping)?;
        let strangers_total = sight.strangers.len() as u64;
        sight.strangers.truncate(MAX_STRANGERS);
        let strangers = sight.strangers.iter().map(MinionId::to_string).collect();
        let tops = self.top_masters().await?;
        let following = self.following();
        let (members, misplaced) = members(topology.as_deref(), &sight, &tops);
        Ok(proto::TopologyStatusReply {
            active: active.map(|active| wire::revision(&active, false)),
            members,
            following,
            misplaced,
            strangers,
            strangers_total,
        })
    }

    /// The top masters that are registered, and this one.
    async fn top_masters(&self) -> Result<BTreeSet<TierId>, Status> {
        let listing = self.parts().registry.list(Area::TopMasters).await;
        let listing = listing.map_err(|error| Code::Registry.status(error.to_string()))?;
        let registered = listing.entries.into_iter().filter_map(|entry| match entry.key {
            Key::TopMaster(id) => Some(id),
            _ => None,
        });
        Ok(registered.chain([self.parts().own.clone()]).collect())
    }
}

impl Sight {
    fn of(owner: &Owner, topology: Option<&Topology>) -> Sight {
        let inventory = owner.inventory();
        let seen = |(_, m): (u32, &Minion)| Seen {
            id: m.id.clone(),
            region: m.region.clone(),
            syndic: m.syndic.clone(),
            up: m.up,
        };
        Sight {
            linked: owner.syndics().map(|(_, id, region)| (id.clone(), region.clone())).collect(),
            minions: inventory.iter().map(seen).collect(),
            strangers: topology.map(|topology| strangers(inventory, topology)).unwrap_or_default(),
        }
    }
}

/// Minions whose region is not in the topology, or does not count them as members.
fn strangers(inventory: &Inventory, topology: &Topology) -> Vec<MinionId> {
    let mut all = inventory.all().clone();
    for (name, members) in inventory.by_region() {
        if let Some(region) = topology.region(name) {
            all -= own(inventory, members, region);
        }
    }
    all.iter().filter_map(|no| inventory.get(no)).map(|minion| minion.id.clone()).collect()
}

/// Of the minions whose certificate names a region, those that belong there: all, if the topology does not say which.
fn own(inventory: &Inventory, members: &Members, region: &Region) -> Members {
    let Membership { count: _, patterns, ids, grains } = &region.minions;
    let ranges = &region.ranges;
    if patterns.is_empty() && ids.is_empty() && ranges.is_empty() && grains.is_empty() {
        return members.clone();
    }
    let (patterns, ids): (Vec<Glob>, BTreeSet<&MinionId>) =
        (patterns.iter().map(|text| Glob::new(text)).collect(), ids.iter().collect());
    let named = |minion: &Minion| {
        let id = minion.id.as_str();
        ids.contains(&minion.id)
            || ranges.iter().any(|set| set.matches(id))
            || patterns.iter().any(|p| p.matches(id))
    };
    let mut own: Members = members.iter().filter(|no| inventory.get(*no).is_some_and(named)).collect();
    for (key, values) in grains {
        for value in values {
            if let Ok(target) = Target::parse(&format!("G@{key}:{value}")) {
                own |= inventory.evaluate(&target) & members;
            }
        }
    }
    own
}

/// Everybody who should be there or is, and how many minions are not where they belong. Of syndics below syndics this
/// top master has no link: they are there if one above them is, and some of their minions, if they have any.
fn members(
    topology: Option<&Topology>,
    sight: &Sight,
    tops: &BTreeSet<TierId>,
) -> (Vec<proto::TopologyMember>, u64) {
    let Homes { belong, attached, misplaced, above } = Homes::of(topology, sight);
    let mut behind: BTreeMap<&TierId, &RegionName> = BTreeMap::new();
    for minion in sight.minions.iter().filter(|minion| minion.up) {
        behind.insert(&minion.syndic, &minion.region);
    }
    let seen: BTreeSet<TierId> = sight.linked.keys().chain(behind.keys().copied()).cloned().collect();
    let named_tops = topology.into_iter().flat_map(|t| &t.top_masters).map(|t| (&t.id, t.region.as_str()));
    let named_tops: BTreeMap<&TierId, &str> = named_tops.collect();
    let named: BTreeMap<&TierId, &RegionName> =
        topology.into_iter().flat_map(Topology::syndics).map(|(region, s)| (&s.id, &region.name)).collect();
    let top = |id: &TierId| proto::TopologyMember {
        id: id.to_string(),
        role: TOP_MASTER.into(),
        region: named_tops.get(id).copied().unwrap_or_default().into(),
        expected: named_tops.contains_key(id),
        up: tops.contains(id),
        belong: 0,
        attached: 0,
    };
    let syndic = |id: &TierId| {
        let region = named.get(id).or(behind.get(id)).copied().or(sight.linked.get(id));
        let count = |all: &BTreeMap<TierId, u64>| all.get(id).copied().unwrap_or(0);
        let (belong, attached) = (count(&belong), count(&attached));
        proto::TopologyMember {
            id: id.to_string(),
            role: SYNDIC.into(),
            region: region.map(RegionName::to_string).unwrap_or_default(),
            expected: named.contains_key(id),
            up: seen.contains(id) || (above.any(id, &seen) && (belong == 0 || attached > 0)),
            belong,
            attached,
        }
    };
    let all_tops: BTreeSet<&TierId> = named_tops.keys().copied().chain(tops).collect();
    let all: BTreeSet<&TierId> =
        named.keys().chain(behind.keys()).copied().chain(sight.linked.keys()).collect();
    (all_tops.into_iter().map(top).chain(all.into_iter().map(syndic)).collect(), misplaced)
}

/// Which syndics have the minions.
#[derive(Default)]
struct Homes {
    /// How many belong to each.
    belong: BTreeMap<TierId, u64>,
    /// How many are attached to each: to their own, if they are seen through one above it.
    attached: BTreeMap<TierId, u64>,
    /// How many are attached to another one than theirs.
    misplaced: u64,
    above: Above,
}

impl Homes {
    fn of(topology: Option<&Topology>, sight: &Sight) -> Homes {
        let mut homes = Homes { above: topology.map(Above::of).unwrap_or_default(), ..Homes::default() };
        let mut by_region: BTreeMap<&RegionName, Vec<&Seen>> = BTreeMap::new();
        sight.minions.iter().for_each(|minion| by_region.entry(&minion.region).or_default().push(minion));
        for (name, minions) in by_region {
            let syndics = topology.and_then(|topology| topology.region(name)).map(|region| &region.syndics);
            let syndics = syndics.map(Vec::as_slice).unwrap_or_default();
            let placement = Placement::new(syndics, minions.iter().map(|minion| &minion.id));
            minions.into_iter().for_each(|minion| homes.count(minion, placement.primary(&minion.id)));
        }
        homes
    }

    fn count(&mut self, minion: &Seen, home: Option<&TierId>) {
        if let Some(home) = home {
            *self.belong.entry(home.clone()).or_default() += 1;
        }
        if !minion.up {
            return;
        }
        let stands = home.filter(|home| self.above.stands(home, &minion.syndic));
        self.misplaced += u64::from(home.is_some() && stands.is_none());
        *self.attached.entry(stands.unwrap_or(&minion.syndic).clone()).or_default() += 1;
    }
}
