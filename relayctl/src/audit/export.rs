//! `relayctl audit export` and `checkpoint`.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use relay_core::audit::{SignedCheckpoint, checkpoint_line};
use relay_proto::audit::TailRequest;
use serde_json::json;

use super::records::Records;
use crate::{
    connect::Fabric,
    exit::Exit,
    output::{Output, print},
};

/// Who commands what is nobody else's business.
const PRIVATE_FILE: u32 = 0o600;

/// To where.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    /// The file to make; - for standard output
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl audit export audit.jsonl
  relayctl audit export - | zstd > audit.jsonl.zst

Every record from the first one on, each as a line of JSON, and the signed checkpoint of them. \"relayctl audit verify\" checks
such a file anywhere, without a fabric.";

/// Help of `checkpoint`.
pub const CHECKPOINT: &str = "\
EXAMPLES:
  relayctl audit checkpoint > 2026-11-21.checkpoint
  relayctl audit verify audit.jsonl --key top-1.vkey --checkpoint 2026-11-21.checkpoint

It says how long the log is and what is in it. Kept where the fabric's operators can't change it, it shows later whether
something was cut off or written anew.";

/// What was written.
#[derive(Default)]
struct Exported {
    records: u64,
    /// The records before this one are covered by a checkpoint.
    signed: u64,
}

/// Runs `export`.
pub async fn run(args: &ExportArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    if args.file.as_os_str() == "-" {
        let done = write(fabric, &mut BufWriter::new(io::stdout().lock())).await?;
        eprintln!("{}", told(&done));
        return Ok(Exit::Ok);
    }
    let done = to_file(fabric, &args.file).await?;
    let data = json!({ "file": args.file, "records": done.records, "signed": done.signed });
    out.show(&data, |_| format!("{}: {}", args.file.display(), told(&done)))?;
    Ok(Exit::Ok)
}

fn told(done: &Exported) -> String {
    match done.records - done.signed.min(done.records) {
        0 => format!("{} records, all signed", done.records),
        rest => format!("{} records, the last {rest} not signed yet", done.records),
    }
}

async fn to_file(fabric: &mut Fabric, path: &Path) -> anyhow::Result<Exported> {
    let made = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(path);
    let file = made.with_context(|| format!("cannot make {}", path.display()))?;
    let mut to = BufWriter::new(file);
    let done = match write(fabric, &mut to).await {
        Ok(done) => {
            to.get_ref().sync_all().map(|()| done).with_context(|| format!("cannot write {}", path.display()))
        }
        Err(error) => Err(error),
    };
    if done.is_err() {
        // Half a log would look as if it were cut.
        let _ = fs::remove_file(path);
    }
    done
}

async fn write(fabric: &mut Fabric, to: &mut dyn Write) -> anyhow::Result<Exported> {
    let mut done = Exported::default();
    // The newest one that has not been reached yet.
    let mut checkpoint: Option<(u64, String)> = None;
    let mut records = Records::new(fabric, TailRequest { from: 0, limit: 0, follow: false, last: 0 });
    while let Some(page) = records.next().await? {
        if let Ok(signed) = page.checkpoint.parse::<SignedCheckpoint>()
            && signed.checkpoint.size > done.records
            && checkpoint.is_none()
        {
            checkpoint = Some((signed.checkpoint.size, page.checkpoint));
        }
        for entry in &page.entries {
            to.write_all(&entry.record)?;
            to.write_all(b"\n")?;
            done.records += 1;
            if let Some((size, text)) = checkpoint.take_if(|(size, _)| *size == done.records) {
                writeln!(to, "{}", checkpoint_line(&text))?;
                done.signed = size;
            }
        }
    }
    to.flush()?;
    Ok(done)
}

/// Runs `checkpoint`.
pub async fn checkpoint(fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let mut records = Records::new(fabric, TailRequest { from: 0, limit: 0, follow: false, last: 1 });
    let page = records.next().await?.filter(|page| !page.checkpoint.is_empty());
    let page = page.context("there is no checkpoint yet: nothing has been recorded")?;
    let signed: SignedCheckpoint = page.checkpoint.parse()?;
    if out.is_text() {
        print(&page.checkpoint)?;
    } else {
        let data = json!({ "origin": signed.checkpoint.origin, "size": signed.checkpoint.size, "checkpoint": page.checkpoint });
        out.show(&data, |_| String::new())?;
    }
    Ok(Exit::Ok)
}
