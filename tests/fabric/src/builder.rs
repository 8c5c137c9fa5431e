//! What a fabric consists of, said in a few words: `Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 5)`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use relay_core::identity::Role;

use crate::{
    config,
    fabric::{Fabric, TOP},
    netns::{Host, Network},
    operator::Operator,
    pki::{Pki, who},
    process::Daemon,
    witness::Witness,
};

/// Loopback addresses tried before giving up: one is taken by chance in a few million.
const ADDRESS_TRIES: usize = 20;

/// A syndic to be.
#[derive(Debug, Clone)]
pub(crate) struct Syndic {
    pub(crate) id: String,
    pub(crate) region: String,
    /// The syndic that it sits below; the top master, if there is none.
    pub(crate) below: Option<String>,
}

/// A process of minions to be.
#[derive(Debug, Clone)]
pub(crate) struct MinionGroup {
    /// The process's name: the id of its minion, if it has one.
    pub(crate) name: String,
    /// The parent it dials first.
    pub(crate) syndic: String,
    pub(crate) count: usize,
    /// What its machine lets jobs do there: the text of its policy file.
    pub(crate) policy: Option<String>,
}

impl MinionGroup {
    pub(crate) fn ids(&self) -> Vec<String> {
        match self.count {
            1 => vec![self.name.clone()],
            n => {
                let width = config::NUMBER_WIDTH.max((n - 1).to_string().len());
                (0..n).map(|i| format!("{}-{i:0width$}", self.name)).collect()
            }
        }
    }

    pub(crate) fn template(&self) -> String {
        if self.count == 1 { self.name.clone() } else { format!("{}-{{n}}", self.name) }
    }
}

/// Timing for tests: everything a few times faster than the defaults, and slow enough for a machine of two busy cores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) interval_ms: u64,
    pub(crate) dead_after_ms: u64,
    pub(crate) delivery_ms: u64,
    pub(crate) run_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { interval_ms: 500, dead_after_ms: 2_000, delivery_ms: 3_000, run_ms: 30_000 }
    }
}

/// Gathers what a fabric consists of.
#[derive(Debug, Default)]
pub struct Builder {
    syndics: Vec<Syndic>,
    groups: Vec<MinionGroup>,
    settings: Settings,
    fallback: bool,
    topology: Option<String>,
    /// Top masters besides the first.
    more_tops: usize,
    registry: Option<String>,
    store: Option<String>,
    policy: Option<String>,
    login: Option<(String, String)>,
    /// Whether issuers make the certificates, as in a real fabric.
    authority: bool,
    links: Vec<(PathBuf, PathBuf)>,
    /// Who is on a host of a network of the test's own, if it has one.
    hosts: Option<BTreeMap<String, Host>>,
}

impl Builder {
    /// A syndic of a region.
    #[must_use]
    pub fn syndic(mut self, id: &str, region: &str) -> Builder {
        self.syndics.push(Syndic { id: id.into(), region: region.into(), below: None });
        self
    }

    /// A syndic below another one, of the same region.
    ///
    /// # Panics
    /// There is no such syndic yet.
    #[must_use]
    pub fn syndic_below(mut self, id: &str, above: &str) -> Builder {
        let region = self.syndics[self.number(above)].region.clone();
        self.syndics.push(Syndic { id: id.into(), region, below: Some(above.into()) });
        self
    }

    fn number(&self, id: &str) -> usize {
        let found = self.syndics.iter().position(|s| s.id == id);
        found.unwrap_or_else(|| panic!("there is no syndic {id}"))
    }

    /// One process with many minions below a syndic: process `SYNDIC-m`, minions `SYNDIC-m-00` and so on.
    #[must_use]
    pub fn minions(self, syndic: &str, count: usize) -> Builder {
        assert!(count > 1, "for one minion in its own process say minion()");
        self.group(format!("{syndic}-m"), syndic, count)
    }

    /// One minion in its own process, of the same name.
    #[must_use]
    pub fn minion(self, syndic: &str, id: &str) -> Builder {
        self.group(id.into(), syndic, 1)
    }

    /// The same, with a policy file of its machine: see [`crate::Fabric::set_local_policy`].
    #[must_use]
    pub fn minion_with_policy(mut self, syndic: &str, id: &str, text: &str) -> Builder {
        self = self.minion(syndic, id);
        self.groups
            .iter_mut()
            .filter(|group| group.name == id)
            .for_each(|group| group.policy = Some(text.into()));
        self
    }

