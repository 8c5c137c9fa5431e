//! `batch`: what a window allows in theory, and what is reached.
//!
//! Every minion sleeps for the same time, so a window of W over N minions takes at least ceil(N / W) sleeps; what is above
//! that is the fabric's: a place is empty from the end of one execution until the next begins elsewhere. The budget is
//! issue 3's: a job of 5,000 with `--batch 500` costs at most 1.5 times what its window allows.

use std::{path::Path, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    attach::{attach, start_swarm},
    cli::Batch,
    fabric::{Binaries, Fabric, NO_ARGUMENTS, Site},
    machine::Limits,
    part::Part,
    report::{Figure, Kind::Time, Report},
    statistics::{median, p99},
};

/// Pause before each round: what the round before leaves behind is not the next one's.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs the scenario.
///
/// # Errors
/// It does not fit this machine, or something of it did not stand or answer.
pub async fn run(args: &Batch) -> anyhow::Result<Report> {
    let limits = Limits::take()?;
    limits.check(args.minions, args.syndics)?;
    let binaries = Binaries::find()?;
    let dir = tempfile::Builder::new().prefix("relay-bench-").tempdir()?;
    // Everything that runs is inside, and gone before the directory goes.
    Bench::new(args, limits, binaries, dir.path()).await?.measure().await
}

struct Bench<'a> {
    args: &'a Batch,
    seed: u64,
    random: StdRng,
    fabric: Fabric,
    _swarm: Vec<Part>,
    accounted: u64,
}

fn tell(line: &str) {
    eprintln!("batch: {line}");
}

impl<'a> Bench<'a> {
    async fn new(
        args: &'a Batch,
        limits: Limits,
        binaries: Binaries,
        dir: &Path,
    ) -> anyhow::Result<Bench<'a>> {
        let seed = args.seed.unwrap_or_else(|| rand::random_range(0..1 << 32));
        tell(&format!("seed {seed}; starting a top master and {} syndics", args.syndics));
        let mut fabric = Fabric::start(Site::new(dir, binaries, None)?, args.syndics).await?;
        let mut swarm = start_swarm(args.minions, seed, &limits, &fabric, dir).await?;
        let took = attach(args.minions, &mut fabric, &mut swarm, tell).await?;
        tell(&format!("{} minions attached in {} ms", args.minions, took.as_millis()));
        let (random, accounted) = (StdRng::seed_from_u64(seed), u64::from(args.minions));
        Ok(Bench { args, seed, random, fabric, _swarm: swarm, accounted })
    }

    async fn measure(mut self) -> anyhow::Result<Report> {
        let sleep = format!(r#"{{"args":[{}],"kwargs":{{}}}}"#, f64::from(self.args.sleep_ms) / 1000.0);
        let theory = self.theory_ms();
        let window = Some(self.args.window);
        let (mut batched, mut empty, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        self.round("test.ping", NO_ARGUMENTS, None).await?;
        for round in 1..=self.args.rounds {
            let ms = self.round("test.sleep", &sleep, window).await?;
            // Faster than possible means that more ran at once than may: nothing that was measured counts then.
            anyhow::ensure!(ms >= theory, "{ms:.0} ms: the window allows no less than {theory:.0} ms");
            batched.push(ms);
            empty.push(self.round("test.ping", NO_ARGUMENTS, window).await?);
            whole.push(self.round("test.ping", NO_ARGUMENTS, None).await?);
            tell(&format!("round {round}: {ms:.0} ms, in theory {theory:.0} ms"));
        }
        let figures = vec![
            Figure::new("batch_vs_theory", median(&batched) / theory, "ratio", Time).budget(1.5, Some(1.1)),
            Figure::new("batch_ms", median(&batched), "ms", Time),
            Figure::new("batch_p99_ms", p99(&batched), "ms", Time),
            Figure::new("theory_ms", theory, "ms", Time),
            Figure::new("empty_job_batched_ms", median(&empty), "ms", Time),
            Figure::new("empty_job_unbatched_ms", median(&whole), "ms", Time),
        ];
        Ok(self.report().finish(figures))
    }

    /// What the window allows: full windows one after the other, and nothing in between.
    fn theory_ms(&self) -> f64 {
        f64::from(self.args.minions.div_ceil(self.args.window)) * f64::from(self.args.sleep_ms)
    }

    async fn round(&mut self, function: &str, args: &str, window: Option<u32>) -> anyhow::Result<f64> {
        tokio::time::sleep(PAUSE).await;
        let ended = self.fabric.operator.run_batched(self.random.random(), function, args, window).await;
        if ended.is_err() {
            self.fabric.check()?;
        }
        let ended = ended?;
        self.accounted = self.accounted.min(ended.answered());
        Ok(ended.elapsed.as_secs_f64() * 1000.0)
    }

    fn report(&self) -> Report {
        let Batch { minions, syndics, rounds, tiny, window, sleep_ms, .. } = *self.args;
        let notes = vec![
            format!("window {window}, every minion sleeps {sleep_ms} ms"),
            "simulated minions (journal in memory), real top master and syndics, as in fanout".into(),
            "empty_job: test.ping through the same window, and without one".into(),
        ];
        let (seed, accounted) = (self.seed, self.accounted);
        Report {
            scenario: "batch",
            minions,
            syndics,
            accounted,
            rounds,
            seed,
            tiny,
            notes,
            figures: Vec::new(),
        }
    }
}
