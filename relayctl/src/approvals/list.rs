//! `relayctl approvals list`.

use clap::Args;
use relay_proto::access::Approval;
use serde_json::Value;

use super::{all, data, order, short};
use crate::{
    connect::Fabric,
    exit::Exit,
    output::{Output, table},
    when,
};

/// Which.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those that wait
    #[arg(long)]
    pending: bool,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl approvals list --pending
  relayctl approvals list --out json";

/// Runs it.
pub async fn run(args: &ListArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let approvals = all(fabric, args.pending).await?;
    let now = when::now_micros();
    out.show(&approvals.iter().map(data).collect::<Vec<Value>>(), |_| {
        let heading = ["NAME", "STATE", "CALLER", "ORDER", "TARGET", "MINIONS", "ASKED", "BY"];
        match table(heading, approvals.iter().map(|approval| row(approval, now))) {
            none if none.is_empty() => "no job waits for a second person".into(),
            some => some,
        }
    })?;
    Ok(Exit::Ok)
}

fn row(approval: &Approval, now: u64) -> [String; 8] {
    [
        short(approval),
        approval.state.clone(),
        approval.caller.clone(),
        order(approval),
        approval.target.clone(),
        approval.targets.to_string(),
        format!("{} ago", when::ago(approval.asked, now)),
        approval.decided_by.clone(),
    ]
}
