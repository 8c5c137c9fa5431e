//! The configuration files of one run: what must be said, and the daemons' own defaults for all else.

use std::{fmt::Write, net::SocketAddr, path::Path};

use relay_runtime::config::TlsConfig;

use super::FABRIC;
use crate::swarm::Place;

/// The policy of a run, beside the configurations.
pub const POLICY_FILE: &str = "policy.yaml";
/// Its operator may do everything. One rule for it, as in most fabrics.
pub const POLICY: &str = "version: 1\nallow: {any: {'*': ['*', '@jobs', '@runner', '@wheel']}}\n";

/// What a top master is told.
#[derive(Debug)]
pub struct TopMasterFile<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its region.
    pub region: &'a str,
    /// For syndics.
    pub listen: SocketAddr,
    /// For operators.
    pub operators: SocketAddr,
    /// For metrics.
    pub admin: SocketAddr,
    /// Its store.
    pub state: &'a Path,
    /// Its certificate.
    pub tls: &'a TlsConfig,
    /// What it holds of the authority.
    pub trust: &'a Path,
    /// Threads, if it is not to choose them itself.
    pub threads: Option<u32>,
}

/// What a syndic is told.
#[derive(Debug)]
pub struct SyndicFile<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its region.
    pub region: &'a str,
    /// For minions.
    pub listen: SocketAddr,
    /// For metrics.
    pub admin: SocketAddr,
    /// Its spool.
    pub state: &'a Path,
    /// Its certificate.
    pub tls: &'a TlsConfig,
    /// The top master.
    pub parent: &'a Place,
    /// Threads, if it is not to choose them itself.
    pub threads: Option<u32>,
}

/// A top master's file.
pub fn top_master(f: &TopMasterFile<'_>) -> String {
    let mut text = begin(f.id, f.region, f.state, f.tls);
    let _ = writeln!(text, "listen: {}\noperators: {}\nadmin: {}", f.listen, f.operators, f.admin);
    let _ = writeln!(text, "policy: {POLICY_FILE}\ntrust: {{dir: {:?}}}", f.trust);
    text + &threads(f.threads)
}

/// A syndic's file.
pub fn syndic(f: &SyndicFile<'_>) -> String {
    let mut text = begin(f.id, f.region, f.state, f.tls);
    let _ = writeln!(text, "listen: {}\nadmin: {}\n{}", f.listen, f.admin, parents(f.parent));
    text + &threads(f.threads)
}

/// A minion's file.
pub fn minion(id: &str, state: &Path, tls: &TlsConfig, parent: &Place) -> String {
    begin(id, &parent.region, state, tls) + &parents(parent)
}

fn begin(id: &str, region: &str, state: &Path, tls: &TlsConfig) -> String {
    // A quoted Rust string is a quoted YAML string for every path that a temporary directory has.
    format!(
        "id: {id}\nregion: {region}\nfabric: {FABRIC}\nstate_dir: {state:?}\ntls: {{ca: {:?}, cert: {:?}, key: {:?}}}\n",
        tls.ca, tls.cert, tls.key
    )
}

fn threads(threads: Option<u32>) -> String {
    threads.map_or_else(String::new, |n| format!("runtime_threads: {n}\n"))
}

fn parents(parent: &Place) -> String {
    format!("parents:\n  - {{id: {}, region: {}, address: {:?}}}\n", parent.id, parent.region, parent.address)
}
