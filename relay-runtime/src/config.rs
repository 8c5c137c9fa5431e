//! Configuration: a YAML file in, a checked value out, or every problem at once with its position.
//!
//! One mechanism for the topology and the three daemons: `yaml` parses into a tree with positions, the readers of
//! `relay_core::document` take it apart, `files`, `registry` and `store` look at the certificates it names. Nothing is started, written or
//! bound here ([`check_ports_free`] binds for an instant and lets go).
//!
//! Paths in a file are relative to the directory the file lies in.

mod audit;
mod credentials;
mod enrol;
mod files;
mod follow;
mod login;
mod minion;
mod parts;
mod ports;
mod registry;
mod store;
mod syndic;
#[cfg(test)]
mod tests;
mod top_master;
mod yaml;

pub use crate::telemetry::LogFormat;
pub use audit::{AuditConfig, AuditFile, Syslog};
pub use enrol::{EnrolConfig, RootConfig};
pub use follow::{FollowConfig, FollowPolicy};
pub use login::{GroupsConfig, LdapConfig, LoginConfig, UsersConfig};
pub use minion::{MAX_MINIONS_PER_PROCESS, MinionConfig, MinionTemplate, ParentsOrder};
pub use parts::{HeartbeatConfig, LogConfig, LogLevel, Parent, TlsConfig};
pub use ports::check_ports_free;
pub use registry::RegistryKind;
pub use store::StoreKind;
pub use syndic::{FlushConfig, SyndicConfig};
pub use top_master::TopMasterConfig;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use relay_core::{
    access::Policy,
    allowance::Allowance,
    document::{Node, Problem, Severity, Sink},
    topology::Topology,
};

/// Largest configuration file read, in bytes: a topology of 5,000 listed minions has about 100 KiB.
pub const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// Everything that is wrong with one configuration file. Shown, it is one line per problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file.
    pub file: PathBuf,
    /// The problems, in the order of the file; warnings among them.
    pub problems: Vec<Problem>,
}

impl ConfigErrors {
    /// Problems found in (or because of) a file.
    pub fn new(file: &Path, problems: Vec<Problem>) -> Self {
        ConfigErrors { file: file.to_owned(), problems }
    }
    /// How many of the problems are errors.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|p| p.severity == Severity::Error).count()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display().to_string();
        for (i, problem) in self.problems.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{}", problem.in_file(&file))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads a top master's configuration and looks at the certificate and key it names.
pub fn load_top_master(path: &Path) -> Result<TopMasterConfig, ConfigErrors> {
    load(path, top_master::read)
}

/// Reads a syndic's configuration and looks at the certificate and key it names.
pub fn load_syndic(path: &Path) -> Result<SyndicConfig, ConfigErrors> {
    load(path, syndic::read)
}

/// Reads the configuration of a process with one minion: [`load_minions`] with a count of 1.
pub fn load_minion(path: &Path) -> Result<MinionConfig, ConfigErrors> {
    let mut one = load_minions(path, 1)?;
    one.pop()
        .ok_or_else(|| ConfigErrors::new(path, vec![Problem::anywhere("no minion", "ask for at least one")]))
}

/// Reads a minion's configuration, expands it to `count` minions (see [`MinionTemplate`]) and looks at the certificate
/// and key of each.
pub fn load_minions(path: &Path, count: usize) -> Result<Vec<MinionConfig>, ConfigErrors> {
    load(path, |node, base, sink| minion::read_all(node, base, sink, count))
}

/// Reads a minion's configuration without expanding it and without looking at certificates.
pub fn load_minion_template(path: &Path) -> Result<MinionTemplate, ConfigErrors> {
    load(path, |node, base, sink| minion::read(node, base, sink).map(|(template, _)| template))
}

/// Reads a grains file: a YAML map of static grains. Plain numbers and booleans are such, all else is text.
pub fn load_grains(path: &Path) -> Result<BTreeMap<String, serde_json::Value>, ConfigErrors> {
    load(path, |node, _, sink| minion::grains(node, sink))
}

/// Reads a minion's policy file: what jobs may do there, whoever sends them.
pub fn load_allowance(path: &Path) -> Result<Allowance, ConfigErrors> {
    load(path, |node, _, sink| Allowance::read(node, sink))
}

/// Reads a topology file. Warnings are in the topology.
pub fn load_topology(path: &Path) -> Result<Topology, ConfigErrors> {
    let text = read_text(path).map_err(|p| ConfigErrors::new(path, vec![p]))?;
    parse_topology(&text).map_err(|problems| ConfigErrors::new(path, problems))
}

/// Reads a topology from text.
pub fn parse_topology(text: &str) -> Result<Topology, Vec<Problem>> {
    Topology::check(&yaml::parse(text).map_err(|p| vec![p])?)
}

/// Reads a policy file: its text, and what it says. Warnings are in the policy.
pub fn load_policy(path: &Path) -> Result<(String, Policy), ConfigErrors> {
    let broken = |problems| ConfigErrors::new(path, problems);
    let text = read_text(path).map_err(|p| broken(vec![p]))?;
    unchangeable(path).map_err(|p| broken(vec![p]))?;
    let policy = parse_policy(&text).map_err(broken)?;
    Ok((text, policy))
}

/// Whoever can change the rules can do everything.
fn unchangeable(path: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map_or(0, |found| found.permissions().mode() & 0o777);
    match mode & 0o002 {
        0 => Ok(()),
        _ => Err(Problem::anywhere(
            format!("everybody on this machine can change it (mode {mode:04o})"),
            "chmod o-w it, and see that nobody has",
        )),
    }
}

/// Reads a policy from text.
pub fn parse_policy(text: &str) -> Result<Policy, Vec<Problem>> {
    Policy::check(&yaml::parse(text).map_err(|p| vec![p])?)
}

fn load<T>(path: &Path, read: impl FnOnce(&Node, &Path, &Sink) -> Option<T>) -> Result<T, ConfigErrors> {
    let broken = |problems| ConfigErrors::new(path, problems);
    let text = read_text(path).map_err(|p| broken(vec![p]))?;
    let node = yaml::parse(&text).map_err(|p| broken(vec![p]))?;
    let sink = Sink::default();
    let value = read(&node, &directory_of(path), &sink);
    sink.conclude(value).map(|(value, _warnings)| value).map_err(broken)
}

fn directory_of(path: &Path) -> PathBuf {
    let here = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::path::absolute(here).unwrap_or_else(|_| here.to_owned())
}

fn read_text(path: &Path) -> Result<String, Problem> {
    let unreadable = |e: std::io::Error| {
        Problem::anywhere(format!("cannot be read: {e}"), "check the path and the file's permissions")
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_CONFIG_BYTES {
        let what = format!("has {size} bytes, a configuration file has at most {MAX_CONFIG_BYTES}");
        return Err(Problem::anywhere(what, "is this the right file?"));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}
