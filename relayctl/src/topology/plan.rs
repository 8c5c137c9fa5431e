//! `relayctl topology plan`: what changes from one file to another.

mod data;
mod text;

use std::path::PathBuf;

use clap::Args;
use relay_core::topology::{
    Topology,
    plan::{Edit, Fleet, Plan},
};

use super::known::Known;
use crate::{exit::Exit, output::Output};

/// Which files.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PlanArgs {
    /// The topology file as it is
    old: PathBuf,
    /// The topology file as it is to be
    new: PathBuf,
    /// Count the minions in this file (an id on each line, and its region if it is known) and not as many as the topology
    /// expects
    #[arg(long, value_name = "FILE")]
    minions: Option<PathBuf>,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl topology plan old.yaml topology.yaml
  git show main:topology.yaml > old.yaml && relayctl topology plan old.yaml topology.yaml
  relayctl minions list --out tsv --no-header > minions.tsv
  relayctl topology plan old.yaml topology.yaml --minions minions.tsv

Two files are compared; no fabric is asked and nothing is changed. Comments, order and defaults written out are no change.
IDEAL is the least that has to move: by how much the shares of syndics grow.

EXIT CODES:
  0  nothing changes
  2  something changes
  3  a file is bad, or cannot be read";

/// A plan, with what is said beside it.
struct Planned<'a> {
    args: &'a PlanArgs,
    new: &'a Topology,
    plan: Plan,
    /// How many of the known minions belong to no region afterwards.
    strangers: usize,
}

/// How many parts are added, changed and removed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    add: usize,
    change: usize,
    remove: usize,
}

/// Runs it.
pub fn run(args: &PlanArgs, out: &Output) -> anyhow::Result<Exit> {
    let [old, new] = match super::all_of([&args.old, &args.new], out)? {
        Ok(both) => both,
        Err(exit) => return Ok(exit),
    };
    let planned = planned(args, &old, &new)?;
    out.show(&data::plan(&planned), |paint| text::plan(&planned, paint))?;
    Ok(if planned.plan.is_empty() { Exit::Ok } else { Exit::Changes })
}

fn planned<'a>(args: &'a PlanArgs, old: &Topology, new: &'a Topology) -> anyhow::Result<Planned<'a>> {
    let (before, after, strangers) = match &args.minions {
        Some(file) => {
            let known = Known::read(file)?;
            let (after, strangers) = known.fleet(new);
            (known.fleet(old).0, after, strangers)
        }
        None => (Fleet::expected(old), Fleet::expected(new), 0),
    };
    Ok(Planned { args, new, plan: Plan::between((old, &before), (new, &after)), strangers })
}

impl Counts {
    /// A part with several changed fields is one that changes.
    fn of(plan: &Plan) -> Counts {
        let mut counts = Counts::default();
        let mut last = None;
        for change in &plan.changes {
            match &change.edit {
                Edit::Added(_) => counts.add += 1,
                Edit::Removed(_) => counts.remove += 1,
                Edit::Field { .. } => counts.change += usize::from(last != Some(&change.part)),
            }
            last = Some(&change.part);
        }
        counts
    }
}

#[cfg(test)]
mod tests;
