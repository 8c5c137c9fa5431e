//! `relayctl jobs watch`: waits for a job that was ordered before.

use clap::Args;
use relay_core::ids::Jid;

use crate::{
    connect::Fabric,
    exit::{self, Exit},
    job::JobResult,
    output::Output,
    run::{Showing, terminal::Terminal, wait},
};

/// Which job, and from where.
#[derive(Debug, Args)]
#[command(after_help = examples())]
pub struct WatchArgs {
    /// The job's jid: 20 digits
    jid: Jid,
    /// With --out jsonl: only what comes after the line with this cursor
    #[arg(long, value_name = "CURSOR", value_parser = clap::value_parser!(u64).range(1..))]
    after: Option<u64>,
    #[command(flatten)]
    showing: Showing,
}

/// The end of its help.
fn examples() -> String {
    let examples = "\
EXAMPLES:
  relayctl jobs watch 20261121073656123456
  relayctl jobs watch 20261121073656123456 --out json
  relayctl jobs watch 20261121073656123456 --out jsonl
  relayctl jobs watch 20261121073656123456 --out jsonl --after 17

A stream of lines (jsonl) that was cut off goes on after its last line with a cursor: drop what follows that line, and watch
--after it. Together they are the stream as it would have been, without a gap or a repeat.";
    format!("{examples}\n\n{}", exit::HELP)
}

/// Runs it.
pub async fn run(args: WatchArgs, fabric: Fabric, out: &Output) -> anyhow::Result<Exit> {
    let showing = Showing { after: args.after.unwrap_or(0), ..args.showing };
    showing.check(out)?;
    wait(fabric, JobResult::new(args.jid, 0), &showing, &mut Terminal::new(), out).await
}
