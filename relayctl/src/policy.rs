//! `relayctl policy`: who may do what. A file is checked without any fabric; what it decides about somebody's request is explained with
//! the minions and node groups of a fabric if one can be asked, by the same function that decides there.

mod check;
mod explain;
mod fleet;
mod show;

use clap::Subcommand;

use crate::{connect::Fabric, exit::Exit, output::Output};

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check a file: every problem at once, with line and column
    Check(check::CheckArgs),
    /// Say which rule decides about a request of somebody
    Explain(explain::ExplainArgs),
    /// Show which policy holds: its digest, since when, and whether the file is another one
    Show(show::ShowArgs),
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl policy check policy.yaml
  relayctl policy explain --as alice -- run 'web*' cmd.run uptime
  relayctl policy explain --file policy.yaml --as bob --group oncall -- jobs.cancel
  relayctl policy show";

/// Runs one of the commands.
pub async fn run(command: PolicyCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    match command {
        PolicyCommand::Check(args) => check::run(&args, out),
        PolicyCommand::Explain(args) => explain::run(&args, wanted, out).await,
        PolicyCommand::Show(args) => show::run(&args, &mut Fabric::wanted(wanted)?, out).await,
    }
}
