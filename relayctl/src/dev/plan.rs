//! Who stands where in a trial fabric: pure, from a topology, a number of minions and free addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use anyhow::bail;
use relay_core::{
    identity::{FabricName, Role},
    ids::{MinionId, RegionName, TierId},
    topology::{Region, Syndic, TopMaster, Topology},
};

/// Most minions of a trial fabric: more do not fit the file descriptors of one machine's syndics.
pub const MAX_MINIONS: u64 = 20_000;
/// Fewest digits of a minion's number: ids of one length are easier to read.
const MIN_DIGITS: usize = 3;
/// The directory of the throw-away certificate authority.
pub const PKI: &str = "pki";
/// The directory of the operator's certificate, and the operator's id.
pub const OPERATOR: &str = "operator";
/// The directory of the top master that stands in for all.
pub const TOP_MASTER: &str = "top-master";
/// The fabric's shape, as its top masters read it.
pub const TOPOLOGY: &str = "topology.yaml";
/// The file that says who may do what, in the directory.
pub const POLICY: &str = "policy.yaml";
/// What the directories of minions begin with.
const MINIONS: &str = "minions-";

/// A whole trial fabric.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Its name.
    pub fabric: FabricName,
    /// The top masters that are started: at least one.
    pub tops: Vec<TopPlan>,
    /// The top masters that the first one stands in for.
    pub left_out: Vec<TierId>,
    /// The syndics, parents before children.
    pub syndics: Vec<SyndicPlan>,
    /// The processes that host minions.
    pub minions: Vec<MinionPlan>,
}

/// Which top masters are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tops {
    /// The first one, which stands in for all: what several share is not there.
    First,
    /// All of them.
    All,
}

/// How much of a fabric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Which top masters.
    pub tops: Tops,
    /// How many minions.
    pub minions: u64,
    /// At most so many minions in one process.
    pub per_process: u64,
}

/// A top master.
#[derive(Debug, Clone, PartialEq)]
pub struct TopPlan {
    /// Its directory's name.
    pub name: String,
    /// Its id.
    pub id: TierId,
    /// Its region.
    pub region: RegionName,
    /// Where syndics dial it.
    pub listen: SocketAddr,
    /// Where operators dial it.
    pub operators: SocketAddr,
    /// Where it serves its state.
    pub admin: SocketAddr,
}

/// A syndic.
#[derive(Debug, Clone, PartialEq)]
pub struct SyndicPlan {
    /// Its id, which is its directory's name too.
    pub id: TierId,
    /// Its region.
    pub region: RegionName,
    /// Where its children dial it.
    pub listen: SocketAddr,
    /// Where it serves its state.
    pub admin: SocketAddr,
    /// Whom it dials.
    pub parents: Vec<Link>,
}

/// A process that hosts minions.
#[derive(Debug, Clone, PartialEq)]
pub struct MinionPlan {
    /// Its directory's name.
    pub name: String,
    /// The region of its minions.
    pub region: RegionName,
    /// What their ids begin with.
    pub prefix: String,
    /// The first one's number.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// How many digits a number has.
    pub digits: usize,
    /// Whom they dial, in order: their own syndic, then the others of the region.
    pub parents: Vec<Link>,
    /// Where the process serves its state.
    pub admin: SocketAddr,
    /// Static grains.
    pub grains: BTreeMap<&'static str, String>,
}

/// Somebody to dial.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Its id.
    pub id: TierId,
    /// Its region.
    pub region: RegionName,
    /// What it is.
    pub role: Role,
    /// Where.
    pub address: SocketAddr,
}

impl MinionPlan {
    /// The ids of its minions.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        let MinionPlan { prefix, first, count, digits, .. } = self;
        (*first..first + count).map(move |n| format!("{prefix}{n:0digits$}"))
    }
}

