//! The configuration files of a fabric, as an operator would write them.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use relay_core::identity::Role;
use relay_runtime::config::TlsConfig;

use crate::{
    builder::{MinionGroup, Settings, Syndic},
    fabric::TOP,
    pki::{FABRIC, Pki},
};

/// The ports of the top master on the fabric's own loopback address.
pub(crate) const TOP_LISTEN: u16 = 4510;
pub(crate) const TOP_OPERATORS: u16 = 4511;
const TOP_ADMIN: u16 = 4512;
/// Syndic n listens on this + 2n, and has its admin address one above.
const SYNDICS: u16 = 4600;
/// Minion process n has its admin address at this + n.
const MINIONS: u16 = 4800;
/// Digits in the id of a numbered minion.
pub(crate) const NUMBER_WIDTH: usize = 2;

/// Writes what a top master is told; gives its admin address.
pub(crate) fn top(
    dir: &Path,
    ip: IpAddr,
    pki: &Pki,
    settings: &Settings,
    topology: Option<&str>,
    store: Option<&str>,
) -> SocketAddr {
    let tls = tls(&pki.issue(TOP, Role::TopMaster, "core"));
    let topology = match topology {
        Some(text) => {
            fs::create_dir_all(dir).expect("a directory for the top master");
            fs::write(dir.join("topology.yaml"), text).expect("a topology file");
            "topology: topology.yaml\n"
        }
        None => "",
    };
    let store = store.map(|setting| format!("store: {setting}\n")).unwrap_or_default();
    let (delivery, run) = (settings.delivery_ms, settings.run_ms);
    write(
        dir,
        &format!(
            "id: {TOP}\nregion: core\nfabric: {FABRIC}\nlisten: {ip}:{TOP_LISTEN}\noperators: {ip}:{TOP_OPERATORS}\n\
             admin: {ip}:{TOP_ADMIN}\nstate_dir: state\n{tls}delivery_timeout_ms: {delivery}\nrun_timeout_ms: {run}\n\
             runtime_threads: 1\n{topology}{store}{}",
            common(settings)
        ),
    );
    SocketAddr::new(ip, TOP_ADMIN)
}

/// Writes what a syndic is told; gives its admin address.
pub(crate) fn syndic(
    dir: &Path,
    ip: IpAddr,
    no: usize,
    own: &Syndic,
    above: Option<usize>,
    pki: &Pki,
    settings: &Settings,
) -> SocketAddr {
    let (id, region) = (&own.id, &own.region);
    let parent = match (&own.below, above) {
        (Some(above), Some(no)) => {
            format!("{{id: {above}, region: {region}, role: syndic, address: \"{ip}:{}\"}}", syndic_port(no))
        }
        _ => format!("{{id: {TOP}, region: core, address: \"{ip}:{TOP_LISTEN}\"}}"),
    };
    let tls = tls(&pki.issue(id, Role::Syndic, region));
    let listen = syndic_port(no);
    let admin = SocketAddr::new(ip, listen + 1);
    write(
        dir,
        &format!(
            "id: {id}\nregion: {region}\nfabric: {FABRIC}\nlisten: {ip}:{listen}\nadmin: {admin}\nstate_dir: state\n\
             {tls}parents:\n  - {parent}\nruntime_threads: 1\n{}",
            common(settings)
        ),
    );
    admin
}

/// The port on which minions dial syndic `no`.
pub(crate) fn syndic_port(no: usize) -> u16 {
    SYNDICS + 2 * no as u16
}

/// Writes what a process of minions is told; gives its admin address.
pub(crate) fn minions(
    dir: &Path,
    ip: IpAddr,
    no: usize,
    group: &MinionGroup,
    parents: &[(usize, &Syndic)],
    pki: &Pki,
    settings: &Settings,
) -> SocketAddr {
    let region = &parents.first().expect("a minion has a parent").1.region;
    for id in group.ids() {
        pki.issue(&id, Role::Minion, region);
    }
    let admin = SocketAddr::new(ip, MINIONS + no as u16);
    let parents: String = parents
        .iter()
        .map(|(no, s)| {
            format!("  - {{id: {}, region: {}, address: \"{ip}:{}\"}}\n", s.id, s.region, syndic_port(*no))
        })
        .collect();
    let pki_dir = dir.parent().expect("a fabric's directory").join("pki");
    let (ca, pem) = (pki.root().display(), pki_dir.join("minion"));
    let pem = pem.display();
    let template = group.template();
    // A numbered minion's state lies in a directory of its name by itself; a single one's is put there, so that the
    // path of a run always names its minion (which is how the witness knows it).
    let state = match group.count {
        1 => format!("state/{}", group.name),
        _ => format!("state\nnumber_width: {NUMBER_WIDTH}"),
    };
    write(
        dir,
        &format!(
            "id: \"{template}\"\nregion: {region}\nfabric: {FABRIC}\nparents:\n{parents}state_dir: {state}\nadmin: {admin}\n\
             tls: {{ca: \"{ca}\", cert: \"{pem}/{{id}}.pem\", key: \"{pem}/{{id}}.key\"}}\n\
             grains: {{site: {}, group: {}}}\n{}",
            group.syndic,
            group.name,
            common(settings)
        ),
    );
    admin
}

fn common(settings: &Settings) -> String {
    let Settings { interval_ms, dead_after_ms, .. } = settings;
    format!("heartbeat: {{interval_ms: {interval_ms}, dead_after_ms: {dead_after_ms}}}\n")
}

fn tls(files: &TlsConfig) -> String {
    let TlsConfig { ca, cert, key } = files;
    format!("tls: {{ca: \"{}\", cert: \"{}\", key: \"{}\"}}\n", ca.display(), cert.display(), key.display())
}

fn write(dir: &Path, text: &str) {
    fs::create_dir_all(dir).expect("a directory for a daemon");
    fs::write(dir.join("config.yaml"), text).expect("a configuration file");
}
