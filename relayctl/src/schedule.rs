//! `relayctl schedule`: jobs that the top master runs at times.

mod add;
mod list;
mod name;
mod row;
mod run;

use clap::Subcommand;

use crate::{connect::Fabric, exit::Exit, output::Output};

/// What to do with schedules.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Keep a job, to be run at times
    Add(Box<add::AddArgs>),
    /// List schedules, with their last and next times
    #[command(after_help = list::EXAMPLES)]
    List,
    /// Show one schedule
    #[command(after_help = name::SHOW)]
    Show(name::NameArgs),
    /// Keep a schedule from running its job until it is resumed
    #[command(after_help = name::PAUSE)]
    Pause(name::NameArgs),
    /// Let a paused schedule go on
    #[command(after_help = name::RESUME)]
    Resume(name::NameArgs),
    /// Forget a schedule; its jobs stay
    #[command(after_help = name::REMOVE)]
    Remove(name::NameArgs),
    /// Run a schedule's job now, besides its times
    Run(run::ScheduleRunArgs),
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl schedule add nightly --cron '0 3 * * *' 'web*' cmd.run /opt/backup
  relayctl schedule list
  relayctl schedule pause nightly
  relayctl schedule run nightly";

/// Runs one of the commands.
pub async fn run(command: ScheduleCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let mut fabric = Fabric::wanted(wanted)?;
    match command {
        ScheduleCommand::Add(args) => add::run(&args, &mut fabric, out).await,
        ScheduleCommand::List => list::run(&mut fabric, out).await,
        ScheduleCommand::Show(args) => name::show(&args, &mut fabric, out).await,
        ScheduleCommand::Pause(args) => name::pause(&args, true, &mut fabric, out).await,
        ScheduleCommand::Resume(args) => name::pause(&args, false, &mut fabric, out).await,
        ScheduleCommand::Remove(args) => name::remove(&args, &mut fabric, out).await,
        ScheduleCommand::Run(args) => run::run(args, fabric, out).await,
    }
}
