//! Reads the keys of a topology document, version 1. One value at a time; what concerns several is in [`super::rules`].

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use super::{
    DEFAULT_CAPACITY, DEFAULT_WEIGHT, Membership, Network, Provider, Region, Share, Syndic, TopMaster,
    VERSION, ranges,
};
use crate::{
    batch::RegionBatch,
    document::{At, Fields, Node, Position, Problem, Sink, read},
    identity::{FabricName, check_region},
    ids::{MinionId, RegionName, TierId},
    target::{RangeSet, words_of},
};

/// A document whose keys are read and whose tree is not checked yet. Parts that could not be read are missing; a problem
/// says so, and the rules still look at the others.
pub(super) struct Draft {
    pub fabric: Option<FabricName>,
    pub top_masters: Vec<At<TopMaster>>,
    pub regions: Vec<DraftRegion>,
    /// Name to expression, and where that stands.
    pub node_groups: BTreeMap<String, At<String>>,
    pub unbatched_limit: Option<Share>,
    pub labels: BTreeMap<String, String>,
    /// Whether some top master or syndic could not be read: then its id may be one that a child names as a parent.
    pub incomplete: bool,
}

/// A region, with positions where the rules need them.
pub(super) struct DraftRegion {
    pub name: At<RegionName>,
    pub region: Region,
    pub syndics: Vec<DraftSyndic>,
    pub members: DraftMembers,
}

/// Where the membership's patterns, range sets and ids stand.
#[derive(Default)]
pub(super) struct DraftMembers {
    pub patterns: Vec<At<String>>,
    pub ranges: Vec<At<RangeSet>>,
    pub ids: Vec<At<MinionId>>,
}

/// A syndic, with positions where the rules need them.
pub(super) struct DraftSyndic {
    pub id: At<TierId>,
    pub parents: Option<Vec<At<TierId>>>,
    pub syndic: Syndic,
}

const PROVIDERS: &[(&str, Provider)] = &[
    ("aws", Provider::Aws),
    ("azure", Provider::Azure),
    ("gcp", Provider::Gcp),
    ("on-prem", Provider::OnPrem),
    ("other", Provider::Other),
];

pub(super) fn document(root: &Node, sink: &Sink) -> Option<Draft> {
    let mut f = Fields::open(root, "the topology", sink)?;
    f.need("version", read::number(VERSION, VERSION));
    let fabric = f.need("fabric", read::parsed::<FabricName>);
    let top_masters = f.need("top_masters", some_of("top master", top_master)).unwrap_or_default();
    let regions = f.need("regions", some_of("region", region)).unwrap_or_default();
    let node_groups = f
        .or("node_groups", Vec::new(), read::map("node_groups", |n, s| read::at(node_group)(n, s)))
        .unwrap_or_default();
    let unbatched_limit = f.may("unbatched_limit", read::parsed::<Share>).flatten();
    let labels = f.or("labels", Vec::new(), read::map("labels", read::text)).unwrap_or_default();
    f.close();
    let incomplete = top_masters.iter().any(Option::is_none)
        || regions.iter().any(|r| r.as_ref().is_none_or(|(_, whole)| !whole))
        || top_masters.is_empty();
    Some(Draft {
        fabric,
        top_masters: top_masters.into_iter().flatten().collect(),
        regions: regions.into_iter().flatten().map(|(region, _)| region).collect(),
        node_groups: node_groups.into_iter().collect(),
        unbatched_limit,
        labels: labels.into_iter().collect(),
        incomplete,
    })
}

/// A list with at least one element, where one that cannot be read leaves a hole and the others stay.
fn some_of<'n, T>(
    what: &'static str,
    each: impl Fn(&'n Node, &'n Sink) -> Option<T>,
) -> impl FnOnce(&'n Node, &'n Sink) -> Option<Vec<Option<T>>> {
    move |node, sink| {
        let found = read::list(|n, s| Some(each(n, s)))(node, sink)?;
        match found.is_empty() {
            true => {
                sink.refuse(node.at, format!("there is no {what} here"), format!("add at least one {what}"))
            }
            false => Some(found),
        }
    }
}

fn top_master(node: &Node, sink: &Sink) -> Option<At<TopMaster>> {
    let mut f = Fields::open(node, "a top master", sink)?;
    let at = f.at_key("id");
    let id = f.need("id", read::parsed);
    let address = f.need("address", read::parsed);
    let region = f.need("region", |n, s| read::with(n, s, check_region));
    let location = f.may("location", read::text);
    f.close();
    let value = TopMaster { id: id?, address: address?, region: region?, location: location? };
    Some(At { value, at })
}

