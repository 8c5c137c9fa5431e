//! `fanout`: one job that does nothing, to all minions, measured where an operator is; against both floors.
//!
//! Four trees of one shape stand at once, and their rounds alternate, so that all meet the same machine: the fabric, a
//! bare TCP tree, a bare tree of gRPC over mutual TLS, and a second fabric. The floors have as many connections and processes as the
//! fabric and its swarm. Left out: the journal's fsync (simulated minions, journal in memory); what it costs is measured apart,
//! on two smaller fabrics that differ in nothing else (`journal_fsync_vs_memory`). Left out as well: most verification, since
//! a signature is verified once for all minions of a process, as in one of `minion --count`. In the second fabric each minion verifies
//! it (`each_alone_*`): as many verifications as minions, which in a fleet as many machines do at once, and here two cores.
//!
//! Budgets: 3 times the bare TCP tree (aim 2), 1.6 times the tree of gRPC and TLS (aim 1.1), at most one body in each batch
//! of equal returns. Memory is shown and not judged here: `idle` does that.

mod bodies;
mod figures;
mod journals;

use std::time::Duration;

use bodies::{BODY, bodies_per_batch};
use rand::RngExt;

use crate::{
    bed::{Bed, PAUSE, Used, millis},
    fabric::Uplinks,
    floor::{Floor, Wire},
    machine::{
        self,
        limits::{FABRIC_KIB, FLOOR_KIB, GRPC_KIB},
    },
    report::Report,
    scenario::{Number, Run, Scenario, Size},
    statistics::median,
    swarm::Shape,
};

/// Rounds of each tree before the first measured one: pages touched, allocators grown, statements prepared.
const WARM_UP: u32 = 2;
/// The fabric, both floors, and the fabric whose minions verify for themselves.
const TREES: u32 = 4;
/// How long memory may settle before it is read: a minion gives back what it doesn't need after 5 s. In a tiny run it is not
/// judged, and not waited for.
const SETTLE: Duration = Duration::from_secs(8);
/// Rounds that count bodies, unless fewer are asked for.
const BODY_ROUNDS: u32 = 3;

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "fanout",
    about: "A job that does nothing, to all minions, against bare trees of TCP and of gRPC with TLS",
    usual: Size { minions: 5_000, syndics: 8, rounds: 20 },
    tiny: Size { minions: 40, syndics: 2, rounds: 2 },
    least: 1,
    options: &[Number {
        name: "journal-minions",
        about: "Minions of the two fabrics that tell what the journal's fsync costs",
        usual: 500,
        tiny: 10,
        range: (1, 20_000),
    }],
    fits: |limits, run| limits.swarm(run.minions, run.syndics, 2 * FABRIC_KIB + FLOOR_KIB + GRPC_KIB),
    run: |run| Box::pin(measure(run)),
};

async fn measure(run: Run) -> anyhow::Result<Report> {
    // Gone before the next fabrics stand.
    let trees = Bench::new(run.clone()).await?.measure().await?;
    let journals = journals::measure(&run).await?;
    Ok(figures::report(&run, &trees, &journals))
}

struct Bench {
    run: Run,
    bed: Bed,
    /// Each minion of it verifies for itself.
    alone: Bed,
    tcp: Floor,
    grpc: Floor,
    attach: Duration,
    rss_idle_kib: f64,
    rss_before_kib: u64,
}

/// What was measured on the three trees.
struct Trees {
    rounds: Rounds,
    accounted: u64,
    payload: crate::floor::payload::Payload,
    attach: Duration,
    rss_idle_kib: f64,
    rss_used_kib: f64,
    bodies: f64,
    minion_rss_kib: u64,
}

/// The measured rounds.
#[derive(Default)]
struct Rounds {
    fabric_ms: Vec<f64>,
    alone_ms: Vec<f64>,
    tcp_ms: Vec<f64>,
    grpc_ms: Vec<f64>,
    used: Used,
    tcp_cpu_ms: f64,
    grpc_cpu_ms: f64,
    uplinks: Uplinks,
}

impl Rounds {
    /// One line about the last round.
    fn last(&self, round: u32) -> String {
        let last = |of: &[f64]| of.last().copied().unwrap_or_default();
        let (fabric, alone) = (last(&self.fabric_ms), last(&self.alone_ms));
        let (tcp, grpc) = (last(&self.tcp_ms), last(&self.grpc_ms));
        format!(
            "round {round}: fabric {fabric:.1} ms, each alone {alone:.1} ms, TCP {tcp:.1} ms, gRPC {grpc:.1} ms"
        )
    }
}

