//! `relayctl store export`.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use relay_runtime::store::maintenance::Transferred;
use serde_json::json;

use super::{Chosen, Which, counted, is_standard, progress::Rows};
use crate::{exit::Exit, output::Output};

/// Job arguments and returns are nobody else's business.
const PRIVATE_FILE: u32 = 0o600;

/// Which store, and to where.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    #[command(flatten)]
    which: Which,
    /// The file to make; - for standard output
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl store export --config /etc/relay/top-master.yaml fabric.jsonl
  relayctl store export --sqlite /var/lib/relay/store.sqlite - | zstd > fabric.jsonl.zst

The store as it is at one moment, also beside a running top master: jobs with their targets, returns and changes, request
ids, minions, plans, schedules, topologies, members, tokens, trust, logins, approvals and the audit log. One JSON object on a line for each row, a first line that says what it is, and
a last one with counts and a SHA-256, so that a damaged or cut file is refused.";

/// Runs it.
pub async fn run(args: &ExportArgs, out: &Output) -> anyhow::Result<Exit> {
    let chosen = args.which.choose()?;
    if is_standard(&args.file) {
        let done = write(&chosen, &mut BufWriter::new(io::stdout().lock())).await?;
        eprintln!("exported {}", counted(&done));
        return Ok(Exit::Ok);
    }
    let done = to_file(&chosen, &args.file).await?;
    let data = json!({ "place": chosen.place.to_string(), "file": args.file, "rows": done.rows });
    out.show(&data, |_| format!("{}: {}", args.file.display(), counted(&done)))?;
    Ok(Exit::Ok)
}

async fn to_file(chosen: &Chosen, path: &Path) -> anyhow::Result<Transferred> {
    let made = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(path);
    let file = made.with_context(|| format!("cannot make {}", path.display()))?;
    let mut out = BufWriter::new(file);
    let done = write(chosen, &mut out).await;
    let done = done.and_then(|done| {
        out.get_ref().sync_all().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(done)
    });
    if done.is_err() {
        // It would be refused anyway, as cut off.
        let _ = fs::remove_file(path);
    }
    done
}

async fn write(chosen: &Chosen, out: &mut dyn Write) -> anyhow::Result<Transferred> {
    let mut rows = Rows::new("exporting");
    let exported = chosen.place.export(chosen.fabric.as_deref(), out, &mut |n| rows.at(n)).await;
    Ok(exported?)
}
