//! How many minions run a job at once, and when nothing more is started: as an operator asks for it and a region caps it.
//!
//! Owns the rule as it is frozen with a job. What it means from moment to moment is [`crate::window`]'s.

use std::collections::BTreeMap;

use crate::{ids::RegionName, time::Millis, topology::Share};

/// Most stages of a canary batch. More is a script, not a batch.
pub const MAX_STAGES: usize = 32;

/// A job's batch, frozen at its acceptance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchRule {
    /// How many at once.
    pub size: BatchSize,
    /// How long a freed place stays empty.
    pub wait: Millis,
    /// Nothing is started any more once so many executions have failed.
    pub max_failures: Option<Share>,
    /// Wait for an operator between the stages of a canary.
    pub approve: bool,
    /// Close once so many targets have an outcome of their own.
    pub until: Option<Share>,
    /// Close after so long.
    pub deadline: Option<Millis>,
    /// How long the job waits for minions that are offline. Nothing: as long as its delivery limit.
    pub queue: Option<Millis>,
    /// A minion is sent it only when no earlier job is on its way to it or runs there.
    pub serial: bool,
    /// What each region had in the topology then.
    pub regions: BTreeMap<RegionName, RegionBatch>,
}

/// How many minions run a job at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BatchSize {
    /// What the topology says for each region; where it says nothing, all.
    #[default]
    Regions,
    /// All.
    All,
    /// So many, over all regions together; a percentage is of the targets.
    Window(Share),
    /// As many as go well, found out per region.
    Auto,
    /// In stages: after each, so many targets have had their turn. All of a stage at once.
    Canary(Vec<Share>),
}

/// What a region has for jobs whose operator does not say, and what no operator exceeds. Percentages are of a job's
/// targets in the region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RegionBatch {
    /// How many at once, if the operator does not say. Nothing: all.
    pub default_window: Option<Share>,
    /// After how many failures in the region nothing more is started there, if the operator does not say.
    pub max_failures: Option<Share>,
    /// Never more than this at once.
    pub cap: Option<Share>,
    /// The least that `auto` goes down to. Nothing: 1.
    pub auto_min: Option<Share>,
    /// The most that `auto` goes up to. Nothing: the cap, or all.
    pub auto_max: Option<Share>,
}

impl Share {
    /// So many of `whole`: a percentage is rounded down, and nothing is less than 1 (as in Salt).
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Share::Count(n) => u64::from(n).max(1),
            Share::Percent(p) => (whole.saturating_mul(u64::from(p)) / 100).max(1),
        }
    }

    /// No less than so many of `whole`, and never more than all: a percentage is rounded up. For what must be reached.
    pub fn at_least_of(self, whole: u64) -> u64 {
        match self {
            Share::Count(n) => u64::from(n).min(whole),
            Share::Percent(p) => whole.saturating_mul(u64::from(p)).div_ceil(100),
        }
    }
}

impl BatchRule {
    /// Whether anything at all limits how many run at once: the operator, or some region's default.
    pub fn is_limited(&self) -> bool {
        match &self.size {
            BatchSize::All => false,
            BatchSize::Regions => self.regions.values().any(|r| r.default_window.is_some()),
            _ => true,
        }
    }

    /// A canary whose operator does not say stops at its first failure: that is what a canary is for.
    pub fn failures_allowed(&self) -> Option<Share> {
        let canary = matches!(self.size, BatchSize::Canary(_)).then_some(Share::Count(1));
        self.max_failures.or(canary)
    }
}
