//! `top-master`: the command line of the top master.

use std::process::ExitCode;

use clap::Parser;
use relay_runtime::{command::Daemon, config};

/// The top master: accepts jobs from operators and sees each of them through, on every minion.
#[derive(Parser)]
#[command(
    name = "top-master",
    version,
    after_help = "EXAMPLES:\n  top-master check-config --config /etc/relay/top-master.yaml\n  top-master serve --config /etc/relay/top-master.yaml"
)]
struct Cli {
    #[command(subcommand)]
    command: Daemon,
}

fn main() -> ExitCode {
    relay_runtime::command::run(
        Cli::try_parse().map(|cli| cli.command),
        config::load_top_master,
        |config| config.addresses().to_vec(),
        |config| config.runtime_threads,
        top_master::serve::serve,
    )
}
