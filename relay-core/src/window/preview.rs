//! What a batch would do, before it does: for plans.

use super::stages;
use crate::{
    batch::{BatchRule, BatchSize, RegionBatch},
    ids::RegionName,
};

/// One stage of a job to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedStage {
    /// How many targets have had their turn when it is over.
    pub upto: u64,
    /// How many run at once in it, at most, over all regions.
    pub at_once: u64,
    /// An operator must approve before the next.
    pub approve: bool,
}

/// The stages of a job with so many targets in each region. Without stages of its own, it is one.
pub fn preview(rule: &BatchRule, regions: &[(RegionName, u64)]) -> Vec<PlannedStage> {
    let total: u64 = regions.iter().map(|(_, targets)| targets).sum();
    let width = |(name, targets): &(RegionName, u64)| {
        region_width(rule, &rule.regions.get(name).copied().unwrap_or_default(), *targets)
    };
    let regions: u64 = regions.iter().map(width).sum();
    let whole = match &rule.size {
        BatchSize::Window(share) => share.of(total).min(regions),
        _ => regions,
    };
    let ends = stages::ends(rule, total);
    if ends.is_empty() {
        return vec![PlannedStage { upto: total, at_once: whole, approve: false }];
    }
    let mut before = 0;
    let last = ends.len() - 1;
    let stage = |(no, upto): (usize, u64)| {
        let at_once = (upto - before).min(whole);
        before = upto;
        PlannedStage { upto, at_once, approve: rule.approve && no < last }
    };
    ends.into_iter().enumerate().map(stage).collect()
}

fn region_width(rule: &BatchRule, region: &RegionBatch, targets: u64) -> u64 {
    let own = match rule.size {
        BatchSize::Regions => region.default_window,
        BatchSize::Auto => region.auto_max,
        _ => None,
    };
    let of = |share: Option<crate::topology::Share>| share.map_or(targets, |s| s.of(targets));
    of(own).min(of(region.cap)).min(targets)
}
