//! `jobs`: many small jobs: how many a second, many at once, and whether one that is small waits for one that is large.
//!
//! A small job is `test.ping` on one minion, another one each time, of a few (one or more below each syndic) that share a
//! process with nobody else: thousands of simulated minions in one would answer in turn, and real ones do not. The large job is
//! for these, too; it has a text of its own from every minion (4 KiB each), so nothing folds. Left out: the journal's fsync
//! (simulated minions, journal in memory). The budget: the 99th percentile of a small job beside a large one of 5,000 minions is at
//! most twice that of one alone, and 1.3 times is aimed for. It is about what the fabric makes of the two, so what would be on other
//! machines gives way there ([`beside`]); what one machine makes of them when all share it is judged as well, and a bare echo in both
//! shows how much of it is the machine's.

mod beside;
mod bulk;
mod echo;
mod rate;

use crate::{
    machine::{self, limits::FABRIC_KIB},
    report::{
        Figure,
        Kind::{Count, Time},
        Report,
    },
    scenario::{Number, Run, Scenario, Size},
    statistics::{median, p99},
    swarm::Shape,
};

use self::{
    beside::{Beside, Stage},
    rate::Rate,
};
pub use self::{bulk::BULK, echo::ECHO};

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
/// Rounds beside what gives way, for each of the others: a 99th percentile wants samples.
const OWN_ROUNDS: u32 = 2;

async fn measure(run: Run) -> anyhow::Result<Report> {
    machine::can_give_way()?;
    let texts = u32::try_from(run.number("output-bytes")).unwrap_or(u32::MAX);
    let apart = (APART_EACH * run.syndics).min(run.minions);
    let run = Run { shape: Shape { texts, apart, ..run.shape }, ..run };
    let mut stage = Stage::shared(&run).await?;
    let (mut rates, mut shared) = (Vec::new(), Beside::new(Targets::apart(&run)));
    for round in 1..=run.rounds {
        let rate = rate::round(&run, &mut stage.bed).await?;
        shared.round(&mut stage).await?;
        run.tell(&format!(
            "round {round}: {:.0} small jobs a second; large one {:.0} ms",
            rate.finished_per_s,
            shared.bulk_ms.last().copied().unwrap_or_default()
        ));
        rates.push(rate);
    }
    let accounted = stage.bed.accounted();
    drop(stage);
    let (mut stage, mut own) =
        (Stage::own_machines(&run).await?, Beside::new(Targets::below_the_first(&run)));
    for round in 1..=OWN_ROUNDS * run.rounds {
        own.round(&mut stage).await?;
        let took = own.bulk_ms.last().copied().unwrap_or_default();
        run.tell(&format!("round {round} beside what gives way: large one {took:.0} ms"));
    }
    let accounted = accounted.min(stage.bed.accounted());
    let accounted = accounted.min(shared.accounted(run.minions)).min(own.accounted(run.minions));
    let disks = match stage.bed.others_are_in_memory() {
        true => "these syndics' spools are in memory, the first one's and the store on the disk",
        false => "but all spools are on one disk: nothing is in memory here",
    };
    Ok(Report::new(&run, accounted)
        .note(format!(
            "a small job: test.ping on one minion, another one each time (alone and beside: of {}, which have a process of their \
             own; where others give way, of those below the first syndic), from the request to the event that closes it",
            run.shape.apart
        ))
        .note(format!(
            "rates: {} small jobs, {} of them under way at once from the request to the end, over {} connections (so no more are accepted \
             than are finished); a job is three commits of the store",
            run.number("jobs"),
            run.number("side-by-side"),
            rate::CONNECTIONS
        ))
        .note(format!(
            "beside: one after the other while a job with a text of {texts} bytes from each minion goes on (a stall is one sample, \
             however long); alone: {} one after the other before it, after a rest of {} s; rounds alternate ({} and {} samples; shared \
             {} and {})",
            beside::ALONE,
            beside::REST.as_secs(),
            own.alone_ms.len(),
            own.beside_ms.len(),
            shared.alone_ms.len(),
            shared.beside_ms.len()
        ))
        .note(format!(
            "what would be on other machines (the large job's operator, all syndics but the small jobs', all other minions) has the \
             processor time that nobody else wants; {disks}"
        ))
        .note("shared: the same where everything has its share of this machine's processors and its disk")
        .note("simulated minions (journal in memory, no runner), real top master and syndics, as in fanout")
        .note("echo: three times there and back over bare TCP, to a process that does nothing else; sampled beside the small jobs")
        .finish(figures(&rates, &own, &shared)))
}

