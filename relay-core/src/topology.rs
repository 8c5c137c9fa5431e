//! The fabric as a file describes it: a checked tree of top masters, regions and syndics, and what each region expects.
//!
//! [`Topology::check`] is the only way to get one, so whoever holds a [`Topology`] holds one without loops, unknown
//! parents or ids used twice. Reading keys is in `decode`, the rules over the whole tree in `rules`, how a number
//! of minions spreads over the syndics in `spread`. What a region carries is in [`capacity`], the plan from one revision to
//! the next in [`plan`], how one takes effect region by region in [`stage`], its other forms in [`render`], the file's keys for editors in [`schema`]. Which minion attaches
//! where is in [`crate::placement`].

mod address;
pub mod capacity;
mod decode;
pub mod plan;
mod ranges;
pub mod render;
mod rules;
pub mod schema;
mod spread;
pub mod stage;
#[cfg(test)]
mod tests;

pub use address::{AddressError, HostPort};
pub use ranges::{MAX_RANGE_IDS, RangeError};

use std::collections::{BTreeMap, HashMap};

use crate::{
    batch::RegionBatch,
    document::{Node, Problem, Sink},
    identity::FabricName,
    ids::{MinionId, RegionName, TierId},
    target::{NodeGroups, RangeSet},
};

/// The version of the file format this build reads.
pub const VERSION: u64 = 1;
/// How many minions a syndic is taken to carry if the file does not say: twice the 625 of the reference fabric (5,000
/// minions on 8 syndics), so that a pair survives the loss of one.
pub const DEFAULT_CAPACITY: u32 = 1250;
/// A syndic's share of new minions, against its neighbours, if the file does not say.
pub const DEFAULT_WEIGHT: u32 = 100;

/// A whole fabric, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    /// The fabric's name: the tail of every certificate's name.
    pub fabric: FabricName,
    /// The roots of the tree, in the order of the file. At least one.
    pub top_masters: Vec<TopMaster>,
    /// The regions, in the order of the file. At least one.
    pub regions: Vec<Region>,
    /// Names for targets (`N@name`).
    pub node_groups: NodeGroups,
    /// The widest job that runs without any batch: so many minions, or such a part of all. Nothing: as wide as one likes.
    pub unbatched_limit: Option<Share>,
    /// Free text about the fabric, shown and not interpreted.
    pub labels: BTreeMap<String, String>,
    /// What works and should be known (a region short of capacity).
    pub warnings: Vec<Problem>,
}

/// A top master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopMaster {
    /// Its id, unique among top masters and syndics.
    pub id: TierId,
    /// Where syndics dial it.
    pub address: HostPort,
    /// The region its certificate names. Need not be one of the regions with syndics.
    pub region: RegionName,
    /// Where it stands, for people.
    pub location: Option<String>,
}

/// A region: machines near each other, their syndics, and what is usual there.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Its name: one label, it stands in certificates.
    pub name: RegionName,
    /// Whose machines they are.
    pub provider: Provider,
    /// The provider's own name for the place (`us-east-1`).
    pub cloud_region: Option<String>,
    /// What runs there (`linux`, `windows`), for people.
    pub platforms: Vec<String>,
    /// How it is reached.
    pub network: Network,
    /// Its syndics, in the order of the file. At least one that is not standby.
    pub syndics: Vec<Syndic>,
    /// Which minions belong to it, and how many are expected.
    pub minions: Membership,
    /// Range sets of ids that belong to it too (`ranges` of its `minions` in the file). No minion is named by two of them, or
    /// by one and the list of ids, in any region.
    pub ranges: Vec<RangeSet>,
    /// What a job gets there if its operator does not say, and what none exceeds.
    pub batch: RegionBatch,
}

/// Whose machines a region's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// Amazon.
    Aws,
    /// Microsoft.
    Azure,
    /// Google.
    Gcp,
    /// The operator's own.
    OnPrem,
    /// Somebody else's.
    Other,
}

/// How a region is reached. Notes are for people; the CIDRs say from where minions may come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// VPN, peering and the like, in words.
    pub notes: Option<String>,
    /// Networks that minions of this region connect from. Empty: any.
    pub allowed_cidrs: Vec<ipnet::IpNet>,
}

