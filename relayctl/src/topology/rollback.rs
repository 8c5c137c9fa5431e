//! `relayctl topology rollback`: a former revision's text becomes the active topology again, as a revision of its own.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use relay_proto::operator::ApplyTopologyRequest;

use super::{
    active::{Active, meaning},
    api::Topologies,
    apply::{self, Care, Going},
    plan,
};
use crate::{exit::Exit, output::Output, run::terminal::Ask};

/// Revisions among which the one before is looked for: more than a morning's failed tries.
const LOOKED_AT: u32 = 100;

/// To which revision.
#[derive(Debug, Args)]
#[command(after_help = examples())]
pub struct RollbackArgs {
    /// The revision to go back to. Default: the one that was active before this one
    #[arg(value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    number: Option<u64>,
    #[command(flatten)]
    care: Care,
}

fn examples() -> String {
    let examples = "\
EXAMPLES:
  relayctl topology rollback
  relayctl topology rollback 3 --yes --message 'the new syndic is too small'

It is a revision of its own with the text of the former one: planned, asked about and applied region by region as any other. A
second rollback without a number takes the first one back.";
    format!("{examples}\n\n{}", apply::EXITS)
}

/// Runs it.
pub async fn run(
    args: &RollbackArgs,
    fabric: &mut impl Topologies,
    ask: &mut impl Ask,
    wanted: Option<&str>,
    out: &Output,
) -> anyhow::Result<Exit> {
    let active = Active::of(fabric).await?;
    active.settled()?;
    let number = match args.number {
        Some(number) => number,
        None => before(fabric, &active).await?,
    };
    let former = fabric.revision(number).await?;
    if former.number != number {
        bail!("there is no revision {number}: see \"relayctl topology history\"");
    }
    let topology = meaning(&former)?;
    let file = PathBuf::from(format!("revision {number}"));
    let again = super::with_context(format!("relayctl topology rollback {number}"), wanted);
    let planned = plan::against(fabric, &active, (&file, &topology), again).await?;
    let request = ApplyTopologyRequest {
        text: former.text,
        planned_on: active.number(),
        commit: former.commit,
        author: former.author,
        message: args.care.message.clone().unwrap_or_default(),
        rollback_of: number,
        ..args.care.request()
    };
    apply::go(Going { request, planned: &planned }, args.care.yes, fabric, ask, out).await
}

/// The one that was active before the active one. Revisions that were stopped never were.
async fn before(fabric: &mut impl Topologies, active: &Active) -> anyhow::Result<u64> {
    if active.number() == 0 {
        bail!("no topology is active: there is nothing to go back from");
    }
    let history = fabric.history(LOOKED_AT, active.number()).await?;
    let former =
        history.iter().find(|revision| revision.state == "superseded").map(|revision| revision.number);
    former.with_context(|| {
        format!("no revision was active before {}: see \"relayctl topology history\"", active.number())
    })
}
