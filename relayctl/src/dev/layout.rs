//! The files of a trial fabric: certificates and configurations, below one directory.
//!
//! `DIR/pki` is the certificate authority, `DIR/operator` the operator's certificate, `DIR/topology.yaml` the shape,
//! `DIR/policy.yaml` who may do what, and
//! each process has a directory of its own with `config.yaml`, its certificates, its `state` and its `log`.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use relay_core::{
    identity::{FabricName, Identity, Role},
    ids::RegionName,
};
use relay_runtime::{
    authority::{DevAuthority, Scope},
    config::TlsConfig,
};
use serde_json::{Map, Value, json};

use super::{
    plan::{Link, MinionPlan, OPERATOR, PKI, POLICY, Plan, SyndicPlan, TOPOLOGY, TopPlan},
    shape,
};
use crate::contexts::{Address, Context};

/// The first line of each configuration.
const HEADER: &str =
    "# Written by \"relayctl dev up\". A change counts from the next start of this process.\n";

/// A process to start: what it is, and where its files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Its directory's name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// How many minions it hosts.
    pub count: Option<u64>,
    /// Where it serves its state.
    pub admin: SocketAddr,
}

impl Daemon {
    /// Its directory.
    pub fn dir(&self, base: &Path) -> PathBuf {
        base.join(&self.name)
    }
    /// Its configuration.
    pub fn config(&self, base: &Path) -> PathBuf {
        self.dir(base).join("config.yaml")
    }
    /// Its log.
    pub fn log(&self, base: &Path) -> PathBuf {
        self.dir(base).join("log")
    }
}

/// The processes of a plan, in the order to start them.
pub fn daemons(plan: &Plan) -> Vec<Daemon> {
    let daemon = |name: &str, role, count, admin| Daemon { name: name.into(), role, count, admin };
    let tops = plan.tops.iter().map(|t| daemon(&t.name, Role::TopMaster, None, t.admin));
    let syndics = plan.syndics.iter().map(|s| daemon(s.id.as_str(), Role::Syndic, None, s.admin));
    let minions = plan.minions.iter().map(|m| daemon(&m.name, Role::Minion, Some(m.count), m.admin));
    tops.chain(syndics).chain(minions).collect()
}

/// Writes all files, and returns the context by which the fabric is reached. `shared` is what each top master's
/// configuration says of what they share.
///
/// # Errors
/// A file cannot be written, or a certificate not be made.
pub fn write(
    base: &Path,
    plan: &Plan,
    topology: &Path,
    shared: &Map<String, Value>,
    name: &str,
) -> anyhow::Result<Context> {
    let writer =
        Writer { base, authority: DevAuthority::create(&base.join(PKI), plan.fabric.clone())?, plan };
    writer.issuers()?;
    writer.topology(topology)?;
    writer.policy()?;
    plan.tops.iter().try_for_each(|top| writer.top_master(top, shared))?;
    plan.syndics.iter().try_for_each(|syndic| writer.syndic(syndic))?;
    plan.minions.iter().try_for_each(|minions| writer.minions(minions))?;
    let region = &plan.tops.first().context("a fabric has a top master")?.region;
    let tls = writer.certificate(OPERATOR, Role::Operator, region, &base.join(OPERATOR))?;
    let address = |top: &TopPlan| {
        let server_name = identity(top.id.as_str(), Role::TopMaster, &top.region, &plan.fabric)?.to_dns();
        Ok(Address { address: top.operators.to_string(), server_name })
    };
    Ok(Context {
        name: name.to_owned(),
        fabric: plan.fabric.to_string(),
        addresses: plan.tops.iter().map(address).collect::<anyhow::Result<_>>()?,
        ca: tls.ca,
        cert: Some(tls.cert),
        key: Some(tls.key),
        root: None,
    })
}

struct Writer<'a> {
    base: &'a Path,
    authority: DevAuthority,
    plan: &'a Plan,
}

