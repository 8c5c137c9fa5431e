//! `relayctl jobs cancel`.

use anyhow::bail;
use clap::Args;
use relay_core::ids::Jid;
use relay_proto::Code;
use serde_json::json;

use crate::{api::CallError, connect::Fabric, exit::Exit, job, output::Output, run::words::targets};

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

What has ended stays as it ended, and to cancel a job that is over does nothing and is no error. Everything else becomes cancelled; \"relayctl jobs show JID\" says whether before the
start or while it ran.";

/// Runs it.
pub async fn run(args: &CancelArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let jid = args.jid;
    let outstanding = match fabric.cancel(jid).await {
        Err(CallError::Lost(why)) => bail!(
            "jid {jid}: {why}; nobody knows whether the cancel arrived: cancel again, which does no harm (relayctl jobs cancel {jid})"
        ),
        // A job that is over has nobody outstanding; one that never was is refused here as well.
        Err(error) if error.code() == Some(Code::NoSuchJob) => {
            job::named(jid, fabric.outstanding(jid).await)?.len() as u64
        }
        reply => job::named(jid, reply)?.outstanding,
    };
    out.show(&json!({ "jid": jid.to_string(), "outstanding": outstanding }), |_| text(jid, outstanding))?;
    Ok(Exit::Ok)
}

fn text(jid: Jid, outstanding: u64) -> String {
    match outstanding {
        0 => format!("job {jid} has ended already: there is nothing to cancel"),
        n => format!("jid {jid}: cancelling {} without an outcome\nrelayctl jobs watch {jid}", targets(n)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_is_over_is_said_to_be_over() {
        let jid = "20261121073656123456".parse().unwrap();
        assert!(text(jid, 0).ends_with("has ended already: there is nothing to cancel"));
        assert!(text(jid, 1).contains("cancelling 1 target without an outcome"));
    }
}
