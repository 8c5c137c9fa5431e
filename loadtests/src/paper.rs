//! `paper`: the rules alone with a million targets: plan, dispatch sets, folds, ledger. Time and memory of one process.
//!
//! A top master's rules with a whole fleet attached run one job after the other, and every minion's answer goes through the
//! fold of its syndic; what each step should lead to is checked. Left out: everything that is not `relay-core` (encoding,
//! links, store, signature), and that 200 syndics fold on 200 machines: here one thread does all of it. The budget, for
//! 1,000,000 targets: at most 3 s and 600 MB, the inventory of the million included; aimed for are 1 s and 200 MB.

mod answers;
mod course;
mod fleet;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::{
    answers::{ALL, Answers},
    course::{Course, Paper},
    fleet::{Fleet, Size},
};
use crate::{
    machine,
    part::{self, Part},
    report::{
        Figure,
        Kind::{Memory, Time},
        Report,
    },
    scenario::{self, Number, Run, Scenario},
    statistics::median,
};

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "paper",
    about: "The rules alone with a million targets: time and memory of plan, dispatch sets, folds and ledger",
    usual: scenario::Size { minions: 1_000_000, syndics: 200, rounds: 20 },
    tiny: scenario::Size { minions: 3_000, syndics: 4, rounds: 1 },
    least: 1,
    options: &[Number {
        name: "regions",
        about: "Regions that the syndics are in",
        usual: 20,
        tiny: 2,
        range: (1, 1_000),
    }],
    fits: |limits, run| limits.memory(run.minions, "targets", TARGET_KIB),
    run: |run| Box::pin(measure(run)),
};

/// The process that measures, among the parts.
pub const PART: part::PartKind =
    part::PartKind { name: "paper-rules", about: "The rules with a fleet on paper", main };

/// Memory of one target, in KiB: half of it measured, the rest room.
const TARGET_KIB: u64 = 1;
/// How long one round may take, in any build: a million targets in a debug build take a minute.
const ROUND_TIME: Duration = Duration::from_secs(600);

/// What the process is asked.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Plan {
    size: Size,
    rounds: u32,
}

/// What one round of the process found: a job with each kind of answers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Round {
    /// As in [`ALL`].
    courses: [Course; ALL.len()],
    /// Time on the clock of each, in milliseconds.
    clock_ms: [f64; ALL.len()],
    /// Highest resident memory so far, in KiB.
    peak_kib: u64,
}

/// How the fleet was set up, before the first job.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Stands {
    took_ms: f64,
    peak_kib: u64,
}

/// The process: sets the fleet up, says what that took, then one line for each round.
///
/// # Errors
/// A job did not end as it should.
fn main() -> anyhow::Result<()> {
    let plan: Plan = part::plan()?;
    part::end_with_the_scenario();
    let (pid, begun) = (std::process::id(), Instant::now());
    let mut fleet = Fleet::new(plan.size)?;
    let took_ms = begun.elapsed().as_secs_f64() * 1000.0;
    say(&Stands { took_ms, peak_kib: machine::peak_kib(pid)? })?;
    for round in 0..plan.rounds {
        let mut said = Round { courses: Default::default(), clock_ms: Default::default(), peak_kib: 0 };
        for (at, (answers, _)) in ALL.into_iter().enumerate() {
            let number = u64::from(round) * ALL.len() as u64 + at as u64 + 1;
            let begun = Instant::now();
            said.courses[at] = one(&mut fleet, answers, number)?;
            said.clock_ms[at] = begun.elapsed().as_secs_f64() * 1000.0;
        }
        said.peak_kib = machine::peak_kib(pid)?;
        say(&said)?;
    }
    Ok(())
}

fn one(fleet: &mut Fleet, answers: Answers, number: u64) -> anyhow::Result<Course> {
    Paper::new(fleet, answers).run(number)
}