impl Writer<'_> {
    /// Newcomers may join a trial fabric, too.
    fn issuers(&self) -> anyhow::Result<()> {
        let mut scopes: BTreeSet<Scope> =
            self.plan.syndics.iter().map(|syndic| Scope::Region(syndic.region.clone())).collect();
        for top in &self.plan.tops {
            scopes.extend([Scope::TopMasters(top.region.clone()), Scope::Operators(top.region.clone())]);
        }
        Ok(self.authority.add_issuers(&scopes.into_iter().collect::<Vec<_>>())?)
    }

    fn topology(&self, given: &Path) -> anyhow::Result<()> {
        let text = fs::read_to_string(given).with_context(|| given.display().to_string())?;
        let head = format!("# {} for this machine: written by \"relayctl dev up\".\n", given.display());
        let path = self.base.join(TOPOLOGY);
        fs::write(&path, head + &shape::of_plan(&text, self.plan)?)
            .with_context(|| path.display().to_string())
    }

    /// The operator of a trial fabric may do everything in it.
    fn policy(&self) -> anyhow::Result<()> {
        let path = self.base.join(POLICY);
        let text = format!(
            "# Who may do what. A change counts as soon as it is saved; \"relayctl policy check\" reads it first.\n\
             version: 1\nallow:\n  any:\n    {OPERATOR}: ['*', '@jobs', '@runner', '@wheel']\n"
        );
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    fn top_master(&self, top: &TopPlan, shared: &Map<String, Value>) -> anyhow::Result<()> {
        let dir = self.base.join(&top.name);
        let tls = self.certificate(top.id.as_str(), Role::TopMaster, &top.region, &dir)?;
        let mut config = json!({
            "id": top.id.as_str(),
            "region": top.region.as_str(),
            "fabric": self.plan.fabric.as_str(),
            "listen": top.listen,
            "operators": top.operators,
            "admin": top.admin,
            "state_dir": "state",
            "tls": paths(&tls),
            "topology": self.base.join(TOPOLOGY),
            "policy": self.base.join(POLICY),
            "trust": {"dir": self.authority.trust_dir()},
        });
        for (key, value) in shared {
            config[key] = value.clone();
        }
        write_config(&dir, &config)
    }

    fn syndic(&self, syndic: &SyndicPlan) -> anyhow::Result<()> {
        let dir = self.base.join(syndic.id.as_str());
        let tls = self.certificate(syndic.id.as_str(), Role::Syndic, &syndic.region, &dir)?;
        let config = json!({
            "id": syndic.id.as_str(),
            "region": syndic.region.as_str(),
            "fabric": self.plan.fabric.as_str(),
            "listen": syndic.listen,
            "admin": syndic.admin,
            "state_dir": "state",
            "tls": paths(&tls),
            "parents": parents(&syndic.parents),
        });
        write_config(&dir, &config)
    }

    fn minions(&self, minions: &MinionPlan) -> anyhow::Result<()> {
        let dir = self.base.join(&minions.name);
        let pki = dir.join(PKI);
        for id in minions.ids() {
            self.certificate(&id, Role::Minion, &minions.region, &pki)?;
        }
        let config = json!({
            "id": format!("{}{{n}}", minions.prefix),
            "first_number": minions.first,
            "number_width": minions.digits,
            "region": minions.region.as_str(),
            "fabric": self.plan.fabric.as_str(),
            "admin": minions.admin,
            "state_dir": "state",
            "tls": {"ca": self.authority.root_file(), "cert": "pki/{id}.pem", "key": "pki/{id}.key"},
            "parents": parents(&minions.parents),
            "grains": minions.grains,
        });
        write_config(&dir, &config)
    }

    fn certificate(
        &self,
        id: &str,
        role: Role,
        region: &RegionName,
        dir: &Path,
    ) -> anyhow::Result<TlsConfig> {
        Ok(self.authority.issue(&identity(id, role, region, &self.plan.fabric)?, dir)?)
    }
}

fn identity(id: &str, role: Role, region: &RegionName, fabric: &FabricName) -> anyhow::Result<Identity> {
    Ok(Identity::new(id, role, region.clone(), fabric.clone())?)
}

