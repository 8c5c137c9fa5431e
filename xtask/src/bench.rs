//! `cargo xtask bench`: builds for release, then becomes the load harness; its results are kept in the repository, and
//! `bench report` makes a page of them.

use std::{
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::{process::typed, tree};

mod kept;
mod page;
mod plot;

/// A scenario, and what it is told.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The scenario and its options, as the load harness takes them ("--help" shows them); or "report"
    #[arg(value_name = "SCENARIO", trailing_var_arg = true, allow_hyphen_values = true, num_args = 1..)]
    scenario: Vec<String>,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  cargo xtask bench fanout --minions 5000 --syndics 8 --rounds 20
  cargo xtask bench fanout --json
  cargo xtask bench -- --help          the scenarios (it is built first)
  cargo xtask bench report             docs/performance/results.md and its plots, from the kept results

Results of full runs are kept in loadtests/results, one line each.
Exit codes are the harness's: 0 good, 1 a must is missed or a target is unaccounted for, 3 too large for this machine.";

/// What a scenario starts.
const PROGRAMS: [&str; 5] = ["top-master", "syndic", "minion", "relayctl", "loadtests"];
/// Where results are kept, in the repository.
const RESULTS: &str = "loadtests/results";
/// The page of results, and its plots.
const PAGES: &str = "docs/performance";
/// What makes the page.
const REPORT: &str = "report";
/// How the harness is told where (`loadtests/src/results.rs`).
const RESULTS_VARIABLE: &str = "RELAY_BENCH_RESULTS";
/// How it is told of other binaries (`loadtests/src/fabric/binaries.rs`).
const BINARIES_VARIABLE: &str = "RELAY_BIN_DIR";
/// How it is told what it measures.
const COMMIT_VARIABLE: &str = "RELAY_BENCH_COMMIT";

/// Makes the page; or builds, and does not come back.
///
/// # Errors
/// It does not compile, or cannot be started; or results cannot be read, or the page not be written.
pub fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    if args.scenario.first().is_some_and(|first| first == REPORT) {
        ensure!(args.scenario.len() == 1, "report takes nothing more: it is made from all kept results");
        let dir = tree::root().join(PAGES);
        page::write(&dir, &kept::all(&tree::root().join(RESULTS))?)?;
        println!("{}", dir.join(page::PAGE).display());
        return Ok(ExitCode::SUCCESS);
    }
    let bin = tree::build(&PROGRAMS, true)?;
    let mut harness = Command::new(bin.join("loadtests"));
    harness.args(&args.scenario);
    // What is measured is what was built here, whatever the shell says.
    harness.env_remove(BINARIES_VARIABLE);
    harness.env(RESULTS_VARIABLE, tree::root().join(RESULTS)).env(COMMIT_VARIABLE, commit());
    eprintln!("$ {}", typed(&harness));
    // In its place, so that its exit code, its signals and its terminal are its own.
    Err(harness.exec()).context(typed(&harness))
}

/// The commit that is built, with `-dirty` if it is not all; `unknown` outside a repository.
fn commit() -> String {
    let git = |args: &[&str]| {
        let done = Command::new("git").args(args).current_dir(tree::root()).output().ok()?;
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
    };
    // What has been measured before does not change what is measured.
    let changes = git(&["status", "--porcelain", "--", ".", ":!loadtests/results", ":!docs"]);
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        Some(commit) if changes.is_some_and(|changes| changes.is_empty()) => commit,
        Some(commit) => format!("{commit}-dirty"),
        None => "unknown".into(),
    }
}
