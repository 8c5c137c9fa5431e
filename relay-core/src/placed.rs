//! Who is told where it belongs: the top master's side of placement.
//!
//! Owns what was told over which link, so that only what is new goes out, and the pace: however many minions come and go,
//! places are found at most once in [`PACE`]. Who belongs where is [`crate::placement`]'s; when a minion moves is its own
//! affair ([`crate::seat`]), within the time that it is told here.

mod above;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use above::Above;

use crate::{
    Members,
    ids::{RegionName, TierId},
    inventory::{Inventory, MinionNo},
    message::{Down, LinkId, MAX_PLACED_GROUPS, Placed, PlacedGroup, PlacedSyndic},
    owner::Owner,
    placement::Placement,
    tier::Sending,
    time::Millis,
    topology::{Syndic, Topology},
};

/// Between two searches for places lies at least so long: in an attach storm one serves hundreds of newcomers.
pub const PACE: Millis = 500;
/// Syndics in a list: a primary and four others. Whose five are all gone dials the parents of its configuration. Short
/// lists are few, however many syndics a region has.
pub const LISTED: usize = 5;
/// So many minions move in a second, over all: a syndic takes several hundred handshakes in that time on one core, and has
/// jobs to do as well.
pub const MOVES_PER_SECOND: u64 = 100;
/// Moves are spread over this at least.
pub const SPREAD_MIN: Millis = 1_000;
/// And over this at most; more minions than fit wait for their handshakes.
pub const SPREAD_MAX: Millis = 10 * 60 * 1_000;

/// A primary and its fallbacks.
type List = Arc<[PlacedSyndic]>;

/// One member that is told something.
pub(crate) struct Told {
    /// Its link, and its number there.
    pub seat: (LinkId, u32),
    /// The link is the minion's own.
    pub direct: bool,
    /// The revision of its list.
    pub revision: u64,
    /// Its list.
    pub syndics: List,
}

/// The messages for these members: one for all minions with the same list, one for each syndic (more if it has too
/// many lists).
pub(crate) fn sendings(told: impl Iterator<Item = Told>, spread: Millis) -> Vec<Sending> {
    let mut direct: BTreeMap<(u64, List, u32), Vec<LinkId>> = BTreeMap::new();
    let mut shared: BTreeMap<(LinkId, u64), BTreeMap<List, Members>> = BTreeMap::new();
    for Told { seat: (link, no), direct: own, revision, syndics } in told {
        if own {
            direct.entry((revision, syndics, no)).or_default().push(link);
        } else {
            shared.entry((link, revision)).or_default().entry(syndics).or_default().insert(no);
        }
    }
    let mut sendings = Vec::new();
    for ((revision, syndics, no), links) in direct {
        let groups = vec![PlacedGroup { members: Members::from_iter([no]), syndics }];
        sendings.push(Sending::new(links, Down::Placed(Placed { revision, groups, spread })));
    }
    for ((link, revision), lists) in shared {
        let groups = lists.into_iter().map(|(syndics, members)| PlacedGroup { members, syndics });
        let groups: Vec<PlacedGroup> = groups.collect();
        for groups in groups.chunks(MAX_PLACED_GROUPS) {
            let placed = Placed { revision, groups: groups.to_vec(), spread };
            sendings.push(Sending::new(vec![link], Down::Placed(placed)));
        }
    }
    sendings
}

/// A region of the topology.
#[derive(Debug)]
struct Region {
    syndics: Vec<Syndic>,
    /// For whom places were found last.
    members: Members,
}

/// Tells minions where they belong.
#[derive(Debug, Default)]
pub struct Placing {
    revision: u64,
    regions: BTreeMap<RegionName, Region>,
    above: Above,
    homes: BTreeMap<MinionNo, List>,
    told: BTreeMap<LinkId, BTreeMap<u32, List>>,
    attached: BTreeSet<TierId>,
    /// The links and the inventory's version that were looked at last; nothing if they have to be looked at anyway.
    seen: Option<(u64, Vec<LinkId>)>,
    next: Millis,
    misplaced: u64,
    moved: u64,
    /// The syndic that each minion was seen at last.
    at: BTreeMap<MinionNo, TierId>,
}

impl Placing {
    /// Nobody is told anything until there is a topology.
    pub fn new() -> Placing {
        Placing::default()
    }

    /// This is the topology from now on.
    pub fn set_topology(&mut self, revision: u64, topology: &Topology) {
        let region = |region: &crate::topology::Region| {
            (region.name.clone(), Region { syndics: region.syndics.clone(), members: Members::new() })
        };
        self.revision = revision;
        self.regions = topology.regions.iter().map(region).collect();
        self.above = Above::of(topology);
        self.homes.clear();
        self.seen = None;
    }

