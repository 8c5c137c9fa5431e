//! The command line: scenarios for people, made from the list of them, and the parts that a scenario starts as
//! processes of its own.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{
    fabric::MissingBinary,
    machine::{Limits, Machine, TooLarge},
    part::PARTS,
    report::Report,
    results,
    scenario::{Run, Scenario, named},
};

mod arguments;

/// Exit code for a command line that cannot be used, or a size that does not fit this machine.
const BAD_USAGE: u8 = 3;
/// Exit code when a budget is missed, a target is unaccounted for, or nothing could be measured.
const FAILED: u8 = 1;

/// Runs what the command line says.
pub fn main() -> ExitCode {
    let matches = match arguments::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { BAD_USAGE } else { 0 });
        }
    };
    // One of them there is: the command line demands it.
    let Some((name, matches)) = matches.subcommand() else { return ExitCode::from(BAD_USAGE) };
    let part = PARTS.iter().find(|part| part.name == name);
    let done = match (part, named(name)) {
        (Some(part), _) => (part.main)().map(|()| ExitCode::SUCCESS),
        (None, Some(scenario)) => run(scenario, matches),
        (None, None) => Ok(ExitCode::from(BAD_USAGE)),
    };
    done.unwrap_or_else(|error| failed(&error))
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("loadtests: {error:#}");
    let usage = error.is::<TooLarge>() || error.is::<MissingBinary>();
    ExitCode::from(if usage { BAD_USAGE } else { FAILED })
}

fn run(scenario: &'static Scenario, matches: &clap::ArgMatches) -> anyhow::Result<ExitCode> {
    let run = arguments::run(scenario, matches, Limits::take()?);
    (scenario.fits)(&run.limits, &run)?;
    let begun = Instant::now();
    let report = complete(measure(scenario, run)?, begun.elapsed());
    match matches.get_flag("json") {
        true => println!("{}", report.to_json()),
        false => println!("{}", report.to_table()),
    }
    if let Some(path) = results::keep(&report)? {
        eprintln!("kept in {}", path.display());
    }
    let complaints = report.complaints();
    complaints.iter().for_each(|complaint| eprintln!("loadtests: {complaint}"));
    Ok(ExitCode::from(if complaints.is_empty() { 0 } else { FAILED }))
}

fn measure(scenario: &Scenario, run: Run) -> anyhow::Result<Report> {
    // One thread, and the first one: children are tied to the thread that starts them (see `process`).
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            measured = (scenario.run)(run) => measured,
            why = interrupted() => Err(why),
        }
    })
}

/// What is the same for all scenarios.
fn complete(report: Report, took: Duration) -> Report {
    let took_s = (took.as_secs_f64() * 10.0).round() / 10.0;
    Report { machine: Machine::this(), commit: results::commit(), ended: results::now(), took_s, ..report }
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
