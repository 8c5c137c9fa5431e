//! A plan against what a fabric has: its active revision, the minions that its top master knows, the jobs that run.

use std::path::Path;

use relay_core::topology::{
    Topology,
    plan::{Moves, Plan},
};

use super::{Counted, Live, Planned, jobs};
use crate::{
    run::words::quoted,
    topology::{active::Active, api::Topologies, known::Known, with_context},
};

/// What is typed to apply a file on the revision that it was planned on.
pub fn command(file: &Path, on: u64, wanted: Option<&str>) -> String {
    let file = quoted(&file.display().to_string());
    with_context(format!("relayctl topology apply {file} --planned-on {on}"), wanted)
}

/// The plan from the active revision to a topology. `apply` is what to type to apply it.
///
/// # Errors
/// The fabric does not answer, or has minions whose names this program cannot read.
pub async fn against<'a>(
    fabric: &mut impl Topologies,
    active: &Active,
    (file, new): (&'a Path, &'a Topology),
    apply: String,
) -> anyhow::Result<Planned<'a>> {
    let known = Known::of(&fabric.inventory().await?)?;
    let (after, strangers) = known.fleet(new);
    let (plan, jobs) = match &active.topology {
        Some(old) => {
            let before = known.fleet(old).0;
            let plan = Plan::between((old, &before), (new, &after));
            let reach = jobs::Reach::of(&plan, (old, &before), (new, &after));
            let jobs = jobs::touched(fabric, &reach).await?;
            (plan, jobs)
        }
        None => (first(new), jobs::Touched::default()),
    };
    let live = Live { on: active.number(), staging: active.staging, jobs, apply };
    Ok(Planned { file, new, plan, counted: Counted::Inventory, strangers, live: Some(live) })
}

/// With nothing to compare with: nobody is moved, but placed.
fn first(new: &Topology) -> Plan {
    Plan {
        from: String::new(),
        to: new.digest(),
        changes: Vec::new(),
        moves: Moves::default(),
        capacity: new.capacity(),
    }
}
