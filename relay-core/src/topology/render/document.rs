//! A topology in parts (who, and his fields), and back. What is compared, changed and digested is these parts.
//!
//! Back means: through [`Topology::check`], so whoever changes a part of a topology gets a checked one or every problem.

use std::{collections::BTreeMap, fmt, fmt::Display};

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    batch::RegionBatch,
    document::{At, Kind, Node, Position, Problem},
    ids::{RegionName, TierId},
    target::RangeSet,
    topology::{Membership, Network, Provider, Region, Share, Syndic, TopMaster, Topology, VERSION},
};

/// Something in a topology that has fields of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What the fabric as a whole has.
    Fabric,
    /// A top master.
    TopMaster(TierId),
    /// A region, without its syndics.
    Region(RegionName),
    /// A syndic, in its region.
    Syndic(RegionName, TierId),
    /// A node group.
    NodeGroup(String),
    /// A label.
    Label(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Fabric => f.write_str("the fabric"),
            Part::TopMaster(id) => write!(f, "top master {id}"),
            Part::Region(name) => write!(f, "region {name}"),
            Part::Syndic(region, id) => write!(f, "syndic {id} of {region}"),
            Part::NodeGroup(name) => write!(f, "node group {name:?}"),
            Part::Label(name) => write!(f, "label {name:?}"),
        }
    }
}

/// Field to value. A dot in a name is a map in the file. Optional ones that are not set are absent; those with a default
/// are there.
pub type Fields = Map<String, Value>;

/// The one field of a part that has no more: a node group's expression, a label's text.
const ALONE: &str = "value";

/// Everything in a topology but its warnings.
pub fn parts(topology: &Topology) -> BTreeMap<Part, Fields> {
    // Taken apart by name, here and below, so that a new field cannot be forgotten.
    let Topology { fabric, top_masters, regions, node_groups, unbatched_limit, labels, warnings: _ } =
        topology;
    let mut parts = BTreeMap::new();
    let whole = [("fabric", Some(json!(fabric.as_str()))), ("unbatched_limit", share(unbatched_limit))];
    parts.insert(Part::Fabric, fields(whole));
    parts.extend(top_masters.iter().map(top_master));
    for region in regions {
        parts.insert(Part::Region(region.name.clone()), of_region(region));
        parts.extend(
            region.syndics.iter().map(|s| (Part::Syndic(region.name.clone(), s.id.clone()), syndic(s))),
        );
    }
    let groups = node_groups.iter().map(|(name, target)| (name.to_owned(), target.as_str()));
    parts.extend(groups.map(|(name, text)| (Part::NodeGroup(name), fields([(ALONE, Some(json!(text)))]))));
    let labels = labels.iter().map(|(name, text)| (name.clone(), fields([(ALONE, Some(json!(text)))])));
    parts.extend(labels.map(|(name, fields)| (Part::Label(name), fields)));
    parts
}

fn fields<const N: usize>(each: [(&str, Option<Value>); N]) -> Fields {
    each.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn top_master(top: &TopMaster) -> (Part, Fields) {
    let TopMaster { id, address, region, location } = top;
    let fields = fields([
        ("address", Some(json!(address.to_string()))),
        ("region", Some(json!(region.as_str()))),
        ("location", location.as_ref().map(|l| json!(l))),
    ]);
    (Part::TopMaster(id.clone()), fields)
}

fn of_region(region: &Region) -> Fields {
    let Region { name: _, provider, cloud_region, platforms, network, syndics: _, minions, ranges, batch } =
        region;
    let Network { notes, allowed_cidrs } = network;
    let Membership { count, patterns, ids, grains } = minions;
    let RegionBatch { default_window, max_failures, cap, auto_min, auto_max } = batch;
    let of_grain =
        |(name, values): (&String, &Vec<String>)| (name.clone(), sorted(values).unwrap_or(json!([])));
    let grains: Map<String, Value> = grains.iter().map(of_grain).collect();
    fields([
        ("provider", Some(json!(provider.to_string()))),
        ("cloud_region", cloud_region.as_ref().map(|c| json!(c))),
        ("platforms", sorted(platforms)),
        ("network.notes", notes.as_ref().map(|n| json!(n))),
        ("network.allowed_cidrs", sorted(allowed_cidrs)),
        ("minions.count", Some(json!(count))),
        ("minions.patterns", sorted(patterns)),
        ("minions.ranges", sorted(&ranges.iter().map(RangeSet::as_str).collect::<Vec<_>>())),
        ("minions.ids", sorted(ids)),
        ("minions.grains", (!grains.is_empty()).then_some(Value::Object(grains))),
        ("batch.batch", share(default_window)),
        ("batch.max_failures", share(max_failures)),
        ("batch.cap", share(cap)),
        ("batch.auto.min", share(auto_min)),
        ("batch.auto.max", share(auto_max)),
    ])
}

fn syndic(syndic: &Syndic) -> Fields {
    let Syndic { id: _, address, parents, capacity, weight, standby } = syndic;
    fields([
        ("address", Some(json!(address.to_string()))),
        // In the order of the file: that is the order in which they are dialled.
        ("parents", Some(json!(parents.iter().map(TierId::as_str).collect::<Vec<_>>()))),
        ("capacity", Some(json!(capacity))),
        ("weight", Some(json!(weight))),
        ("standby", Some(json!(standby))),
    ])
}

/// A list whose order means nothing. Nothing if it is empty: as in a file without it.
fn sorted<T: Display>(values: &[T]) -> Option<Value> {
    let mut texts: Vec<String> = values.iter().map(T::to_string).collect();
    texts.sort();
    texts.dedup();
    (!texts.is_empty()).then(|| json!(texts))
}

/// A number stays one; a percentage is a text.
fn share(share: &Option<Share>) -> Option<Value> {
    share.map(|share| match share {
        Share::Count(n) => json!(n),
        Share::Percent(_) => json!(share.to_string()),
    })
}

impl Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Provider::Aws => "aws",
            Provider::Azure => "azure",
            Provider::Gcp => "gcp",
            Provider::OnPrem => "on-prem",
            Provider::Other => "other",
        })
    }
}

