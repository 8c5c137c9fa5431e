//! Small jobs alone, and beside a large one: where everything shares this machine's processors and its disk, and where what would be
//! on other machines gives way.
//!
//! On the way of a small job are the operator, the top master, one syndic and one minion. Each of them has its part of the large job,
//! and whether that holds the small one up is the fabric's doing. The large job's operator, the other syndics and all other minions
//! have machines of their own in a fleet; here they get the processor time that nobody else wants, and these syndics' spools are not
//! on the disk of the first.

use std::{cell::Cell, time::Duration};

use rand::RngExt;

use super::{Targets, bulk::BulkOperator, echo::Echo};
use crate::{
    bed::{Bed, PAUSE, millis},
    fabric::{NO_ARGUMENTS, operator::Operator},
    machine,
    scenario::Run,
    statistics::p99,
};

/// Small jobs alone in a round.
pub(super) const ALONE: usize = 30;
/// Rest before them: what a large job leaves behind for later (acknowledgements after a second, the store's log and the spools that are
/// worked in when it is quiet) is no part of a small job alone.
pub(super) const REST: Duration = Duration::from_secs(3);
/// Pause between two small jobs, so that they are no load of their own.
const BETWEEN: Duration = Duration::from_millis(5);

/// All rounds.
#[derive(Debug)]
pub(super) struct Beside {
    targets: Targets,
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

/// Everything on a bed that takes part.
pub(super) struct Stage {
    pub(super) bed: Bed,
    echo: Echo,
    bulk: BulkOperator,
}

impl Stage {
    /// Where everything shares the machine.
    pub(super) async fn shared(run: &Run) -> anyhow::Result<Stage> {
        Stage::on(Bed::start(run).await?).await
    }

    /// Where what would be on other machines gives way.
    pub(super) async fn own_machines(run: &Run) -> anyhow::Result<Stage> {
        let stage = Stage::on(Bed::start_on_own_disks(run).await?).await?;
        let syndics = stage.bed.fabric.syndic_pids().skip(1);
        // Those that small jobs go to are in the first process.
        let swarm = stage.bed.swarm.iter().skip(1).map(|part| part.process.pid());
        syndics.chain(swarm).chain([stage.bulk.pid()]).try_for_each(machine::give_way)?;
        Ok(stage)
    }

    async fn on(mut bed: Bed) -> anyhow::Result<Stage> {
        bed.ping_ms().await?;
        let (echo, bulk) = (Echo::start(&bed).await?, BulkOperator::start(&bed).await?);
        Ok(Stage { bed, echo, bulk })
    }
}

impl Beside {
    /// None yet.
    pub(super) fn new(targets: Targets) -> Beside {
        Beside {
            targets,
            alone_ms: Vec::new(),
            beside_ms: Vec::new(),
            echo_ms: [Vec::new(), Vec::new()],
            bulk_ms: Vec::new(),
            wrong: 0,
            least: None,
        }
    }

    /// The 99th percentile of a small job beside a large one, against that of one alone.
    pub(super) fn ratio(&self) -> f64 {
        p99(&self.beside_ms) / p99(&self.alone_ms)
    }

    /// One round: some alone, then some beside a large one until that has ended.
    pub(super) async fn round(&mut self, stage: &mut Stage) -> anyhow::Result<()> {
        let Stage { bed, echo, bulk } = stage;
        let mut operator = bed.fabric.another_operator().await?;
        tokio::time::sleep(if bed.is_tiny() { PAUSE } else { REST }).await;
        let sampling = echo.sample()?;
        for _ in 0..ALONE {
            let took = self.small(&mut operator, bed.random.random()).await?;
            self.alone_ms.push(took);
        }
        self.echo_ms[0].extend(echo.stop(sampling).await?);
        tokio::time::sleep(PAUSE).await;
        let sampling = echo.sample()?;
        let (id, ended) = (bed.random.random(), Cell::new(false));
        let large = async {
            let large = bulk.run(id).await;
            ended.set(true);
            large
        };
        let small = async {
            // At least one, however fast the large one is.
            loop {
                let took = self.small(&mut operator, bed.random.random()).await?;
                self.beside_ms.push(took);
                if ended.get() {
                    return Ok(());
                }
            }
        };
        let (large, ()) = tokio::try_join!(large, small)?;
        self.echo_ms[1].extend(echo.stop(sampling).await?);
        self.bulk_ms.push(large.took_ms);
        self.least = Some(self.least.unwrap_or(u64::MAX).min(large.answered));
        Ok(())
    }

    async fn small(&mut self, operator: &mut Operator, id: u128) -> anyhow::Result<f64> {
        tokio::time::sleep(BETWEEN).await;
        let target = self.targets.next();
        let ended = operator.run_on(&target, id, "test.ping", NO_ARGUMENTS, None).await?;
        self.wrong += u64::from(ended.targets != 1 || ended.answered() != 1);
        Ok(millis(ended.elapsed))
    }

    /// How many answered the large job, in its worst round.
    pub(super) fn accounted(&self, minions: u32) -> u64 {
        self.least.unwrap_or(minions.into())
    }
}