/// A region, and whether all its syndics could be read.
fn region(node: &Node, sink: &Sink) -> Option<(DraftRegion, bool)> {
    let mut f = Fields::open(node, "a region", sink)?;
    let name = f.need("name", read::at(|n, s| read::with(n, s, check_region)));
    let provider = f.need("provider", read::word(PROVIDERS));
    let cloud_region = f.may("cloud_region", read::text);
    let platforms = f.or("platforms", Vec::new(), read::list(read::text));
    let network = f.or("network", Network::default(), network);
    let syndics = f.need("syndics", some_of("syndic", syndic)).unwrap_or_default();
    let minions = f.need("minions", membership);
    let batch = f.or("batch", RegionBatch::default(), batch);
    f.close();
    let whole = !syndics.is_empty() && syndics.iter().all(Option::is_some);
    let name = name?;
    let (minions, members) = minions.unwrap_or_default();
    // A region that is partly unreadable still takes part in the rules; the sink holds an error, so it goes no further.
    let region = Region {
        name: name.value.clone(),
        provider: provider.unwrap_or(Provider::Other),
        cloud_region: cloud_region.flatten(),
        platforms: platforms.unwrap_or_default(),
        network: network.unwrap_or_default(),
        syndics: Vec::new(),
        minions,
        ranges: members.ranges.iter().map(|range| range.value.clone()).collect(),
        batch: batch.unwrap_or_default(),
    };
    Some((DraftRegion { name, region, syndics: syndics.into_iter().flatten().collect(), members }, whole))
}

fn network(node: &Node, sink: &Sink) -> Option<Network> {
    let mut f = Fields::open(node, "network", sink)?;
    let notes = f.may("notes", read::text);
    let allowed_cidrs = f.or("allowed_cidrs", Vec::new(), read::list(cidr));
    f.close();
    Some(Network { notes: notes?, allowed_cidrs: allowed_cidrs? })
}

fn cidr(node: &Node, sink: &Sink) -> Option<ipnet::IpNet> {
    let text = read::text(node, sink)?;
    let hint = "write a network as address/length, for example 10.20.0.0/16";
    match text.parse::<ipnet::IpNet>() {
        // A host address with a length is read as a network by nobody in the same way.
        Ok(net) if net.addr() != net.network() => sink.refuse(
            node.at,
            format!("{net} has bits set after its length"),
            format!("write {}", net.trunc()),
        ),
        Ok(net) => Some(net),
        Err(_) => sink.refuse(node.at, format!("{:?} is no network", read::clip(&text)), hint),
    }
}

fn syndic(node: &Node, sink: &Sink) -> Option<DraftSyndic> {
    let mut f = Fields::open(node, "a syndic", sink)?;
    let id = f.need("id", read::at(read::parsed::<TierId>));
    let address = f.need("address", read::parsed);
    let parents = f.may("parents", read::list(|n, s| read::at(read::parsed::<TierId>)(n, s)));
    let capacity = f.or("capacity", u64::from(DEFAULT_CAPACITY), read::number(1, 1_000_000));
    let weight = f.or("weight", u64::from(DEFAULT_WEIGHT), read::number(1, 10_000));
    let standby = f.or("standby", false, read::flag);
    f.close();
    let (id, capacity, weight) = (id?, capacity? as u32, weight? as u32);
    let syndic = Syndic {
        id: id.value.clone(),
        address: address?,
        parents: Vec::new(),
        capacity,
        weight,
        standby: standby?,
    };
    Some(DraftSyndic { id, parents: parents?, syndic })
}

fn membership(node: &Node, sink: &Sink) -> Option<(Membership, DraftMembers)> {
    let mut f = Fields::open(node, "minions", sink)?;
    let count = f.need("count", read::number(0, 10_000_000));
    let patterns = f.or("patterns", Vec::new(), read::list(|n, s| read::at(pattern)(n, s)));
    let ranges = f.or("ranges", Vec::new(), read::list(|n, s| read::at(range_set)(n, s)));
    let ids = f.or("ids", Vec::new(), read::list(|n, s| read::at(read::parsed::<MinionId>)(n, s)));
    let grains = f.or("grains", Vec::new(), read::map("grains", one_or_more));
    f.close();
    let members = DraftMembers { patterns: patterns?, ranges: ranges?, ids: ids? };
    let membership = Membership {
        count: count? as u32,
        patterns: members.patterns.iter().map(|pattern| pattern.value.clone()).collect(),
        ids: members.ids.iter().map(|id| id.value.clone()).collect(),
        grains: grains?.into_iter().collect(),
    };
    Some((membership, members))
}

