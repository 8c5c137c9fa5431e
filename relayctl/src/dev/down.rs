//! `relayctl dev down`.

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::{Which, record::Record, stop};
use crate::{contexts::ContextFile, exit::Exit, output::Output};

/// Which fabric, and what stays of it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DownArgs {
    #[command(flatten)]
    which: Which,
    /// Remove its directory too: configurations, state and logs
    #[arg(long)]
    delete: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl dev down
  relayctl dev down --delete
  relayctl dev down --dir /tmp/second";

/// Runs it.
pub async fn run(args: &DownArgs, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let (dir, record) = args.which.find(wanted)?;
    let stopped = stop::stop(&dir, &record)?;
    forget(&record)?;
    if args.delete {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    let data = json!({
        "dir": dir, "stopped": stopped.running, "killed": stopped.killed, "commands_killed": stopped.commands,
        "deleted": args.delete,
    });
    out.show(&data, |_| {
        let mut text = format!("stopped {} processes", stopped.running);
        if !stopped.killed.is_empty() {
            text.push_str(&format!("; had to be killed: {}", stopped.killed.join(", ")));
        }
        if stopped.commands > 0 {
            text.push_str(&format!("; killed {} processes of running jobs", stopped.commands));
        }
        let files =
            if args.delete { "is removed" } else { "is kept (the next \"dev up\" there begins anew)" };
        format!("{text}; {} {files}", dir.display())
    })?;
    Ok(Exit::Ok)
}

/// Removes the fabric's context, if it still is the fabric's; what was the current one before is so again.
fn forget(record: &Record) -> anyhow::Result<()> {
    ContextFile::of_user()?.change(|all| {
        if all.get(&record.context.name) == Some(&record.context) {
            let was_current = all.current.as_ref() == Some(&record.context.name);
            all.remove(&record.context.name);
            if was_current {
                all.current = record.previous.clone().filter(|name| all.get(name).is_some());
            }
        }
        Ok(())
    })
}
