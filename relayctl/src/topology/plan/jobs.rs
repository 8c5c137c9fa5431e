//! Which running jobs a plan touches: those that have targets without an outcome among the minions that move, or in regions
//! that change. Exact at the moment of the question: a target that ends meanwhile is not touched any more.

use std::collections::{BTreeMap, BTreeSet};

use relay_core::{
    ids::{Jid, MinionId, RegionName, TierId},
    placement::Placement,
    topology::{
        Topology,
        plan::{Fleet, Part, Plan},
    },
};
use relay_proto::Code;

use crate::{
    api::CallError,
    topology::api::{OPEN_JOBS, Topologies},
};

/// Jobs that a plan touches.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// The jobs, newest first.
    pub jobs: Vec<TouchedJob>,
    /// There may be more open ones than were looked at.
    pub more: bool,
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub struct TouchedJob {
    /// Its name.
    pub jid: Jid,
    /// What it runs.
    pub function: String,
    /// Whom it is for.
    pub target: String,
    /// Targets without an outcome.
    pub outstanding: usize,
    /// Those of them that move.
    pub moving: usize,
    /// Those of them in regions that change.
    pub in_changed: usize,
}

/// Whom a plan reaches.
#[derive(Debug, Default)]
pub struct Reach {
    moving: BTreeSet<MinionId>,
    regions: BTreeSet<RegionName>,
}

impl Reach {
    /// The minions that get another syndic, and the regions in which something changes.
    pub fn of(plan: &Plan, from: (&Topology, &Fleet), to: (&Topology, &Fleet)) -> Reach {
        let (before, after) = (homes(from.0, from.1), homes(to.0, to.1));
        let elsewhere = |(id, home): (&&MinionId, &TierId)| after.get(*id).is_some_and(|now| now != home);
        let moving = before.iter().filter(|(id, home)| elsewhere((id, home))).map(|(id, _)| (*id).clone());
        let region = |part: &Part| match part {
            Part::Region(region) | Part::Syndic(region, _) => Some(region.clone()),
            Part::Fabric | Part::TopMaster(_) | Part::NodeGroup(_) | Part::Label(_) => None,
        };
        let regions = plan.changes.iter().filter_map(|change| region(&change.part)).collect();
        Reach { moving: moving.collect(), regions }
    }

    fn is_empty(&self) -> bool {
        self.moving.is_empty() && self.regions.is_empty()
    }
}

/// The syndic of each minion.
fn homes<'f>(topology: &Topology, fleet: &'f Fleet) -> BTreeMap<&'f MinionId, TierId> {
    let mut homes = BTreeMap::new();
    for region in &topology.regions {
        let own = || fleet.iter().filter(|(_, of)| **of == region.name).map(|(id, _)| id);
        let placement = Placement::new(&region.syndics, own());
        homes.extend(own().filter_map(|id| Some((id, placement.primary(id)?.clone()))));
    }
    homes
}

/// Asks for them.
///
/// # Errors
/// The fabric does not answer.
pub async fn touched(fabric: &mut impl Topologies, reach: &Reach) -> Result<Touched, CallError> {
    if reach.is_empty() {
        return Ok(Touched::default());
    }
    let open = fabric.open_jobs().await?;
    let mut touched = Touched { jobs: Vec::new(), more: open.len() >= OPEN_JOBS as usize };
    for head in open {
        let jid = Jid::from_micros(head.jid);
        let missing = match fabric.missing(jid).await {
            Ok(missing) => missing,
            // It is over meanwhile.
            Err(error) if error.code() == Some(Code::NoSuchJob) => continue,
            Err(error) => return Err(error),
        };
        let ids = || missing.iter().filter_map(|m| m.id.parse::<MinionId>().ok());
        let changed = |region: &str| reach.regions.iter().any(|name| name.as_str() == region);
        let job = TouchedJob {
            jid,
            function: head.function,
            target: head.target,
            outstanding: missing.len(),
            moving: ids().filter(|id| reach.moving.contains(id)).count(),
            in_changed: missing.iter().filter(|m| changed(&m.region)).count(),
        };
        if job.moving + job.in_changed > 0 {
            touched.jobs.push(job);
        }
    }
    Ok(touched)
}
