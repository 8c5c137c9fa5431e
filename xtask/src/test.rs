//! `cargo xtask test`: everything that must hold, cheapest first, so that a failure shows early.
//!
//! Owns the list of steps. Each one stops the run if it fails; the last line counts all of it.

use std::{
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::{
    demo, deny, documents, fanout, machine, names,
    process::{self, Group, typed},
    stop,
    tally::Tally,
    tree,
};

/// Longest time for one step; a cold build takes a few minutes on two cores, and nothing takes longer than the tests.
const STEP_TIME: Duration = Duration::from_secs(30 * 60);
/// Seeds of the simulation. More, any time: `cargo run -p simulation -- --seeds 500..5000`.
const SEEDS: &str = "0..500";

/// How much of it.
#[derive(Debug, Default, Args)]
pub struct TestArgs {
    /// Only what takes seconds after an edit: format, documents, names, lints, tests within one process
    #[arg(long)]
    quick: bool,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  cargo xtask test --quick             while you write
  cargo xtask test                     all of it, as CI does

What is missing on the machine is installed from the system's packages, if you are root; otherwise it is named.
Exit codes: 0 all passed, 1 something failed.";

/// One step.
struct Step {
    name: &'static str,
    what: &'static str,
    /// Part of the quick run.
    quick: bool,
    run: fn() -> anyhow::Result<Tally>,
}

const STEPS: &[Step] = &[
    Step { name: "format", what: "every file as rustfmt writes it", quick: true, run: format },
    Step {
        name: "documents",
        what: "links, named files, metrics in alerts",
        quick: true,
        run: documents::check,
    },
    Step { name: "names", what: "crates and modules", quick: true, run: names::check },
    Step { name: "lints", what: "clippy, warnings are errors", quick: true, run: lints },
    Step { name: "dependencies", what: "licences, bans, sources", quick: false, run: deny::check },
    Step { name: "build", what: "every program", quick: false, run: build },
    Step { name: "unit", what: "tests within one process", quick: true, run: unit },
    Step { name: "examples", what: "code in documentation", quick: false, run: examples },
    Step { name: "simulation", what: "500 seeds", quick: false, run: simulation },
    Step { name: "processes", what: "end to end, with faults", quick: false, run: processes },
    Step { name: "fanout", what: "the load harness, small", quick: false, run: fanout_small },
    Step { name: "demo", what: "the demo, as a newcomer runs it", quick: false, run: demo_whole },
];

fn format() -> anyhow::Result<Tally> {
    cargo(&["fmt", "--all", "--check", "--", "--color", "never"])
}

fn lints() -> anyhow::Result<Tally> {
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

// One set of packages in all builds: with another, cargo unifies features anew and compiles the dependencies again.
fn build() -> anyhow::Result<Tally> {
    cargo(&["build", "--workspace", "--bins"])
}

fn unit() -> anyhow::Result<Tally> {
    cargo(&["test", "--workspace", "--lib", "--bins", "--no-fail-fast"])
}

fn examples() -> anyhow::Result<Tally> {
    cargo(&["test", "--workspace", "--doc", "--no-fail-fast"])
}

fn simulation() -> anyhow::Result<Tally> {
    let mut simulation = Command::new(debug_dir()?.join("simulation"));
    simulation.args(["--seeds", SEEDS]);
    run_to_end(&mut simulation)
}

fn processes() -> anyhow::Result<Tally> {
    cargo(&["test", "--workspace", "--test", "*", "--no-fail-fast"])
}

fn fanout_small() -> anyhow::Result<Tally> {
    fanout::check(&debug_dir()?)
}

fn demo_whole() -> anyhow::Result<Tally> {
    demo::tell(&demo::DemoArgs::default(), &debug_dir()?).map(|()| Tally::PASSED)
}

fn debug_dir() -> anyhow::Result<std::path::PathBuf> {
    Ok(tree::target_dir()?.join("debug"))
}

fn cargo(args: &[&str]) -> anyhow::Result<Tally> {
    let mut cargo = tree::cargo();
    run_to_end(cargo.args(args))
}

/// Runs a program; the tests it counts, or itself as one check.
fn run_to_end(command: &mut Command) -> anyhow::Result<Tally> {
    println!("$ {}", typed(command));
    let mut tally = Tally::default();
    let counted = |line: &str| {
        println!("{line}");
        tally += Tally::of_line(line).unwrap_or_default();
    };
    let ended = process::run(command, Group::Own, STEP_TIME, counted)?;
    match ended.status.success() {
        true if tally == Tally::default() => Ok(Tally::PASSED),
        true => Ok(tally),
        // The tests that did pass are not counted: a run that failed has one number that matters.
        false if tally.failed > 0 => bail!("{} tests failed, {} passed", tally.failed, tally.passed),
        false => bail!("{} ended with {}", program(command), ended.status),
    }
}

fn program(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Runs all steps, or the quick ones.
///
/// # Errors
/// The machine lacks something. A step that fails is no error but exit code 1.
pub fn run(args: &TestArgs) -> anyhow::Result<ExitCode> {
    machine::prepare().context("this machine is not ready")?;
    let steps: Vec<&Step> = STEPS.iter().filter(|step| step.quick || !args.quick).collect();
    let mut done: Vec<Done> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        println!("\n=== {}/{} {}: {}", at + 1, steps.len(), step.name, step.what);
        let begun = Instant::now();
        let result = (step.run)();
        let done_now = Done { name: step.name, took: begun.elapsed(), result };
        println!("{done_now}");
        let failed = done_now.result.is_err();
        done.push(done_now);
        if failed || stop::asked() {
            break;
        }
    }
    let left = steps.len() - done.len();
    let total = close(&done, left, args.quick);
    Ok(if total.failed == 0 && left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How a step ended.
struct Done {
    name: &'static str,
    took: Duration,
    result: anyhow::Result<Tally>,
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--- {:<14} {:>7.1} s  ", self.name, self.took.as_secs_f64())?;
        match &self.result {
            Ok(tally) => write!(f, "{tally}"),
            Err(error) => write!(f, "FAILED: {error:#}"),
        }
    }
}

/// The end of the output: each step with its time, then one line that counts everything.
fn close(done: &[Done], left: usize, quick: bool) -> Tally {
    println!();
    let mut total = Tally::default();
    for step in done {
        println!("{step}");
        total += *step.result.as_ref().unwrap_or(&Tally::FAILED);
    }
    for _ in 0..left {
        total += Tally::SKIPPED;
    }
    if left > 0 {
        println!("{left} steps were not run");
    } else if quick {
        println!("the quick run; all of it: cargo xtask test");
    }
    let took: Duration = done.iter().map(|step| step.took).sum();
    println!("{:.0} min {:02} s", (took.as_secs() / 60), took.as_secs() % 60);
    println!("{total}");
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> anyhow::Result<Tally> {
        run_to_end(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn tests_of_a_step_are_summed() {
        let line =
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        let tally = shell(&format!("echo '{line}'; echo '{line}'")).unwrap();
        assert_eq!(tally, Tally { passed: 4, failed: 0, skipped: 2 });
        assert_eq!(shell("echo no tests").unwrap(), Tally::PASSED);
    }

    #[test]
    fn a_failing_step_fails_whatever_it_counted() {
        let line = "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        let told = shell(&format!("echo '{line}'; exit 101")).unwrap_err().to_string();
        assert_eq!(told, "1 tests failed, 2 passed");
        assert!(shell("exit 3").is_err());
    }

    #[test]
    fn the_end_counts_failures_and_what_was_not_run() {
        let step = |result| Done { name: "x", took: Duration::ZERO, result };
        let done = [step(Ok(Tally { passed: 5, failed: 0, skipped: 0 })), step(Err(anyhow::anyhow!("no")))];
        assert_eq!(close(&done, 2, false), Tally { passed: 5, failed: 1, skipped: 2 });
    }
}