    fn group(mut self, name: String, syndic: &str, count: usize) -> Builder {
        self.groups.push(MinionGroup { name, syndic: syndic.into(), count, policy: None });
        self
    }

    /// Minions know the other syndics of their region, and go there when theirs is gone.
    #[must_use]
    pub fn with_fallback(mut self) -> Builder {
        self.fallback = true;
        self
    }

    /// The top master has this topology: node groups, batches and limits of regions. Its fabric is `test.example`; who is in
    /// it need not be the processes of this fabric. `{aws-1}` in it becomes the address of the syndic or top master `aws-1`.
    #[must_use]
    pub fn topology(mut self, text: &str) -> Builder {
        self.topology = Some(text.into());
        self
    }

    /// So many top masters, of which one owns the fabric: `top`, `top-2` and so on. They need a registry and a store that
    /// they share; every syndic without a syndic above it dials all of them, in this order.
    #[must_use]
    pub fn top_masters(mut self, count: usize) -> Builder {
        self.more_tops = count.saturating_sub(1);
        self
    }

    /// Where the top masters' registry is: the value of `registry` in their configuration.
    #[must_use]
    pub fn registry(mut self, setting: &str) -> Builder {
        self.registry = Some(setting.into());
        self
    }

    /// Where the top master's store is: the value of `store` in its configuration.
    #[must_use]
    pub fn store(mut self, setting: &str) -> Builder {
        self.store = Some(setting.into());
        self
    }

    /// Who may do what: the top masters' policy. Without one, every operator may do everything.
    #[must_use]
    pub fn policy(mut self, text: &str) -> Builder {
        self.policy = Some(text.into());
        self
    }

    /// Operators may log in who are in this password file; with more settings of `login` (none: the usual ones).
    #[must_use]
    pub fn login(mut self, settings: &str, users: &str) -> Builder {
        self.login = Some((settings.into(), users.into()));
        self
    }

    /// Certificates are made by the issuers of an authority as `relayctl ca` keeps it, which is at [`Pki::authority`]. Without
    /// this, a throw-away root makes them itself.
    #[must_use]
    pub fn authority(mut self) -> Builder {
        self.authority = true;
        self
    }

    /// Delivery timeout, in milliseconds, where a job names none (3 s if not said).
    #[must_use]
    pub fn delivery_ms(mut self, delivery_ms: u64) -> Builder {
        self.settings.delivery_ms = delivery_ms;
        self
    }

    /// The state directory of a process (by name) is this one: a small file system, for instance.
    #[must_use]
    pub fn state_dir(mut self, name: &str, dir: PathBuf) -> Builder {
        self.links.push((Path::new(name).join("state"), dir));
        self
    }

    /// The log of a process (by name) goes to a device on which no byte finds room.
    #[must_use]
    pub fn full_log(mut self, name: &str) -> Builder {
        self.links.push((Path::new(name).join("log"), "/dev/full".into()));
        self
    }

    /// Everything is in this network: who has the name of one of its hosts is on that, all else is where the test is.
    #[must_use]
    pub fn network(mut self, network: &Network) -> Builder {
        self.hosts = Some(network.hosts().clone());
        self
    }

    /// Starts everything, and waits until the top master knows every minion.
    ///
    /// # Panics
    /// Anything that keeps it from starting.
    pub async fn start(self) -> Fabric {
        let mut fabric = self.lay_out();
        fabric.start_all().await;
        fabric
    }

