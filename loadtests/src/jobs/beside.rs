//! Small jobs alone, and beside a large one.

use std::time::Duration;

use rand::RngExt;

use super::{Targets, echo::Echo};
use crate::{
    bed::{Bed, PAUSE, millis},
    fabric::{NO_ARGUMENTS, operator::Operator},
    scenario::Run,
};

/// Small jobs alone in a round.
pub(super) const ALONE: usize = 30;
/// Pause between two small jobs, so that they are no load of their own.
const BETWEEN: Duration = Duration::from_millis(5);
/// The large job: each minion's own text.
const BULK: (&str, &str) = ("grains.get", r#"{"args":["own"],"kwargs":{}}"#);

/// All rounds.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Small jobs alone.
    pub(super) alone_ms: Vec<f64>,
    /// Small jobs beside a large one.
    pub(super) beside_ms: Vec<f64>,
    /// A bare echo alone, and beside a large job.
    pub(super) echo_ms: [Vec<f64>; 2],
    /// The large ones.
    pub(super) bulk_ms: Vec<f64>,
    /// Small jobs that did not end with one `ok`.
    pub(super) wrong: u64,
    /// The fewest that answered a large one.
    least: Option<u64>,
}

impl Beside {
    /// One round: some alone, then some beside a large one until that has ended.
    pub(super) async fn round(&mut self, run: &Run, bed: &mut Bed, echo: &mut Echo) -> anyhow::Result<()> {
        let mut operator = bed.fabric.another_operator().await?;
        let mut targets = Targets::apart(run);
        tokio::time::sleep(PAUSE).await;
        let sampling = echo.sample()?;
        for _ in 0..ALONE {
            let took = self.small(&mut operator, targets.next(), bed.random.random()).await?;
            self.alone_ms.push(took);
        }
        self.echo_ms[0].extend(echo.stop(sampling).await?);
        tokio::time::sleep(PAUSE).await;
        let (mut bulk, id) = (bed.fabric.another_operator().await?, bed.random.random());
        let large = tokio::spawn(async move { bulk.run(id, BULK.0, BULK.1).await });
        let sampling = echo.sample()?;
        // At least one, however fast the large one is.
        loop {
            let took = self.small(&mut operator, targets.next(), bed.random.random()).await?;
            self.beside_ms.push(took);
            if large.is_finished() {
                break;
            }
        }
        self.echo_ms[1].extend(echo.stop(sampling).await?);
        let large = large.await??;
        self.bulk_ms.push(millis(large.elapsed));
        self.least = Some(self.least.unwrap_or(u64::MAX).min(large.answered()));
        Ok(())
    }

    async fn small(&mut self, operator: &mut Operator, target: String, id: u128) -> anyhow::Result<f64> {
        tokio::time::sleep(BETWEEN).await;
        let ended = operator.run_on(&target, id, "test.ping", NO_ARGUMENTS, None).await?;
        self.wrong += u64::from(ended.targets != 1 || ended.answered() != 1);
        Ok(millis(ended.elapsed))
    }

    /// How many answered the large job, in its worst round.
    pub(super) fn accounted(&self, minions: u32) -> u64 {
        self.least.unwrap_or(minions.into())
    }
}
