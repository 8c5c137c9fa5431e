//! `relayctl jobs cancel`.

use anyhow::{Context as _, bail};
use clap::Args;
use relay_core::ids::Jid;
use serde_json::json;

use crate::{api::CallError, connect::Fabric, exit::Exit, output::Output};

/// Which job.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CancelArgs {
    /// The job's jid: 20 digits
    jid: Jid,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl jobs cancel 20261121073656123456

What has ended stays as it ended. Everything else becomes cancelled; \"relayctl jobs show JID\" says whether before the
start or while it ran.";

/// Runs it.
pub async fn run(args: &CancelArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let jid = args.jid;
    let reply = match fabric.cancel(jid).await {
        Err(CallError::Lost(why)) => bail!(
            "jid {jid}: {why}; nobody knows whether the cancel arrived: cancel again, which does no harm (relayctl jobs cancel {jid})"
        ),
        reply => reply.with_context(|| format!("jid {jid}"))?,
    };
    out.show(&json!({ "jid": jid.to_string(), "outstanding": reply.outstanding }), |_| {
        match reply.outstanding {
            0 => format!("jid {jid}: every target had its outcome already"),
            n => format!("jid {jid}: cancelling {n} targets without an outcome\nrelayctl jobs watch {jid}"),
        }
    })?;
    Ok(Exit::Ok)
}