    fn lay_out(self) -> Fabric {
        let dir = tempfile::Builder::new().prefix("fabric-").tempdir().expect("a temporary directory");
        let (places, root) = (self.places(), dir.path().to_owned());
        let pki = self.pki(&root.join("pki"));
        let mut daemons = Vec::new();
        let daemon = |name: &str, binary, admin| {
            Daemon::new(name, binary, root.join(name), &root, admin).on(places.hosts.get(name).cloned())
        };
        let tops: Vec<String> = (0..=self.more_tops).map(top_name).collect();
        let listen = self.syndics.iter().enumerate().map(|(no, s)| (s.id.clone(), config::syndic_port(no)));
        let listen = listen.chain(tops.iter().enumerate().map(|(no, id)| (id.clone(), config::top_port(no))));
        let listen: BTreeMap<String, SocketAddr> =
            listen.map(|(id, port)| (id.clone(), (places.ip(&id), port).into())).collect();
        let topology = self.topology.as_deref().map(|text| addressed(text, &listen));
        let given = config::Given {
            topology: topology.as_deref(),
            registry: self.registry.as_deref(),
            store: self.store.as_deref(),
            policy: self.policy.as_deref().unwrap_or(config::OPEN_POLICY),
            login: self.login.as_ref().map(|(settings, users)| (settings.as_str(), users.as_str())),
        };
        for (no, id) in tops.iter().enumerate() {
            let admin = config::top(&root.join(id), &places, (no, id), &pki, &self.settings, given);
            daemons.push(daemon(id, "top-master", admin));
        }
        for (no, syndic) in self.syndics.iter().enumerate() {
            let above = syndic.below.as_deref().map(|id| self.number(id));
            let admin = config::syndic(
                &root.join(&syndic.id),
                &places,
                no,
                (syndic, above, &tops),
                &pki,
                &self.settings,
            );
            daemons.push(daemon(&syndic.id, "syndic", admin));
        }
        for (no, group) in self.groups.iter().enumerate() {
            let place = root.join(&group.name);
            let admin =
                config::minions(&place, &places, no, group, &self.parents(group), &pki, &self.settings);
            let count = ["--count".into(), group.count.to_string()];
            daemons.push(daemon(&group.name, "minion", admin).with_arguments(count));
        }
        for (place, elsewhere) in &self.links {
            std::os::unix::fs::symlink(elsewhere, root.join(place)).expect("a link");
        }
        let operator_tls = pki.load("tester", Role::Operator, "core");
        let at = |(no, id): (usize, &String)| {
            let address = format!("{}:{}", places.ip(id), config::top_port(no) + config::OPERATORS_ABOVE);
            (address, who(id, Role::TopMaster, "core").to_dns())
        };
        let operator = Operator::new(tops.iter().enumerate().map(at).collect(), &operator_tls);
        let ids = self.groups.iter().map(|g| (g.name.clone(), g.ids())).collect();
        Fabric::new(dir, pki, operator, daemons, listen, ids, Witness::new(&root))
    }

    /// The authority, with issuers for all regions: newcomers may join.
    fn pki(&self, dir: &Path) -> Pki {
        let regions: BTreeSet<&str> = self.syndics.iter().map(|syndic| syndic.region.as_str()).collect();
        if self.authority { Pki::with_authority(dir, &regions) } else { Pki::create_for(dir, &regions) }
    }

    fn places(&self) -> config::Places {
        let Some(hosts) = self.hosts.clone() else {
            let own = own_address();
            return config::Places { own, admin: own, hosts: BTreeMap::new() };
        };
        config::Places { own: Network::HERE, admin: Ipv4Addr::LOCALHOST.into(), hosts }
    }

    /// The syndics that a group dials, its own first.
    fn parents(&self, group: &MinionGroup) -> Vec<(usize, &Syndic)> {
        let all = || self.syndics.iter().enumerate();
        let no = self.number(&group.syndic);
        let own = (no, &self.syndics[no]);
        let others = all().filter(|(_, s)| self.fallback && s.region == own.1.region && s.id != own.1.id);
        [own].into_iter().chain(others).collect()
    }
}

/// The name of top master `no`.
fn top_name(no: usize) -> String {
    if no == 0 { TOP.into() } else { format!("{TOP}-{}", no + 1) }
}

/// A text with the addresses of those who are named in braces.
pub(crate) fn addressed(text: &str, listen: &BTreeMap<String, SocketAddr>) -> String {
    listen.iter().fold(text.to_owned(), |text, (id, at)| text.replace(&format!("{{{id}}}"), &at.to_string()))
}

/// A loopback address of this fabric's own. So the ports can be fixed: no other test and no outgoing connection (those
/// come from 127.0.0.1) can take one while a daemon is down.
fn own_address() -> IpAddr {
    let mut tries = (0..ADDRESS_TRIES).map(|_| {
        let [a, b, c] = rand::random::<[u8; 3]>();
        IpAddr::V4(Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254)))
    });
    let free = |ip: &IpAddr| TcpListener::bind((*ip, config::TOP_LISTEN)).is_ok();
    tries
        .find(free)
        .expect("no loopback address 127.x.y.z can be bound: does this system have all of 127.0.0.0/8?")
}
