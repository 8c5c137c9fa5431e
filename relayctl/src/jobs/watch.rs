//! `relayctl jobs watch`: waits for a job that was ordered before.

use super::OneJob;
use crate::{
    connect::Fabric,
    exit::{self, Exit},
    job::JobResult,
    output::Output,
    run,
};

/// The end of its help.
pub fn examples() -> String {
    let examples = "\
EXAMPLES:
  relayctl jobs watch 20261121073656123456
  relayctl jobs watch 20261121073656123456 --out json";
    format!("{examples}\n\n{}", exit::HELP)
}

/// Runs it.
pub async fn run(job: &OneJob, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    run::watch(fabric, JobResult::new(job.jid, 0), !job.no_fold, out).await
}
