//! How a new topology takes effect: region by region, each looked at before the next one follows, stopped by losses.
//!
//! A plain state machine: it is asked what to do next and told what was done and seen. Leaves to the top master to make a
//! region's part effective and durable, to count minions, and to go back.

use std::fmt;

use super::{Region, Topology};
use crate::{ids::RegionName, target::NodeGroups, time::Millis};

/// Lost minions, in percent of a region's that were up, at which it goes back, if nobody says.
pub const DEFAULT_MAX_LOST_PERCENT: u32 = 5;
/// How long a region is looked at, if nobody says: longer than a minion needs to dial another syndic.
pub const DEFAULT_SETTLE: Millis = 30_000;
/// Longest look at a region that may be asked for: an hour. Whoever wants to see more applies in parts.
pub const MAX_SETTLE: Millis = 3_600_000;
/// After a restart everybody is down until he has dialled again: shorter looks would take that for losses.
pub const MIN_SETTLE_RESUMED: Millis = 30_000;

/// When a region is good, and when not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageRule {
    /// More lost minions than so many percent of those that were up: back.
    pub max_lost_percent: u32,
    /// How long a region is looked at, unless it is settled before.
    pub settle: Millis,
}

/// One region's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The region. In one of the two topologies at least.
    pub region: RegionName,
    /// Its minions may have to move, so they are looked at.
    pub watch: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Make this region's part effective, then say so ([`Stage::given`]).
    Give(Step),
    /// Count this region's minions, then say so ([`Stage::seen`]).
    Look(RegionName),
    /// Nothing: every region has it.
    Done,
    /// Go back: too many were lost.
    Stop(Lost),
}

/// A region's minions at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Those that were up when it began.
    pub before: u64,
    /// How many of these are up.
    pub up: u64,
    /// How many are up on another syndic than the one they belong to.
    pub moving: u64,
}

impl Seen {
    /// How many are lost.
    pub fn lost(&self) -> u64 {
        self.before.saturating_sub(self.up)
    }
}

/// Why it was stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Where.
    pub region: RegionName,
    /// What was seen there last.
    pub seen: Seen,
    /// What would have been allowed.
    pub max_percent: u32,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lost { region, seen, max_percent } = self;
        let (lost, before) = (seen.lost(), seen.before);
        write!(
            f,
            "region {region}: {lost} of the {before} minions that were up are lost, more than {max_percent} %"
        )
    }
}

/// One topology on its way through the regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    rule: StageRule,
    /// What is left to do, the next one last.
    left: Vec<Step>,
    /// The region that is looked at, until when.
    looking: Option<(RegionName, Millis)>,
    stopped: Option<Lost>,
}

impl Stage {
    /// From the beginning.
    pub fn new(steps: Vec<Step>, rule: StageRule) -> Stage {
        let left = steps.into_iter().rev().collect();
        Stage { rule, left, looking: None, stopped: None }
    }

    /// Goes on where another process left off: these regions have it, the last of them was looked at. It is looked at anew.
    /// Whatever the rule says, everybody has time to be back ([`MIN_SETTLE_RESUMED`]), also for the regions after it.
    pub fn resume(steps: Vec<Step>, rule: StageRule, given: &[RegionName], now: Millis) -> Stage {
        let rule = StageRule { settle: rule.settle.max(MIN_SETTLE_RESUMED), ..rule };
        let last = given.last().and_then(|region| steps.iter().find(|step| step.region == *region));
        let looking = last.filter(|step| step.watch).map(|step| (step.region.clone(), now + rule.settle));
        let left = steps.iter().rev().filter(|step| !given.contains(&step.region)).cloned().collect();
        Stage { rule, left, looking, stopped: None }
    }

    /// What to do next. The same until it is told what was done.
    pub fn next(&self) -> Next {
        match (&self.stopped, &self.looking, self.left.last()) {
            (Some(lost), _, _) => Next::Stop(lost.clone()),
            (None, Some((region, _)), _) => Next::Look(region.clone()),
            (None, None, Some(step)) => Next::Give(step.clone()),
            (None, None, None) => Next::Done,
        }
    }

    /// The region that [`Next::Give`] named has it.
    pub fn given(&mut self, now: Millis) {
        if let Some(step) = self.left.pop().filter(|step| step.watch) {
            self.looking = Some((step.region, now + self.rule.settle));
        }
    }

    /// The minions of the region that [`Next::Look`] named. True: it is done with, well or not.
    pub fn seen(&mut self, now: Millis, seen: Seen) -> bool {
        let Some((region, until)) = &self.looking else { return false };
        let settled = seen.lost() == 0 && seen.moving == 0;
        if !settled && now < *until {
            return false;
        }
        if self.too_many(seen) {
            let max_percent = self.rule.max_lost_percent;
            self.stopped = Some(Lost { region: region.clone(), seen, max_percent });
        }
        self.looking = None;
        true
    }

    fn too_many(&self, seen: Seen) -> bool {
        u128::from(seen.lost()) * 100 > u128::from(seen.before) * u128::from(self.rule.max_lost_percent)
    }
}

/// Whose turn it is when: the regions that do not change at first, then the others in the order of the new file, then those
/// that go.
pub fn steps(from: Option<&Topology>, to: &Topology) -> Vec<Step> {
    let former = |region: &Region| from.and_then(|from| from.region(&region.name));
    let (same, changed): (Vec<&Region>, Vec<&Region>) =
        to.regions.iter().partition(|region| former(region).is_some_and(|former| former == *region));
    let gone = from.into_iter().flat_map(|from| &from.regions).filter(|r| to.region(&r.name).is_none());
    let same = same.into_iter().map(|region| Step { region: region.name.clone(), watch: false });
    // Only who stands where moves minions; a batch or a note does not.
    let moves = |region: &Region| former(region).is_none_or(|former| former.syndics != region.syndics);
    let changed =
        changed.into_iter().map(|region| Step { region: region.name.clone(), watch: moves(region) });
    let gone = gone.map(|region| Step { region: region.name.clone(), watch: true });
    same.chain(changed).chain(gone).collect()
}

/// What holds while some regions have the new topology and the others the former one, if there was one. What is of no region
/// (node groups, the unbatched limit, top masters) stays as it was: it comes with the last region, so that nothing of it ever
/// goes back.
pub fn mixed(from: Option<&Topology>, to: &Topology, given: &[RegionName]) -> Topology {
    let given = |region: &&Region| given.contains(&region.name);
    let stay = from.into_iter().flat_map(|from| &from.regions).filter(|region| !given(region));
    let regions = stay.chain(to.regions.iter().filter(given)).cloned().collect();
    let rest = match from {
        Some(from) => from.clone(),
        None => Topology { node_groups: NodeGroups::default(), unbatched_limit: None, ..to.clone() },
    };
    Topology { regions, warnings: Vec::new(), ..rest }
}

#[cfg(test)]
mod tests;
