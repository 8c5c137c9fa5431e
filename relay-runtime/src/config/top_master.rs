//! A top master's configuration.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use relay_core::{
    document::{Fields, Node, Position, Problem, Sink, read},
    identity::{FabricName, Identity, Role},
    ids::{RegionName, TierId},
    topology::Topology,
};

use super::{
    files,
    parts::{self, HeartbeatConfig, LogConfig, TlsConfig},
    ports,
    store::{self, StoreKind},
};

/// How long finished jobs are kept if the file does not say: a day, as Salt's `keep_jobs`.
const KEEP_JOBS_HOURS: u64 = 24;
/// Most threads that may be asked for: more than any machine here has cores.
pub(super) const MAX_THREADS: u64 = 1024;

/// What a top master is told.
#[derive(Debug, Clone, PartialEq)]
pub struct TopMasterConfig {
    /// Its id.
    pub id: TierId,
    /// The region its certificate names.
    pub region: RegionName,
    /// The fabric.
    pub fabric: FabricName,
    /// Where syndics dial it.
    pub listen: SocketAddr,
    /// Where operators reach its API.
    pub operators: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; loopback.
    pub admin: SocketAddr,
    /// Where its store lies.
    pub state_dir: PathBuf,
    /// Who it is and whom it believes.
    pub tls: TlsConfig,
    /// How long a finished job is kept, in hours. Default 24.
    pub keep_jobs_hours: u64,
    /// Threads of the runtime. Nothing: one per core.
    pub runtime_threads: Option<usize>,
    /// How links prove that they are alive.
    pub heartbeat: HeartbeatConfig,
    /// How long a minion may take to receive a job before it is `not_started`. Default 10 s.
    pub delivery_timeout: Duration,
    /// How long a minion may run a job before it is `timed_out`, if the operator does not say. Default 60 s.
    pub run_timeout: Duration,
    /// The fabric's shape, as the file at `topology` has it: node groups, and how jobs are batched in each region. It is
    /// read when the top master starts; a change counts from the next start. Nothing: no node groups and no limits.
    pub topology: Option<Topology>,
    /// Where leases and the active topology are kept.
    pub registry: RegistryKind,
    /// Where jobs and returns are kept.
    pub store: StoreKind,
    /// What the log says.
    pub log: LogConfig,
}

/// Where leases and the active topology are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RegistryKind {
    /// In this process: for a fabric with one top master.
    #[default]
    Embedded,
}

impl TopMasterConfig {
    /// Who it is. The loader has checked that the parts fit together.
    pub fn identity(&self) -> Result<Identity, relay_core::identity::IdentityError> {
        Identity::new(self.id.as_str(), Role::TopMaster, self.region.clone(), self.fabric.clone())
    }
    /// All addresses it listens on.
    pub fn addresses(&self) -> [SocketAddr; 3] {
        [self.listen, self.operators, self.admin]
    }
}

pub(super) fn read(node: &Node, base: &Path, sink: &Sink) -> Option<TopMasterConfig> {
    let mut f = Fields::open(node, "a top master's configuration", sink)?;
    let id = f.need("id", read::parsed);
    let region = f.need("region", parts::region);
    let fabric = f.need("fabric", read::parsed);
    let listen = f.need("listen", parts::listen);
    let operators = f.need("operators", parts::listen);
    let admin = f.need("admin", parts::loopback);
    let state_dir = f.need("state_dir", parts::path(base));
    let tls = f.need("tls", parts::tls(base));
    let keep_jobs_hours = f.or("keep_jobs_hours", KEEP_JOBS_HOURS, read::number(1, 87_600));
    let runtime_threads = f.may("runtime_threads", read::number(1, MAX_THREADS));
    let heartbeat = f.or("heartbeat", HeartbeatConfig::default(), parts::heartbeat);
    let delivery_timeout =
        f.or("delivery_timeout_ms", Duration::from_secs(10), parts::millis(100, 3_600_000));
    let run_timeout = f.or("run_timeout_ms", Duration::from_secs(60), parts::millis(100, 604_800_000));
    let topology = f.may("topology", parts::path(base));
    let registry =
        f.or("registry", RegistryKind::Embedded, read::word(&[("embedded", RegistryKind::Embedded)]));
    let store = f.or("store", StoreKind::Sqlite, store::kind(base));
    let log = f.or("log", LogConfig::default(), parts::log);
    let places = ["listen", "operators", "admin", "tls", "topology"].map(|key| f.at_key(key));
    f.close();
    ports::distinct(&[(listen, places[0]), (operators, places[1]), (admin, places[2])], sink);
    // Before anything else is given up on, so that its problems are told with the others.
    let topology = topology?.map(|file| shape(&file, fabric.as_ref(), places[4], sink));
    let config = TopMasterConfig {
        id: id?,
        region: region?,
        fabric: fabric?,
        listen: listen?,
        operators: operators?,
        admin: admin?,
        state_dir: state_dir?,
        tls: tls?,
        keep_jobs_hours: keep_jobs_hours?,
        runtime_threads: runtime_threads?.map(|n| n as usize),
        heartbeat: heartbeat?,
        delivery_timeout: delivery_timeout?,
        run_timeout: run_timeout?,
        topology: topology.map_or(Some(None), |read| read.map(Some))?,
        registry: registry?,
        store: store?,
        log: log?,
    };
    files::check(&config.tls, config.identity(), places[3], sink);
    Some(config)
}

/// Reads the topology. Each of its problems is told at the line that names the file.
fn shape(file: &Path, fabric: Option<&FabricName>, at: Position, sink: &Sink) -> Option<Topology> {
    let name = file.display().to_string();
    match super::load_topology(file) {
        Ok(topology) if fabric.is_some_and(|fabric| *fabric != topology.fabric) => {
            let what = format!("{name} is the topology of the fabric {}", topology.fabric);
            sink.refuse(at, what, "name this fabric's topology, or correct \"fabric\"")
        }
        Ok(topology) => Some(topology),
        Err(errors) => {
            for problem in errors.problems {
                let place = problem.at.map(|within| format!(":{within}")).unwrap_or_default();
                let what = format!("{name}{place}: {}", problem.what);
                sink.note(Problem { at: Some(at), what, ..problem });
            }
            None
        }
    }
}