/// The document that parts make: what a file says in full.
pub fn document(parts: &BTreeMap<Part, Fields>) -> Value {
    let mut root = Map::from_iter([("version".to_owned(), json!(VERSION))]);
    let mut tops: Vec<Value> = Vec::new();
    let mut regions: BTreeMap<&RegionName, Map<String, Value>> = BTreeMap::new();
    let mut syndics: BTreeMap<&RegionName, Vec<Value>> = BTreeMap::new();
    let (mut groups, mut labels) = (Map::new(), Map::new());
    let alone = |fields: &Fields| fields.get(ALONE).cloned().unwrap_or_default();
    for (part, fields) in parts {
        match part {
            Part::Fabric => root.extend(nested(fields)),
            Part::TopMaster(id) => tops.push(named("id", id.as_str(), fields).into()),
            Part::Region(name) => drop(regions.insert(name, named("name", name.as_str(), fields))),
            Part::Syndic(region, id) => {
                syndics.entry(region).or_default().push(named("id", id.as_str(), fields).into())
            }
            Part::NodeGroup(name) => drop(groups.insert(name.clone(), alone(fields))),
            Part::Label(name) => drop(labels.insert(name.clone(), alone(fields))),
        }
    }
    for (name, own) in syndics {
        // Syndics of a region that is not there make one that lacks the rest, which the check reports.
        let region = regions.entry(name).or_insert_with(|| named("name", name.as_str(), &Fields::new()));
        region.insert("syndics".into(), own.into());
    }
    root.insert("top_masters".into(), tops.into());
    root.insert("regions".into(), regions.into_values().map(Value::from).collect());
    for (key, map) in [("node_groups", groups), ("labels", labels)] {
        if !map.is_empty() {
            root.insert(key.into(), map.into());
        }
    }
    root.into()
}

fn named(key: &str, name: &str, fields: &Fields) -> Map<String, Value> {
    let mut map = Map::from_iter([(key.to_owned(), json!(name))]);
    map.extend(nested(fields));
    map
}

/// Dots become maps.
fn nested(fields: &Fields) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, value) in fields {
        let mut inner = &mut map;
        let mut steps = name.split('.').peekable();
        while let Some(step) = steps.next() {
            if steps.peek().is_none() {
                inner.insert(step.to_owned(), value.clone());
                break;
            }
            let below = inner.entry(step).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(below) = below else { break };
            inner = below;
        }
    }
    map
}

/// The topology that parts make.
///
/// # Errors
/// Every problem of the whole. Places in it mean nothing: there is no file.
pub fn topology(parts: &BTreeMap<Part, Fields>) -> Result<Topology, Vec<Problem>> {
    Topology::check(&node(&document(parts)))
}

/// A document that no file has: everything stands at its first character.
pub fn node(value: &Value) -> Node {
    let at = Position { line: 1, column: 1 };
    let scalar = |text: String, quoted| Kind::Scalar { text, quoted };
    let kind = match value {
        Value::String(text) => scalar(text.clone(), true),
        Value::Array(items) => Kind::List(items.iter().map(node).collect()),
        Value::Object(map) => {
            Kind::Map(map.iter().map(|(key, value)| (At { value: key.clone(), at }, node(value))).collect())
        }
        Value::Null => scalar(String::new(), false),
        plain => scalar(plain.to_string(), false),
    };
    Node { at, kind }
}

impl Topology {
    /// The topology in its fixed form: defaults written out, lists whose order means nothing sorted.
    pub fn document(&self) -> Value {
        document(&parts(self))
    }
    /// SHA-256 of the fixed form, in hexadecimal: the same for files that mean the same.
    pub fn digest(&self) -> String {
        let hash = Sha256::digest(self.document().to_string().as_bytes());
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
