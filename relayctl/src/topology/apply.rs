//! `relayctl topology apply`: the plan, a question, and then the file is the active topology, region by region.

mod carry;
mod told;

use std::{path::PathBuf, time::Duration};

use anyhow::bail;
use clap::Args;
use relay_proto::operator::ApplyTopologyRequest;

use super::{
    active::Active,
    api::Topologies,
    git::{self, Commit, Origin},
    plan::{self, Planned},
};
use crate::{
    exit::Exit,
    output::{Output, Paint},
    run::{
        signals::signals,
        span,
        terminal::{Ask, confirm},
    },
};

/// Which file, and how carefully.
#[derive(Debug, Args)]
#[command(after_help = examples())]
pub struct ApplyArgs {
    /// The topology file
    file: PathBuf,
    /// Only if this revision is active: the one that "topology plan" showed
    #[arg(long, value_name = "N")]
    planned_on: Option<u64>,
    /// The commit it comes from. Default: what git says, if the file is as it was committed
    #[arg(long, value_name = "ID")]
    commit: Option<String>,
    /// Who wrote that commit. Default: what git says
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    #[command(flatten)]
    care: Care,
}

/// How carefully a topology is applied.
#[derive(Debug, Args)]
pub struct Care {
    /// What it is for, for the history. Default: the commit's first line
    #[arg(long, short, value_name = "TEXT")]
    pub message: Option<String>,
    /// Stop and roll back when more of a region's minions that were up are lost
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
    pub max_lost: u32,
    /// How long a region whose minions move is looked at, at most, before the next one follows
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span::span)]
    pub settle: Duration,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

fn examples() -> String {
    let examples = "\
EXAMPLES:
  relayctl topology apply topology.yaml
  relayctl topology apply topology.yaml --planned-on 4 --yes --message 'a third syndic in aws'
  relayctl topology apply topology.yaml --max-lost 2% --settle 2m
  relayctl topology apply topology.yaml --commit 8c1f0e2 --author 'Ada <ada@example.org>'

The plan is shown, and asked is on a terminal; elsewhere --yes is needed. Only the revision is replaced that was planned on.
Regions follow one after the other; one that loses too many minions stops it, and those that had the new topology go back.
Ctrl-C lets go of it and it goes on.";
    format!("{examples}\n\n{EXITS}")
}

/// The end of the help of everything that applies.
pub const EXITS: &str = "\
EXIT CODES:
  0  it is active, or nothing changes
  1  it was stopped and rolled back
  3  not accepted: a bad file, another revision is active, no answer to the question, no connection
  4  let go of while it goes on: see \"relayctl topology history\"";

/// What is to be applied.
pub struct Going<'a> {
    /// The request, as far as the plan does not decide it.
    pub request: ApplyTopologyRequest,
    /// The plan that is shown.
    pub planned: &'a Planned<'a>,
}

/// Runs it.
pub async fn run(
    args: &ApplyArgs,
    fabric: &mut impl Topologies,
    ask: &mut impl Ask,
    wanted: Option<&str>,
    out: &Output,
) -> anyhow::Result<Exit> {
    let file = match super::file::read(&args.file, out)? {
        Ok(file) => file,
        Err(exit) => return Ok(exit),
    };
    let active = Active::of(fabric).await?;
    active.settled()?;
    if let Some(planned) = args.planned_on.filter(|planned| *planned != active.number()) {
        let is = super::with_context(format!("relayctl topology plan {}", file.path.display()), wanted);
        bail!("{}, and the plan was made on {planned}: plan again ({is})", is_active(active.number()));
    }
    let again = plan::command(&args.file, active.number(), wanted);
    let planned = plan::against(fabric, &active, (&file.path, &file.topology), again).await?;
    let commit = commit(args, &file.text).await;
    let request = ApplyTopologyRequest {
        text: file.text.clone(),
        planned_on: active.number(),
        message: args.care.message.clone().unwrap_or(commit.subject),
        commit: commit.id,
        author: commit.author,
        ..args.care.request()
    };
    go(Going { request, planned: &planned }, args.care.yes, fabric, ask, out).await
}

fn is_active(number: u64) -> String {
    match number {
        0 => "no revision is active".into(),
        n => format!("revision {n} is active"),
    }
}

/// What the command line says of the commit, and else what git says.
async fn commit(args: &ApplyArgs, text: &str) -> Commit {
    let told = |commit: Commit| Commit {
        id: args.commit.clone().unwrap_or(commit.id),
        author: args.author.clone().unwrap_or(commit.author),
        subject: commit.subject,
    };
    if args.commit.is_some() && args.author.is_some() {
        return told(Commit::default());
    }
    match git::origin(&args.file, text).await {
        // Of another commit git was not asked.
        Origin::Committed(commit) if args.commit.as_ref().is_none_or(|id| commit.id.starts_with(id)) => {
            told(commit)
        }
        Origin::Changed if args.commit.is_none() => {
            eprintln!("{} is not as it was committed: no commit is recorded", args.file.display());
            told(Commit::default())
        }
        _ => told(Commit::default()),
    }
}

impl Care {
    /// The bounds, for a request.
    pub fn request(&self) -> ApplyTopologyRequest {
        ApplyTopologyRequest {
            max_lost_percent: self.max_lost,
            settle_ms: self.settle.as_millis() as u64,
            ..ApplyTopologyRequest::default()
        }
    }
}

/// Shows the plan, asks, and applies.
///
/// # Errors
/// Nobody said yes; the top master refuses; or nobody knows whether it was accepted, and the error says how to find out.
pub async fn go(
    going: Going<'_>,
    yes: bool,
    fabric: &mut impl Topologies,
    ask: &mut impl Ask,
    out: &Output,
) -> anyhow::Result<Exit> {
    let Going { request, planned } = going;
    let paint = Paint::for_stream(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    if planned.is_empty() {
        out.show(&told::nothing(request.planned_on), |paint| planned.text(paint))?;
        return Ok(Exit::Ok);
    }
    // The answer of this command is how it went; the plan is what is asked about.
    eprintln!("{}", planned.text(&paint));
    if !yes && !ask.is_there() {
        bail!("nothing was applied: nobody can be asked here; --yes applies without asking");
    }
    if !yes && !confirm(ask, "Apply it? [y/N] ").await {
        bail!("nothing was applied");
    }
    carry::out(fabric, request, &mut signals(), out).await
}

/// `5%`, or `5`.
fn percent(text: &str) -> Result<u32, String> {
    let wrong = || "write a part of a region's minions as 1% to 100%".to_owned();
    let number: u32 = text.strip_suffix('%').unwrap_or(text).parse().map_err(|_| wrong())?;
    (1..=100).contains(&number).then_some(number).ok_or_else(wrong)
}

#[cfg(test)]
mod tests;