    /// What has to be sent now. Cheap if nothing has changed or it is not time yet; call it at the end of each turn.
    pub fn turn(&mut self, now: Millis, owner: &Owner) -> Vec<Sending> {
        if !self.is_due(now, owner) {
            return Vec::new();
        }
        self.next = now + PACE;
        self.seen = Some(state(owner));
        self.find_places(owner.inventory());
        let fresh = self.links(owner);
        self.tell(owner, &fresh)
    }

    fn is_due(&self, now: Millis, owner: &Owner) -> bool {
        now >= self.next && self.has_news(owner)
    }

    fn has_news(&self, owner: &Owner) -> bool {
        !self.regions.is_empty() && self.seen.as_ref() != Some(&state(owner))
    }

    /// When [`Placing::turn`] has to be called next, if nothing else happens.
    pub fn next_deadline(&self, owner: &Owner) -> Option<Millis> {
        self.has_news(owner).then_some(self.next)
    }

    /// Of the minions that are up, how many are not where they belong.
    pub fn misplaced(&self) -> u64 {
        self.misplaced
    }

    /// How many changes of a minion's syndic were seen since this began.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Places for the regions that have new minions or a new form. A minion's place may change with its neighbours'.
    fn find_places(&mut self, inventory: &Inventory) {
        for (name, members) in inventory.by_region() {
            let Some(region) = self.regions.get_mut(name).filter(|region| region.members != *members) else {
                continue;
            };
            region.members = members.clone();
            let minions: Vec<_> =
                members.iter().filter_map(|no| Some((no, &inventory.get(no)?.id))).collect();
            let placement = Placement::new(&region.syndics, minions.iter().map(|(_, id)| *id));
            let syndics: BTreeMap<&TierId, PlacedSyndic> =
                region.syndics.iter().map(|s| (&s.id, placed_syndic(name, s))).collect();
            let mut lists: BTreeMap<Vec<&TierId>, List> = BTreeMap::new();
            for (no, id) in minions {
                let mut ids = placement.parents(id);
                ids.truncate(LISTED);
                let list = || ids.iter().filter_map(|id| syndics.get(*id).cloned()).collect();
                let list = lists.entry(ids.clone()).or_insert_with(list).clone();
                if !list.is_empty() {
                    self.homes.insert(no, list);
                }
            }
        }
    }

    /// Forgets what was told over links that are gone. Returns the syndics that have attached since the last time.
    fn links(&mut self, owner: &Owner) -> BTreeSet<TierId> {
        let links: BTreeSet<LinkId> = owner.syndics().map(|(link, ..)| link).collect();
        self.told.retain(|link, _| links.contains(link));
        let attached: BTreeSet<TierId> = owner.syndics().map(|(_, id, _)| id.clone()).collect();
        let fresh = &attached - &self.attached;
        self.attached = attached;
        fresh
    }

    /// Tells those whose list is not what their link was told, and those again whose primary has come (back).
    fn tell(&mut self, owner: &Owner, fresh: &BTreeSet<TierId>) -> Vec<Sending> {
        let (mut news, mut misplaced) = (Vec::new(), 0);
        for no in owner.inventory().up() {
            let (Some(list), Some(seat)) = (self.homes.get(&no), owner.seat_of(no)) else { continue };
            let (Some(primary), Some(minion)) = (list.first(), owner.inventory().get(no)) else { continue };
            if self.at.get(&no) != Some(&minion.syndic) {
                self.moved += u64::from(self.at.insert(no, minion.syndic.clone()).is_some());
            }
            let stands = self.above.stands(&primary.id, &minion.syndic);
            misplaced += u64::from(!stands);
            let came = fresh.contains(&primary.id) || self.above.any(&primary.id, fresh);
            let link = self.told.entry(seat.0).or_default();
            if link.get(&seat.1) != Some(list) || (!stands && came) {
                link.insert(seat.1, list.clone());
                news.push(Told { seat, direct: false, revision: self.revision, syndics: list.clone() });
            }
        }
        self.misplaced = misplaced;
        let spread = misplaced * 1_000 / MOVES_PER_SECOND;
        sendings(news.into_iter(), spread.clamp(SPREAD_MIN, SPREAD_MAX))
    }
}

/// What has to change before anybody has to be told anything.
fn state(owner: &Owner) -> (u64, Vec<LinkId>) {
    (owner.inventory().version(), owner.syndics().map(|(link, ..)| link).collect())
}

fn placed_syndic(region: &RegionName, syndic: &Syndic) -> PlacedSyndic {
    PlacedSyndic { id: syndic.id.clone(), region: region.clone(), address: syndic.address.clone() }
}

#[cfg(test)]
mod tests;
