//! `relayctl policy show`.

use clap::Args;
use relay_proto::access::{RulesReply, ShowRulesRequest, rules_client::RulesClient};
use serde_json::json;

use crate::{
    api::CallError,
    connect::{Again, Fabric},
    exit::Exit,
    output::Output,
    when,
};

/// How much.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ShowArgs {
    /// Also the text of the file, as it holds
    #[arg(long)]
    text: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl policy show
  relayctl policy show --text > policy.yaml

EXIT CODES:
  0  shown
  2  shown; the file at the top master is wrong, so that the former rules hold";

/// The policy that holds.
pub async fn active(fabric: &mut Fabric, text: bool) -> Result<RulesReply, CallError> {
    let request = ShowRulesRequest { text };
    let call =
        async |client: &mut crate::connect::Client| RulesClient::new(client.channel()).show(request).await;
    fabric.call(Again::Harmless, call).await
}

/// Runs it.
pub async fn run(args: &ShowArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let policy = active(fabric, args.text).await?;
    let data = json!({
        "file": policy.file,
        "digest": policy.digest,
        "since": when::moment(policy.since),
        "allow": policy.allow,
        "deny": policy.deny,
        "text": args.text.then_some(&policy.text),
        "problem": policy.problem,
    });
    out.show(&data, |paint| match args.text {
        true => policy.text.trim_end().to_owned(),
        false => {
            let since = when::moment(policy.since).unwrap_or_default();
            let holds = format!(
                "{}: {} rules that allow, {} that deny\ndigest {}, since {since}",
                policy.file, policy.allow, policy.deny, policy.digest
            );
            match policy.problem.as_str() {
                "" => holds,
                problem => {
                    let told =
                        paint.red("the file is another one by now, and wrong; what is shown above holds:");
                    format!("{holds}\n{told}\n{problem}")
                }
            }
        }
    })?;
    Ok(if policy.problem.is_empty() { Exit::Ok } else { Exit::Unsettled })
}
