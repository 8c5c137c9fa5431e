//! The operator of the large job, in a process of its own: what it makes of 20 MB of answers is not what the other operator
//! waits for.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use relay_runtime::config::TlsConfig;
use serde::{Deserialize, Serialize};

use crate::{
    bed::{Bed, millis},
    fabric::operator::{JOB_TIME, Operator},
    part::{self, Part, PartKind},
};

/// The process.
pub const BULK: PartKind = PartKind { name: "bulk-operator", about: "Asks for large jobs", main };

/// Each minion's own text.
const LARGE: (&str, &str) = ("grains.get", r#"{"args":["own"],"kwargs":{}}"#);
/// How long the process may take to start and connect.
const READY_TIME: Duration = Duration::from_secs(30);

/// Whom it asks, and as whom.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    address: SocketAddr,
    server_name: String,
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

/// How a large job went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Large {
    /// From the request to the event that closes it, in milliseconds.
    pub(super) took_ms: f64,
    /// Minions that answered.
    pub(super) answered: u64,
}

/// The scenario's end of it.
pub(super) struct BulkOperator(Part);

impl BulkOperator {
    /// Starts the process, which connects.
    pub(super) async fn start(bed: &Bed) -> anyhow::Result<BulkOperator> {
        let (site, address) = (bed.fabric.site(), bed.fabric.operators());
        let TlsConfig { ca, cert, key } = site.operator()?;
        let plan = Plan { address, server_name: site.top_name()?, ca, cert, key };
        let mut part = Part::start(BULK.name, BULK.name, &plan, bed.dir()).await?;
        part.expect("ready", READY_TIME).await?;
        Ok(BulkOperator(part))
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.0.process.pid()
    }

    /// Runs one on all minions, to its end.
    pub(super) async fn run(&mut self, id: u128) -> anyhow::Result<Large> {
        self.0.say(&id.to_string()).await?;
        let ended = self.0.expect("ended", JOB_TIME).await?;
        Ok(serde_json::from_str(&ended)?)
    }
}

fn main() -> anyhow::Result<()> {
    let plan: Plan = part::plan()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(plan))
}

async fn serve(plan: Plan) -> anyhow::Result<()> {
    let Plan { address, server_name, ca, cert, key } = plan;
    let mut operator = Operator::dial(address, &server_name, &TlsConfig { ca, cert, key }).await?;
    part::tell("ready");
    // Read beside the runtime: the connection lives meanwhile.
    while let Some(line) = tokio::task::spawn_blocking(part::heard).await?? {
        let ended = operator.run(line.parse().context("a request id")?, LARGE.0, LARGE.1).await?;
        let large = Large { took_ms: millis(ended.elapsed), answered: ended.answered() };
        part::tell(&format!("ended {}", serde_json::to_string(&large)?));
    }
    Ok(())
}