impl Bench {
    async fn new(run: Run) -> anyhow::Result<Bench> {
        let mut bed = Bed::stand(&run).await?;
        let rss_before_kib = bed.fabric.syndics_rss_kib()?;
        let attach = bed.attach().await?;
        settle(&run).await;
        let grown = bed.fabric.syndics_rss_kib()?.saturating_sub(rss_before_kib);
        let rss_idle_kib = grown as f64 / f64::from(run.minions);
        run.tell("starting the second fabric, each minion of which verifies for itself");
        let shape = Shape { each_alone: true, ..run.shape };
        let alone = Bed::start(&Run { shape, ..run.clone() }).await?;
        run.tell("starting the floors");
        let floor = async |wire| {
            Floor::start(&wire, run.minions, run.syndics, run.limits.links_per_process(), bed.dir()).await
        };
        let tcp = floor(Wire::Tcp).await?;
        let grpc = floor(Wire::Grpc(bed.fabric.authority_dir())).await?;
        Ok(Bench { run, bed, alone, tcp, grpc, attach, rss_idle_kib, rss_before_kib })
    }

    async fn measure(mut self) -> anyhow::Result<Trees> {
        let rounds = self.rounds().await?;
        let grown = self.bed.fabric.syndics_rss_kib()?.saturating_sub(self.rss_before_kib);
        let rss_used_kib = grown as f64 / f64::from(self.run.minions);
        self.run.tell(&format!("equal answers of {BODY} bytes"));
        let bodies = self.bodies(&rounds).await?;
        self.run.tell("one real minion process");
        let minion_rss_kib = self.minion_rss_kib().await?;
        let (accounted, payload) = (self.bed.accounted().min(self.alone.accounted()), self.tcp.payload());
        let Bench { attach, rss_idle_kib, .. } = self;
        Ok(Trees { rounds, accounted, payload, attach, rss_idle_kib, rss_used_kib, bodies, minion_rss_kib })
    }

    async fn rounds(&mut self) -> anyhow::Result<Rounds> {
        for _ in 0..WARM_UP {
            self.bed.ping_ms().await?;
            self.alone.ping_ms().await?;
            floor_ms(&mut self.tcp).await?;
            floor_ms(&mut self.grpc).await?;
        }
        let before = (self.bed.used()?, self.tcp.cpu_ms()?, self.grpc.cpu_ms()?);
        let sent = self.bed.fabric.uplinks().await?;
        let mut rounds = Rounds::default();
        for round in 1..=self.run.rounds {
            // None of them is always behind the same other one.
            for turn in round..round + TREES {
                match turn % TREES {
                    0 => rounds.fabric_ms.push(self.bed.ping_ms().await?),
                    1 => rounds.tcp_ms.push(floor_ms(&mut self.tcp).await?),
                    2 => rounds.grpc_ms.push(floor_ms(&mut self.grpc).await?),
                    _ => rounds.alone_ms.push(self.alone.ping_ms().await?),
                }
            }
            self.run.tell(&rounds.last(round));
        }
        rounds.used = self.bed.used()?.each_since(before.0, self.run.rounds);
        let each = f64::from(self.run.rounds);
        rounds.tcp_cpu_ms = (self.tcp.cpu_ms()? - before.1) / each;
        rounds.grpc_cpu_ms = (self.grpc.cpu_ms()? - before.2) / each;
        rounds.uplinks = self.bed.fabric.uplinks().await?.each_since(sent, self.run.rounds);
        Ok(rounds)
    }

    /// Bodies that cross the uplinks in one batch of returns, when all minions give the same long answer.
    async fn bodies(&mut self, pings: &Rounds) -> anyhow::Result<f64> {
        let mut each = Vec::new();
        for _ in 0..BODY_ROUNDS.min(self.run.rounds) {
            // A new text each time: nothing may remember the one before.
            let text: String =
                (0..BODY).map(|_| char::from(self.bed.random.random_range(b'a'..=b'z'))).collect();
            let before = self.bed.fabric.uplinks().await?;
            let args = format!(r#"{{"args":["{text}"],"kwargs":{{}}}}"#);
            self.bed.job("test.echo", &args, None).await?;
            // Batches that are still on their way carry nobody who was not counted; they belong to this round.
            tokio::time::sleep(PAUSE).await;
            let after = self.bed.fabric.uplinks().await?;
            let (bytes, batches) = (after.bytes - before.bytes, after.batches - before.batches);
            each.push(bodies_per_batch(bytes, batches, pings.uplinks));
        }
        Ok(median(&each))
    }

    async fn minion_rss_kib(&mut self) -> anyhow::Result<u64> {
        let pid = self.bed.joined_by("one-real").await?;
        settle(&self.run).await;
        machine::rss_kib(pid)
    }
}

/// One round of a floor, in milliseconds.
async fn floor_ms(floor: &mut Floor) -> anyhow::Result<f64> {
    tokio::time::sleep(PAUSE).await;
    Ok(millis(floor.round().await?))
}

async fn settle(run: &Run) {
    if !run.tiny {
        tokio::time::sleep(SETTLE).await;
    }
}
