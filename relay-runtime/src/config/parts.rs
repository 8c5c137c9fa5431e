//! The parts that several daemons' configurations share: TLS files, heartbeat, log, parents, addresses and paths.

use crate::telemetry::LogFormat;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use relay_core::{
    document::{Fields, Node, Sink, read},
    identity::{FabricName, Identity, IdentityError, Role, check_region},
    ids::{RegionName, TierId},
    topology::HostPort,
};

/// The files that say who this process is and whom it believes. PEM each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The fabric's root certificates.
    pub ca: PathBuf,
    /// This process's certificate, followed by those between it and the root, if any.
    pub cert: PathBuf,
    /// The certificate's private key; readable by its owner alone (abuse test a22).
    pub key: PathBuf,
}

/// How a link proves that it is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatConfig {
    /// How often each side says something. Default 12 s: each heartbeat and its answer are some 60 microseconds of a syndic.
    pub interval: Duration,
    /// After how much silence the other side counts as gone. Default 25 s, so that a half-open link is found within 30.
    pub dead_after: Duration,
}

impl Default for HeartbeatConfig {
    fn default() -> Self {
        HeartbeatConfig { interval: Duration::from_secs(12), dead_after: Duration::from_secs(25) }
    }
}

/// What the log says, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// The least important lines that are written. Default `info`.
    pub level: LogLevel,
    /// For people or for programs. Default `text`.
    pub format: LogFormat,
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is odd.
    Warn,
    /// Something happened.
    #[default]
    Info,
    /// How it happened.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word for it, as in the file and as `tracing` reads it.
    pub fn word(self) -> &'static str {
        LEVELS.iter().find(|(_, level)| *level == self).map_or("info", |(word, _)| word)
    }
}

const LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
const PARENT_ROLES: &[(&str, Role)] = &[("top-master", Role::TopMaster), ("syndic", Role::Syndic)];

/// Somebody to dial, and who it has to prove to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Its id.
    pub id: TierId,
    /// The region its certificate names.
    pub region: RegionName,
    /// What it is: [`Role::TopMaster`] or [`Role::Syndic`]. Default: a minion's parents are syndics, a syndic's are top
    /// masters.
    pub role: Role,
    /// Where to dial it.
    pub address: HostPort,
}

impl Parent {
    /// Who its certificate has to say that it is.
    pub fn identity(&self, fabric: &FabricName) -> Result<Identity, IdentityError> {
        Identity::new(self.id.as_str(), self.role, self.region.clone(), fabric.clone())
    }
}

/// A path, relative to the directory of the configuration file.
pub(super) fn path<'a>(base: &'a Path) -> impl Fn(&Node, &Sink) -> Option<PathBuf> + 'a {
    move |node, sink| read::text(node, sink).map(|text| base.join(text))
}

/// An address to listen on: an IP address and a port, which may be 0 (any free one).
pub(super) fn listen(node: &Node, sink: &Sink) -> Option<SocketAddr> {
    let text = read::text(node, sink)?;
    let what = || format!("{:?} is no address to listen on", read::clip(&text));
    text.parse().ok().or_else(|| sink.refuse(node.at, what(), "write IP:port, for example 0.0.0.0:4505"))
}

/// A listening address that only this machine can reach: what is served there asks nobody who he is.
pub(super) fn loopback(node: &Node, sink: &Sink) -> Option<SocketAddr> {
    let address = listen(node, sink)?;
    match address.ip().is_loopback() {
        true => Some(address),
        false => {
            let what =
                format!("{address} can be reached from outside, and the admin address serves without login");
            sink.refuse(node.at, what, "write 127.0.0.1 and the port")
        }
    }
}

/// A duration in whole milliseconds.
pub(super) fn millis(low: u64, high: u64) -> impl Fn(&Node, &Sink) -> Option<Duration> {
    move |node, sink| read::number(low, high)(node, sink).map(Duration::from_millis)
}

pub(super) fn region(node: &Node, sink: &Sink) -> Option<RegionName> {
    read::with(node, sink, check_region)
}

pub(super) fn tls<'a>(base: &'a Path) -> impl Fn(&Node, &Sink) -> Option<TlsConfig> + 'a {
    move |node, sink| {
        let mut f = Fields::open(node, "tls", sink)?;
        let (ca, cert, key) =
            (f.need("ca", path(base)), f.need("cert", path(base)), f.need("key", path(base)));
        f.close();
        Some(TlsConfig { ca: ca?, cert: cert?, key: key? })
    }
}

pub(super) fn heartbeat(node: &Node, sink: &Sink) -> Option<HeartbeatConfig> {
    let default = HeartbeatConfig::default();
    let mut f = Fields::open(node, "heartbeat", sink)?;
    let interval = f.or("interval_ms", default.interval, millis(50, 600_000));
    let dead_after = f.or("dead_after_ms", default.dead_after, millis(100, 3_600_000));
    let at = f.at_key("dead_after_ms");
    f.close();
    let (interval, dead_after) = (interval?, dead_after?);
    if dead_after < interval * 2 {
        // One lost heartbeat must not cut a link.
        let what =
            format!("dead_after_ms is {} with interval_ms {}", dead_after.as_millis(), interval.as_millis());
        return sink.refuse(at, what, "make dead_after_ms at least twice interval_ms");
    }
    Some(HeartbeatConfig { interval, dead_after })
}

pub(super) fn log(node: &Node, sink: &Sink) -> Option<LogConfig> {
    let mut f = Fields::open(node, "log", sink)?;
    let level = f.or("level", LogLevel::default(), read::word(LEVELS));
    let format = f.or("format", LogFormat::default(), read::word(FORMATS));
    f.close();
    Some(LogConfig { level: level?, format: format? })
}

/// The ordered list of parents. At least one, each once.
pub(super) fn parents(default_role: Role) -> impl Fn(&Node, &Sink) -> Option<Vec<Parent>> {
    move |node, sink| {
        let found = read::list(|n, s| Some((n.at, parent(default_role, n, s))))(node, sink)?;
        if found.is_empty() {
            return sink.refuse(
                node.at,
                "there is no parent here",
                "add at least one: {id, region, address}",
            );
        }
        let mut parents: Vec<Parent> = Vec::new();
        let mut whole = true;
        for (at, parent) in found {
            match parent {
                Some(p) if parents.iter().any(|q| q.id == p.id) => {
                    whole = false;
                    let what = format!("the parent {} stands here a second time", p.id);
                    sink.refuse::<()>(at, what, "remove one of the two");
                }
                Some(p) => parents.push(p),
                None => whole = false,
            }
        }
        whole.then_some(parents)
    }
}

fn parent(default_role: Role, node: &Node, sink: &Sink) -> Option<Parent> {
    let mut f = Fields::open(node, "a parent", sink)?;
    let id = f.need("id", read::parsed);
    let region = f.need("region", region);
    let role = f.or("role", default_role, read::word(PARENT_ROLES));
    let address = f.need("address", read::parsed);
    f.close();
    Some(Parent { id: id?, region: region?, role: role?, address: address? })
}