fn figures(rates: &[Rate], own: &Beside, shared: &Beside) -> Vec<Figure> {
    let of = |part: fn(&Rate) -> f64| median(&rates.iter().map(part).collect::<Vec<f64>>());
    let wrong: u64 = rates.iter().map(|rate| rate.wrong).sum::<u64>() + own.wrong + shared.wrong;
    let mut figures = besides(own, NAMES);
    figures.extend(besides(shared, SHARED_NAMES));
    figures.extend([
        Figure::new("accepted_per_s", of(|rate| rate.accepted_per_s), "jobs/s", Time).higher(),
        Figure::new("finished_per_s", of(|rate| rate.finished_per_s), "jobs/s", Time).higher(),
        Figure::new("side_by_side_ms", of(|rate| rate.median_ms), "ms", Time),
        Figure::new("side_by_side_p99_ms", of(|rate| rate.p99_ms), "ms", Time),
        Figure::new("small_jobs_wrong", wrong as f64, "jobs", Count).at_most(0.0, None),
    ]);
    figures
}

/// The ratio, and the times that go with it: see [`besides`].
const NAMES: (&str, [&str; 7]) = (
    "small_beside_bulk",
    [
        "small_alone_p99_ms",
        "small_beside_p99_ms",
        "small_alone_ms",
        "small_beside_ms",
        "echo_alone_p99_ms",
        "echo_beside_p99_ms",
        "bulk_ms",
    ],
);
/// The same where everything shares the machine.
const SHARED_NAMES: (&str, [&str; 7]) = (
    "shared_small_beside_bulk",
    [
        "shared_small_alone_p99_ms",
        "shared_small_beside_p99_ms",
        "shared_small_alone_ms",
        "shared_small_beside_ms",
        "shared_echo_alone_p99_ms",
        "shared_echo_beside_p99_ms",
        "shared_bulk_ms",
    ],
);

/// Small jobs beside large ones. The budget names no machine, so it is judged both ways.
fn besides(of: &Beside, (ratio, times): (&'static str, [&'static str; 7])) -> Vec<Figure> {
    let [echo_alone, echo_beside] = &of.echo_ms;
    let values = [
        p99(&of.alone_ms),
        p99(&of.beside_ms),
        median(&of.alone_ms),
        median(&of.beside_ms),
        p99(echo_alone),
        p99(echo_beside),
        median(&of.bulk_ms),
    ];
    let ratio = Figure::new(ratio, of.ratio(), "ratio", Time).at_most(2.0, 1.3);
    let times = times.into_iter().zip(values).map(|(name, value)| Figure::new(name, value, "ms", Time));
    std::iter::once(ratio).chain(times).collect()
}

/// Minions that small jobs go to: another one each time, and neighbours below different syndics.
#[derive(Debug, Clone)]
struct Targets {
    shape: Shape,
    minions: u32,
    next: u32,
    step: u32,
}

impl Targets {
    fn new(run: &Run) -> Targets {
        Targets { shape: run.shape, minions: run.minions, next: 0, step: 1 }
    }

    /// Only those that have a process of their own.
    fn apart(run: &Run) -> Targets {
        Targets { minions: run.shape.apart, ..Targets::new(run) }
    }

    /// Of these, only those below the first syndic.
    fn below_the_first(run: &Run) -> Targets {
        Targets { step: run.syndics, ..Targets::apart(run) }
    }

    fn next(&mut self) -> String {
        let n = self.next % self.minions.max(1);
        self.next = self.next.wrapping_add(self.step);
        self.shape.name(n)
    }
}