/// A syndic: a relay between the top masters (or another syndic) and minions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syndic {
    /// Its id, unique among top masters and syndics.
    pub id: TierId,
    /// Where its children (minions, syndics) dial it.
    pub address: HostPort,
    /// Whom it dials: top masters or other syndics. Never empty; all top masters if the file does not say.
    pub parents: Vec<TierId>,
    /// How many minions it carries.
    pub capacity: u32,
    /// Its share of the region's minions, against its neighbours.
    pub weight: u32,
    /// Kept free: takes minions only when another syndic of the region is lost.
    pub standby: bool,
}

/// Which minions belong to a region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// How many are expected.
    pub count: u32,
    /// Globs on the id.
    pub patterns: Vec<String>,
    /// Ids, one by one.
    pub ids: Vec<MinionId>,
    /// Grains that a member has, each with the values of which it has one.
    pub grains: BTreeMap<String, Vec<String>>,
}

/// A number of minions, or a part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// So many.
    Count(u32),
    /// So many of a hundred, 1 to 100.
    Percent(u8),
}

impl Topology {
    /// Reads and checks a document. All problems come back at once, in the order of the file.
    pub fn check(root: &Node) -> Result<Topology, Vec<Problem>> {
        let sink = Sink::default();
        let draft = decode::document(root, &sink);
        let topology = draft.and_then(|draft| rules::apply(draft, &sink));
        let (mut topology, warnings) = sink.conclude(topology)?;
        topology.warnings = warnings;
        Ok(topology)
    }

    /// All syndics with their region, region by region.
    pub fn syndics(&self) -> impl Iterator<Item = (&Region, &Syndic)> {
        self.regions.iter().flat_map(|region| region.syndics.iter().map(move |syndic| (region, syndic)))
    }
    /// A syndic and its region.
    pub fn syndic(&self, id: &TierId) -> Option<(&Region, &Syndic)> {
        self.syndics().find(|(_, s)| s.id == *id)
    }
    /// A top master.
    pub fn top_master(&self, id: &TierId) -> Option<&TopMaster> {
        self.top_masters.iter().find(|t| t.id == *id)
    }
    /// A region.
    pub fn region(&self, name: &RegionName) -> Option<&Region> {
        self.regions.iter().find(|r| r.name == *name)
    }
    /// What each region has for batches, by its name: what is frozen with a job.
    pub fn region_batches(&self) -> BTreeMap<RegionName, RegionBatch> {
        self.regions.iter().map(|region| (region.name.clone(), region.batch)).collect()
    }
    /// The syndics with every parent before its children: the order to start them in.
    pub fn top_down(&self) -> Vec<(&Region, &Syndic)> {
        let depths = self.depths();
        let mut ordered: Vec<(&Region, &Syndic)> = self.syndics().collect();
        ordered.sort_by_key(|(_, s)| depths.get(&s.id).copied());
        ordered
    }
    /// How many syndics stand between each syndic and a top master, on its longest way up.
    pub fn depths(&self) -> HashMap<&TierId, usize> {
        let mut depths: HashMap<&TierId, usize> = self.syndics().map(|(_, s)| (&s.id, 0)).collect();
        // Each pass settles at least one level more; it ends because a checked tree has no loop.
        for _ in 0..depths.len() {
            for (_, syndic) in self.syndics() {
                let above = syndic.parents.iter().filter_map(|p| depths.get(p)).max().map_or(0, |d| d + 1);
                depths.insert(&syndic.id, above);
            }
        }
        depths
    }
    /// Links between a top master and a minion where the tree is deepest.
    pub fn hops(&self) -> u64 {
        self.depths().values().max().map_or(0, |deepest| *deepest as u64) + crate::owner::HOPS
    }
    /// How many minions the file expects in all regions together.
    pub fn expected_minions(&self) -> u64 {
        self.regions.iter().map(|r| u64::from(r.minions.count)).sum()
    }
    /// Spreads `total` minions as the file does: over the regions by their expected count, within a region over the
    /// syndics that are not standby by weight. Sums to `total`; every syndic is listed, in the order of the file.
    pub fn spread(&self, total: u64) -> Vec<(&Region, &Syndic, u64)> {
        spread::over_syndics(self, total)
    }
}
