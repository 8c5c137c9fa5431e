//! The configuration files of a fabric, as an operator would write them.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use relay_core::identity::Role;
use relay_runtime::config::TlsConfig;

use crate::{
    builder::{MinionGroup, Settings, Syndic},
    netns::Host,
    pki::{FABRIC, Pki},
};

/// The port of the first top master on the fabric's own loopback address; each other one has its ports this much above.
pub(crate) const TOP_LISTEN: u16 = 4510;
const TOP_STEP: u16 = 10;
/// Operators' port and admin address, from where a top master listens.
pub(crate) const OPERATORS_ABOVE: u16 = 1;
const ADMIN_ABOVE: u16 = 2;
/// Syndic n listens on this + 2n, and has its admin address one above.
const SYNDICS: u16 = 4600;
/// Minion process n has its admin address at this + n.
const MINIONS: u16 = 4800;
/// A top master's policy, in its directory.
pub(crate) const POLICY_FILE: &str = "policy.yaml";
/// Who logs in with a password, in a top master's directory.
pub(crate) const USERS_FILE: &str = "users";
/// Whoever has an operator's certificate may do everything.
pub(crate) const OPEN_POLICY: &str = "version: 1\nallow: {any: {'*': ['*', '@jobs', '@runner', '@wheel']}}\n";
/// Digits in the id of a numbered minion.
pub(crate) const NUMBER_WIDTH: usize = 2;

/// The port on which syndics dial top master `no`.
pub(crate) fn top_port(no: usize) -> u16 {
    TOP_LISTEN + TOP_STEP * no as u16
}

/// Where everybody listens.
pub(crate) struct Places {
    /// The address of all who have no host.
    pub(crate) own: IpAddr,
    /// The address of everybody's admin port: nothing but loopback is allowed.
    pub(crate) admin: IpAddr,
    pub(crate) hosts: BTreeMap<String, Host>,
}

impl Places {
    /// The address of somebody by id.
    pub(crate) fn ip(&self, id: &str) -> IpAddr {
        self.hosts.get(id).map_or(self.own, Host::ip)
    }
}

/// What top masters are told beyond what each needs.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) topology: Option<&'a str>,
    pub(crate) registry: Option<&'a str>,
    pub(crate) store: Option<&'a str>,
    pub(crate) policy: &'a str,
    /// Settings of logins, and the password file.
    pub(crate) login: Option<(&'a str, &'a str)>,
}

/// Writes what a top master is told; gives its admin address.
pub(crate) fn top(
    dir: &Path,
    places: &Places,
    (no, id): (usize, &str),
    pki: &Pki,
    settings: &Settings,
    given: Given<'_>,
) -> SocketAddr {
    let (ip, tls) = (places.ip(id), tls(&pki.issue(id, Role::TopMaster, "core")));
    let trust = pki.trust_dir().display().to_string();
    let listen = top_port(no);
    let operators = listen + OPERATORS_ABOVE;
    let admin = SocketAddr::new(places.admin, listen + ADMIN_ABOVE);
    fs::create_dir_all(dir).expect("a directory for the top master");
    write_private(&dir.join(POLICY_FILE), given.policy);
    let login = match given.login {
        Some((settings, users)) => {
            write_private(&dir.join(USERS_FILE), users);
            format!("login: {{password_file: {USERS_FILE}{settings}}}\n")
        }
        None => String::new(),
    };
    let topology = match given.topology {
        Some(text) => {
            fs::write(dir.join("topology.yaml"), text).expect("a topology file");
            "topology: topology.yaml\n"
        }
        None => "",
    };
    let line =
        |key: &str, setting: Option<&str>| setting.map(|s| format!("{key}: {s}\n")).unwrap_or_default();
    let (registry, store) = (line("registry", given.registry), line("store", given.store));
    let (delivery, run) = (settings.delivery_ms, settings.run_ms);
    write(
        dir,
        &format!(
            "id: {id}\nregion: core\nfabric: {FABRIC}\nlisten: {ip}:{listen}\noperators: {ip}:{operators}\n\
             admin: {admin}\nstate_dir: state\n{tls}trust: {{dir: {trust}}}\npolicy: {POLICY_FILE}\ndelivery_timeout_ms: {delivery}\nrun_timeout_ms: {run}\n\
             runtime_threads: 1\n{topology}{registry}{store}{login}{}",
            common(settings)
        ),
    );
    admin
}

/// Writes a file for its owner alone, as a whole.
pub(crate) fn write_private(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).expect("a file");
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o600)).expect("a mode");
    fs::rename(draft, path).expect("a file in its place");
}

/// Writes what a syndic is told; gives its admin address.
pub(crate) fn syndic(
    dir: &Path,
    places: &Places,
    no: usize,
    (own, above, tops): (&Syndic, Option<usize>, &[String]),
    pki: &Pki,
    settings: &Settings,
) -> SocketAddr {
    let (id, region) = (&own.id, &own.region);
    let top = |(no, id): (usize, &String)| {
        let (ip, port) = (places.ip(id), top_port(no));
        format!("  - {{id: {id}, region: core, address: \"{ip}:{port}\"}}\n")
    };
    let parents: String = match (&own.below, above) {
        (Some(above), Some(no)) => {
            let address = format!("{}:{}", places.ip(above), syndic_port(no));
            format!("  - {{id: {above}, region: {region}, role: syndic, address: \"{address}\"}}\n")
        }
        _ => tops.iter().enumerate().map(top).collect(),
    };
    let (ip, tls) = (places.ip(id), tls(&pki.issue(id, Role::Syndic, region)));
    let listen = syndic_port(no);
    let admin = SocketAddr::new(places.admin, listen + 1);
    write(
        dir,
        &format!(
            "id: {id}\nregion: {region}\nfabric: {FABRIC}\nlisten: {ip}:{listen}\nadmin: {admin}\nstate_dir: state\n\
             {tls}parents:\n{parents}runtime_threads: 1\n{}",
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
    places: &Places,
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
    let admin = SocketAddr::new(places.admin, MINIONS + no as u16);
    let parents: String = parents
        .iter()
        .map(|(no, s)| {
            let address = format!("{}:{}", places.ip(&s.id), syndic_port(*no));
            format!("  - {{id: {}, region: {}, address: \"{address}\"}}\n", s.id, s.region)
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
    let policy = group.policy.as_ref().map(|text| {
        fs::create_dir_all(dir).expect("a directory for a daemon");
        set_local_policy(dir, text);
        format!("policy: {LOCAL_POLICY}\n")
    });
    write(
        dir,
        &format!(
            "id: \"{template}\"\nregion: {region}\nfabric: {FABRIC}\nparents:\n{parents}state_dir: {state}\nadmin: {admin}\n\
             tls: {{ca: \"{ca}\", cert: \"{pem}/{{id}}.pem\", key: \"{pem}/{{id}}.key\"}}\n\
             grains: {{site: {}, group: {}}}\n{}{}",
            group.syndic,
            group.name,
            policy.unwrap_or_default(),
            common(settings)
        ),
    );
    admin
}

/// A minion's own policy file, beside its configuration.
const LOCAL_POLICY: &str = "policy.yaml";

/// Puts another policy file in the place of a minion's, as an editor does.
pub(crate) fn set_local_policy(dir: &Path, text: &str) {
    let new = dir.join("policy.new");
    fs::write(&new, text).expect("a policy file");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).expect("a mode");
    fs::rename(new, dir.join(LOCAL_POLICY)).expect("a policy file");
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
