//! `fanout`: one job that does nothing, to all minions, measured where an operator is; against the floor.
//!
//! Both trees stand at once, and their rounds alternate, so that both meet the same machine. Budgets are those of
//! the project's first load harness: a ratio of 4 (aim 2), 64 KiB (24) of syndic memory for an idle minion, 12 MiB (6)
//! for a minion process, and at most one body in each batch of equal returns.

mod bodies;

use std::{path::Path, time::Duration};

use bodies::{BODY, bodies_per_batch};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    attach::{ATTACH_TIME, attach, start_swarm},
    cli::Fanout,
    fabric::{Binaries, Fabric, NO_ARGUMENTS, Site, Uplinks, operator::Ended},
    floor::Floor,
    machine::{self, Limits},
    part::Part,
    report::{
        Figure,
        Kind::{Count, Memory, Time},
        Report,
    },
    statistics::{median, p99},
};

/// Rounds of each tree before the first measured one: pages touched, allocators grown, statements prepared.
const WARM_UP: u32 = 2;
/// Pause before each round: what the round before leaves behind (acknowledgements, fsyncs) is not the next one's.
const PAUSE: Duration = Duration::from_millis(200);
/// How long memory may settle before it is read.
const SETTLE: Duration = Duration::from_secs(3);
/// Rounds that count bodies.
const BODY_ROUNDS: u32 = 3;

/// Runs the scenario.
///
/// # Errors
/// It does not fit this machine, or something of it did not stand or answer.
pub async fn run(args: &Fanout) -> anyhow::Result<Report> {
    let limits = Limits::take()?;
    limits.check(args.minions, args.syndics)?;
    let binaries = Binaries::find()?;
    let dir = tempfile::Builder::new().prefix("relay-bench-").tempdir()?;
    // Everything that runs is inside, and gone before the directory goes.
    Bench::new(args, limits, binaries, dir.path()).await?.measure().await
}

struct Bench<'a> {
    args: &'a Fanout,
    seed: u64,
    random: StdRng,
    fabric: Fabric,
    floor: Floor,
    swarm: Vec<Part>,
    attach: Duration,
    rss_idle_kib: f64,
    rss_before_kib: u64,
    accounted: u64,
}

/// The measured rounds.
#[derive(Default)]
struct Rounds {
    fabric_ms: Vec<f64>,
    floor_ms: Vec<f64>,
    top_cpu_ms: f64,
    syndics_cpu_ms: f64,
    swarm_cpu_ms: f64,
    floor_cpu_ms: f64,
    uplinks: Uplinks,
}

/// Processor time used so far, in milliseconds.
struct Used {
    top: u64,
    syndics: u64,
    swarm: u64,
    floor: u64,
}

fn tell(line: &str) {
    eprintln!("fanout: {line}");
}

