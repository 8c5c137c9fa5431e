//! `relayctl jobs show`: a job as it stands now.

use anyhow::Context as _;

use super::OneJob;
use crate::{
    connect::Fabric,
    exit::{self, Exit},
    job::{JobResult, so_far},
    output::{Output, clean},
    run,
};

/// The end of its help.
pub fn examples() -> String {
    let examples = "\
EXAMPLES:
  relayctl jobs show 20261121073656123456
  relayctl jobs show 20261121073656123456 --no-fold
  relayctl jobs show 20261121073656123456 --out json";
    format!("{examples}\n\n{}", exit::HELP)
}

/// Runs it. The exit code is the job's: 4 while it runs.
pub async fn run(job: &OneJob, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let mut result = JobResult::new(job.jid, 0);
    so_far(fabric, &mut result).await.with_context(|| format!("jid {}", job.jid))?;
    out.say(&what(&result))?;
    run::show(&result, !job.no_fold, out)?;
    Ok(Exit::of_job(result.outcomes(), result.is_closed()))
}

fn what(result: &JobResult) -> String {
    let Some(head) = &result.head else { return String::new() };
    let args = String::from_utf8_lossy(&head.args);
    clean(&format!("{} {args} on {}, by {}", head.function, head.target, head.caller))
}
