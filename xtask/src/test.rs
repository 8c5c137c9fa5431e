//! `cargo xtask test`: everything that must hold, cheapest first, so that a failure shows early.
//!
//! Owns the list of steps. Each one stops the run if it fails; the last line counts all of it.

use std::{
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, builder::PossibleValuesParser};

use crate::{
    demo, deny, documents, machine, names, packages,
    process::{self, Group, typed},
    stop,
    tally::Tally,
    tree,
};

/// Longest time for one step; a cold build takes a few minutes on two cores, and nothing takes longer than the tests.
const STEP_TIME: Duration = Duration::from_secs(30 * 60);
/// The package whose tests run the core on a simulated clock, network and disks. How many seeds is written there; more,
/// any time: `cargo run -p simulation -- --seeds 1000..5000`.
const SIMULATION: &str = "simulation";
/// The package whose tests run the load harness, small: who is accounted for counts there, and no time.
const LOAD: &str = "loadtests";

/// How much of it.
#[derive(Debug, Default, Args)]
pub struct TestArgs {
    /// Only what takes seconds after an edit: format, documents, names, lints, tests within one process
    #[arg(long)]
    quick: bool,
    /// Only this step; may be given more than once
    #[arg(long, value_name = "STEP", conflicts_with = "quick", value_parser = PossibleValuesParser::new(STEPS.iter().map(|s| s.name)))]
    only: Vec<String>,
}

impl TestArgs {
    fn takes(&self, step: &Step) -> bool {
        match self.only.is_empty() {
            true => step.quick || !self.quick,
            false => self.only.iter().any(|name| name == step.name),
        }
    }
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  cargo xtask test --quick             while you write
  cargo xtask test                     all of it, as CI does
  cargo xtask test --only lints --only unit

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
    Step { name: "packages", what: "what tests use of the system", quick: false, run: packages::check },
    Step { name: "build", what: "every program", quick: false, run: build },
    Step { name: "unit", what: "tests within one process", quick: true, run: unit },
    Step { name: "examples", what: "code in documentation", quick: false, run: examples },
    Step {
        name: "simulation",
        what: "hundreds of seeds, and that broken rules are noticed",
        quick: false,
        run: simulation,
    },
    Step { name: "processes", what: "end to end, with faults", quick: false, run: processes },
    Step { name: "scenarios", what: "each of the load harness, small", quick: false, run: scenarios },
    Step { name: "demo", what: "the demo, as a newcomer runs it", quick: false, run: demo_whole },
    Step { name: "ha-demo", what: "the demo of two top masters", quick: false, run: demo_ha },
];

fn format() -> anyhow::Result<Tally> {
    cargo(&["fmt", "--all", "--check", "--", "--color", "never"])
}

fn lints() -> anyhow::Result<Tally> {
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

fn build() -> anyhow::Result<Tally> {
    cargo(&tree::BUILD)
}

fn unit() -> anyhow::Result<Tally> {
    cargo(&["test", "--workspace", "--lib", "--bins", "--no-fail-fast"])
}

fn examples() -> anyhow::Result<Tally> {
    cargo(&["test", "--workspace", "--doc", "--no-fail-fast"])
}

fn simulation() -> anyhow::Result<Tally> {
    programs(|package| package == SIMULATION)
}

fn processes() -> anyhow::Result<Tally> {
    programs(|package| ![SIMULATION, LOAD].contains(&package))
}

fn scenarios() -> anyhow::Result<Tally> {
    programs(|package| package == LOAD)
}

/// The test programs of some packages, chosen by name and not by package, for [`tree::BUILD`]'s reason.
fn programs(wanted: impl Fn(&str) -> bool) -> anyhow::Result<Tally> {
    let names = tree::test_programs(wanted)?;
    ensure!(!names.is_empty(), "there are no such tests");
    let tests = names.iter().flat_map(|name| ["--test", name]);
    let args: Vec<&str> =
        ["test", "--workspace"].into_iter().chain(tests).chain(["--no-fail-fast"]).collect();
    cargo(&args)
}

fn demo_whole() -> anyhow::Result<Tally> {
    demo::tell(&demo::DemoArgs::default(), &debug_dir()?).map(|()| Tally::PASSED)
}

fn demo_ha() -> anyhow::Result<Tally> {
    if let Some(missing) = demo::servers::missing() {
        println!("SKIPPED: the demo of two top masters. {missing}");
        return Ok(Tally::SKIPPED);
    }
    demo::tell(&demo::DemoArgs::ha(), &debug_dir()?).map(|()| Tally::PASSED)
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
        false if tally.failed > 0 => Err(TestsFailed(tally).into()),
        false => bail!("{} ended with {}", program(command), ended.status),
    }
}

/// Tests failed: how many, and how many did not.
#[derive(Debug)]
struct TestsFailed(Tally);

impl std::error::Error for TestsFailed {}

impl std::fmt::Display for TestsFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
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
    let steps: Vec<&Step> = STEPS.iter().filter(|step| args.takes(step)).collect();
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
    let total = close(&done, left, steps.len() < STEPS.len());
    Ok(if total.failed == 0 && left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How a step ended.
struct Done {
    name: &'static str,
    took: Duration,
    result: anyhow::Result<Tally>,
}

impl Done {
    /// What it counts. A step that failed before it could count is one failure.
    fn tally(&self) -> Tally {
        match &self.result {
            Ok(tally) => *tally,
            Err(error) => error.downcast_ref().map_or(Tally::FAILED, |TestsFailed(tally)| *tally),
        }
    }
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
fn close(done: &[Done], left: usize, part: bool) -> Tally {
    println!();
    let mut total = Tally::default();
    for step in done {
        println!("{step}");
        total += step.tally();
    }
    for _ in 0..left {
        total += Tally::SKIPPED;
    }
    if left > 0 {
        println!("{left} steps were not run");
    } else if part {
        println!("this was a part; all of it: cargo xtask test");
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
        assert_eq!(told, "2 passed, 1 failed, 0 skipped");
        let crashed =
            shell("echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 3").unwrap_err().to_string();
        assert!(crashed.contains("ended with"), "{crashed}");
    }

    #[test]
    fn the_end_counts_failures_and_what_was_not_run() {
        let step = |result| Done { name: "x", took: Duration::ZERO, result };
        let tests = |passed, failed| Tally { passed, failed, skipped: 0 };
        let done = [step(Ok(tests(5, 0))), step(Err(anyhow::anyhow!("no")))];
        assert_eq!(close(&done, 2, false), Tally { passed: 5, failed: 1, skipped: 2 });
        let done = [step(Ok(tests(5, 0))), step(Err(TestsFailed(tests(3, 2)).into()))];
        assert_eq!(close(&done, 0, true), tests(8, 2));
    }
}
