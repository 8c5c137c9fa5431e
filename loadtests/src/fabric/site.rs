//! Where a run's daemons live, and how each is started: certificate, configuration, process.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use relay_core::identity::{FabricName, Identity, Role, check_region};
use relay_runtime::{authority::DevAuthority, config::TlsConfig};

use super::{
    Binaries, FABRIC, OPERATOR, Syndic,
    config::{self, SyndicFile, TopMasterFile},
};
use crate::{process::Started, swarm::Place};

/// The top master's id.
const TOP: &str = "top-1";
/// Regions that syndics are spread over, as in the example topology.
const REGIONS: usize = 4;

/// A directory with an authority, and what is started in it.
pub struct Site {
    dir: PathBuf,
    binaries: Binaries,
    authority: DevAuthority,
    threads: Option<u32>,
    /// Where the state of all syndics but the first is, if not beside the others'.
    elsewhere: Option<PathBuf>,
}

impl Site {
    /// Makes an authority below `dir`. `threads`: of each daemon, if they are not to choose themselves.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn new(dir: &Path, binaries: Binaries, threads: Option<u32>) -> anyhow::Result<Site> {
        let authority = DevAuthority::create(&dir.join("authority"), fabric_name()?)?;
        Ok(Site { dir: dir.into(), binaries, authority, threads, elsewhere: None })
    }

    /// With the state of all syndics but the first in another directory: on another disk.
    #[must_use]
    pub fn with_others_in(self, elsewhere: Option<PathBuf>) -> Site {
        Site { elsewhere, ..self }
    }

    /// The directory of the authority.
    pub fn authority_dir(&self) -> PathBuf {
        self.dir.join("authority")
    }

    /// The file of the top master's store.
    pub fn store(&self) -> PathBuf {
        self.state(TOP).join("store.sqlite")
    }

    /// The operator's certificate.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn operator(&self) -> anyhow::Result<TlsConfig> {
        self.issued(OPERATOR, Role::Operator, &region(0))
    }

    /// The name that the top master proves to have.
    ///
    /// # Errors
    /// None: the parts are constants that fit.
    pub fn top_name(&self) -> anyhow::Result<String> {
        Ok(identity(TOP, Role::TopMaster, &region(0))?.to_dns())
    }

    /// Starts the top master.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_top(&self, [listen, operators, admin]: [SocketAddr; 3]) -> anyhow::Result<Started> {
        let region = &region(0);
        let tls = &self.issued(TOP, Role::TopMaster, region)?;
        let (state, threads) = (&self.state(TOP), self.threads);
        let file = TopMasterFile {
            id: TOP,
            region,
            listen,
            operators,
            admin,
            state,
            tls,
            trust: &self.authority.trust_dir(),
            threads,
        };
        let policy = self.dir.join(config::POLICY_FILE);
        std::fs::write(&policy, config::POLICY).with_context(|| policy.display().to_string())?;
        self.start(TOP, &self.binaries.top_master, &config::top_master(&file))
    }

    /// Starts the syndic with a number, below the top master that listens at `top`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_syndic(
        &self,
        k: usize,
        [listen, admin]: [SocketAddr; 2],
        top: SocketAddr,
    ) -> anyhow::Result<Syndic> {
        let (id, region) = (&format!("syndic-{k}"), &region(k));
        let tls = &self.issued(id, Role::Syndic, region)?;
        let own = || self.state(id);
        let elsewhere = self.elsewhere.as_ref().filter(|_| k > 0);
        let (state, threads) = (&elsewhere.map_or_else(own, |dir| dir.join(id)), self.threads);
        let parent = &Place { id: TOP.into(), region: self::region(0), address: top.to_string() };
        let file = SyndicFile { id, region, listen, admin, state, tls, parent, threads };
        let process = self.start(id, &self.binaries.syndic, &config::syndic(&file))?;
        let place = Place { id: id.clone(), region: region.clone(), address: listen.to_string() };
        Ok(Syndic { process, place, admin })
    }

    /// Starts a real minion below a syndic.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_minion(&self, id: &str, parent: &Place) -> anyhow::Result<Started> {
        let tls = self.issued(id, Role::Minion, &parent.region)?;
        self.start(id, &self.binaries.minion, &config::minion(id, &self.state(id), &tls, parent))
    }

    fn issued(&self, id: &str, role: Role, region: &str) -> anyhow::Result<TlsConfig> {
        Ok(self.authority.issue(&identity(id, role, region)?, &self.dir.join(role.word()))?)
    }

    fn state(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}-state"))
    }

    fn start(&self, id: &str, binary: &Path, text: &str) -> anyhow::Result<Started> {
        let file = self.dir.join(format!("{id}.yaml"));
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        let mut command = Command::new(binary);
        command.arg("serve").arg("--config").arg(&file);
        Started::daemon(id, command, &self.dir.join(format!("{id}.log")))
    }
}

/// The fabric's name, parsed.
///
/// # Errors
/// None: it is a constant that fits.
pub fn fabric_name() -> anyhow::Result<FabricName> {
    Ok(FABRIC.parse()?)
}

fn region(k: usize) -> String {
    format!("r{}", k % REGIONS + 1)
}

fn identity(id: &str, role: Role, region: &str) -> anyhow::Result<Identity> {
    Ok(Identity::new(id, role, check_region(region)?, fabric_name()?)?)
}

/// Ports of the loopback that nobody has now. Those held by the caller cannot be found a second time.
///
/// # Errors
/// There are no more.
pub fn free_ports<const N: usize>() -> anyhow::Result<([SocketAddr; N], Vec<TcpListener>)> {
    let held = (0..N).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<Vec<_>, _>>()?;
    let addresses = held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    let addresses = addresses.try_into().map_err(|_| anyhow::anyhow!("too few ports"))?;
    Ok((addresses, held))
}
