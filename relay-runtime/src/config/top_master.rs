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
    audit::{self, AuditConfig},
    files,
    follow::{self, FollowConfig},
    login::{self, LoginConfig},
    parts::{self, HeartbeatConfig, LogConfig, TlsConfig},
    ports,
    registry::{self, RegistryKind},
    store::{self, StoreKind},
};

use crate::authority::LEAF_LIFE;

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
    /// The directory of what top masters hold of the certificate authority: issuers, and the key that signs lists.
    pub trust: PathBuf,
    /// The file that says who may do what. It has been read once; whoever goes by it reads it again when it changes.
    pub policy: PathBuf,
    /// How long certificates of minions and syndics count that are renewed by themselves. Default a day.
    pub certificate_life: Duration,
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
    /// The fabric's shape, as the file at `topology` has it: what is applied as the first revision when there is none yet.
    /// Afterwards the active revision counts, and a file that differs from it is only warned about.
    pub topology: Option<Topology>,
    /// Where that file is.
    pub topology_file: Option<PathBuf>,
    /// The git repository that the topology is taken from. Nothing: operators apply it.
    pub follow: Option<FollowConfig>,
    /// Where leases and the active topology are kept.
    pub registry: RegistryKind,
    /// Where jobs and returns are kept.
    pub store: StoreKind,
    /// How operators log in who have no certificate.
    pub login: LoginConfig,
    /// Where the audit log goes besides the store.
    pub audit: AuditConfig,
    /// What the log says.
    pub log: LogConfig,
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
    let trust = f.need("trust", trust(base));
    let policy = f.need("policy", parts::path(base));
    let certificate_life = f.or("certificate_life_s", LEAF_LIFE, |n, s| {
        read::number(5, 2_592_000)(n, s).map(Duration::from_secs)
    });
    let keep_jobs_hours = f.or("keep_jobs_hours", KEEP_JOBS_HOURS, read::number(1, 87_600));
    let runtime_threads = f.may("runtime_threads", read::number(1, MAX_THREADS));
    let heartbeat = f.or("heartbeat", HeartbeatConfig::default(), parts::heartbeat);
    let delivery_timeout =
        f.or("delivery_timeout_ms", Duration::from_secs(10), parts::millis(100, 3_600_000));
    let run_timeout = f.or("run_timeout_ms", Duration::from_secs(60), parts::millis(100, 604_800_000));
    let topology = f.may("topology", parts::path(base));
    let follow = f.may("follow", follow::follow(base));
    let registry = f.or("registry", RegistryKind::Embedded, registry::kind(base, fabric.as_ref()));
    let store = f.or("store", StoreKind::Sqlite, store::kind(base));
    let login = f.or("login", LoginConfig::default(), login::login(base));
    let audit = f.or("audit", AuditConfig::default(), audit::audit(base));
    let log = f.or("log", LogConfig::default(), parts::log);
    let places =
        ["listen", "operators", "admin", "tls", "topology", "registry", "store"].map(|key| f.at_key(key));
    let policy_at = f.at_key("policy");
    let whole = f.at();
    f.close();
    ports::distinct(&[(listen, places[0]), (operators, places[1]), (admin, places[2])], sink);
    // Before anything else is given up on, so that their problems are told with the others.
    let policy = policy.and_then(|file| rules(file, policy_at, sink));
    let topology_file = topology.clone().flatten();
    let topology = topology?.map(|file| shape(&file, fabric.as_ref(), places[4], sink));
    if let (Some(registry), Some(store)) = (&registry, &store) {
        // What is not written is named at what asks for it.
        let [asks, at @ ..] = [places[4], places[5], places[6]];
        let at = at.map(|place| if place == whole { asks } else { place });
        shared(topology.as_ref().and_then(Option::as_ref), registry, store, at, sink);
    }
    let config = TopMasterConfig {
        id: id?,
        region: region?,
        fabric: fabric?,
        listen: listen?,
        operators: operators?,
        admin: admin?,
        state_dir: state_dir?,
        tls: tls?,
        trust: trust?,
        policy: policy?,
        certificate_life: certificate_life?,
        keep_jobs_hours: keep_jobs_hours?,
        runtime_threads: runtime_threads?.map(|n| n as usize),
        heartbeat: heartbeat?,
        delivery_timeout: delivery_timeout?,
        run_timeout: run_timeout?,
        topology: topology.map_or(Some(None), |read| read.map(Some))?,
        topology_file,
        follow: follow?,
        registry: registry?,
        store: store?,
        login: login?,
        audit: audit?,
        log: log?,
    };
    files::check(&config.tls, config.identity(), places[3], sink);
    Some(config)
}

/// Several top masters find each other in one registry, and take jobs over from one store: neither may be in one's own
/// process or on its own disk. At: the places of `registry` and `store`.
fn shared(
    topology: Option<&Topology>,
    registry: &RegistryKind,
    store: &StoreKind,
    [registry_at, store_at]: [Position; 2],
    sink: &Sink,
) {
    let own_store = *store == StoreKind::Sqlite;
    if *registry != RegistryKind::Embedded {
        if own_store {
            let what = "with a registry in etcd, the store must be one that other top masters can reach too; it is sqlite";
            let fix = "write store: {postgres: {host: ..., database: ..., user: ...}}, or registry: embedded";
            sink.refuse::<()>(registry_at, what.to_owned(), fix);
        }
        return;
    }
    let tops: Vec<&str> = topology.into_iter().flat_map(|t| &t.top_masters).map(|t| t.id.as_str()).collect();
    if tops.len() < 2 {
        return;
    }
    let names = tops.join(", ");
    let what =
        format!("the topology names {} top masters ({names}), but the registry is embedded", tops.len());
    let fix = "write registry: {etcd: {endpoints: [...]}}, the same one for all of them";
    sink.refuse::<()>(registry_at, what, fix);
    if own_store {
        let what =
            format!("the topology names {} top masters ({names}), but the store is sqlite", tops.len());
        let fix =
            "write store: {postgres: {host: ..., database: ..., user: ...}}, the same one for all of them";
        sink.refuse::<()>(store_at, what, fix);
    }
}

/// What top masters hold of the authority: `trust: {dir: PATH}`. Looked at when they start, with the key of the fabric.
fn trust<'a>(base: &'a Path) -> impl Fn(&Node, &Sink) -> Option<PathBuf> + 'a {
    move |node, sink| {
        let mut f = Fields::open(node, "trust", sink)?;
        let dir = f.need("dir", parts::path(base));
        f.close();
        let dir = dir?;
        if dir.is_dir() {
            return Some(dir);
        }
        let what = format!("{} is no directory", dir.display());
        sink.refuse(
            node.at,
            what,
            "make an authority with \"relayctl ca init\", and name its directory trust/ here",
        )
    }
}

/// Reads the policy once, so that what is wrong with it is known before anything starts.
fn rules(file: PathBuf, at: Position, sink: &Sink) -> Option<PathBuf> {
    match super::load_policy(&file) {
        Ok(_) => Some(file),
        Err(errors) => within(&file, errors, at, sink),
    }
}

/// Each problem of a file is told at the line that names the file.
fn within<T>(file: &Path, errors: super::ConfigErrors, at: Position, sink: &Sink) -> Option<T> {
    let name = file.display();
    for problem in errors.problems {
        let place = problem.at.map(|within| format!(":{within}")).unwrap_or_default();
        let what = format!("{name}{place}: {}", problem.what);
        sink.note(Problem { at: Some(at), what, ..problem });
    }
    None
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
        Err(errors) => within(file, errors, at, sink),
    }
}
