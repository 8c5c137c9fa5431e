//! `relayctl approvals`: jobs that wait for a second person. What is decided about is named by its digest, and what is shown before is what it names.

mod decide;
mod list;
mod show;

use clap::Subcommand;
use relay_core::ids::Jid;
use relay_proto::access::{
    Approval, ApprovalName, ListApprovalsRequest, RejectRequest, approvals_client::ApprovalsClient,
};
use serde_json::{Value, json};

use crate::{
    api::CallError,
    connect::{Again, Client, Fabric, Presenting},
    exit::Exit,
    output::Output,
    when,
};

/// How many digits of a digest are shown in lists: enough to name it again.
const SHOWN: usize = 12;
/// Largest answer taken, in bytes: the ids of 100,000 targets.
const MAX_MESSAGE: usize = 16 << 20;

/// What to do with approvals.
#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// List the jobs that wait, and those that were decided lately
    #[command(after_help = list::EXAMPLES)]
    List(list::ListArgs),
    /// Show one, with all of its targets
    #[command(after_help = show::EXAMPLES)]
    Show(show::ShowArgs),
    /// Let one run: as somebody else than who asked, who may run it, too
    #[command(after_help = decide::APPROVE)]
    Approve(decide::ApproveArgs),
    /// Let one never run; who asked can take it back so
    #[command(after_help = decide::REJECT)]
    Reject(decide::RejectArgs),
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl approvals list
  relayctl approvals show 3f9a1c
  relayctl approvals approve 3f9a1c
  relayctl approvals reject 3f9a1c --why 'not before the weekend'";

/// Runs one of the commands.
pub async fn run(command: ApprovalsCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let mut fabric = Fabric::wanted(wanted)?;
    match command {
        ApprovalsCommand::List(args) => list::run(&args, &mut fabric, out).await,
        ApprovalsCommand::Show(args) => show::run(&args, &mut fabric, out).await,
        ApprovalsCommand::Approve(args) => decide::approve(&args, fabric, out).await,
        ApprovalsCommand::Reject(args) => decide::reject(&args, &mut fabric, out).await,
    }
}

fn client(client: &Client) -> ApprovalsClient<Presenting> {
    ApprovalsClient::new(client.channel()).max_decoding_message_size(MAX_MESSAGE)
}

async fn all(fabric: &mut Fabric, pending: bool) -> Result<Vec<Approval>, CallError> {
    let request = ListApprovalsRequest { pending };
    let call = async |c: &mut Client| client(c).list(request).await;
    fabric.call(Again::Harmless, call).await.map(|reply| reply.approvals)
}

async fn one(fabric: &mut Fabric, digest: &str) -> Result<Approval, CallError> {
    let request = ApprovalName { digest: digest.to_owned() };
    fabric.call(Again::Harmless, async |c: &mut Client| client(c).show(request.clone()).await).await
}

/// Twice is one approval, and one job.
async fn let_run(fabric: &mut Fabric, digest: &str) -> Result<Approval, CallError> {
    let request = ApprovalName { digest: digest.to_owned() };
    fabric.call(Again::Harmless, async |c: &mut Client| client(c).approve(request.clone()).await).await
}

async fn turn_down(fabric: &mut Fabric, digest: &str, why: &str) -> Result<Approval, CallError> {
    let request = RejectRequest { digest: digest.to_owned(), why: why.to_owned() };
    fabric.call(Again::Never, async |c: &mut Client| client(c).reject(request.clone()).await).await
}

fn short(approval: &Approval) -> String {
    approval.digest.chars().take(SHOWN).collect()
}

/// For programs.
fn data(approval: &Approval) -> Value {
    json!({
        "digest": approval.digest,
        "state": approval.state,
        "caller": approval.caller,
        "how": approval.how,
        "asked": when::moment(approval.asked),
        "expires": when::moment(approval.expires),
        "reason": approval.reason,
        "function": approval.function,
        "args": serde_json::from_slice::<Value>(&approval.args).unwrap_or_default(),
        "target": approval.target,
        "targets": approval.targets,
        "minions": approval.minions,
        "decided_by": approval.decided_by,
        "decided": when::moment(approval.decided),
        "why": approval.why,
        "jid": (approval.jid != 0).then(|| Jid::from_micros(approval.jid).to_string()),
    })
}

/// A function with its arguments, in a line.
fn order(approval: &Approval) -> String {
    let arguments: Value = serde_json::from_slice(&approval.args).unwrap_or_default();
    let positional = arguments["args"].as_array().into_iter().flatten().map(Value::to_string);
    let named =
        arguments["kwargs"].as_object().into_iter().flatten().map(|(key, value)| format!("{key}={value}"));
    [approval.function.clone()].into_iter().chain(positional).chain(named).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_line_and_its_digest_can_be_named() {
        let approval = Approval {
            digest: "0123456789abcdef".repeat(4),
            function: "cmd.run".into(),
            args: br#"{"args":["a b",1],"kwargs":{"cwd":"/"}}"#.to_vec(),
            ..Approval::default()
        };
        assert_eq!(order(&approval), r#"cmd.run "a b" 1 cwd="/""#);
        assert_eq!(short(&approval), "0123456789ab");
        assert_eq!(data(&approval)["jid"], Value::Null);
    }
}
