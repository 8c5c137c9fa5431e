//! The simulation in CI: many seeds keep every promise, and a seed is one run.

use simulation::{explain, run, sabotage::Sabotage};

/// Seeds run by every test run. More, by hand: `cargo run -p simulation -- --seeds 0..50000`.
const SEEDS: u64 = 600;
/// Lines of log shown with a failing seed.
const SHOWN: usize = 80;

#[test]
fn every_seed_keeps_every_promise() {
    let halves = [0..SEEDS / 2, SEEDS / 2..SEEDS].map(|seeds| std::thread::spawn(|| check(seeds)));
    let starts: u32 = halves.map(|half| half.join().unwrap()).iter().sum();
    assert!(u64::from(starts) > 10 * SEEDS, "hardly anything was started: {starts}");
}

fn check(seeds: std::ops::Range<u64>) -> u32 {
    let mut starts = 0;
    for seed in seeds {
        let report = run(seed, Sabotage::None, false);
        assert!(report.violations.is_empty(), "seed {seed} fails\n{}", explain(&report, SHOWN));
        starts += report.starts;
    }
    starts
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..8 {
        let (once, twice) = (run(seed, Sabotage::None, true), run(seed, Sabotage::None, true));
        assert!(once.log.len() > 100);
        assert_eq!(once.log, twice.log, "seed {seed}");
    }
    assert_ne!(run(1, Sabotage::None, true).log, run(2, Sabotage::None, true).log);
}
