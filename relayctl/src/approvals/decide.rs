//! `relayctl approvals approve` and `relayctl approvals reject`.

use anyhow::bail;
use clap::Args;
use relay_core::ids::Jid;

use super::{data, let_run, one, short, show, turn_down};
use crate::{
    connect::Fabric,
    exit::Exit,
    output::Output,
    run::terminal::{Ask as _, Terminal, confirm},
};

/// Which one.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// Its name: the digest, or as much of its beginning as is its alone
    name: String,
    /// Without asking
    #[arg(long)]
    yes: bool,
}

/// Which one, and why.
#[derive(Debug, Args)]
pub struct RejectArgs {
    /// Its name: the digest, or as much of its beginning as is its alone
    name: String,
    /// Why, for who asked
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
}

pub const APPROVE: &str = "\
EXAMPLES:
  relayctl approvals approve 3f9a1c
  relayctl approvals approve 3f9a1c --yes

It shows what it is, asks, and then approves exactly that. The job runs as if who asked had run it, on no minion that it did not have then.";

pub const REJECT: &str = "\
EXAMPLES:
  relayctl approvals reject 3f9a1c --why 'not before the weekend'";

/// Shows it, asks, and lets it run.
pub async fn approve(args: &ApproveArgs, mut fabric: Fabric, out: &Output) -> anyhow::Result<Exit> {
    let approval = one(&mut fabric, &args.name).await?;
    if !args.yes {
        eprintln!("{}", show::text(&approval));
        let mut terminal = Terminal::new();
        if !terminal.is_there() {
            bail!(
                "nobody can be asked here: read \"relayctl approvals show {0}\", then add --yes",
                short(&approval)
            );
        }
        if !confirm(&mut terminal, "Let it run? [y/N] ").await {
            bail!("not approved; it waits on");
        }
    }
    let approved = let_run(&mut fabric, &approval.digest).await?;
    let jid = Jid::from_micros(approved.jid);
    out.show(&data(&approved), |_| {
        format!("jid {jid}: runs for {}\nrelayctl jobs watch {jid}", approved.caller)
    })?;
    Ok(Exit::Ok)
}

/// Lets it never run.
pub async fn reject(args: &RejectArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let approval = one(fabric, &args.name).await?;
    let rejected = turn_down(fabric, &approval.digest, &args.why).await?;
    out.show(&data(&rejected), |_| {
        format!("{} is rejected: {} hears so when asking again", short(&rejected), rejected.caller)
    })?;
    Ok(Exit::Ok)
}
