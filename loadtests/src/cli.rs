//! The command line: scenarios for people, and the parts that a scenario starts as processes of its own.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::{batch, fanout, floor, machine, report::Report, swarm, targets};

/// Exit code for a command line that cannot be used, or a size that does not fit this machine.
const BAD_USAGE: u8 = 3;
/// Exit code when a budget is missed, a target is unaccounted for, or nothing could be measured.
const FAILED: u8 = 1;

/// Load tests of the fabric: real processes on loopback, a throw-away authority, figures with their budgets.
#[derive(Parser)]
#[command(
    name = "loadtests",
    version,
    after_help = "EXAMPLES:\n  loadtests fanout --minions 5000 --syndics 8 --rounds 20 --json\n  loadtests fanout --minions 40 --syndics 2 --rounds 2 --tiny\n\nThe binaries top-master, syndic and minion are taken from RELAY_BIN_DIR, or from beside this one.\nExit code: 0 all budgets kept, 1 one missed or a target unaccounted for, 3 wrong usage or too large for this machine."
)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// A job that does nothing, to all minions, against a bare TCP tree of the same shape.
    #[command(
        after_help = "EXAMPLES:\n  loadtests fanout --minions 5000 --syndics 8 --rounds 20 --json\n  loadtests fanout --minions 40 --syndics 2 --rounds 2 --tiny    # any build; only what does not depend on speed is judged"
    )]
    Fanout(Fanout),
    /// A job through a window of so many at once, against the time that the window allows in theory.
    #[command(
        after_help = "EXAMPLES:\n  loadtests batch --minions 5000 --syndics 8 --window 500 --json\n  loadtests batch --minions 40 --syndics 2 --window 10 --rounds 1 --sleep-ms 100 --tiny"
    )]
    Batch(Batch),
    /// Compounds of five terms on the inventory of a large fleet: how long one evaluation takes.
    #[command(
        after_help = "EXAMPLES:\n  loadtests targets --minions 100000 --rounds 21\n  loadtests targets --minions 70000 --rounds 1 --tiny    # any build; only what does not depend on speed is judged"
    )]
    Targets(Targets),
    /// Simulated minions (started by a scenario; its plan comes on standard input).
    #[command(hide = true)]
    Swarm,
    /// The floor's top (started by a scenario).
    #[command(hide = true)]
    FloorTop,
    /// A middle of the floor (started by a scenario).
    #[command(hide = true)]
    FloorMiddle,
    /// Leaves of the floor (started by a scenario).
    #[command(hide = true)]
    FloorLeaves,
}

/// What can be asked of `fanout`.
#[derive(Debug, Clone, Args)]
pub struct Fanout {
    /// Simulated minions in all.
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub minions: u32,
    /// Syndics between them and the top master.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub syndics: u32,
    /// Measured rounds.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// Runtime threads of the top master and of each syndic. Default: what they choose themselves.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub daemon_threads: Option<u32>,
    /// Seed of what the bench itself draws (incarnations, request ids, texts). Default: drawn and shown.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// One JSON object on standard output instead of a table.
    #[arg(long)]
    pub json: bool,
    /// For small runs with any build: figures of time and memory are shown but not judged.
    #[arg(long)]
    pub tiny: bool,
}

/// What can be asked of `batch`.
#[derive(Debug, Clone, Args)]
pub struct Batch {
    /// Simulated minions in all.
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub minions: u32,
    /// Syndics between them and the top master.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub syndics: u32,
    /// How many run at once.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub window: u32,
    /// How long each minion runs, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub sleep_ms: u32,
    /// Measured rounds.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// Seed of what the bench itself draws. Default: drawn and shown.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// One JSON object on standard output instead of a table.
    #[arg(long)]
    pub json: bool,
    /// For small runs with any build: figures of time are shown but not judged.
    #[arg(long)]
    pub tiny: bool,
}

/// What can be asked of `targets`.
#[derive(Debug, Clone, Args)]
pub struct Targets {
    /// Minions in the inventory. The expressions mean somebody from 65,537 on.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(65_537..=1_000_000))]
    pub minions: u32,
    /// Measured rounds.
    #[arg(long, value_name = "N", default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// One JSON object on standard output instead of a table.
    #[arg(long)]
    pub json: bool,
    /// For any build: figures of time are shown but not judged.
    #[arg(long)]
    pub tiny: bool,
}

/// Runs what the command line says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { BAD_USAGE } else { 0 });
        }
    };
    let done = match cli.scenario {
        Scenario::Fanout(args) => return scenario(args.json, fanout::run(&args)),
        Scenario::Batch(args) => return scenario(args.json, batch::run(&args)),
        Scenario::Targets(args) => return scenario(args.json, targets::run(&args)),
        Scenario::Swarm => swarm::main(),
        Scenario::FloorTop => floor::top::main(),
        Scenario::FloorMiddle => floor::middle::main(),
        Scenario::FloorLeaves => floor::leaves::main(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("loadtests: {error:#}");
    let usage = error.is::<machine::TooLarge>() || error.is::<crate::fabric::MissingBinary>();
    ExitCode::from(if usage { BAD_USAGE } else { FAILED })
}

fn scenario(json: bool, run: impl Future<Output = anyhow::Result<Report>>) -> ExitCode {
    // One thread, and the first one: children are tied to the thread that starts them (see `process`).
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let measured = runtime.block_on(async {
        tokio::select! {
            measured = run => measured,
            why = interrupted() => Err(why),
        }
    });
    match measured {
        Ok(report) => {
            match json {
                true => println!("{}", report.to_json()),
                false => println!("{}", report.to_table()),
            }
            for complaint in report.complaints() {
                eprintln!("loadtests: {complaint}");
            }
            ExitCode::from(if report.complaints().is_empty() { 0 } else { FAILED })
        }
        Err(error) => failed(&error),
    }
}

/// Comes back when a signal asks to stop; dropping the scenario then kills its processes and removes its directory.
async fn interrupted() -> anyhow::Error {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => anyhow::anyhow!("interrupted; nothing was measured to the end"),
        _ = terminate.recv() => anyhow::anyhow!("terminated; nothing was measured to the end"),
    }
}