impl Plan {
    /// Lays out a trial fabric of this size over a topology.
    ///
    /// # Errors
    /// Too many minions; an id that is the name of another file; no free address.
    pub fn new(
        topology: &Topology,
        size: Size,
        mut address: impl FnMut() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<Plan> {
        let Size { minions, per_process, .. } = size;
        if minions > MAX_MINIONS {
            bail!("{minions} minions are too many for one machine: ask for at most {MAX_MINIONS}");
        }
        let (started, left_out) = chosen(&topology.top_masters, size.tops)?;
        let alone = started.len() == 1;
        let top = |top: &TopMaster| top_master(top, alone, &mut address);
        let tops = started.iter().map(top).collect::<anyhow::Result<Vec<_>>>()?;
        let syndics = syndics(topology, &tops, &mut address)?;
        let minions = all_minions(topology, &syndics, minions, per_process.max(1), &mut address)?;
        let left_out = left_out.iter().map(|t| t.id.clone()).collect();
        Ok(Plan { fabric: topology.fabric.clone(), tops, left_out, syndics, minions })
    }

    /// How many minions there are.
    pub fn minion_count(&self) -> u64 {
        self.minions.iter().map(|m| m.count).sum()
    }
}

/// The top masters that are started, at least one, and the others.
fn chosen(tops: &[TopMaster], which: Tops) -> anyhow::Result<(&[TopMaster], &[TopMaster])> {
    if tops.is_empty() {
        bail!("the topology has no top master")
    }
    Ok(match which {
        Tops::First => tops.split_at(1),
        Tops::All => (tops, &[]),
    })
}

/// One top master; its directory is called by its id, unless it is `alone`.
fn top_master(
    top: &TopMaster,
    alone: bool,
    address: &mut impl FnMut() -> anyhow::Result<SocketAddr>,
) -> anyhow::Result<TopPlan> {
    let name = if alone { TOP_MASTER } else { directory_of(&top.id)? };
    Ok(TopPlan {
        name: name.to_owned(),
        id: top.id.clone(),
        region: top.region.clone(),
        listen: address()?,
        operators: address()?,
        admin: address()?,
    })
}

/// The directory of a top master or syndic.
fn directory_of(id: &TierId) -> anyhow::Result<&str> {
    let id = id.as_str();
    if [PKI, OPERATOR, TOP_MASTER, TOPOLOGY, POLICY].contains(&id) || id.starts_with(MINIONS) {
        bail!("the id {id:?} is the name of another file of the trial fabric: choose another one");
    }
    Ok(id)
}

fn syndics(
    topology: &Topology,
    tops: &[TopPlan],
    address: &mut impl FnMut() -> anyhow::Result<SocketAddr>,
) -> anyhow::Result<Vec<SyndicPlan>> {
    let mut plans: Vec<SyndicPlan> = Vec::new();
    // Parents come first, so each one's address is known when it is needed.
    for (region, syndic) in topology.top_down() {
        directory_of(&syndic.id)?;
        let parents = parents(syndic, tops, &plans);
        let (listen, admin) = (address()?, address()?);
        plans.push(SyndicPlan { id: syndic.id.clone(), region: region.name.clone(), listen, admin, parents });
    }
    Ok(plans)
}

/// Whom a syndic dials, in the topology's order. For a top master that is not started there is the first one.
fn parents(syndic: &Syndic, tops: &[TopPlan], above: &[SyndicPlan]) -> Vec<Link> {
    let link = |id: &TierId| match above.iter().find(|s| s.id == *id) {
        Some(syndic) => Some(link_to(syndic)),
        None => tops.iter().find(|top| top.id == *id).or(tops.first()).map(link_to_top),
    };
    let mut links: Vec<Link> = Vec::new();
    for link in syndic.parents.iter().filter_map(link) {
        if !links.contains(&link) {
            links.push(link);
        }
    }
    links
}

fn link_to_top(top: &TopPlan) -> Link {
    Link { id: top.id.clone(), region: top.region.clone(), role: Role::TopMaster, address: top.listen }
}

fn link_to(syndic: &SyndicPlan) -> Link {
    Link { id: syndic.id.clone(), region: syndic.region.clone(), role: Role::Syndic, address: syndic.listen }
}

fn all_minions(
    topology: &Topology,
    syndics: &[SyndicPlan],
    total: u64,
    per_process: u64,
    address: &mut impl FnMut() -> anyhow::Result<SocketAddr>,
) -> anyhow::Result<Vec<MinionPlan>> {
    let prefixes = prefixes(topology);
    let spread = topology.spread(total);
    let mut next: BTreeMap<&RegionName, u64> = BTreeMap::new();
    let mut plans = Vec::new();
    for (region, syndic, share) in &spread {
        let in_region: u64 = spread.iter().filter(|(r, ..)| r.name == region.name).map(|(.., n)| n).sum();
        let number = next.entry(&region.name).or_insert(1);
        for (part, start) in (0..*share).step_by(per_process as usize).enumerate() {
            let count = per_process.min(share - start);
            plans.push(MinionPlan {
                name: directory(&syndic.id, part),
                region: region.name.clone(),
                prefix: prefixes.get(&region.name).cloned().unwrap_or_default(),
                first: *number,
                count,
                digits: in_region.to_string().len().max(MIN_DIGITS),
                parents: nearest(region, syndic, syndics),
                admin: address()?,
                grains: grains(topology, region),
            });
            *number += count;
        }
    }
    Ok(plans)
}

fn directory(syndic: &TierId, part: usize) -> String {
    match part {
        0 => format!("{MINIONS}{syndic}"),
        n => format!("{MINIONS}{syndic}.{}", n + 1),
    }
}

/// A syndic and then its neighbours, beginning with the next one: the minions of two dead syndics do not meet at one.
fn nearest(region: &Region, own: &Syndic, syndics: &[SyndicPlan]) -> Vec<Link> {
    let at = region.syndics.iter().position(|s| s.id == own.id).unwrap_or(0);
    let around = region.syndics.iter().cycle().skip(at).take(region.syndics.len());
    around.filter_map(|s| syndics.iter().find(|plan| plan.id == s.id)).map(link_to).collect()
}

fn grains(topology: &Topology, region: &Region) -> BTreeMap<&'static str, String> {
    let mut grains =
        BTreeMap::from([("region", region.name.to_string()), ("fabric", topology.fabric.to_string())]);
    if let Some(place) = &region.cloud_region {
        grains.insert("cloud_region", place.clone());
    }
    grains
}

/// What the ids of each region begin with: what its first pattern says, if that gives each region ids of its own.
fn prefixes(topology: &Topology) -> BTreeMap<RegionName, String> {
    let named: BTreeMap<RegionName, String> =
        topology.regions.iter().map(|r| (r.name.clone(), from_pattern(r))).collect();
    let distinct: BTreeSet<&String> = named.values().collect();
    match distinct.len() == named.len() {
        true => named,
        false => topology.regions.iter().map(|r| (r.name.clone(), format!("{}-", r.name))).collect(),
    }
}

fn from_pattern(region: &Region) -> String {
    let prefix = region.minions.patterns.first().and_then(|p| p.strip_suffix('*'));
    let usable = |p: &&str| !p.is_empty() && format!("{p}0").parse::<MinionId>().is_ok();
    prefix.filter(usable).map_or_else(|| format!("{}-", region.name), str::to_owned)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
