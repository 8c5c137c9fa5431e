//! `relayctl approvals show`.

use clap::Args;
use relay_core::{compact::compact, ids::Jid};
use relay_proto::access::Approval;

use super::{data, one, order, short};
use crate::{connect::Fabric, exit::Exit, output::Output, when};

/// Which one.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Its name: the digest, or as much of its beginning as is its alone
    name: String,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl approvals show 3f9a1c";

/// Runs it.
pub async fn run(args: &ShowArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let approval = one(fabric, &args.name).await?;
    out.show(&data(&approval), |_| text(&approval))?;
    Ok(Exit::Ok)
}

/// All of it, for people.
pub fn text(approval: &Approval) -> String {
    let moment = |at| when::moment(at).unwrap_or_default();
    let minions = compact(approval.minions.iter().map(String::as_str));
    let mut lines = vec![
        format!("{}: {} asks for", short(approval), approval.caller),
        format!("  {}", order(approval)),
        format!("on {} ({} minions): {minions}", approval.target, approval.targets),
        format!(
            "{}, asked {}, {} until {}",
            approval.reason,
            moment(approval.asked),
            approval.state,
            moment(approval.expires)
        ),
    ];
    if !approval.decided_by.is_empty() {
        let why = if approval.why.is_empty() { String::new() } else { format!(": {}", approval.why) };
        lines.push(format!(
            "{} by {}, {}{why}",
            approval.state,
            approval.decided_by,
            moment(approval.decided)
        ));
    }
    if approval.jid != 0 {
        lines.push(format!("jid {}", Jid::from_micros(approval.jid)));
    }
    lines.push(format!("digest {}", approval.digest));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_what_where_and_how_it_stands() {
        let approval = Approval {
            digest: "ab".repeat(32),
            state: "rejected".into(),
            caller: "alice".into(),
            function: "system.reboot".into(),
            target: "web*".into(),
            targets: 2,
            minions: vec!["web1".into(), "web2".into()],
            decided_by: "bob".into(),
            why: "no".into(),
            ..Approval::default()
        };
        let text = text(&approval);
        for part in [
            "alice asks for",
            "system.reboot",
            "on web* (2 minions): web[1-2]",
            "rejected by bob",
            ": no",
            &approval.digest,
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }
}