fn paths(tls: &TlsConfig) -> Value {
    json!({ "ca": tls.ca, "cert": tls.cert, "key": tls.key })
}

fn parents(links: &[Link]) -> Vec<Value> {
    let link = |l: &Link| json!({"id": l.id.as_str(), "region": l.region.as_str(), "role": l.role.word(), "address": l.address});
    links.iter().map(link).collect()
}

fn write_config(dir: &Path, config: &Value) -> anyhow::Result<()> {
    let path = dir.join("config.yaml");
    let text = serde_saphyr::to_string(config).with_context(|| path.display().to_string())?;
    fs::write(&path, format!("{HEADER}{text}")).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use relay_runtime::config::{self, RegistryKind, StoreKind};

    use super::{
        super::plan::{Size, Tops},
        *,
    };

    const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../topology.yaml");

    fn planned(tops: Tops) -> Plan {
        let topology = config::load_topology(Path::new(REFERENCE)).unwrap();
        let mut port = 20_000;
        let address = || {
            port += 1;
            Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        Plan::new(&topology, Size { tops, minions: 10, per_process: 100 }, address).unwrap()
    }

    #[test]
    fn several_top_masters_are_told_what_they_share() {
        let dir = tempfile::tempdir().unwrap();
        let plan = planned(Tops::All);
        let shared = json!({
            "registry": {"etcd": {"endpoints": ["http://127.0.0.1:2379"]}},
            "store": {"postgres": {"host": "/run/postgresql", "database": "relay", "user": "relay"}},
        });
        let Value::Object(shared) = shared else { unreachable!() };
        let context = write(dir.path(), &plan, Path::new(REFERENCE), &shared, "dev").unwrap();
        let all = daemons(&plan);
        for (daemon, planned) in all.iter().zip(&plan.tops) {
            let top = config::load_top_master(&daemon.config(dir.path())).unwrap();
            assert_eq!((&top.id, top.operators), (&planned.id, planned.operators));
            assert!(matches!((top.registry, top.store), (RegistryKind::Etcd(_), StoreKind::Postgres(_))));
            assert_eq!(top.topology.unwrap().top_masters.len(), 2);
        }
        let syndic = config::load_syndic(&all[2].config(dir.path())).unwrap();
        assert_eq!(syndic.parents.len(), 2);
        let names: Vec<&str> = context.addresses.iter().map(|a| a.server_name.as_str()).collect();
        assert_eq!(names, ["top-1.top-master.aws.acme.example", "top-2.top-master.on-prem.acme.example"]);
    }

    #[test]
    fn what_is_written_is_what_the_daemons_read() {
        let dir = tempfile::tempdir().unwrap();
        let plan = planned(Tops::First);
        let context = write(dir.path(), &plan, Path::new(REFERENCE), &Map::new(), "dev").unwrap();

        let all = daemons(&plan);
        let top = config::load_top_master(&all[0].config(dir.path())).unwrap();
        assert_eq!((top.id.as_str(), top.operators), ("top-1", plan.tops[0].operators));
        assert_eq!(top.topology.unwrap().top_masters.len(), 1, "one, which needs nobody to share with");
        for (daemon, syndic) in all[1..].iter().zip(&plan.syndics) {
            let read = config::load_syndic(&daemon.config(dir.path())).unwrap();
            assert_eq!((&read.id, read.listen, read.parents.len()), (&syndic.id, syndic.listen, 1));
        }
        for (daemon, minions) in all[9..].iter().zip(&plan.minions) {
            let count = daemon.count.unwrap() as usize;
            let read = config::load_minions(&daemon.config(dir.path()), count).unwrap();
            let ids: Vec<String> = read.iter().map(|m| m.id.to_string()).collect();
            assert_eq!(ids, minions.ids().collect::<Vec<_>>());
            assert_eq!(read[0].grains["region"], minions.region.as_str());
            assert!(read[0].state_dir.starts_with(dir.path().join(&minions.name)));
        }
        assert_eq!(context.addresses[0].server_name, "top-1.top-master.aws.acme.example");
        crate::connect::Fabric::of(&context).unwrap();
    }
}
