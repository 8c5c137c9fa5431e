//! `relayctl jobs approve`.

use clap::Args;
use relay_core::ids::Jid;
use serde_json::json;

use crate::{connect::Fabric, exit::Exit, job, output::Output};

/// Which job.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ApproveArgs {
    /// The job's jid: 20 digits
    jid: Jid,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl jobs approve 20261121073656123456

For jobs that were ordered with --approve: they wait after each stage of their canary batch. \"relayctl jobs show JID\"
says what came of it so far; \"relayctl jobs cancel JID\" ends it there. Nothing of a
job starts later than 24 h after it was ordered: approve it before.";

/// Runs it.
pub async fn run(args: &ApproveArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let jid = args.jid;
    let reply = job::named(jid, fabric.approve(jid).await)?;
    let data = json!({ "jid": jid.to_string(), "stage": reply.stage, "stages": reply.stages });
    out.show(&data, |_| {
        format!("jid {jid}: stage {} of {} begins\nrelayctl jobs watch {jid}", reply.stage, reply.stages)
    })?;
    Ok(Exit::Ok)
}
