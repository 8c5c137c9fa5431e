//! `relayctl topology drift`: what the file says, what is active, and what is really attached.

mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use clap::Args;
use relay_core::topology::{Topology, plan::changes};
use relay_proto::operator::TopologyStatusReply;
use serde::Serialize;

use super::{
    active::Active,
    api::Topologies,
    file::{self, TopologyFile},
    plan::Counts,
};
use crate::{exit::Exit, output::Output};

/// Against which file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DriftArgs {
    /// The topology file. Without one, the active revision is compared with what is attached
    file: Option<PathBuf>,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl topology drift topology.yaml
  relayctl topology drift
  relayctl topology drift topology.yaml --out json

FILE and ACTIVE say whether the file and the active revision have a part, ATTACHED whether it is there; for minions they are
numbers: of a region those that file and revision expect, of a syndic those that belong to it, and those that are attached.
How many minions a region expects is a plan for capacity; fewer or more of them are no drift. With --out tsv a row for each part.

EXIT CODES:
  0  all three say the same
  2  they differ: a part is missing somewhere, the file is another topology, minions are on another syndic than their own or
     belong to no region
  3  the file is bad, or the fabric does not answer";

/// The three columns, and what else differs.
#[derive(Debug, Serialize)]
struct Drift {
    /// Something differs.
    differs: bool,
    /// The active revision; 0: there is none.
    active: u64,
    /// One that goes from region to region now.
    staging: Option<u64>,
    /// The file means something else than the active revision. Nothing without a file.
    file_differs: Option<bool>,
    /// Parts that the file would change.
    changes: Option<Changes>,
    /// Top masters, syndics and regions.
    parts: Vec<Row>,
    /// Minions that are not on the syndic they belong to.
    misplaced: u64,
    /// Minions that no region has, and some of their ids.
    strangers: u64,
    strangers_named: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Changes {
    add: usize,
    change: usize,
    remove: usize,
}

/// A top master, a syndic or a region.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    kind: &'static str,
    region: String,
    id: String,
    /// Nothing without a file.
    file: Option<bool>,
    active: bool,
    /// Nothing for regions: nobody attaches one.
    attached: Option<bool>,
    /// Of a region: what the file and the active revision expect. Of a syndic: nothing, and what belongs to it.
    file_minions: Option<u64>,
    active_minions: Option<u64>,
    attached_minions: Option<u64>,
    differs: bool,
}

/// Runs it.
pub async fn run(args: &DriftArgs, fabric: &mut impl Topologies, out: &Output) -> anyhow::Result<Exit> {
    let file = match &args.file {
        Some(path) => match file::read(path, out)? {
            Ok(file) => Some(file),
            Err(exit) => return Ok(exit),
        },
        None => None,
    };
    let active = Active::of(fabric).await?;
    let standing = fabric.standing().await?;
    let drift = drift(file.as_ref(), &active, &standing);
    match out.is_rows() {
        true => out.show(&drift.parts, |_| String::new())?,
        false => out.show(&drift, |paint| text::text(&drift, args.file.as_deref(), paint))?,
    }
    Ok(if drift.differs { Exit::Changes } else { Exit::Ok })
}

fn drift(file: Option<&TopologyFile>, active: &Active, standing: &TopologyStatusReply) -> Drift {
    let rows = rows(file.map(|file| &file.topology), active.topology.as_ref(), standing);
    let counts = match (file, &active.topology) {
        (Some(file), Some(active)) => Some(Counts::of(&changes(active, &file.topology))),
        _ => None,
    };
    let file_differs = file.map(|_| counts.is_none_or(|counts| counts != Counts::default()));
    let TopologyStatusReply { misplaced, strangers, strangers_total, .. } = standing;
    let differs =
        file_differs == Some(true) || rows.iter().any(|row| row.differs) || *misplaced + *strangers_total > 0;
    Drift {
        differs,
        active: active.number(),
        staging: active.staging,
        file_differs,
        changes: counts.map(|Counts { add, change, remove }| Changes { add, change, remove }),
        parts: rows,
        misplaced: *misplaced,
        strangers: *strangers_total,
        strangers_named: strangers.clone(),
    }
}

/// Kind, region and id: what a row is about, in the order in which rows stand.
type Name = (&'static str, String, String);

/// What a topology has.
fn named(topology: &Topology) -> BTreeMap<Name, Option<u64>> {
    let top =
        |t: &relay_core::topology::TopMaster| (("top master", t.region.to_string(), t.id.to_string()), None);
    let syndics = topology.syndics().map(|(r, s)| (("syndic", r.name.to_string(), s.id.to_string()), None));
    let regions = topology
        .regions
        .iter()
        .map(|r| (("region", r.name.to_string(), String::new()), Some(u64::from(r.minions.count))));
    topology.top_masters.iter().map(top).chain(syndics).chain(regions).collect()
}

/// Who is there, with the minions that belong to each and that are attached.
fn there(standing: &TopologyStatusReply) -> BTreeMap<Name, (bool, u64, u64)> {
    let mut there = BTreeMap::new();
    for member in &standing.members {
        let kind = if member.role == "syndic" { "syndic" } else { "top master" };
        let name = (kind, member.region.clone(), member.id.clone());
        there.insert(name, (member.up, member.belong, member.attached));
        if kind == "syndic" {
            let region = ("region", member.region.clone(), String::new());
            there.entry(region).or_insert((true, 0, 0)).2 += member.attached;
        }
    }
    there
}

fn rows(file: Option<&Topology>, active: Option<&Topology>, standing: &TopologyStatusReply) -> Vec<Row> {
    let (in_file, in_active) = (file.map(named), active.map_or_else(BTreeMap::new, named));
    let there = there(standing);
    let names: BTreeSet<&Name> =
        in_file.iter().flatten().map(|(name, _)| name).chain(in_active.keys()).chain(there.keys()).collect();
    let row = |name: &Name| {
        let of_file = in_file.as_ref().map(|all| all.contains_key(name));
        let of_active = in_active.contains_key(name);
        let (up, belong, attached) = there.get(name).copied().unwrap_or_default();
        let is_region = name.0 == "region";
        let is_attached = (!is_region).then_some(up);
        let (kind, region, id) = name.clone();
        Row {
            kind,
            region,
            id,
            file: of_file,
            active: of_active,
            attached: is_attached,
            file_minions: in_file.as_ref().and_then(|all| all.get(name).copied().flatten()),
            active_minions: match kind {
                "region" => in_active.get(name).copied().flatten(),
                "syndic" => Some(belong),
                _ => None,
            },
            attached_minions: (kind != "top master").then_some(attached),
            differs: of_file.is_some_and(|it| it != of_active)
                || is_attached.is_some_and(|it| it != of_active),
        }
    };
    // Top masters first, then syndics and regions, as the tree stands.
    let mut rows: Vec<Row> = names.into_iter().map(row).collect();
    rows.sort_by_key(|row| match row.kind {
        "top master" => 0,
        "syndic" => 1,
        _ => 2,
    });
    rows
}

#[cfg(test)]
mod tests;
