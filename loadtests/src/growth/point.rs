//! One size of `growth`: a fabric of its own, a few rounds, and what they cost.

use crate::{
    bed::{Bed, Used},
    fabric::Uplinks,
    scenario::Run,
    statistics::median,
};

/// Rounds that are not counted.
const WARM_UP: u32 = 2;

/// What one job costs at one size.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub minions: u32,
    pub syndics: u32,
    /// The median at the operator.
    pub wall_ms: f64,
    pub used: Used,
    /// Of one uplink: the mean of all.
    pub uplink: Uplinks,
    /// What it adds to the store.
    pub rows: f64,
    /// Targets that answered, in the worst job.
    pub accounted: u64,
}

impl Point {
    pub(super) async fn measure(run: &Run) -> anyhow::Result<Point> {
        let mut bed = Bed::start(run).await?;
        for _ in 0..WARM_UP {
            bed.ping_ms().await?;
        }
        let (used, sent, rows) = (bed.used()?, bed.fabric.uplinks().await?, bed.fabric.store_rows()?);
        let mut walls = Vec::new();
        for _ in 0..run.rounds {
            walls.push(bed.ping_ms().await?);
        }
        let grown = bed.fabric.store_rows()?.saturating_sub(rows);
        let all = bed.fabric.uplinks().await?.each_since(sent, run.rounds);
        let links = f64::from(run.syndics);
        Ok(Point {
            minions: run.minions,
            syndics: run.syndics,
            wall_ms: median(&walls),
            used: bed.used()?.each_since(used, run.rounds),
            uplink: Uplinks { bytes: all.bytes / links, batches: all.batches / links },
            rows: grown as f64 / f64::from(run.rounds),
            accounted: bed.accounted(),
        })
    }

    /// Targets that did not answer.
    pub(super) fn lost(&self) -> u64 {
        u64::from(self.minions).saturating_sub(self.accounted)
    }

    #[cfg(test)]
    pub(super) fn of_top(top: f64) -> Point {
        let used = Used { top, ..Used::default() };
        Point {
            minions: 0,
            syndics: 0,
            wall_ms: 1.0,
            used,
            uplink: Uplinks::default(),
            rows: 1.0,
            accounted: 0,
        }
    }
}
