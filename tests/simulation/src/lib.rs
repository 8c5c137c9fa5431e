//! The fabric's rules on a simulated clock, network and disks, driven from one seed.
//!
//! The real [`relay_core::owner::Owner`], [`relay_core::tenure::Tenure`], [`relay_core::relay::Relay`] and
//! [`relay_core::seat::Seat`] run here: two top masters over one store, up to three levels of syndics, minions. What is
//! simulated is everything around them, and everything around them fails. [`run`] is one seed from the first event to
//! rest; the same seed is the same run, line by line.
//!
//! In reading order: [`world`] (the loop), [`top`] (with [`leadership`], [`reign`] and [`commits`]), [`syndic`], [`minion`]
//! (the processes), [`client`] (operators), [`watchers`] (of jobs), [`batches`], [`watch`] and [`coverage`], [`network`],
//! [`disk`], [`store`], [`faults`], [`losses`] and [`red_team`], [`signing`], [`rest`] (the end), [`sabotage`] (rules broken on purpose).

pub mod batches;
pub mod build;
pub mod client;
pub mod commits;
pub mod coverage;
pub mod disk;
pub mod event;
pub mod faults;
pub mod leadership;
pub mod losses;
pub mod minion;
pub mod network;
pub mod random;
pub mod red_team;
pub mod reign;
pub mod rest;
pub mod sabotage;
pub mod signing;
pub mod store;
pub mod syndic;
pub mod top;
pub mod watch;
pub mod watchers;
pub mod world;

use relay_core::{
    invariants::{Verdict, Violation, throughout},
    outcome::{Outcome, Reason},
};
use sabotage::Sabotage;

/// More events than any run has: one that has more goes round in circles.
const MAX_STEPS: u64 = 2_000_000;

/// The promises are looked at after so many events: a look takes as long as many events do.
const CHECK_EVERY: u64 = 256;

/// What a run showed.
#[derive(Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Every promise that was broken.
    pub violations: Vec<Violation>,
    /// The log, if it was asked for.
    pub log: Vec<String>,
    /// How many events there were.
    pub steps: u64,
    /// How many jobs were accepted.
    pub jobs: usize,
    /// How often something was made to go wrong.
    pub faults: u64,
    /// How many executions the witness saw.
    pub starts: u32,
    /// How often what had to be tried was tried.
    pub coverage: coverage::Coverage,
}

/// Runs a seed until the fabric has come to rest, or a promise was seen broken.
pub fn run(seed: u64, sabotage: Sabotage, log: bool) -> Report {
    run_in(build::build(seed, sabotage, log), seed)
}

/// Runs a seed in which nothing goes wrong but that both top masters are restarted, one after the other, again and again.
pub fn run_rolling(seed: u64, log: bool) -> Report {
    run_in(build::rolling(seed, log), seed)
}

fn run_in(mut world: world::World, seed: u64) -> Report {
    let mut violations = Vec::new();
    while violations.is_empty() && world.breaches.is_empty() && !world.faults.rest.over {
        if world.steps > MAX_STEPS || !world.step() {
            world.breach("rest", format!("the run went on for {} events", world.steps));
            break;
        }
        // The trace forgets nothing: what was broken is found a little later as well.
        if world.steps.is_multiple_of(CHECK_EVERY) && world.take_observed() {
            violations = throughout(&world.trace);
        }
    }
    if violations.is_empty() {
        violations = world.verdict();
    }
    let starts = world.trace.total_starts();
    world.coverage.add("late start", u64::from(world.trace.late_starts()));
    let deep = world.coverage.of("tree of 3 levels") * world.store.jobs().len() as u64;
    world.coverage.add("job in a tree of 3 levels", deep);
    let (jobs, faults) = (world.store.jobs().len(), world.faults.struck);
    world
        .coverage
        .add(UNSETTLED, world.trace.slots().filter(|(_, history)| settled_badly(history)).count() as u64);
    let (log, coverage) = (world.log.take().unwrap_or_default(), std::mem::take(&mut world.coverage));
    Report { seed, violations, log, steps: world.steps, jobs, faults, starts, coverage }
}

/// Targets of which the fabric itself said, at some time, that it does not know, or could not reach them.
pub const UNSETTLED: &str = "outcome unknown or unreachable";

fn settled_badly(history: &[Verdict]) -> bool {
    let lost = [Reason::Unreachable, Reason::ConnectionLost, Reason::NoReport];
    let bad = |v: &Verdict| v.outcome != Outcome::Ok && lost.contains(&v.reason);
    history.iter().any(bad)
}

/// The end of a failing seed's log, and how to see all of it.
pub fn explain(report: &Report, lines: usize) -> String {
    let mut text = String::new();
    let again = run(report.seed, Sabotage::None, true);
    for line in again.log.iter().rev().take(lines).rev() {
        text += &format!("{line}\n");
    }
    for violation in &report.violations {
        text += &format!("{}: {}\n", violation.invariant, violation.what);
    }
    text + &format!("replay: cargo run -p simulation -- --seed {} --log\n", report.seed)
}
