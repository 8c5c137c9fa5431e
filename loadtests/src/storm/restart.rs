//! A syndic is killed and started again while jobs to all minions and to single ones go on: nobody may be lost.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::task::JoinHandle;

use crate::{
    attach::ATTACH_TIME,
    fabric::{
        Fabric, NO_ARGUMENTS,
        faults::accept_queue,
        operator::{Ended, Operator},
    },
    scenario::Run,
    swarm::Shape,
};

/// Jobs under way at once, each to all minions. They wait for the minions that are away.
pub(super) const FLOWS: u64 = 4;
/// Jobs under way at once to one minion each, another one each time: most of them wait for nobody.
pub(super) const SMALL_FLOWS: u64 = 4;
/// Pause between two jobs of a flow.
const BETWEEN: Duration = Duration::from_millis(50);
/// How often the state is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Restart {
    /// From the kill until every minion was up again.
    pub(super) after_kill: Duration,
    /// From the new process on.
    pub(super) after_start: Duration,
    /// The most connections that waited in the kernel for any syndic.
    pub(super) accept_queue: u64,
    /// The largest that all spools together were.
    pub(super) spool_bytes: f64,
    /// Jobs that were under way.
    pub(super) jobs: usize,
    /// Targets with an outcome, in the worst of them.
    pub(super) accounted: u64,
    /// Targets without, in all of them.
    pub(super) unaccounted: u64,
    /// What became of all targets of all jobs.
    pub(super) outcomes: BTreeMap<String, u64>,
}

/// Kills the first `killed` syndics and starts them again, and waits until all is well and every job has ended.
pub(super) async fn measure(
    run: &Run,
    fabric: &mut Fabric,
    killed: usize,
    seed: u64,
) -> anyhow::Result<Restart> {
    let over = Arc::new(AtomicBool::new(false));
    let mut flows = Vec::new();
    for n in 0..FLOWS + SMALL_FLOWS {
        let operator = fabric.another_operator().await?;
        let small = (n >= FLOWS).then_some((run.shape, run.minions));
        flows.push(tokio::spawn(flow(operator, seed ^ n, small, over.clone())));
    }
    let kill = Instant::now();
    (0..killed).try_for_each(|k| fabric.kill_syndic(k))?;
    let start = Instant::now();
    (0..killed).try_for_each(|k| fabric.start_syndic(k))?;
    let mut restart = Restart::default();
    back(run, fabric, &mut restart).await?;
    (restart.after_kill, restart.after_start) = (kill.elapsed(), start.elapsed());
    over.store(true, Relaxed);
    ended(run, flows, &mut restart).await?;
    Ok(restart)
}

/// Waits until every minion is up again. First somebody has to be seen down: the top master may not have noticed yet.
async fn back(run: &Run, fabric: &mut Fabric, restart: &mut Restart) -> anyhow::Result<()> {
    let (begun, all, ports) = (Instant::now(), u64::from(run.minions), fabric.syndic_ports());
    let mut noticed = false;
    loop {
        let up = fabric.minions_up().await?;
        noticed |= up < all;
        restart.accept_queue = restart.accept_queue.max(accept_queue(&ports));
        restart.spool_bytes = restart.spool_bytes.max(fabric.spool_bytes().await);
        if noticed && up == all {
            return Ok(());
        }
        fabric.check()?;
        let limit = ATTACH_TIME + 2 * run.minions * LOOK_EVERY;
        anyhow::ensure!(begun.elapsed() < limit, "{up} of {all} minions are back after {limit:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The jobs of one flow: what became of each, and whether it was for one minion only.
type Flown = Vec<(Ended, bool)>;

/// One job after the other, until it is over, to all minions or to one of so many.
async fn flow(
    mut operator: Operator,
    seed: u64,
    small: Option<(Shape, u32)>,
    over: Arc<AtomicBool>,
) -> anyhow::Result<Flown> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut jobs = Vec::new();
    while !over.load(Relaxed) {
        let target = match small {
            Some((shape, minions)) => shape.name(random.random_range(0..minions)),
            None => "*".into(),
        };
        let ended = operator.run_on(&target, random.random(), "test.ping", NO_ARGUMENTS, None).await?;
        jobs.push((ended, small.is_some()));
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(jobs)
}

async fn ended(
    run: &Run,
    flows: Vec<JoinHandle<anyhow::Result<Flown>>>,
    restart: &mut Restart,
) -> anyhow::Result<()> {
    let all = u64::from(run.minions);
    restart.accounted = all;
    for flow in flows {
        for (job, small) in flow.await?? {
            let expected = if small { 1 } else { all };
            let lost = job.targets.max(expected).saturating_sub(job.accounted());
            restart.jobs += 1;
            restart.accounted = restart.accounted.min(all.saturating_sub(lost));
            restart.unaccounted += lost;
            for (outcome, minions) in job.outcomes {
                *restart.outcomes.entry(outcome).or_default() += minions;
            }
        }
    }
    Ok(())
}
