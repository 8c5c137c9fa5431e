//! The simulation in CI: many seeds keep every promise, and a seed is one run.

use simulation::{coverage::Coverage, explain, run, sabotage::Sabotage};

/// Seeds run by every test run. More, by hand: `cargo run -p simulation -- --seeds 0..50000`.
const SEEDS: u64 = 600;
/// Lines of log shown with a failing seed.
const SHOWN: usize = 80;

/// What these seeds must have tried, and how often at least: about a third of what they do.
const TRIED: [(&str, u64); 10] = [
    ("top master killed in mid-batch", 60),
    ("syndic killed in mid-batch", 90),
    ("one of 8 syndics killed in mid-batch", 30),
    ("canary", 150),
    ("canary stage approved", 30),
    ("serial job", 150),
    ("news of a job stopped by failures", 200),
    ("news of a job closed by enough answers", 150),
    ("recall", 200),
    ("offer from the queue", 100),
];

#[test]
fn every_seed_keeps_every_promise() {
    let halves = [0..SEEDS / 2, SEEDS / 2..SEEDS].map(|seeds| std::thread::spawn(|| check(seeds)));
    let mut tried = Coverage::default();
    let mut starts = 0;
    for (half, coverage) in halves.map(|half| half.join().unwrap()) {
        starts += half;
        tried.extend(&coverage);
    }
    assert!(u64::from(starts) > 10 * SEEDS, "hardly anything was started: {starts}");
    for (what, least) in TRIED {
        assert!(tried.of(what) >= least, "{what:?} happened too rarely: {tried}");
    }
}

fn check(seeds: std::ops::Range<u64>) -> (u32, Coverage) {
    let mut starts = 0;
    let mut tried = Coverage::default();
    for seed in seeds {
        let report = run(seed, Sabotage::None, false);
        assert!(report.violations.is_empty(), "seed {seed} fails\n{}", explain(&report, SHOWN));
        starts += report.starts;
        tried.extend(&report.coverage);
    }
    (starts, tried)
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
