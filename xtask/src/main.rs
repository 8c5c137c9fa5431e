//! `cargo xtask`: what a person runs. Tests, the demo, the benchmarks; and what CI runs, which is the same.
//!
//! Owns the order of things and the words on the screen. What is tested, shown and measured lives in the crates and in
//! `relayctl`; this program starts them and believes their exit codes and their last lines.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod demo;
mod deny;
mod documents;
mod machine;
mod names;
mod packages;
mod process;
mod stop;
mod tally;
mod test;
mod tree;

/// Tests, the demo and the benchmarks of the relay fabric.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the fabric at work: real processes, three jobs, and the loss of a syndic
    #[command(after_help = demo::EXAMPLES)]
    Demo(demo::DemoArgs),
    /// Run every check and every test, as CI does
    #[command(after_help = test::EXAMPLES)]
    Test(test::TestArgs),
    /// Run what CI runs: the same as "test"
    Ci,
    /// Measure: build for release, and run one scenario of the load harness
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::BenchArgs),
}

const EXAMPLES: &str = "\
EXAMPLES:
  cargo xtask demo                     see it work (8 syndics, 200 minions)
  cargo xtask test --quick             while you write
  cargo xtask test                     before you hand it in
  cargo xtask bench fanout --minions 5000 --syndics 8 --rounds 20 --json";

fn main() -> ExitCode {
    if let Err(error) = stop::install() {
        eprintln!("xtask: {error:#}");
        return ExitCode::FAILURE;
    }
    let done = match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Ci => test::run(&test::TestArgs::default()),
        Command::Bench(args) => bench::run(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
