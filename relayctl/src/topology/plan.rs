//! `relayctl topology plan`: what a file changes in the fabric, or from one file to another.

mod data;
mod jobs;
mod live;
mod text;

use std::path::{Path, PathBuf};

use clap::Args;
use relay_core::topology::{
    Topology,
    plan::{Change, Edit, Fleet, Plan},
};

pub use live::{against, command};

use super::{api::Topologies, known::Known};
use crate::{
    exit::Exit,
    output::{Output, Paint},
};

/// Which files.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PlanArgs {
    /// The topology file that is to be applied; with a second one, the file as it was
    pub file: PathBuf,
    /// Compare two files, and ask no fabric: the file as it is to be
    pub new: Option<PathBuf>,
    /// With two files: count the minions in this file (an id on each line, and its region if it is known) and not as many as
    /// the topology expects
    #[arg(long, value_name = "LIST", requires = "new")]
    minions: Option<PathBuf>,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl topology plan topology.yaml
  relayctl topology plan topology.yaml --out json
  relayctl topology plan old.yaml topology.yaml
  git show main:topology.yaml > old.yaml && relayctl topology plan old.yaml topology.yaml
  relayctl minions list --out tsv --no-header > minions.tsv
  relayctl topology plan old.yaml topology.yaml --minions minions.tsv

One file is compared with the active revision, and the minions that the top master knows are counted; two files are compared
with each other, and no fabric is asked. Nothing is changed. Comments, order and defaults written out are no change.
IDEAL is the least that has to move: by how much the shares of syndics grow. Running jobs are counted by their targets without
an outcome; a minion moves when it runs nothing. With --out tsv a row for each change, with --out json all of it.

EXIT CODES:
  0  nothing changes
  2  something changes
  3  a file is bad, or cannot be read; or the fabric does not answer";

/// A plan, with what is said beside it.
pub struct Planned<'a> {
    /// What the new topology is called in messages: a file.
    pub file: &'a Path,
    /// The topology that is to be.
    pub new: &'a Topology,
    /// What changes.
    pub plan: Plan,
    /// Which minions were counted.
    pub counted: Counted<'a>,
    /// How many of the known minions belong to no region afterwards.
    pub strangers: usize,
    /// Planned against a fabric: what belongs to that.
    pub live: Option<Live>,
}

/// Which minions were counted.
#[derive(Debug, Clone, Copy)]
pub enum Counted<'a> {
    /// As many as the file expects.
    Expected,
    /// Those of a list.
    List(&'a Path),
    /// Those that the top master knows.
    Inventory,
}

/// What is known when a fabric was asked.
pub struct Live {
    /// The revision that was planned on; 0: there is none.
    pub on: u64,
    /// One that goes from region to region now, and is active after that.
    pub staging: Option<u64>,
    /// The jobs that it touches.
    pub jobs: jobs::Touched,
    /// What to type to apply it.
    pub apply: String,
}

/// How many parts are added, changed and removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// New ones.
    pub add: usize,
    /// Those of which a field changes.
    pub change: usize,
    /// Those that go.
    pub remove: usize,
}

impl Planned<'_> {
    /// Whether to apply it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.plan.is_empty() && !self.is_first()
    }
    /// There is nothing yet that it could be compared with.
    pub fn is_first(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.on == 0)
    }
    /// For people.
    pub fn text(&self, paint: &Paint) -> String {
        text::plan(self, paint)
    }
    fn show(&self, out: &Output) -> anyhow::Result<Exit> {
        match out.is_rows() {
            true => out.show(&data::changes(&self.plan), |_| String::new())?,
            false => out.show(&data::plan(self), |paint| self.text(paint))?,
        }
        Ok(if self.is_empty() { Exit::Ok } else { Exit::Changes })
    }
}

/// Plans a file against the active revision.
pub async fn run(
    args: &PlanArgs,
    fabric: &mut impl Topologies,
    wanted: Option<&str>,
    out: &Output,
) -> anyhow::Result<Exit> {
    let file = match super::file::read(&args.file, out)? {
        Ok(file) => file,
        Err(exit) => return Ok(exit),
    };
    let active = super::active::Active::of(fabric).await?;
    let apply = command(&args.file, active.number(), wanted);
    let planned = against(fabric, &active, (&file.path, &file.topology), apply).await?;
    planned.show(out)
}

/// Compares two files.
pub fn between(args: &PlanArgs, new: &Path, out: &Output) -> anyhow::Result<Exit> {
    let [old, topology] = match super::all_of([&args.file, new], out)? {
        Ok(both) => both,
        Err(exit) => return Ok(exit),
    };
    let planned = offline(&old, (new, &topology), args.minions.as_deref())?;
    planned.show(out)
}

fn offline<'a>(
    old: &Topology,
    (file, new): (&'a Path, &'a Topology),
    list: Option<&'a Path>,
) -> anyhow::Result<Planned<'a>> {
    let (before, after, strangers) = match list {
        Some(list) => {
            let known = Known::read(list)?;
            let (after, strangers) = known.fleet(new);
            (known.fleet(old).0, after, strangers)
        }
        None => (Fleet::expected(old), Fleet::expected(new), 0),
    };
    let plan = Plan::between((old, &before), (new, &after));
    let counted = list.map_or(Counted::Expected, Counted::List);
    Ok(Planned { file, new, plan, counted, strangers, live: None })
}

impl Counts {
    /// A part with several changed fields is one that changes.
    pub fn of(changes: &[Change]) -> Counts {
        let mut counts = Counts::default();
        let mut last = None;
        for change in changes {
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
