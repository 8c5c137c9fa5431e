//! The fabric's rules on a simulated clock, network and disks, driven from one seed.
//!
//! The real [`relay_core::owner::Owner`], [`relay_core::relay::Relay`] and [`relay_core::seat::Seat`] run here; what is
//! simulated is everything around them, and everything around them fails. [`run`] is one seed from the first event to
//! rest; the same seed is the same run, line by line.
//!
//! In reading order: [`world`] (the loop), [`top`], [`syndic`], [`minion`] (the three processes), [`client`]
//! (operators), [`batches`], [`watch`] and [`coverage`], [`network`], [`disk`], [`store`], [`faults`] and [`losses`], [`rest`] (the end), [`sabotage`] (rules broken on purpose).

pub mod batches;
pub mod build;
pub mod client;
pub mod coverage;
pub mod disk;
pub mod event;
pub mod faults;
pub mod losses;
pub mod minion;
pub mod network;
pub mod random;
pub mod rest;
pub mod sabotage;
pub mod store;
pub mod syndic;
pub mod top;
pub mod watch;
pub mod world;

use relay_core::invariants::{Violation, throughout};
use sabotage::Sabotage;

/// More events than any run has: one that has more goes round in circles.
const MAX_STEPS: u64 = 2_000_000;

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
    /// How many executions the witness saw.
    pub starts: u32,
    /// How often what had to be tried was tried.
    pub coverage: coverage::Coverage,
}

/// Runs a seed until the fabric has come to rest, or a promise was seen broken.
pub fn run(seed: u64, sabotage: Sabotage, log: bool) -> Report {
    let mut world = build::build(seed, sabotage, log);
    let mut violations = Vec::new();
    while violations.is_empty() && world.breaches.is_empty() && !world.faults.rest.over {
        if world.steps > MAX_STEPS || !world.step() {
            world.breach("rest", format!("the run went on for {} events", world.steps));
            break;
        }
        if world.take_observed() {
            violations = throughout(&world.trace);
        }
    }
    if violations.is_empty() {
        violations = world.verdict();
    }
    let starts = world.trace.total_starts();
    world.coverage.add("late start", u64::from(world.trace.late_starts()));
    let (log, coverage) = (world.log.take().unwrap_or_default(), std::mem::take(&mut world.coverage));
    Report { seed, violations, log, steps: world.steps, starts, coverage }
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
