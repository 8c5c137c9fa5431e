//! Steady jobs: each is asked for until it is accepted, whatever becomes of the top master meanwhile.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{attach::ATTACH_TIME, fabric::Fabric, scenario::Run};

/// Jobs open at once, at most: faults hold some of them up for half a minute, and nothing is proven by a heap of them.
const MAX_OPEN: u64 = 40;
/// How long one request may take; then it is repeated.
const ASK_TIME: Duration = Duration::from_secs(5);
/// How long everything may take to come to rest after the last fault.
const REST_TIME: Duration = Duration::from_secs(180);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A job that was accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepted {
    pub(super) jid: u64,
    /// How many targets the operator was shown.
    pub(super) targets: u64,
}

/// All jobs of a run.
#[derive(Debug)]
pub(super) struct Work {
    random: StdRng,
    /// A request without an answer: it is repeated under the same id.
    unanswered: Option<u128>,
    jobs: Vec<Accepted>,
    asked_again: u64,
}

impl Work {
    pub(super) fn new(seed: u64) -> Work {
        Work { random: StdRng::seed_from_u64(seed), unanswered: None, jobs: Vec::new(), asked_again: 0 }
    }

    /// Asks for one job more, if not too many are open.
    pub(super) async fn ask(&mut self, fabric: &mut Fabric) {
        if self.unanswered.is_none() {
            let open = tokio::time::timeout(ASK_TIME, fabric.operator.open_jobs()).await;
            if !matches!(open, Ok(Ok(open)) if open < MAX_OPEN) {
                return;
            }
        }
        let id = *self.unanswered.get_or_insert_with(|| self.random.random());
        match tokio::time::timeout(ASK_TIME, fabric.operator.ask("*", id, "test.ping")).await {
            Ok(Ok((jid, targets))) => {
                self.jobs.push(Accepted { jid, targets });
                self.unanswered = None;
            }
            _ => self.asked_again += 1,
        }
    }

    /// Waits until every minion is up and every job closed.
    pub(super) async fn settle(&mut self, run: &Run, fabric: &mut Fabric) -> anyhow::Result<()> {
        while self.unanswered.is_some() {
            self.ask(fabric).await;
            fabric.check()?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        fabric.wait_for_minions(run.minions.into(), ATTACH_TIME, |_| Ok(())).await?;
        let begun = Instant::now();
        while fabric.operator.open_jobs().await? > 0 {
            anyhow::ensure!(begun.elapsed() < REST_TIME, "jobs are open {REST_TIME:?} after the last fault");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    pub(super) fn jobs(&self) -> &[Accepted] {
        &self.jobs
    }

    /// How often a request had to be repeated.
    pub(super) fn asked_again(&self) -> u64 {
        self.asked_again
    }
}
