//! The floors: trees of the fabric's shape and payload, and nothing else. The first is bare TCP, the second is [`grpc`].
//!
//! One top, a process per middle, processes of leaves, on the same runtime as the fabric. No TLS, no HTTP/2, no
//! durability, no verification: what remains is what the sockets of this machine cost. Job bytes go down as one write on
//! each connection; each leaf answers with as many bytes as a minion's return has; a middle sends up what came in
//! together as one batch: a count, one answer, two bytes for each leaf.

pub mod grpc;
pub mod leaves;
pub mod middle;
pub mod payload;
pub mod tally;
pub mod top;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use self::payload::Payload;
use crate::{machine, part::Part, swarm::shards};

/// How long the whole tree may take to stand, on a machine that is busy with the fabric.
const START_TIME: Duration = Duration::from_secs(120);
/// How long one round may take.
const ROUND_TIME: Duration = Duration::from_secs(60);
/// Bytes of a count, little-endian.
const COUNT: usize = 4;
/// Bytes for one leaf in a batch: what a roaring bitmap spends on one member of a sparse set.
const MEMBER: usize = 2;

/// What a process of the floor is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The sizes of messages.
    pub payload: Payload,
    /// Whom it connects to; nothing for the top. Leaf `n` connects to the one at `n` modulo their number.
    pub parents: Vec<String>,
    /// Number of the first leaf of this process; 0 for others.
    pub first: u32,
    /// Connections it waits for (top, middles) or makes (leaves).
    pub links: u32,
    /// Leaves in the whole tree.
    pub leaves: u32,
    /// The directory of the throw-away authority, where links are TLS.
    pub authority: Option<PathBuf>,
}

/// Which floor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// Bare TCP.
    Tcp,
    /// gRPC over mutual TLS, under certificates of the authority in this directory.
    Grpc(PathBuf),
}

impl Wire {
    fn name(&self) -> &'static str {
        match self {
            Wire::Tcp => "floor",
            Wire::Grpc(_) => "grpc",
        }
    }
}

/// The tree, standing.
#[derive(Debug)]
pub struct Floor {
    asker: TcpStream,
    payload: Payload,
    leaves: u32,
    parts: Vec<Part>,
}

impl Floor {
    /// Starts the tree and waits until it stands.
    ///
    /// # Errors
    /// A part did not start, or not in time.
    pub async fn start(
        wire: &Wire,
        leaves: u32,
        middles: u32,
        per_process: u32,
        logs: &Path,
    ) -> anyhow::Result<Floor> {
        let payload = Payload::of_ping();
        let authority = if let Wire::Grpc(authority) = wire { Some(authority) } else { None };
        let plan = |parents, first, links| Plan {
            payload,
            parents,
            first,
            links,
            leaves,
            authority: authority.cloned(),
        };
        let part = |what: &str| format!("{}-{what}", wire.name());
        let mut top = Part::start(&part("top"), &part("top"), &plan(vec![], 0, middles), logs).await?;
        let ports = top.expect("listening", START_TIME).await?;
        let (for_middles, for_asker) = ports.split_once(' ').context("the floor's top said no ports")?;
        let mut parts = Vec::new();
        let mut addresses = Vec::new();
        for k in 0..middles {
            let links = leaves / middles + u32::from(k < leaves % middles);
            let plan = plan(vec![for_middles.to_owned()], 0, links);
            let name = part(&format!("middle-{k}"));
            let mut middle = Part::start(&name, &part("middle"), &plan, logs).await?;
            addresses.push(middle.expect("listening", START_TIME).await?);
            parts.push(middle);
        }
        let mut shards_of_leaves = Vec::new();
        for (first, count) in shards(leaves, per_process) {
            let plan = plan(addresses.clone(), first, count);
            let name = part(&format!("leaves-{first}"));
            shards_of_leaves.push(Part::start(&name, &part("leaves"), &plan, logs).await?);
        }
        for part in parts.iter_mut().chain(&mut shards_of_leaves) {
            part.expect("attached", START_TIME).await?;
        }
        let asker = TcpStream::connect(for_asker).await.context("the floor's top")?;
        asker.set_nodelay(true)?;
        parts.extend(shards_of_leaves);
        parts.push(top);
        Ok(Floor { asker, payload, leaves, parts })
    }

    /// The sizes of its messages.
    pub fn payload(&self) -> Payload {
        self.payload
    }

    /// Processor time of all its processes so far, in milliseconds.
    ///
    /// # Errors
    /// One is gone.
    pub fn cpu_ms(&self) -> anyhow::Result<f64> {
        self.parts.iter().map(|part| machine::cpu_ms(part.process.pid())).sum()
    }

    /// One round: from the request's write until the top has counted every leaf.
    ///
    /// # Errors
    /// Not every leaf answered in time.
    pub async fn round(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.asker.write_all(&vec![0; self.payload.job]).await.context("the floor's top")?;
        let mut count = [0; COUNT];
        let answered = timeout(ROUND_TIME, self.asker.read_exact(&mut count)).await;
        answered.context("the floor: no answer in time")?.context("the floor's top")?;
        let count = u32::from_le_bytes(count);
        anyhow::ensure!(count == self.leaves, "the floor counted {count} of {} leaves", self.leaves);
        Ok(begun.elapsed())
    }
}

/// Listens on a free port of the loopback.
async fn listen() -> anyhow::Result<(tokio::net::TcpListener, std::net::SocketAddr)> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Runs a part of the floor: one thread, as each process of a swarm has.
fn run<F: Future<Output = anyhow::Result<()>>>(part: impl FnOnce(Plan) -> F) -> anyhow::Result<()> {
    let plan: Plan = crate::part::plan()?;
    crate::part::end_with_the_scenario();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(part(plan))
}
