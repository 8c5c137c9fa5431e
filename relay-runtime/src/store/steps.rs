//! What takes long, in steps: each is one request of a store's queue, between which others are served.

use relay_core::{ids::Jid, time::WallMicros};

use super::{
    FunctionStats, JobSummary, KEEP_REQUESTS_HOURS, MAX_STATS_JOBS, Pruned, StoreError, StoreFuture,
    stats::Tally,
};

/// Jobs that one step of a list looks at: some ten milliseconds' work, and at most 4 MiB of their arguments in memory.
pub(super) const MAX_STEP_JOBS: usize = 1_000;
/// Rows that one step of pruning removes: a few milliseconds' work, as long as their bodies are of the usual size.
pub(super) const MAX_STEP_ROWS: i64 = 256;

const HOUR: WallMicros = 3_600 * 1_000_000;

/// What one step of a list found.
#[derive(Debug)]
pub(super) struct Stretch {
    /// Those that the filter takes, newest first.
    pub(super) jobs: Vec<JobSummary>,
    /// How many it looked at.
    pub(super) looked_at: usize,
    /// The oldest it looked at, if there may be older ones.
    pub(super) before: Option<Jid>,
}

/// Asks for the next step: at most so many jobs, older than this one.
pub(super) trait Next: Fn(usize, Jid) -> StoreFuture<Stretch> + Send + 'static {}
impl<F: Fn(usize, Jid) -> StoreFuture<Stretch> + Send + 'static> Next for F {}

/// The first jobs, up to `limit`. Ends: each step looks at older jobs than the one before.
pub(super) async fn page(
    first: StoreFuture<Stretch>,
    next: impl Next,
    limit: usize,
) -> Result<Vec<JobSummary>, StoreError> {
    let Stretch { mut jobs, mut before, .. } = first.await?;
    while let Some(oldest) = before.filter(|_| jobs.len() < limit) {
        let stretch = next(limit - jobs.len(), oldest).await?;
        jobs.extend(stretch.jobs);
        before = stretch.before;
    }
    Ok(jobs)
}

/// Figures over the first [`MAX_STATS_JOBS`]; no more than a step's jobs are in memory at once.
pub(super) async fn figures(
    first: StoreFuture<Stretch>,
    next: impl Next,
) -> Result<Vec<FunctionStats>, StoreError> {
    let (mut tally, mut looked_at) = (Tally::default(), 0);
    let mut stretch = first.await?;
    loop {
        looked_at += stretch.looked_at;
        stretch.jobs.into_iter().for_each(|job| tally.add(job));
        let Some(oldest) = stretch.before.filter(|_| looked_at < MAX_STATS_JOBS) else {
            return Ok(tally.finish());
        };
        stretch = next(usize::MAX, oldest).await?;
    }
}

/// What is older than these goes.
#[derive(Clone, Copy)]
pub(super) struct Cutoffs {
    pub(super) closed: WallMicros,
    pub(super) requested: WallMicros,
}

impl Cutoffs {
    pub(super) fn at(keep_hours: u64, now: WallMicros) -> Cutoffs {
        let before = |hours: u64| now.saturating_sub(hours.saturating_mul(HOUR));
        Cutoffs { closed: before(keep_hours), requested: before(KEEP_REQUESTS_HOURS) }
    }

    /// Jobs that closed before a moment, and no requests.
    pub(super) fn closed_before(moment: WallMicros) -> Cutoffs {
        Cutoffs { closed: moment, requested: 0 }
    }
}

/// What one step of pruning removed.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) jobs: u64,
    pub(super) requests: u64,
    /// There may be more to do.
    pub(super) more: bool,
}

/// Ends: each step but the last removes rows that are older than a fixed moment.
pub(super) async fn prune(
    step: impl Fn() -> StoreFuture<Step> + Send + 'static,
) -> Result<Pruned, StoreError> {
    let mut pruned = Pruned::default();
    loop {
        let Step { jobs, requests, more } = step().await?;
        pruned.jobs += jobs;
        pruned.requests += requests;
        if !more {
            return Ok(pruned);
        }
    }
}