impl<'a> Bench<'a> {
    async fn new(
        args: &'a Fanout,
        limits: Limits,
        binaries: Binaries,
        dir: &Path,
    ) -> anyhow::Result<Bench<'a>> {
        let Fanout { minions, syndics, .. } = *args;
        let seed = args.seed.unwrap_or_else(|| rand::random_range(0..1 << 32));
        tell(&format!("seed {seed}; starting a top master and {syndics} syndics"));
        let site = Site::new(dir, binaries, args.daemon_threads)?;
        let mut fabric = Fabric::start(site, syndics).await?;
        let mut swarm = start_swarm(minions, seed, &limits, &fabric, dir).await?;
        let rss_before_kib = fabric.syndics_rss_kib()?;
        let attach = attach(minions, &mut fabric, &mut swarm, tell).await?;
        tell(&format!("{minions} minions attached in {} ms", attach.as_millis()));
        tokio::time::sleep(SETTLE).await;
        let grown = fabric.syndics_rss_kib()?.saturating_sub(rss_before_kib);
        let rss_idle_kib = grown as f64 / f64::from(minions);
        tell("starting the floor");
        let floor = Floor::start(minions, syndics, limits.links_per_process(), dir).await?;
        let random = StdRng::seed_from_u64(seed);
        let accounted = u64::from(minions);
        Ok(Bench {
            args,
            seed,
            random,
            fabric,
            floor,
            swarm,
            attach,
            rss_idle_kib,
            rss_before_kib,
            accounted,
        })
    }

    async fn measure(mut self) -> anyhow::Result<Report> {
        let rounds = self.rounds().await?;
        let grown = self.fabric.syndics_rss_kib()?.saturating_sub(self.rss_before_kib);
        let rss_used_kib = grown as f64 / f64::from(self.args.minions);
        tell(&format!("{BODY_ROUNDS} rounds of equal answers of {BODY} bytes"));
        let bodies = self.bodies(&rounds).await?;
        tell("one real minion process");
        let minion_rss_kib = self.minion_rss_kib().await?;
        let figures = self.figures(&rounds, rss_used_kib, bodies, minion_rss_kib);
        Ok(self.report().finish(figures))
    }

    async fn rounds(&mut self) -> anyhow::Result<Rounds> {
        for _ in 0..WARM_UP {
            self.fabric_round("test.ping", NO_ARGUMENTS).await?;
            self.floor_round().await?;
        }
        let (before, sent) = (self.used()?, self.fabric.uplinks().await?);
        let mut rounds = Rounds::default();
        for round in 1..=self.args.rounds {
            let fabric = self.fabric_round("test.ping", NO_ARGUMENTS).await?;
            let floor = self.floor_round().await?;
            tell(&format!("round {round}: fabric {fabric:.1} ms, floor {floor:.1} ms"));
            rounds.fabric_ms.push(fabric);
            rounds.floor_ms.push(floor);
        }
        let (after, sent_after) = (self.used()?, self.fabric.uplinks().await?);
        let each = f64::from(self.args.rounds);
        rounds.top_cpu_ms = (after.top - before.top) as f64 / each;
        rounds.syndics_cpu_ms = (after.syndics - before.syndics) as f64 / each;
        rounds.swarm_cpu_ms = (after.swarm - before.swarm) as f64 / each;
        rounds.floor_cpu_ms = (after.floor - before.floor) as f64 / each;
        rounds.uplinks = Uplinks {
            bytes: (sent_after.bytes - sent.bytes) / each,
            batches: (sent_after.batches - sent.batches) / each,
        };
        Ok(rounds)
    }

    fn used(&self) -> anyhow::Result<Used> {
        let swarm = self.swarm.iter().map(|part| machine::cpu_ms(part.process.pid()));
        Ok(Used {
            top: self.fabric.top_cpu_ms()?,
            syndics: self.fabric.syndics_cpu_ms()?,
            swarm: swarm.sum::<anyhow::Result<u64>>()?,
            floor: self.floor.cpu_ms()?,
        })
    }

    /// One job on all minions, in milliseconds.
    async fn fabric_round(&mut self, function: &str, args: &str) -> anyhow::Result<f64> {
        tokio::time::sleep(PAUSE).await;
        let ended = self.fabric.operator.run(self.random.random(), function, args).await;
        if ended.is_err() {
            self.fabric.check()?;
        }
        let ended = ended?;
        self.account(&ended);
        Ok(millis(ended.elapsed))
    }

    async fn floor_round(&mut self) -> anyhow::Result<f64> {
        tokio::time::sleep(PAUSE).await;
        Ok(millis(self.floor.round().await?))
    }

    fn account(&mut self, ended: &Ended) {
        let all = u64::from(self.args.minions);
        let answered = ended.answered();
        if answered != all || ended.targets != all {
            let Ended { targets, outcomes, named_ok, .. } = ended;
            tell(&format!(
                "of {all} minions {targets} were targets; outcomes {outcomes:?}; {named_ok} named as ok"
            ));
        }
        self.accounted = self.accounted.min(answered);
    }

    /// Bodies that cross the uplinks in one batch of returns, when all minions give the same long answer.
    async fn bodies(&mut self, pings: &Rounds) -> anyhow::Result<f64> {
        let mut each = Vec::new();
        for _ in 0..BODY_ROUNDS {
            // A new text each time: nothing may remember the one before.
            let text: String = (0..BODY).map(|_| char::from(self.random.random_range(b'a'..=b'z'))).collect();
            let before = self.fabric.uplinks().await?;
            self.fabric_round("test.echo", &format!(r#"{{"args":["{text}"],"kwargs":{{}}}}"#)).await?;
            // Batches that are still on their way carry nobody who was not counted; they belong to this round.
            tokio::time::sleep(PAUSE).await;
            let after = self.fabric.uplinks().await?;
            let (bytes, batches) = (after.bytes - before.bytes, after.batches - before.batches);
            each.push(bodies_per_batch(bytes, batches, pings.uplinks));
        }
        Ok(median(&each))
    }

    async fn minion_rss_kib(&mut self) -> anyhow::Result<u64> {
        let mut minion = self.fabric.start_minion("one-real")?;
        let all = u64::from(self.args.minions) + 1;
        self.fabric.wait_for_minions(all, ATTACH_TIME, |_| minion.check()).await?;
        tokio::time::sleep(SETTLE).await;
        machine::rss_kib(minion.pid())
    }

    fn figures(&self, rounds: &Rounds, rss_used_kib: f64, bodies: f64, minion_rss_kib: u64) -> Vec<Figure> {
        let (fabric, floor) = (median(&rounds.fabric_ms), median(&rounds.floor_ms));
        vec![
            Figure::new("fanout_vs_floor", fabric / floor, "ratio", Time).budget(4.0, Some(2.0)),
            Figure::new("fabric_ms", fabric, "ms", Time),
            Figure::new("floor_ms", floor, "ms", Time),
            Figure::new("fabric_p99_ms", p99(&rounds.fabric_ms), "ms", Time),
            Figure::new("floor_p99_ms", p99(&rounds.floor_ms), "ms", Time),
            Figure::new("attach_ms", millis(self.attach), "ms", Time),
            Figure::new("syndic_rss_per_minion_kib", self.rss_idle_kib, "KiB", Memory)
                .budget(64.0, Some(24.0)),
            Figure::new("syndic_rss_per_minion_used_kib", rss_used_kib, "KiB", Memory),
            Figure::new("minion_rss_mib", minion_rss_kib as f64 / 1024.0, "MiB", Memory)
                .budget(12.0, Some(6.0)),
            Figure::new("top_cpu_ms_per_job", rounds.top_cpu_ms, "ms", Time),
            Figure::new("syndics_cpu_ms_per_job", rounds.syndics_cpu_ms, "ms", Time),
            Figure::new("swarm_cpu_ms_per_job", rounds.swarm_cpu_ms, "ms", Time),
            Figure::new("floor_cpu_ms_per_round", rounds.floor_cpu_ms, "ms", Time),
            Figure::new("uplink_bytes_per_job", rounds.uplinks.bytes, "bytes", Count),
            Figure::new("return_batches_per_job", rounds.uplinks.batches, "batches", Count),
            Figure::new("bodies_per_return_batch", bodies, "bodies", Count).budget(1.0, None),
        ]
    }

    fn report(&self) -> Report {
        let payload = self.floor.payload();
        let threads =
            self.args.daemon_threads.map_or_else(String::new, |n| format!(" but {n} runtime thread(s)"));
        let notes = vec![
            "simulated minions: the minion's own session, dialler and verification; journal in memory (no fsync), two \
             fixed grains, no runner"
                .into(),
            format!("top master and syndics are real processes with their defaults{threads}: store and spools on disk, with fsync"),
            format!(
                "floor: bare TCP on the same runtime, job {} bytes, answer {} bytes; no TLS, no durability, no verification",
                payload.job, payload.answer
            ),
            format!("{WARM_UP} rounds of each were not counted; rounds alternate; time is Submit to Closed at the operator"),
            "attach: 64 dials under way at once in each swarm process".into(),
            "syndic_rss_per_minion: growth of VmRSS of all syndics from before the first attached until all are, idle, \
             over the minions; _used_: the same after the rounds"
                .into(),
            "minion_rss: VmRSS of one real minion process, attached and idle".into(),
            "uplink bytes: frames as the syndics count them, above gRPC and TLS".into(),
        ];
        Report {
            scenario: "fanout",
            minions: self.args.minions,
            syndics: self.args.syndics,
            accounted: self.accounted,
            rounds: self.args.rounds,
            seed: self.seed,
            tiny: self.args.tiny,
            notes,
            figures: Vec::new(),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