fn pattern(node: &Node, sink: &Sink) -> Option<String> {
    read::with(node, sink, |text| globset::Glob::new(text).map(|glob| glob.glob().to_owned()))
}

fn range_set(node: &Node, sink: &Sink) -> Option<RangeSet> {
    read::with(node, sink, ranges::read)
}

/// A grain's value, or a list of values of which a member has one.
fn one_or_more(node: &Node, sink: &Sink) -> Option<Vec<String>> {
    match node.kind {
        crate::document::Kind::List(_) => read::list(read::text)(node, sink),
        _ => read::text(node, sink).map(|value| vec![value]),
    }
}

/// A node group's expression: one text, or Salt's list of words.
fn node_group(node: &Node, sink: &Sink) -> Option<String> {
    if !matches!(node.kind, crate::document::Kind::List(_)) {
        return read::text(node, sink);
    }
    let words = read::list(read::text)(node, sink)?;
    match words_of(words.iter().map(String::as_str)) {
        Ok(text) => Some(text),
        Err(error) => sink.refuse(node.at, error.found, format!("write {}", error.expected)),
    }
}

fn batch(node: &Node, sink: &Sink) -> Option<RegionBatch> {
    let mut f = Fields::open(node, "batch", sink)?;
    let default_window = f.may("batch", read::parsed::<Share>);
    let max_failures = f.may("max_failures", read::parsed::<Share>);
    let cap = f.may("cap", read::parsed::<Share>);
    let auto = f.or("auto", (None, None), auto);
    let at = f.at_key("batch");
    f.close();
    let (default_window, cap) = (default_window?, cap?);
    let (auto_min, auto_max) = auto?;
    let ways = [("\"batch\"", default_window, at), ("the \"max\" of \"auto\"", auto_max, node.at)];
    for (what, share, at) in ways {
        in_order(share, cap, sink, at, &format!("{what} is above \"cap\""));
    }
    in_order(auto_min, cap, sink, node.at, "the \"min\" of \"auto\" is above \"cap\"");
    Some(RegionBatch { default_window, max_failures: max_failures?, cap, auto_min, auto_max })
}

/// The bounds of `auto`.
fn auto(node: &Node, sink: &Sink) -> Option<(Option<Share>, Option<Share>)> {
    let mut f = Fields::open(node, "auto", sink)?;
    let (min, max) = (f.may("min", read::parsed::<Share>), f.may("max", read::parsed::<Share>));
    f.close();
    let (min, max) = (min?, max?);
    in_order(min, max, sink, node.at, "the \"min\" of \"auto\" is above its \"max\"");
    Some((min, max))
}

/// Refuses a share above another. A number and a percentage are not compared: which is more depends on the job.
fn in_order(low: Option<Share>, high: Option<Share>, sink: &Sink, at: Position, what: &str) {
    let (Some(low), Some(high)) = (low, high) else { return };
    let above = match (low, high) {
        (Share::Count(low), Share::Count(high)) => low > high,
        (Share::Percent(low), Share::Percent(high)) => low > high,
        _ => false,
    };
    if above {
        let what = format!("{what}: {low} and {high}");
        sink.note(Problem::error(at, what, "lower the first or raise the second"));
    }
}

/// A text that is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number of minions (write a number from 1 up, or a percentage from 1% to 100%)")]
pub struct ShareError(String);

impl FromStr for Share {
    type Err = ShareError;
    fn from_str(text: &str) -> Result<Self, ShareError> {
        let bad = || ShareError(text.chars().take(20).collect());
        match text.strip_suffix('%') {
            Some(n) => n.parse().ok().filter(|n| (1..=100).contains(n)).map(Share::Percent).ok_or_else(bad),
            None => text.parse().ok().filter(|n| *n > 0).map(Share::Count).ok_or_else(bad),
        }
    }
}

impl Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Share::Count(n) => write!(f, "{n}"),
            Share::Percent(n) => write!(f, "{n}%"),
        }
    }
}
