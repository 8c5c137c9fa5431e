//! The simulation in CI: many seeds keep every promise, and a seed is one run.

use simulation::{
    UNSETTLED, build::JOBS, coverage::Coverage, explain, faults::FEWEST, run, run_rolling, sabotage::Sabotage,
};

/// Seeds run by every test run. More, by hand: `cargo run -p simulation -- --seeds 0..50000`.
const SEEDS: u64 = 1_000;
/// Seeds of rolling restarts.
const ROLLING: u64 = 60;
/// Lines of log shown with a failing seed.
const SHOWN: usize = 80;

/// What these seeds must have tried, and how often at least: about a third of what they do.
const TRIED: [(&str, u64); 37] = [
    ("top master killed in mid-batch", 180),
    ("syndic killed in mid-batch", 150),
    ("one of 8 syndics killed in mid-batch", 60),
    ("canary", 450),
    ("canary stage approved", 90),
    ("serial job", 450),
    ("news of a job stopped by failures", 550),
    ("news of a job closed by enough answers", 400),
    ("recall", 500),
    ("offer from the queue", 600),
    ("takeover", 250),
    ("takeover of open jobs", 200),
    ("handover", 150),
    ("stepped down", 60),
    ("fenced", 40),
    ("late write refused", 100),
    ("offer of a former owner", 3),
    ("refused: the registry is away", 1_000),
    ("retry at another top master got the same jid", 500),
    ("watcher came again with a cursor", 500),
    ("minion at another syndic in mid-job", 400),
    ("syndic at another syndic in mid-job", 60),
    ("syndic at another top master in mid-job", 400),
    ("tree of 3 levels", 40),
    ("job in a tree of 3 levels", 800),
    ("red team: altered", 300),
    ("red team: made up", 300),
    ("red team: renamed", 300),
    ("red team: re-aimed", 300),
    ("red team: added a member", 300),
    ("red team: replayed", 150),
    ("red team: replayed after its time", 60),
    ("red team: replayed to a new journal", 18),
    ("red team: a syndic refused", 150),
    ("red team: seen by the owner", 30),
    ("red team: found out", 1_500),
    ("refused: a former owner", 100),
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
    assert!(u64::from(starts) > 30 * SEEDS, "hardly anything was started: {starts}");
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
        let shape = (report.jobs >= JOBS, report.faults >= FEWEST);
        assert_eq!(shape, (true, true), "seed {seed}: {} jobs, {} faults", report.jobs, report.faults);
        starts += report.starts;
        tried.extend(&report.coverage);
    }
    (starts, tried)
}

/// Both top masters are restarted in turn under a stream of jobs: nothing is lost, doubled, or said to be unreachable.
#[test]
fn rolling_restarts_of_both_top_masters_fail_nothing() {
    let mut handovers = 0;
    for seed in 0..ROLLING {
        let report = run_rolling(seed, false);
        assert!(report.violations.is_empty(), "seed {seed}: {:#?}", report.violations);
        assert_eq!(report.coverage.of(UNSETTLED), 0, "seed {seed}: the restarts were seen in outcomes");
        handovers += report.coverage.of("handover");
    }
    assert!(handovers > 2 * ROLLING, "hardly any restart: {handovers}");
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
