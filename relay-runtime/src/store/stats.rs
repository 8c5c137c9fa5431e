//! Figures over jobs, by function, and what an estimate is made from.

use std::collections::BTreeMap;

use relay_core::{
    batch::BatchRule,
    outcome::Outcome,
    time::{Millis, WallMicros},
};

use super::JobSummary;

/// Figures over the jobs of one function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FunctionStats {
    /// The function.
    pub function: String,
    /// How many jobs, open ones too.
    pub jobs: u64,
    /// How many targets they have together.
    pub targets: u64,
    /// How many of these have each outcome.
    pub counts: BTreeMap<Outcome, u64>,
    /// From acceptance to close, of closed jobs: half of them took no longer. 0: none has closed.
    pub median_ms: Millis,
    /// The longest of them.
    pub slowest_ms: Millis,
}

/// One job that closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// How many targets it had.
    pub targets: u64,
    /// From acceptance to close.
    pub duration_ms: Millis,
    /// How many at once, and when it stops.
    pub batch: BatchRule,
}

/// From one moment to another; 0 if the clock was set back between them.
pub(super) fn duration(from: WallMicros, to: WallMicros) -> Millis {
    to.saturating_sub(from) / 1_000
}

/// Figures in the making.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<String, (FunctionStats, Vec<Millis>)>);

impl Tally {
    /// Takes one more job in.
    pub(super) fn add(&mut self, job: JobSummary) {
        let (stats, durations) = self.0.entry(job.function).or_default();
        stats.jobs += 1;
        stats.targets = stats.targets.saturating_add(job.targets);
        for (outcome, n) in job.counts {
            let sum = stats.counts.entry(outcome).or_default();
            *sum = sum.saturating_add(n);
        }
        durations.extend(job.closed.map(|closed| duration(job.created, closed)));
    }

    /// The figures, by name.
    pub(super) fn finish(self) -> Vec<FunctionStats> {
        let finish = |(function, (stats, mut durations)): (String, (FunctionStats, Vec<Millis>))| {
            durations.sort_unstable();
            let median = durations.len().saturating_sub(1) / 2;
            FunctionStats {
                function,
                median_ms: durations.get(median).copied().unwrap_or(0),
                slowest_ms: durations.last().copied().unwrap_or(0),
                ..stats
            }
        };
        self.0.into_iter().map(finish).collect()
    }
}
