//! `relayctl schedule run`.

use anyhow::bail;
use clap::Args;
use relay_core::ids::{Jid, RequestId};
use relay_proto::operator::RunScheduleRequest;

use crate::{
    connect::Fabric,
    exit::{self, Exit},
    job::JobResult,
    output::Output,
    run::{Showing, accepted, interrupted, terminal::Terminal, wait},
};

/// Which schedule, and how to wait for its job.
#[derive(Debug, Args)]
#[command(after_help = examples())]
pub struct ScheduleRunArgs {
    /// Its name
    name: String,
    /// Do not wait: print the jid and how to watch it
    #[arg(long = "async")]
    detached: bool,
    /// The request id of an earlier try whose answer was lost: if that one was accepted, it is this job
    #[arg(long, value_name = "HEX")]
    request_id: Option<RequestId>,
    #[command(flatten)]
    showing: Showing,
}

fn examples() -> String {
    let examples = "\
EXAMPLES:
  relayctl schedule run nightly
  relayctl schedule run nightly --async";
    format!("{examples}\n\n{}", exit::HELP)
}

/// Runs it. The exit code is the job's.
pub async fn run(args: ScheduleRunArgs, mut fabric: Fabric, out: &Output) -> anyhow::Result<Exit> {
    args.showing.check(out)?;
    let id = args.request_id.unwrap_or(RequestId(rand::random()));
    let request = RunScheduleRequest { name: args.name.clone(), request_id: id.0.to_be_bytes().to_vec() };
    let again = || {
        format!(
            "the job may be accepted: to find out, and never run it twice, repeat the same command with --request-id {id}"
        )
    };
    let submitted = tokio::select! {
        submitted = fabric.run_schedule(&request) => match submitted {
            Err(crate::api::CallError::Lost(why)) => bail!("{why}\n{}", again()),
            submitted => submitted?,
        },
        () = interrupted() => bail!("interrupted before the answer came; {}", again()),
    };
    let jid = Jid::from_micros(submitted.jid);
    if args.detached {
        return accepted(jid, &submitted, out);
    }
    wait(fabric, JobResult::new(jid, submitted.targets), &args.showing, &mut Terminal::new(), out).await
}
