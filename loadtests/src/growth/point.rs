//! One size of `growth`: a fabric of its own, a few rounds, and what they cost.

use crate::{
    bed::{Bed, PAUSE, Used},
    fabric::Uplinks,
    scenario::Run,
    statistics::median,
};

/// Rounds that are not counted.
const WARM_UP: u32 = 2;

/// What one job costs at one size: medians of its rounds.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub minions: u32,
    pub syndics: u32,
    /// At the operator.
    pub wall_ms: f64,
    pub used: Used,
    /// Of one uplink: the mean of all.
    pub uplink: Uplinks,
    /// What it adds to the store.
    pub rows: f64,
    /// The top master's processor time for a job that is the first since somebody new attached, if that was measured.
    pub moved_top_ms: Option<f64>,
    /// Targets that answered, in the worst job.
    pub accounted: u64,
}

/// A fabric of one size while it is measured.
pub(super) struct Standing {
    run: Run,
    bed: Bed,
    wall_ms: Vec<f64>,
    used: Vec<Used>,
    uplinks: Vec<Uplinks>,
    rows: Vec<f64>,
    moved_top_ms: Vec<f64>,
}

impl Standing {
    pub(super) async fn start(run: Run) -> anyhow::Result<Standing> {
        let mut bed = Bed::start(&run).await?;
        for _ in 0..WARM_UP {
            bed.ping_ms().await?;
        }
        let (wall_ms, used, uplinks) = (Vec::new(), Vec::new(), Vec::new());
        let (rows, moved_top_ms) = (Vec::new(), Vec::new());
        Ok(Standing { run, bed, wall_ms, used, uplinks, rows, moved_top_ms })
    }

    /// One job, and what it cost.
    pub(super) async fn round(&mut self) -> anyhow::Result<()> {
        let bed = &mut self.bed;
        let (sent, rows, used) = (bed.fabric.uplinks().await?, bed.fabric.store_rows()?, bed.used()?);
        self.wall_ms.push(bed.ping_ms().await?);
        // What is still on its way belongs to this job.
        tokio::time::sleep(PAUSE).await;
        self.used.push(bed.used()?.each_since(used, 1));
        self.uplinks.push(bed.fabric.uplinks().await?.each_since(sent, 1));
        self.rows.push(bed.fabric.store_rows()?.saturating_sub(rows) as f64);
        Ok(())
    }

    /// One job after a minion more attached: what the top master keeps for the next job on the same minions is of no use to it. The
    /// newcomer is a real process, and ends with the bed.
    pub(super) async fn round_after_a_newcomer(&mut self) -> anyhow::Result<()> {
        let id = format!("newcomer-{}", self.moved_top_ms.len());
        self.bed.joined_by(&id).await?;
        tokio::time::sleep(PAUSE).await;
        let used = self.bed.used()?;
        self.bed.ping_ms().await?;
        tokio::time::sleep(PAUSE).await;
        self.moved_top_ms.push(self.bed.used()?.each_since(used, 1).top);
        Ok(())
    }

    pub(super) fn found(self) -> Point {
        let Standing { run, bed, wall_ms, used, uplinks, rows, moved_top_ms } = self;
        let of = |part: fn(&Used) -> f64| median(&used.iter().map(part).collect::<Vec<f64>>());
        let sent = |part: fn(&Uplinks) -> f64| {
            median(&uplinks.iter().map(part).collect::<Vec<f64>>()) / f64::from(run.syndics)
        };
        Point {
            minions: run.minions,
            syndics: run.syndics,
            wall_ms: median(&wall_ms),
            used: Used { top: of(|u| u.top), syndics: of(|u| u.syndics), swarm: of(|u| u.swarm) },
            uplink: Uplinks { bytes: sent(|u| u.bytes), batches: sent(|u| u.batches) },
            rows: median(&rows),
            moved_top_ms: (!moved_top_ms.is_empty()).then(|| median(&moved_top_ms)),
            accounted: bed.accounted(),
        }
    }
}

impl Point {
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
            moved_top_ms: None,
            accounted: 0,
        }
    }
}
