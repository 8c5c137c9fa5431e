//! `soak`: steady jobs for half an hour with faults inside; every target accounted for, memory flat.
//!
//! Jobs to all minions follow each other. In the first half syndics and the top master are killed (`kill -9`) and started
//! again, and syndics stopped for longer than a link may be silent; in the second half they are only stopped, so that
//! every process lives through it and its memory can be followed. At the end all that was seen (what operators were
//! shown, what minions' journals hold, what the store tells of each job) is held against the fabric's invariants.
//! Simulated minions, with journals on disk and fsync. The budgets: no invariant broken, no target without an outcome,
//! and no daemon grows by more than 256 KiB a minute in the second half (least squares).

mod account;
mod faults;
mod memory;
mod work;

use std::time::{Duration, Instant};

use self::{account::Account, faults::Faults, memory::Memory, work::Work};
use crate::{
    bed::Bed,
    machine::limits::FABRIC_KIB,
    report::{
        Figure,
        Kind::{Count, Memory as OfMemory, Size as OfSize},
        Report,
    },
    scenario::{Number, Run, Scenario, Size},
    swarm::Shape,
};

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "soak",
    about: "Steady jobs with faults inside: every target accounted for, memory flat",
    usual: Size { minions: 500, syndics: 4, rounds: 1 },
    tiny: Size { minions: 20, syndics: 2, rounds: 1 },
    least: 1,
    options: &[Number {
        name: "minutes",
        about: "How long, in minutes; a tiny run takes seconds",
        usual: 30,
        tiny: 1,
        range: (1, 24 * 60),
    }],
    fits: |limits, run| limits.swarm(run.minions, run.syndics, FABRIC_KIB),
    run: |run| Box::pin(measure(run)),
};

/// Most that a daemon may grow in the second half, in KiB a minute: 15 MiB an hour. Tables and caches that fill up slowly stay
/// below it; a leak of one object a job does not.
pub const MAX_GROWTH_KIB_PER_MIN: f64 = 256.0;
/// How long a tiny run is.
const TINY: Duration = Duration::from_secs(8);
/// How often it is looked whether something is to be done.
const TICK: Duration = Duration::from_millis(50);

/// The pace of a run.
#[derive(Debug, Clone, Copy)]
struct Pace {
    length: Duration,
    /// Between two jobs.
    jobs: Duration,
    /// Between two faults.
    faults: Duration,
    /// How long a killed process is away.
    away: Duration,
    /// How long a stopped one stands still: longer than the 25 s for which a link may be silent, unless the run is tiny.
    still: Duration,
    /// Between two looks at memory.
    looks: Duration,
}

impl Pace {
    fn of(run: &Run) -> Pace {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        match run.tiny {
            true => Pace {
                length: TINY,
                jobs: ms(300),
                faults: ms(1_500),
                away: ms(300),
                still: ms(500),
                looks: ms(500),
            },
            false => {
                let length = s(60 * run.number("minutes"));
                Pace { length, jobs: s(2), faults: s(60), away: s(3), still: s(30), looks: s(5) }
            }
        }
    }
}

async fn measure(run: Run) -> anyhow::Result<Report> {
    let run = Run { shape: Shape { journals: true, ..run.shape }, ..run };
    let pace = Pace::of(&run);
    let mut bed = Bed::start(&run).await?;
    let (mut work, mut memory) = (Work::new(run.seed), Memory::new(pace));
    let mut faults = Faults::plan(pace, bed.fabric.syndic_count());
    run.tell(&format!("{} faults within {} s", faults.to_come(), pace.length.as_secs()));
    let begun = Instant::now();
    let mut job_at = Duration::ZERO;
    while begun.elapsed() < pace.length {
        faults.step(&run, &mut bed.fabric, begun.elapsed()).await?;
        if begun.elapsed() >= job_at {
            job_at = begun.elapsed() + pace.jobs;
            work.ask(&mut bed.fabric).await;
        }
        memory.look(&bed, begun.elapsed())?;
        tokio::time::sleep(TICK).await;
    }
    faults.undo(&mut bed.fabric).await?;
    work.settle(&run, &mut bed.fabric).await?;
    run.tell(&format!("{} jobs accepted; looking at each", work.jobs().len()));
    let account = account::take(&run, &mut bed, work.jobs()).await?;
    account.broken.iter().for_each(|broken| run.tell(&format!("{}: {}", broken.invariant, broken.what)));
    Ok(report(&run, pace, &work, &faults, &memory, &account))
}

fn report(run: &Run, pace: Pace, work: &Work, faults: &Faults, memory: &Memory, account: &Account) -> Report {
    let mut figures = vec![
        Figure::new("invariants_broken", account.broken.len() as f64, "promises", Count).at_most(0.0, None),
        Figure::new("targets_unaccounted", account.unaccounted as f64, "targets", Count).at_most(0.0, None),
        Figure::new("growth_kib_per_min", memory.worst_growth(), "KiB/min", OfMemory)
            .at_most(MAX_GROWTH_KIB_PER_MIN, None),
        Figure::new("jobs", work.jobs().len() as f64, "jobs", OfSize).higher(),
        Figure::new("asked_again", work.asked_again() as f64, "requests", OfSize),
        Figure::new("faults", faults.done() as f64, "faults", OfSize),
        Figure::new("executions_seen", account.executions as f64, "executions", OfSize).higher(),
        Figure::new("not_ok", account.not_ok as f64, "targets", OfSize),
    ];
    let growths = memory.growths();
    figures.extend(growths.into_iter().map(|(name, growth)| {
        Figure::new(format!("growth_{}_kib_per_min", name.replace('-', "_")), growth, "KiB/min", OfMemory)
    }));
    let report = Report::new(run, account.least)
        .note(format!(
            "a job to all minions every {} ms for {} s; a fault every {} ms: {}",
            pace.jobs.as_millis(),
            pace.length.as_secs(),
            pace.faults.as_millis(),
            faults.told()
        ))
        .note("simulated minions with journals on disk; the invariants are those of relay-core, over what was shown, journaled and stored")
        .note("asked_again: requests that got no answer and were repeated under the same id")
        .note(format!("outcomes: {:?}", account.outcomes))
        .note("growth: slope of VmRSS over the second half, least squares; of daemons the worst is judged, swarms are shown");
    memory.curves().into_iter().fold(report, Report::curve).finish(figures)
}
