//! A syndic's configuration.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use relay_core::{
    document::{Fields, Node, Sink, read},
    identity::{FabricName, Identity, Role},
    ids::{RegionName, TierId},
};

use super::{
    enrol::{self, EnrolConfig},
    files,
    parts::{self, HeartbeatConfig, LogConfig, Parent, TlsConfig},
    ports,
    top_master::MAX_THREADS,
};

/// How large a spool grows if the file does not say: an hour of returns of 600 minions.
const SPOOL_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// The smallest useful spool: one return of the largest size (1 MiB) and its records.
const SPOOL_MIN_BYTES: u64 = 2 * 1024 * 1024;

/// What a syndic is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyndicConfig {
    /// Its id.
    pub id: TierId,
    /// The region its certificate names, and whose minions it speaks for.
    pub region: RegionName,
    /// The fabric.
    pub fabric: FabricName,
    /// Where its children dial it.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; loopback.
    pub admin: SocketAddr,
    /// Where its spool lies.
    pub state_dir: PathBuf,
    /// Who it is and whom it believes. With [`SyndicConfig::enrol`], the files that will be there once it has joined.
    pub tls: TlsConfig,
    /// How it gets those files from the fabric. Nothing: somebody else puts them there.
    pub enrol: Option<EnrolConfig>,
    /// Whom it dials, in order: a link to the first that takes it. Of several top masters only the owner does.
    pub parents: Vec<Parent>,
    /// Largest spool, in bytes. Default 64 MiB.
    pub spool_max_bytes: u64,
    /// When returns go up.
    pub flush: FlushConfig,
    /// Threads of the runtime. Nothing: one per core.
    pub runtime_threads: Option<usize>,
    /// How links prove that they are alive.
    pub heartbeat: HeartbeatConfig,
    /// What the log says.
    pub log: LogConfig,
}

/// When a syndic sends what it has folded: as soon as one of the three is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushConfig {
    /// So many returns. Default 4,096.
    pub count: u32,
    /// So many bytes. Default 64 KiB.
    pub bytes: u32,
    /// The oldest is so old. Default 50 ms.
    pub age: Duration,
}

impl Default for FlushConfig {
    fn default() -> Self {
        FlushConfig { count: 4096, bytes: 65_536, age: Duration::from_millis(50) }
    }
}

impl SyndicConfig {
    /// Who it is. The loader has checked that the parts fit together.
    pub fn identity(&self) -> Result<Identity, relay_core::identity::IdentityError> {
        Identity::new(self.id.as_str(), Role::Syndic, self.region.clone(), self.fabric.clone())
    }
    /// All addresses it listens on.
    pub fn addresses(&self) -> [SocketAddr; 2] {
        [self.listen, self.admin]
    }
}

pub(super) fn read(node: &Node, base: &Path, sink: &Sink) -> Option<SyndicConfig> {
    let mut f = Fields::open(node, "a syndic's configuration", sink)?;
    let id = f.need("id", read::parsed);
    let region = f.need("region", parts::region);
    let fabric = f.need("fabric", read::parsed);
    let listen = f.need("listen", parts::listen);
    let admin = f.need("admin", parts::loopback);
    let state_dir = f.need("state_dir", parts::path(base));
    let source = enrol::source(&mut f, base, sink);
    let parents = f.need("parents", parts::parents(Role::TopMaster));
    let spool_max_bytes = f.or("spool_max_bytes", SPOOL_MAX_BYTES, read::number(SPOOL_MIN_BYTES, 1 << 40));
    let flush = f.or("flush", FlushConfig::default(), flush);
    let runtime_threads = f.may("runtime_threads", read::number(1, MAX_THREADS));
    let heartbeat = f.or("heartbeat", HeartbeatConfig::default(), parts::heartbeat);
    let log = f.or("log", LogConfig::default(), parts::log);
    let places = ["listen", "admin", "parents"].map(|key| f.at_key(key));
    f.close();
    ports::distinct(&[(listen, places[0]), (admin, places[1])], sink);
    let ((source, source_at), state_dir) = (source?, state_dir?);
    let (tls, enrol) = source.settle(&state_dir, PathBuf::clone);
    let config = SyndicConfig {
        id: id?,
        region: region?,
        fabric: fabric?,
        listen: listen?,
        admin: admin?,
        state_dir,
        tls,
        enrol,
        parents: parents?,
        spool_max_bytes: spool_max_bytes?,
        flush: flush?,
        runtime_threads: runtime_threads?.map(|n| n as usize),
        heartbeat: heartbeat?,
        log: log?,
    };
    if config.parents.iter().any(|p| p.id == config.id) {
        sink.refuse::<()>(
            places[2],
            format!("{} is its own parent", config.id),
            "name somebody nearer to the top",
        );
    }
    if config.enrol.is_none() {
        files::check(&config.tls, config.identity(), source_at, sink);
    }
    Some(config)
}

fn flush(node: &Node, sink: &Sink) -> Option<FlushConfig> {
    let default = FlushConfig::default();
    let mut f = Fields::open(node, "flush", sink)?;
    let count = f.or("count", u64::from(default.count), read::number(1, 1_000_000));
    let bytes = f.or("bytes", u64::from(default.bytes), read::number(1, 16 * 1024 * 1024));
    let age = f.or("age_ms", default.age, parts::millis(1, 60_000));
    f.close();
    Some(FlushConfig { count: count? as u32, bytes: bytes? as u32, age: age? })
}
