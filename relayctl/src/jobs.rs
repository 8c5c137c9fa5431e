//! `relayctl jobs`: what ran, what runs, and steering it.

mod approve;
mod cancel;
mod exact;
mod filter;
mod kill;
mod list;
mod outstanding;
mod prune;
mod rerun;
mod show;
mod stats;
mod watch;

use clap::{Args, Subcommand};
use relay_core::ids::Jid;

use crate::{
    connect::Fabric,
    exit::Exit,
    output::{Output, ViewArgs},
};

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List jobs, the newest first
    List(list::ListArgs),
    /// Show what is known of a job now, without waiting
    #[command(after_help = show::examples())]
    Show(OneJob),
    /// Wait for a job and show it, as "run" does
    Watch(watch::WatchArgs),
    /// Show who has no outcome yet in a job, and at which tier each is held
    Outstanding(outstanding::OutstandingArgs),
    /// Let a job go on that waits between two stages of a canary batch
    Approve(approve::ApproveArgs),
    /// Keep a job from starting where it has not, and kill it where it runs
    Cancel(cancel::CancelArgs),
    /// Send a signal to a job where it runs
    Kill(kill::KillArgs),
    /// Run a job again on those of its minions that had certain outcomes
    Rerun(rerun::RerunArgs),
    /// Show figures over the jobs that are kept, by function
    Stats(stats::StatsArgs),
    /// Forget closed jobs before their time
    Prune(prune::PruneArgs),
}

/// A job, and how to print it.
#[derive(Debug, Args)]
pub struct OneJob {
    /// The job's jid: 20 digits
    pub jid: Jid,
    #[command(flatten)]
    pub layout: ViewArgs,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl jobs list
  relayctl jobs list --state failed --since 1h
  relayctl jobs show 20261121073656123456
  relayctl jobs watch 20261121073656123456
  relayctl jobs outstanding 20261121073656123456
  relayctl jobs cancel 20261121073656123456
  relayctl jobs rerun 20261121073656123456 --only failed";

/// Runs one of the commands.
pub async fn run(command: JobsCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let mut fabric = Fabric::wanted(wanted)?;
    match command {
        JobsCommand::List(args) => list::run(&args, &mut fabric, out).await,
        JobsCommand::Show(job) => show::run(&job, &mut fabric, out).await,
        JobsCommand::Watch(args) => watch::run(args, fabric, out).await,
        JobsCommand::Outstanding(args) => outstanding::run(&args, &mut fabric, out).await,
        JobsCommand::Approve(args) => approve::run(&args, &mut fabric, out).await,
        JobsCommand::Cancel(args) => cancel::run(&args, &mut fabric, out).await,
        JobsCommand::Kill(args) => kill::run(args, fabric, out).await,
        JobsCommand::Rerun(args) => rerun::run(args, fabric, out).await,
        JobsCommand::Stats(args) => stats::run(&args, &mut fabric, out).await,
        JobsCommand::Prune(args) => prune::run(&args, &mut fabric, out).await,
    }
}
