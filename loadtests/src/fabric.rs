//! A fabric for one run: a throw-away authority, configurations, real daemons on loopback, and their memory and counters.

pub mod binaries;
pub mod config;
pub mod operator;

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use relay_core::identity::{FabricName, Identity, Role, check_region};
use relay_runtime::{authority::DevAuthority, config::TlsConfig, telemetry};

pub use binaries::{Binaries, MissingBinary};
use config::{SyndicFile, TopMasterFile};
use operator::Operator;

use crate::{machine, process::Started, scrape::Metrics, swarm::Place};

/// The fabric's name.
pub const FABRIC: &str = "bench.example";
/// The operator's id.
pub const OPERATOR: &str = "bench";
/// A job without arguments.
pub const NO_ARGUMENTS: &str = r#"{"args":[],"kwargs":{}}"#;
/// The top master's id.
const TOP: &str = "top-1";
/// Regions that syndics are spread over, as in the example topology.
const REGIONS: usize = 4;
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
    authority: DevAuthority,
    dir: PathBuf,
    binaries: Binaries,
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

impl Fabric {
    /// Starts a top master and its syndics below `dir`, and waits until all are attached.
    ///
    /// # Errors
    /// A daemon did not start, or not in time: with the end of its log.
    pub async fn start(dir: &Path, binaries: Binaries, syndics: u32) -> anyhow::Result<Fabric> {
        let authority = DevAuthority::create(&dir.join("authority"), name()?)?;
        let ports = free_addresses(3 + 2 * syndics as usize)?;
        let (for_top, for_syndics) = ports.split_at(3);
        let (mut top, operators) = start_top(dir, &binaries, &authority, for_top)?;
        let identity = identity(OPERATOR, Role::Operator, &region(0))?;
        let tls = authority.issue(&identity, &dir.join("operator"))?;
        let server = self::identity(TOP, Role::TopMaster, &region(0))?.to_dns();
        let dialled = Instant::now();
        let operator = loop {
            match Operator::dial(operators, &server, &tls).await {
                Ok(operator) => break operator,
                Err(error) if dialled.elapsed() > START_TIME => {
                    return Err(
                        error.context(format!("the top master does not answer\n{}", top.last_lines()))
                    );
                }
                Err(_) => top.check()?,
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let listen = for_top.first().copied().context("no port")?;
        let syndics = for_syndics.chunks(2).enumerate();
        let syndics = syndics.map(|(k, ports)| start_syndic(dir, &binaries, &authority, k, ports, listen));
        let syndics = syndics.collect::<anyhow::Result<Vec<_>>>()?;
        let mut fabric = Fabric { top, syndics, authority, dir: dir.into(), binaries, operator };
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

    /// The directory of the authority.
    pub fn authority_dir(&self) -> PathBuf {
        self.dir.join("authority")
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
    pub fn top_cpu_ms(&self) -> anyhow::Result<u64> {
        machine::cpu_ms(self.top.pid())
    }

    /// Processor time of all syndics together so far, in milliseconds.
    ///
    /// # Errors
    /// One is gone.
    pub fn syndics_cpu_ms(&self) -> anyhow::Result<u64> {
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

    /// Starts one real minion below the first syndic: a process of its own, its journal on disk.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_minion(&self, id: &str) -> anyhow::Result<Started> {
        let place = &self.syndics.first().context("no syndic")?.place;
        let identity = identity(id, Role::Minion, &place.region)?;
        let tls = self.authority.issue(&identity, &self.dir.join("minion"))?;
        let text = config::minion(id, &self.dir.join("minion-state"), &tls, place);
        daemon(&self.dir, id, &self.binaries.minion, &text)
    }
}

fn name() -> anyhow::Result<FabricName> {
    Ok(FABRIC.parse()?)
}

fn region(k: usize) -> String {
    format!("r{}", k % REGIONS + 1)
}

fn identity(id: &str, role: Role, region: &str) -> anyhow::Result<Identity> {
    Ok(Identity::new(id, role, check_region(region)?, name()?)?)
}

fn issued(
    dir: &Path,
    authority: &DevAuthority,
    id: &str,
    role: Role,
    region: &str,
) -> anyhow::Result<TlsConfig> {
    Ok(authority.issue(&identity(id, role, region)?, &dir.join(role.word()))?)
}

fn start_top(
    dir: &Path,
    binaries: &Binaries,
    authority: &DevAuthority,
    ports: &[SocketAddr],
) -> anyhow::Result<(Started, SocketAddr)> {
    let &[listen, operators, admin] = ports else { anyhow::bail!("a top master needs three ports") };
    let region = region(0);
    let tls = issued(dir, authority, TOP, Role::TopMaster, &region)?;
    let state = dir.join(format!("{TOP}-state"));
    let file = TopMasterFile { id: TOP, region: &region, listen, operators, admin, state: &state, tls: &tls };
    Ok((daemon(dir, TOP, &binaries.top_master, &config::top_master(&file))?, operators))
}

fn start_syndic(
    dir: &Path,
    binaries: &Binaries,
    authority: &DevAuthority,
    k: usize,
    ports: &[SocketAddr],
    top: SocketAddr,
) -> anyhow::Result<Syndic> {
    let &[listen, admin] = ports else { anyhow::bail!("a syndic needs two ports") };
    let (id, region) = (format!("syndic-{k}"), region(k));
    let tls = issued(dir, authority, &id, Role::Syndic, &region)?;
    let state = dir.join(format!("{id}-state"));
    let parent = Place { id: TOP.into(), region: self::region(0), address: top.to_string() };
    let file =
        SyndicFile { id: &id, region: &region, listen, admin, state: &state, tls: &tls, parent: &parent };
    let process = daemon(dir, &id, &binaries.syndic, &config::syndic(&file))?;
    Ok(Syndic { process, place: Place { id, region, address: listen.to_string() }, admin })
}

fn daemon(dir: &Path, id: &str, binary: &Path, text: &str) -> anyhow::Result<Started> {
    let file = dir.join(format!("{id}.yaml"));
    std::fs::write(&file, text).with_context(|| file.display().to_string())?;
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(&file);
    Started::daemon(id, command, &dir.join(format!("{id}.log")))
}

/// Ports of the loopback that nobody has now. All are held until all are found, so they differ.
fn free_addresses(n: usize) -> anyhow::Result<Vec<SocketAddr>> {
    let held = (0..n).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<Vec<_>, _>>()?;
    Ok(held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?)
}
