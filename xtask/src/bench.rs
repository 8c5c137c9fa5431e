//! `cargo xtask bench`: builds for release, then becomes the load harness.

use std::{
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use anyhow::Context as _;
use clap::Args;

use crate::{process::typed, tree};

/// A scenario, and what it is told.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The scenario and its options, as the load harness takes them; "--help" shows them
    #[arg(value_name = "SCENARIO", trailing_var_arg = true, allow_hyphen_values = true, num_args = 1..)]
    scenario: Vec<String>,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  cargo xtask bench fanout --minions 5000 --syndics 8 --rounds 20
  cargo xtask bench fanout --minions 5000 --syndics 8 --rounds 20 --json
  cargo xtask bench -- --help          the scenarios

Exit codes are the harness's: 0 good, 1 a must is missed or a target is unaccounted.";

/// What a scenario starts.
const PROGRAMS: [&str; 4] = ["top-master", "syndic", "minion", "loadtests"];

/// Builds, and does not come back.
///
/// # Errors
/// It does not compile, or cannot be started.
pub fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let bin = tree::build(&PROGRAMS, true)?;
    let mut harness = Command::new(bin.join("loadtests"));
    harness.args(&args.scenario);
    eprintln!("$ {}", typed(&harness));
    // In its place, so that its exit code, its signals and its terminal are its own.
    Err(harness.exec()).context(typed(&harness))
}