fn say(what: &impl Serialize) -> anyhow::Result<()> {
    part::tell(&serde_json::to_string(what)?);
    Ok(())
}

async fn measure(run: Run) -> anyhow::Result<Report> {
    let (dir, regions) = (run.directory()?, u32::try_from(run.number("regions")).unwrap_or(1));
    let size = Size { minions: run.minions, syndics: run.syndics, regions };
    let plan = Plan { size, rounds: run.rounds };
    let mut rules = Part::start(PART.name, PART.name, &plan, dir.path()).await?;
    let stands: Stands = serde_json::from_str(&rules.hear(ROUND_TIME).await?)?;
    run.tell(&format!("{} minions known after {:.0} ms", run.minions, stands.took_ms));
    let mut rounds: Vec<Round> = Vec::new();
    for number in 1..=run.rounds {
        let round: Round = serde_json::from_str(&rules.hear(ROUND_TIME).await?)?;
        run.tell(&format!("round {number}: {:.0?} ms", round.clock_ms));
        rounds.push(round);
    }
    // Each job was checked where it ran: all targets have the outcome that they gave.
    Ok(Report::new(&run, run.minions.into())
        .note(format!("{regions} regions; one thread; nothing but relay-core runs"))
        .note("paper_s: the slowest of three jobs (equal answers, five kinds, one of a thousand its own), median of the rounds")
        .note("a job's parts are processor time, so that they add up beside other work; folds are those of all syndics together")
        .note("peak_mb: highest resident memory of the process, the inventory of all minions and their rosters included; \
               job_mb: what of it the jobs added")
        .finish(figures(&stands, &rounds)))
}

fn figures(stands: &Stands, rounds: &[Round]) -> Vec<Figure> {
    let of = |part: &dyn Fn(&Round) -> f64| median(&rounds.iter().map(part).collect::<Vec<f64>>());
    let clock: Vec<f64> = (0..ALL.len()).map(|at| of(&|round| round.clock_ms[at])).collect();
    let slowest = clock.iter().copied().fold(0.0, f64::max);
    let peak_kib = rounds.iter().map(|round| round.peak_kib).max().unwrap_or(0);
    let mut figures = vec![
        Figure::new("paper_s", slowest / 1000.0, "s", Time).at_most(3.0, 1.0),
        Figure::new("peak_mb", megabytes(peak_kib), "MB", Memory).at_most(600.0, 200.0),
        Figure::new("job_mb", megabytes(peak_kib.saturating_sub(stands.peak_kib)), "MB", Memory),
    ];
    let jobs = ALL.iter().zip(&clock).map(|((_, name), ms)| Figure::new(*name, *ms, "ms", Time));
    figures.extend(jobs);
    let parts: [Of; 5] = [
        ("plan_cpu_ms", |course| course.plan_ms),
        ("dispatch_cpu_ms", |course| course.dispatch_ms),
        ("fold_cpu_ms", |course| course.fold_ms),
        ("ledger_cpu_ms", |course| course.ledger_ms),
        ("job_cpu_ms", Course::total_ms),
    ];
    for (name, part) in parts {
        let worst = |round: &Round| round.courses.iter().map(part).fold(0.0, f64::max);
        figures.push(Figure::new(name, of(&worst), "ms", Time));
    }
    figures.push(Figure::new("fleet_ms", stands.took_ms, "ms", Time));
    figures
}

/// A figure's name, and what it is of a course.
type Of = (&'static str, fn(&Course) -> f64);

fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_fleets_of_any_shape_end_as_they_should() {
        for (minions, syndics, regions) in [(1, 1, 1), (7, 3, 2), (9_000, 2, 1), (5, 8, 3)] {
            let mut fleet = Fleet::new(Size { minions, syndics, regions }).unwrap();
            for (number, (answers, name)) in (1..).zip(ALL) {
                one(&mut fleet, answers, number).unwrap_or_else(|why| panic!("{name} of {minions}: {why:#}"));
            }
        }
    }
}
