//! Bare handshakes: as many mutual TLS connections as minions, between as many processes, and nothing else.
//!
//! The accepting processes stand for syndics, one thread each as these have on a small machine; those that dial are cut as
//! a swarm is. All is done when each accepting process has accepted its share: in TLS 1.3 whoever dials is done before whoever
//! accepts has looked at the certificate, so nothing has to be sent to know it.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use relay_core::identity::{Identity, Role, check_region};
use relay_runtime::tls;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    bed::Bed,
    credentials::Issuer,
    fabric::site::fabric_name,
    part::{self, Part, PartKind},
    scenario::Run,
    swarm::shards,
};

/// A process that accepts.
pub const ACCEPTING: PartKind =
    PartKind { name: "handshakes-accepting", about: "Accepts bare TLS connections", main: accepting };
/// A process that dials.
pub const DIALLING: PartKind =
    PartKind { name: "handshakes-dialling", about: "Dials bare TLS connections", main: dialling };

/// How long the processes may take to issue their certificates.
const READY_TIME: Duration = Duration::from_secs(120);
/// How long all handshakes may take, with any build.
const ALL_TIME: Duration = Duration::from_secs(300);
/// Connections that may wait in the kernel: as many as in the fabric's listeners, or what the kernel allows.
const BACKLOG: u32 = 4_096;
const REGION: &str = "floor";

/// What a process is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Plan {
    authority: PathBuf,
    /// Number of the first of its connections; of an accepting process, its own.
    first: u32,
    /// How many it makes, or accepts.
    count: u32,
    /// Whom it dials: connection `n` the one at `n` modulo their number.
    servers: Vec<String>,
}

/// Both sides, ready.
pub(super) struct Handshakes {
    accepting: Vec<Part>,
    dialling: Vec<Part>,
}

impl Handshakes {
    /// Starts the processes; certificates are issued when this comes back.
    pub(super) async fn start(run: &Run, bed: &Bed) -> anyhow::Result<Handshakes> {
        let plan =
            |first, count, servers| Plan { authority: bed.fabric.authority_dir(), first, count, servers };
        let mut accepting = Vec::new();
        let mut servers = Vec::new();
        for k in 0..run.syndics {
            let name = format!("{}-{k}", ACCEPTING.name);
            let share = (run.minions + run.syndics - 1 - k) / run.syndics;
            let mut part = Part::start(&name, ACCEPTING.name, &plan(k, share, Vec::new()), bed.dir()).await?;
            servers.push(part.expect("listening", READY_TIME).await?);
            accepting.push(part);
        }
        let mut dialling = Vec::new();
        for (first, count) in shards(run.minions, run.limits.links_per_process()) {
            let name = format!("{}-{first}", DIALLING.name);
            let plan = plan(first, count, servers.clone());
            dialling.push(Part::start(&name, DIALLING.name, &plan, bed.dir()).await?);
        }
        for part in &mut dialling {
            part.expect("ready", READY_TIME).await?;
        }
        Ok(Handshakes { accepting, dialling })
    }

    /// Lets all dial at once, and waits until all are done.
    pub(super) async fn all(mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        for part in &mut self.dialling {
            part.say("go").await?;
        }
        for part in self.dialling.iter_mut().chain(&mut self.accepting) {
            part.expect("done", ALL_TIME).await?;
        }
        Ok(begun.elapsed())
    }
}

fn identity(id: &str, role: Role) -> anyhow::Result<Identity> {
    Ok(Identity::new(id, role, check_region(REGION)?, fabric_name()?)?)
}

fn server_id(k: usize) -> String {
    format!("handshakes-{k}")
}

fn on_one_thread(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn accepting() -> anyhow::Result<()> {
    let plan: Plan = part::plan()?;
    part::end_with_the_scenario();
    let issuer = Issuer::open(&plan.authority, fabric_name()?)?;
    let own = issuer.issue(identity(&server_id(plan.first as usize), Role::Syndic)?)?;
    on_one_thread(accept(TlsAcceptor::from(tls::server(&own)?), plan.count))
}

async fn accept(acceptor: TlsAcceptor, count: u32) -> anyhow::Result<()> {
    let listener = listen()?;
    part::tell(&format!("listening {}", listener.local_addr()?));
    let (mut under_way, mut open) = (JoinSet::new(), Vec::new());
    while open.len() < count as usize {
        tokio::select! {
            accepted = listener.accept() => {
                let (socket, _) = accepted?;
                socket.set_nodelay(true)?;
                under_way.spawn(acceptor.accept(socket));
            }
            // What fails here is told by who dialled, or by nobody: then this one is never done.
            Some(done) = under_way.join_next() => open.extend(done?.ok()),
        }
    }
    part::tell("done");
    // Until the scenario ends this process: links stay, as the fabric's do.
    std::future::pending().await
}

fn listen() -> anyhow::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    Ok(socket.listen(BACKLOG)?)
}

/// One connection to be.
struct Dial {
    connector: TlsConnector,
    name: ServerName<'static>,
    address: String,
}

fn dialling() -> anyhow::Result<()> {
    let plan: Plan = part::plan()?;
    let issuer = Issuer::open(&plan.authority, fabric_name()?)?;
    let dials = (plan.first..plan.first + plan.count).map(|n| dial(&plan, &issuer, n));
    let dials = dials.collect::<anyhow::Result<Vec<_>>>()?;
    part::tell("ready");
    if part::heard()?.is_none() {
        return Ok(());
    }
    part::end_with_the_scenario();
    on_one_thread(dial_all(dials))
}

fn dial(plan: &Plan, issuer: &Issuer, n: u32) -> anyhow::Result<Dial> {
    let own = issuer.issue(identity(&format!("h{n:05}"), Role::Minion)?)?;
    let k = n as usize % plan.servers.len().max(1);
    let address = plan.servers.get(k).context("no servers in the plan")?.clone();
    let name = identity(&server_id(k), Role::Syndic)?.to_dns().try_into()?;
    Ok(Dial { connector: TlsConnector::from(tls::client(&own)?), name, address })
}

async fn dial_all(dials: Vec<Dial>) -> anyhow::Result<()> {
    let mut under_way: JoinSet<anyhow::Result<_>> = dials.into_iter().map(handshake).collect();
    let mut open = Vec::new();
    while let Some(done) = under_way.join_next().await {
        open.push(done??);
    }
    part::tell("done");
    // Until the scenario ends this process: links stay, as the fabric's do.
    std::future::pending().await
}

async fn handshake(dial: Dial) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let socket = TcpStream::connect(&dial.address).await.with_context(|| dial.address.clone())?;
    socket.set_nodelay(true)?;
    dial.connector.connect(dial.name, socket).await.context("handshake")
}
