//! A fabric for one run: a throw-away authority, configurations, real daemons on loopback, and their memory and counters.

pub mod binaries;
pub mod config;
pub mod faults;
pub mod operator;
pub mod site;
mod store;

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use relay_runtime::telemetry;

pub use binaries::{Binaries, MissingBinary};
use operator::Operator;
pub use site::Site;
use site::free_ports;

use crate::{machine, process::Started, scrape::Metrics, swarm::Place};

/// The fabric's name.
pub const FABRIC: &str = "bench.example";
/// The operator's id.
pub const OPERATOR: &str = "bench";
/// A job without arguments.
pub const NO_ARGUMENTS: &str = r#"{"args":[],"kwargs":{}}"#;
/// How long daemons may take to stand, on a busy machine and with any build.
const START_TIME: Duration = Duration::from_secs(60);
/// How often something that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A syndic process.
#[derive(Debug)]
pub struct Syndic {
    process: Started,
    place: Place,
    admin: SocketAddr,
}

/// The daemons of one run. Dropping stops them.
pub struct Fabric {
    top: Started,
    syndics: Vec<Syndic>,
    site: Site,
    operators: SocketAddr,
    /// The top master's ports: for syndics, for operators, for metrics.
    for_top: [SocketAddr; 3],
    /// Asks the top master.
    pub operator: Operator,
}

/// What all syndics together have counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Uplinks {
    /// Bytes written to the top master, above gRPC and TLS.
    pub bytes: f64,
    /// Batches of returns among them.
    pub batches: f64,
}

impl Uplinks {
    /// What one of so many rounds sent since `before`.
    pub fn each_since(self, before: Uplinks, rounds: u32) -> Uplinks {
        let each = |now: f64, before: f64| (now - before) / f64::from(rounds.max(1));
        Uplinks { bytes: each(self.bytes, before.bytes), batches: each(self.batches, before.batches) }
    }
}

impl Fabric {
    /// Starts a top master and its syndics in a site, and waits until all are attached.
    ///
    /// # Errors
    /// A daemon did not start, or not in time: with the end of its log.
    pub async fn start(site: Site, syndics: u32) -> anyhow::Result<Fabric> {
        let (for_top, held_for_top) = free_ports()?;
        let ports = (0..syndics).map(|_| free_ports()).collect::<anyhow::Result<Vec<_>>>()?;
        let (for_syndics, held): (Vec<[SocketAddr; 2]>, Vec<_>) = ports.into_iter().unzip();
        drop((held, held_for_top));
        let [listen, operators, _] = for_top;
        let mut top = site.start_top(for_top)?;
        let operator = dial(operators, &site, &mut top).await?;
        let syndics = for_syndics.into_iter().enumerate();
        let syndics = syndics.map(|(k, ports)| site.start_syndic(k, ports, listen));
        let syndics = syndics.collect::<anyhow::Result<Vec<_>>>()?;
        let mut fabric = Fabric { top, syndics, site, operators, for_top, operator };
        fabric.wait_for_syndics().await?;
        Ok(fabric)
    }

    async fn wait_for_syndics(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let up = self.operator.status().await?.syndics.iter().filter(|s| s.up).count();
            if up == self.syndics.len() {
                return Ok(());
            }
            self.check()?;
            if begun.elapsed() > START_TIME {
                let log = self.syndics.first().map(|s| s.process.last_lines()).unwrap_or_default();
                anyhow::bail!("{up} of {} syndics attached within {START_TIME:?}\n{log}", self.syndics.len());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until so many minions are up. `progress` is told the count at each look.
    ///
    /// # Errors
    /// They are not within `limit`, or a daemon died.
    pub async fn wait_for_minions(
        &mut self,
        minions: u64,
        limit: Duration,
        mut progress: impl FnMut(u64) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let up: u64 = self.operator.status().await?.syndics.iter().map(|s| s.minions_up).sum();
            progress(up)?;
            if up >= minions {
                return Ok(());
            }
            self.check()?;
            if begun.elapsed() > limit {
                let log = self.syndics.first().map(|s| s.process.last_lines()).unwrap_or_default();
                anyhow::bail!("{up} of {minions} minions attached within {limit:?}\n{log}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Says whether all daemons run.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.top.check()?;
        self.syndics.iter_mut().try_for_each(|syndic| syndic.process.check())
    }

    /// Where the syndics are.
    pub fn places(&self) -> Vec<Place> {
        self.syndics.iter().map(|syndic| syndic.place.clone()).collect()
    }

    /// Where its files are, and what else can be started in it.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Where the top master serves operators.
    pub fn operators(&self) -> SocketAddr {
        self.operators
    }

    /// The directory of the authority.
    pub fn authority_dir(&self) -> PathBuf {
        self.site.authority_dir()
    }

    /// The syndics' processes, in their order.
    pub fn syndic_pids(&self) -> impl Iterator<Item = u32> {
        self.syndics.iter().map(|syndic| syndic.process.pid())
    }

    /// Resident memory of all syndics together, in KiB.
    ///
    /// # Errors
    /// One is gone.
    pub fn syndics_rss_kib(&self) -> anyhow::Result<u64> {
        self.syndics.iter().map(|syndic| machine::rss_kib(syndic.process.pid())).sum()
    }

    /// Processor time of the top master so far, in milliseconds.
    ///
    /// # Errors
    /// It is gone.
    pub fn top_cpu_ms(&self) -> anyhow::Result<f64> {
        machine::cpu_ms(self.top.pid())
    }

    /// Processor time of all syndics together so far, in milliseconds.
    ///
    /// # Errors
    /// One is gone.
    pub fn syndics_cpu_ms(&self) -> anyhow::Result<f64> {
        self.syndics.iter().map(|syndic| machine::cpu_ms(syndic.process.pid())).sum()
    }

    /// What all syndics together have counted so far.
    ///
    /// # Errors
    /// One does not answer.
    pub async fn uplinks(&self) -> anyhow::Result<Uplinks> {
        let mut all = Uplinks::default();
        for syndic in &self.syndics {
            let metrics = Metrics::of(syndic.admin).await?;
            all.bytes += metrics.sum(telemetry::UPLINK_BYTES_TOTAL);
            all.batches += metrics.sum(telemetry::RETURN_BATCHES_TOTAL);
        }
        Ok(all)
    }

    /// Rows in all tables of the top master's store.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn store_rows(&self) -> anyhow::Result<u64> {
        store::rows(&self.site.store())
    }

    /// Starts one real minion below the first syndic: a process of its own, its journal on disk.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_minion(&self, id: &str) -> anyhow::Result<Started> {
        self.site.start_minion(id, &self.syndics.first().context("no syndic")?.place)
    }
}

/// Connects to a top master that is just starting.
async fn dial(address: SocketAddr, site: &Site, top: &mut Started) -> anyhow::Result<Operator> {
    let (files, name) = (site.operator()?, site.top_name()?);
    let begun = Instant::now();
    loop {
        match Operator::dial(address, &name, &files).await {
            Ok(operator) => return Ok(operator),
            Err(error) if begun.elapsed() > START_TIME => {
                return Err(error.context(format!("the top master does not answer\n{}", top.last_lines())));
            }
            Err(_) => top.check()?,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
