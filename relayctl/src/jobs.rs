//! `relayctl jobs`: what ran, what runs, and stopping it.

mod cancel;
mod list;
mod show;
mod watch;

use clap::{Args, Subcommand};
use relay_core::ids::Jid;

use crate::{connect::Fabric, contexts::ContextFile, exit::Exit, output::Output};

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List jobs, the newest first
    List(list::ListArgs),
    /// Show what is known of a job now, without waiting
    #[command(after_help = show::examples())]
    Show(OneJob),
    /// Wait for a job and show it, as "run" does
    #[command(after_help = watch::examples())]
    Watch(OneJob),
    /// Keep a job from starting where it has not, and kill it where it runs
    Cancel(cancel::CancelArgs),
}

/// A job, and how to print it.
#[derive(Debug, Args)]
pub struct OneJob {
    /// The job's jid: 20 digits
    pub jid: Jid,
    /// One answer per minion, instead of equal answers together
    #[arg(long)]
    pub no_fold: bool,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl jobs list
  relayctl jobs show 20261121073656123456
  relayctl jobs watch 20261121073656123456
  relayctl jobs cancel 20261121073656123456";

/// Runs one of the commands.
pub async fn run(command: JobsCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let contexts = ContextFile::of_user()?.read()?;
    let mut fabric = Fabric::of(contexts.choose(wanted)?)?;
    match command {
        JobsCommand::List(args) => list::run(&args, &mut fabric, out).await,
        JobsCommand::Show(job) => show::run(&job, &mut fabric, out).await,
        JobsCommand::Watch(job) => watch::run(&job, &mut fabric, out).await,
        JobsCommand::Cancel(args) => cancel::run(&args, &mut fabric, out).await,
    }
}
