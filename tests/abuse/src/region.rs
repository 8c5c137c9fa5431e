//! The fabric that is attacked: one region with a syndic and a few minions, and what has to be so after each attack.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use fabric_tests::{Fabric, TOP, http, pki::who};
use relay_core::identity::{Identity, Role};
use relay_runtime::{
    identity::LoadedIdentity,
    link::{self, Channel},
    tls,
};

use crate::{h2::Wire, hostile};

/// The syndic.
pub const SYNDIC: &str = "aws-1";
/// Its region.
pub const REGION: &str = "aws";
/// How many minions are below it.
pub const MINIONS: usize = 2;
/// Pause between two looks at `/healthz`.
const PULSE: Duration = Duration::from_millis(50);

/// A top master, a syndic and [`MINIONS`] minions: `aws-1-m-00` and so on.
pub async fn region() -> Fabric {
    Fabric::builder().syndic(SYNDIC, REGION).minions(SYNDIC, MINIONS).start().await
}

/// Who a port's owner has to prove to be.
pub fn identity_of(name: &str) -> Identity {
    match name {
        TOP => who(TOP, Role::TopMaster, "core"),
        syndic => who(syndic, Role::Syndic, REGION),
    }
}

/// The operators' port.
///
/// # Panics
/// Never: it is an address.
pub fn operators(fabric: &Fabric) -> SocketAddr {
    fabric.operator().address().parse().expect("an address")
}

/// Every port on which links or calls are taken: its name, its address, and who it belongs to.
pub fn ports(fabric: &Fabric) -> [(&'static str, SocketAddr, Identity); 3] {
    [
        ("links of the top master", fabric.listen(TOP), identity_of(TOP)),
        ("operators", operators(fabric), identity_of(TOP)),
        ("links of the syndic", fabric.listen(SYNDIC), identity_of(SYNDIC)),
    ]
}

/// Who may speak on a port, so that an attack gets past TLS.
pub fn insider(fabric: &Fabric, port: &str) -> LoadedIdentity {
    match port {
        "operators" => fabric.pki().load("mallory", Role::Operator, "core"),
        "links of the top master" => fabric.pki().load("mallory", Role::Syndic, REGION),
        _ => fabric.pki().load("mallory", Role::Minion, REGION),
    }
}

/// A connection with frames of the attacker's own.
///
/// # Panics
/// It is not let in.
pub async fn wire(fabric: &Fabric, (port, at, who): &(&'static str, SocketAddr, Identity)) -> Wire {
    let shown = insider(fabric, port);
    Wire::connect(*at, &who.to_dns(), &shown).await.unwrap_or_else(|e| panic!("{port}: {e}"))
}

/// A channel to a port under a certificate.
///
/// # Panics
/// It is not let in.
pub async fn channel(to: SocketAddr, owner: &Identity, shown: &LoadedIdentity) -> Channel {
    let tls = tls::client(shown).expect("a TLS configuration");
    link::channel(&to.to_string(), &owner.to_dns(), tls).await.expect("a connection")
}

/// Everybody lives, serves, and answers; nothing lies where an attack would have put it; no log has a line of the attacker's.
///
/// # Panics
/// One of that is not so.
pub async fn serves_on(fabric: &mut Fabric) {
    let all: Vec<String> = fabric.minion_processes().flat_map(|(_, ids)| ids.to_vec()).collect();
    for name in fabric.daemons().map(|d| d.name().to_owned()).collect::<Vec<_>>() {
        let daemon = fabric.daemon(&name);
        assert!(daemon.exited().is_none(), "{name} has ended");
    }
    let mut ping = fabric.run(&all.join(","), "test.ping", &[]).await;
    assert_eq!(ping.counts(), [("ok", all.len())].into());
    fabric.check(&mut [&mut ping]).await;
    nothing_escaped(fabric);
}

/// The part of [`serves_on`] about files and logs.
///
/// # Panics
/// It is not so.
pub fn nothing_escaped(fabric: &Fabric) {
    let tmp = std::env::temp_dir();
    for place in [tmp.as_path(), "/".as_ref(), fabric.dir()] {
        assert!(!place.join(hostile::ESCAPED).exists(), "{} lies in {}", hostile::ESCAPED, place.display());
    }
    let found = files(fabric.dir()).find(|path| path.to_string_lossy().contains(hostile::ESCAPED));
    assert_eq!(found, None, "an attacker's file");
    for daemon in fabric.daemons() {
        let log = daemon.log();
        let forged = log.lines().find(|line| line.starts_with("2030-") || line.starts_with(hostile::FORGED));
        assert_eq!(forged, None, "{}: a line of the attacker's", daemon.name());
        let control = log.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(control, None, "{}: a control character in the log", daemon.name());
    }
}

/// Every file below a directory.
pub fn files(dir: &std::path::Path) -> impl Iterator<Item = std::path::PathBuf> + use<> {
    let mut open = vec![dir.to_owned()];
    let mut found = Vec::new();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    found.into_iter()
}

/// Looks at `/healthz` of every daemon of a fabric again and again, from a thread of its own, while an attack goes on.
pub struct Pulse {
    stop: Arc<AtomicBool>,
    looking: JoinHandle<Vec<(String, String)>>,
}

impl Pulse {
    /// Begins to look.
    pub fn of(fabric: &Fabric) -> Pulse {
        let stop = Arc::new(AtomicBool::new(false));
        let daemons: Vec<(String, SocketAddr)> =
            fabric.daemons().map(|d| (d.name().to_owned(), d.admin())).collect();
        let stopped = stop.clone();
        let looking = std::thread::spawn(move || {
            let mut missed = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                for (name, admin) in &daemons {
                    match http::get(*admin, "/healthz") {
                        Ok((200, _)) => {}
                        other => missed.push((name.clone(), format!("{other:?}"))),
                    }
                }
                std::thread::sleep(PULSE);
            }
            missed
        });
        Pulse { stop, looking }
    }

    /// Ends.
    ///
    /// # Panics
    /// A look was not answered by "ok" in time ([`http::get`]'s).
    pub fn unbroken(self) {
        self.unbroken_but_for("");
    }

    /// The same, of all but one process that the test itself has hurt.
    ///
    /// # Panics
    /// As [`Pulse::unbroken`].
    pub fn unbroken_but_for(self, hurt: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let missed = self.looking.join().expect("the thread that looks");
        let missed: Vec<_> = missed.iter().filter(|(name, _)| name != hurt).collect();
        assert!(missed.is_empty(), "not healthy during the attack: {missed:#?}");
    }
}
