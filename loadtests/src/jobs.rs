//! `jobs`: many small jobs: how many a second, many at once, and whether one that is small waits for one that is large.
//!
//! A small job is `test.ping` on one minion, another one each time, of a few (one or more below each syndic) that share a
//! process with nobody else: thousands of simulated minions in one would answer in turn, and real ones do not. The large job is
//! for these, too; it has a text of its own from every minion (4 KiB each), so nothing folds. Left out: the journal's fsync (simulated minions, journal in memory), and operators on
//! machines of their own: they share one here. The budget: the 99th percentile of a small job beside a large one of 5,000
//! minions is at most twice that of one alone, and 1.3 times is aimed for.

mod beside;
mod echo;
mod rate;

use crate::{
    bed::Bed,
    machine::limits::FABRIC_KIB,
    report::{
        Figure,
        Kind::{Count, Time},
        Report,
    },
    scenario::{Number, Run, Scenario, Size},
    statistics::{median, p99},
    swarm::Shape,
};

pub use self::echo::ECHO;
use self::{beside::Beside, echo::Echo, rate::Rate};

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "jobs",
    about: "Small jobs: how many a second, many side by side, and beside one with large outputs from everybody",
    usual: Size { minions: 5_000, syndics: 8, rounds: 10 },
    tiny: Size { minions: 40, syndics: 2, rounds: 1 },
    least: 1,
    options: &[
        Number {
            name: "side-by-side",
            about: "Small jobs under way at once, where it is counted how many a second",
            usual: 100,
            tiny: 8,
            range: (1, 1_000),
        },
        Number {
            name: "jobs",
            about: "Small jobs of one round of that",
            usual: 500,
            tiny: 16,
            range: (1, 100_000),
        },
        Number {
            name: "output-bytes",
            about: "What each minion returns in the large job, in bytes",
            usual: 4_096,
            tiny: 1_024,
            range: (1, 16_384),
        },
    ],
    // The texts stand in the minion, in its syndic's roster and in the top master's inventory.
    fits: |limits, run| {
        limits.swarm(run.minions, run.syndics, FABRIC_KIB + 12 * run.number("output-bytes").div_ceil(1024))
    },
    run: |run| Box::pin(measure(run)),
};

/// Minions below each syndic that small jobs go to.
const APART_EACH: u32 = 2;

async fn measure(run: Run) -> anyhow::Result<Report> {
    let texts = u32::try_from(run.number("output-bytes")).unwrap_or(u32::MAX);
    let apart = (APART_EACH * run.syndics).min(run.minions);
    let run = Run { shape: Shape { texts, apart, ..run.shape }, ..run };
    let mut bed = Bed::start(&run).await?;
    bed.ping_ms().await?;
    let mut echo = Echo::start(&bed).await?;
    let (mut rates, mut beside) = (Vec::new(), Beside::default());
    for round in 1..=run.rounds {
        let rate = rate::round(&run, &mut bed).await?;
        beside.round(&run, &mut bed, &mut echo).await?;
        run.tell(&format!(
            "round {round}: {:.0} small jobs a second; large one {:.0} ms",
            rate.finished_per_s,
            beside.bulk_ms.last().copied().unwrap_or_default()
        ));
        rates.push(rate);
    }
    let accounted = bed.accounted().min(beside.accounted(run.minions));
    Ok(Report::new(&run, accounted)
        .note(format!(
            "a small job: test.ping on one minion, another one each time (alone and beside: of {}, which have a process of their \
             own), from the request to the event that closes it",
            run.shape.apart
        ))
        .note(format!(
            "rates: {} small jobs, {} of them under way at once, over {} connections; a job is three commits of the store",
            run.number("jobs"),
            run.number("side-by-side"),
            rate::CONNECTIONS
        ))
        .note(format!(
            "beside: one after the other while a job with a text of {texts} bytes from each minion goes on; alone: {} one after \
             the other before it; rounds alternate ({} and {} samples)",
            beside::ALONE,
            beside.alone_ms.len(),
            beside.beside_ms.len()
        ))
        .note("echo: three times there and back over bare TCP, to a process that does nothing else; sampled beside the small jobs")
        .finish(figures(&rates, &beside)))
}

fn figures(rates: &[Rate], beside: &Beside) -> Vec<Figure> {
    let of = |part: fn(&Rate) -> f64| median(&rates.iter().map(part).collect::<Vec<f64>>());
    let wrong: u64 = rates.iter().map(|rate| rate.wrong).sum::<u64>() + beside.wrong;
    let ratio = p99(&beside.beside_ms) / p99(&beside.alone_ms);
    vec![
        Figure::new("small_beside_bulk", ratio, "ratio", Time).at_most(2.0, 1.3),
        Figure::new("small_alone_p99_ms", p99(&beside.alone_ms), "ms", Time),
        Figure::new("small_beside_p99_ms", p99(&beside.beside_ms), "ms", Time),
        Figure::new("small_alone_ms", median(&beside.alone_ms), "ms", Time),
        Figure::new("small_beside_ms", median(&beside.beside_ms), "ms", Time),
        Figure::new("echo_alone_p99_ms", p99(&beside.echo_ms[0]), "ms", Time),
        Figure::new("echo_beside_p99_ms", p99(&beside.echo_ms[1]), "ms", Time),
        Figure::new("bulk_ms", median(&beside.bulk_ms), "ms", Time),
        Figure::new("accepted_per_s", of(|rate| rate.accepted_per_s), "jobs/s", Time).higher(),
        Figure::new("finished_per_s", of(|rate| rate.finished_per_s), "jobs/s", Time).higher(),
        Figure::new("side_by_side_ms", of(|rate| rate.median_ms), "ms", Time),
        Figure::new("side_by_side_p99_ms", of(|rate| rate.p99_ms), "ms", Time),
        Figure::new("small_jobs_wrong", wrong as f64, "jobs", Count).at_most(0.0, None),
    ]
}

/// Minions that small jobs go to: another one each time, and neighbours below different syndics.
#[derive(Debug, Clone)]
struct Targets {
    shape: Shape,
    minions: u32,
    next: u32,
}

impl Targets {
    fn new(run: &Run) -> Targets {
        Targets { shape: run.shape, minions: run.minions, next: 0 }
    }

    /// Only those that have a process of their own.
    fn apart(run: &Run) -> Targets {
        Targets { minions: run.shape.apart, ..Targets::new(run) }
    }

    fn next(&mut self) -> String {
        let n = self.next % self.minions.max(1);
        self.next = self.next.wrapping_add(1);
        self.shape.name(n)
    }
}
