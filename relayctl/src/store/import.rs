//! `relayctl store import`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::{Which, check, counted, is_standard, progress::Rows};
use crate::{exit::Exit, output::Output, when};

/// From where, and into which store.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    #[command(flatten)]
    which: Which,
    /// The export; - for standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl store import --config /etc/relay/top-master.yaml fabric.jsonl
  relayctl store import --sqlite /var/lib/relay/store.sqlite -

Only into a store that is empty or not there yet, and that nobody has open; of another kind than the exported one, too: this
is how a fabric moves from a file to PostgreSQL. All of it or nothing is imported, and then the store is checked. Its epoch
goes on far above the exported one: syndics and minions refuse whoever starts on the former store again.

EXIT CODES:
  0  imported, and the store is whole
  1  imported, and the check has found problems, which were exported with it
  3  nothing was imported: the file is no whole export, or the store is not empty or in use";

/// Runs it.
pub async fn run(args: &ImportArgs, out: &Output) -> anyhow::Result<Exit> {
    let chosen = args.which.choose()?;
    let mut input = open(&args.file)?;
    let mut rows = Rows::new("importing");
    let imported = chosen.place.import(chosen.fabric.as_deref(), &mut input, &mut |n| rows.at(n)).await;
    drop(rows);
    let done = imported?;
    let found = chosen.place.check(when::now_micros()).await?;
    let place = chosen.place.to_string();
    let data = json!({ "place": place, "rows": done.rows, "clean": found.is_clean() });
    out.show(&data, |paint| {
        let verdict = check::text(&chosen.place, &found, paint);
        format!("imported {}\n{verdict}", counted(&done))
    })?;
    Ok(check::verdict(&found))
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if is_standard(path) {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}
