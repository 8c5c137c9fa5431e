//! `minion`: the command line of the minion.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use minion::{runner, serve};

/// Exit code for a configuration that cannot be used.
const BAD_CONFIG: u8 = 3;

/// The minion: runs the jobs that its fabric's top master signs for it.
#[derive(Parser)]
#[command(
    name = "minion",
    version,
    after_help = "EXAMPLES:\n  minion check-config --config /etc/relay/minion.yaml\n  minion serve --config /etc/relay/minion.yaml\n  minion serve --config trial.yaml --count 50    # fifty minions in one process, for trials"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Attach to the first parent that answers, and run jobs until stopped.
    #[command(
        after_help = "EXAMPLES:\n  minion serve --config /etc/relay/minion.yaml\n  minion serve --config trial.yaml --count 50"
    )]
    Serve(Config),
    /// Check a configuration and say everything that is wrong with it.
    #[command(after_help = "EXAMPLES:\n  minion check-config --config /etc/relay/minion.yaml")]
    CheckConfig(Config),
    /// Run one command and write down how it ended (started by the minion itself).
    #[command(hide = true)]
    Runner {
        /// The run's directory.
        #[arg(long)]
        dir: PathBuf,
    },
}

#[derive(clap::Args)]
struct Config {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How many minions this process hosts (for trials); ids are numbered.
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: usize,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { BAD_CONFIG } else { 0 });
        }
    };
    match cli.command {
        // First thing: the runner must be alone in its process.
        Command::Runner { dir } => ExitCode::from(u8::try_from(runner::runner_main(&dir)).unwrap_or(1)),
        Command::CheckConfig(args) => check(&args),
        Command::Serve(args) => run(&args),
    }
}

fn check(args: &Config) -> ExitCode {
    match serve::check(&args.config, args.count) {
        Ok(configs) => {
            println!("{}: good for {} minion(s)", args.config.display(), configs.len());
            ExitCode::SUCCESS
        }
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::from(BAD_CONFIG)
        }
    }
}

fn run(args: &Config) -> ExitCode {
    let configs = match serve::check(&args.config, args.count) {
        Ok(configs) => configs,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    // One thread: a minion waits most of its life, and a thread's stack and arena are what it would cost.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served =
        runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(serve::serve(configs)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("minion: {error:#}");
            ExitCode::FAILURE
        }
    }
}
