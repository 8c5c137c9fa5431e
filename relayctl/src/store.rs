//! `relayctl store`: a top master's store as a whole. No fabric is asked: the store itself is opened, as a top master would.
//!
//! Which store is said in so many words, by a top master's configuration or by a file: nothing here goes by a context.

mod check;
mod export;
mod import;
mod migrate;
mod progress;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use relay_runtime::{
    config::load_top_master,
    store::maintenance::{StorePlace, Transferred},
};

use crate::{exit::Exit, output::Output};

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Look whether every row can be read and fits the others
    Check(check::CheckArgs),
    /// Bring a store of an older build up to date
    Migrate(migrate::MigrateArgs),
    /// Write everything that is in it to a file
    Export(export::ExportArgs),
    /// Make a store of such a file
    Import(import::ImportArgs),
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl store check --config /etc/relay/top-master.yaml
  relayctl store migrate --config /etc/relay/top-master.yaml
  relayctl store export --config /etc/relay/top-master.yaml fabric.jsonl
  relayctl store import --config /etc/relay/new-top-master.yaml fabric.jsonl

Check and export may run while a top master does. Migrate and import need it stopped.
Run them as the top master's user (sudo -u relay ...): what is made belongs to whoever makes it.";

/// Which store.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// A top master's configuration file: the store that it names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A store's file
    #[arg(long, value_name = "FILE")]
    sqlite: Option<PathBuf>,
}

/// A store, and its fabric if the configuration says it.
struct Chosen {
    place: StorePlace,
    fabric: Option<String>,
}

impl Which {
    fn choose(&self) -> anyhow::Result<Chosen> {
        match (&self.config, &self.sqlite) {
            (Some(file), _) => {
                let config = load_top_master(file)?;
                Ok(Chosen { place: StorePlace::of(&config), fabric: Some(config.fabric.to_string()) })
            }
            (None, Some(path)) => Ok(Chosen { place: StorePlace::Sqlite(path.clone()), fabric: None }),
            (None, None) => anyhow::bail!("which store? Say --config FILE or --sqlite FILE"),
        }
    }
}

/// Runs one of the commands.
pub async fn run(command: StoreCommand, out: &Output) -> anyhow::Result<Exit> {
    match command {
        StoreCommand::Check(args) => check::run(&args, out).await,
        StoreCommand::Migrate(args) => migrate::run(&args, out).await,
        StoreCommand::Export(args) => export::run(&args, out).await,
        StoreCommand::Import(args) => import::run(&args, out).await,
    }
}

/// Whether standard input or output is meant.
fn is_standard(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Rows as people count them: `3 minions, 4 jobs`.
fn counted(done: &Transferred) -> String {
    let some = done.rows.iter().filter(|(_, n)| **n > 0);
    let all: Vec<String> = some.map(|(table, n)| format!("{n} {table}")).collect();
    if all.is_empty() { "nothing, it is empty".into() } else { all.join(", ") }
}
