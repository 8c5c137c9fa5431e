//! `syndic`: the command line of the syndic.

use std::process::ExitCode;

use clap::Parser;
use relay_runtime::{command::Daemon, config};

/// The syndic: relays jobs to the minions of its region, and folds their returns back up.
#[derive(Parser)]
#[command(
    name = "syndic",
    version,
    after_help = "EXAMPLES:\n  syndic check-config --config /etc/relay/syndic.yaml\n  syndic serve --config /etc/relay/syndic.yaml"
)]
struct Cli {
    #[command(subcommand)]
    command: Daemon,
}

fn main() -> ExitCode {
    relay_runtime::command::run(
        Cli::try_parse().map(|cli| cli.command),
        config::load_syndic,
        |config| config.addresses().to_vec(),
        |config| config.runtime_threads,
        syndic::serve::serve,
    )
}
