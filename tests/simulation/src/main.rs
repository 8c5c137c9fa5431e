//! Replays seeds: `cargo run -p simulation -- --seed 7 --log`, or many: `--seeds 0..5000`.

use std::ops::Range;

use clap::Parser;
use simulation::{coverage::Coverage, explain, run, run_rolling, sabotage::Sabotage};

/// Lines of log shown with a failing seed.
const SHOWN: usize = 60;

/// Runs the fabric's rules on a simulated clock, network and disks.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  simulation --seed 7 --log\n  simulation --seeds 0..5000")]
struct Args {
    /// One seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Many seeds, from A up to but not with B.
    #[arg(long, value_name = "A..B", value_parser = range)]
    seeds: Option<Range<u64>>,
    /// Nothing goes wrong but rolling restarts of the top masters.
    #[arg(long)]
    rolling: bool,
    /// Print every line of the log.
    #[arg(long)]
    log: bool,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let parts = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    parts.ok_or_else(|| format!("{text:?} is not a range: write for example 0..500"))
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let seeds = args.seeds.clone().unwrap_or(args.seed..args.seed + 1);
    let (mut failed, mut steps, mut starts) = (Vec::new(), 0, 0);
    let mut coverage = Coverage::default();
    for seed in seeds.clone() {
        let report = match args.rolling {
            true => run_rolling(seed, args.log),
            false => run(seed, Sabotage::None, args.log),
        };
        report.log.iter().for_each(|line| println!("{line}"));
        steps += report.steps;
        starts += report.starts;
        coverage.extend(&report.coverage);
        if !report.violations.is_empty() {
            println!("seed {seed} fails\n{}", explain(&report, if args.log { 0 } else { SHOWN }));
            failed.push(seed);
        }
    }
    println!("{} seeds, {steps} events, {starts} starts, {} failed", seeds.end - seeds.start, failed.len());
    println!("{coverage}");
    anyhow::ensure!(failed.is_empty(), "failing seeds: {failed:?}");
    Ok(())
}
