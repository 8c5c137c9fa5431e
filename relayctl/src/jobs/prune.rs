//! `relayctl jobs prune`.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::{
    connect::Fabric,
    exit::Exit,
    output::Output,
    run::{
        span::span,
        terminal::{Ask, Terminal, confirm},
    },
    when,
};

/// Which jobs.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PruneArgs {
    /// Those that were closed longer ago than this: 12h, 7d
    #[arg(long, value_name = "TIME", value_parser = span)]
    older_than: Duration,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl jobs prune --older-than 7d
  relayctl jobs prune --older-than 12h --yes

Open jobs stay. What is forgotten is gone: outcomes, returns, and the history that plans estimate durations from.";

/// Runs it.
pub async fn run(args: &PruneArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let before = when::now_micros().saturating_sub(args.older_than.as_micros() as u64);
    let moment = when::moment(before).unwrap_or_default();
    let mut terminal = Terminal::new();
    if !args.yes && !terminal.is_there() {
        bail!("nobody is there to be asked: write --yes to forget all jobs closed before {moment}");
    }
    let question = format!("forget all jobs closed before {moment}? [y/N] ");
    if !args.yes && !confirm(&mut terminal, &question).await {
        bail!("nothing was forgotten");
    }
    let jobs = fabric.prune_jobs(before).await?;
    out.show(&json!({ "jobs": jobs, "before": moment }), |_| format!("{jobs} jobs forgotten"))?;
    Ok(Exit::Ok)
}
