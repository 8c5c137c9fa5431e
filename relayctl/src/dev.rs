//! `relayctl dev`: a trial fabric of real processes on this machine, with a throw-away certificate authority.
//!
//! In reading order: [`plan`] (who stands where, pure), `ports`, `shared` (etcd and PostgreSQL), [`layout`] (the files) with
//! `shape` (the topology), `process` (starting and knowing again), `record` (what was started), `adopt` (what took its
//! place), `ready` (waiting), `starter`, `stop`; then the commands `up`, `status`, `start`, `down`.
//!
//! Not for a fabric that matters: all keys lie in one directory, and on one machine.

mod adopt;
mod binaries;
mod down;
pub mod layout;
pub mod plan;
mod ports;
mod process;
mod ready;
mod record;
mod shape;
mod shared;
mod start;
mod starter;
mod status;
mod stop;
mod up;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use crate::{contexts::ContextFile, exit::Exit, output::Output};
use record::Record;

/// What to do with the trial fabric.
#[derive(Debug, Subcommand)]
pub enum DevCommand {
    /// Start a fabric and wait until every minion is attached
    Up(up::UpArgs),
    /// Show its processes and whether they live
    #[command(after_help = status::EXAMPLES)]
    Status(Which),
    /// Start again what is dead of it
    Start(start::StartArgs),
    /// Stop it: no process is left
    Down(down::DownArgs),
}

/// The end of the help of `relayctl dev`.
pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl dev up
  relayctl run '*' test.ping
  relayctl dev status
  relayctl dev start                   what you killed
  relayctl dev down";

/// The name of the first trial fabric's context.
const DEFAULT_NAME: &str = "dev";

/// Which trial fabric.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// Its directory. Default: that of --name, else of the context in use
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The name of its context
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Runs one of the commands.
pub async fn run(command: DevCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    match command {
        DevCommand::Up(args) => up::run(args, out).await,
        DevCommand::Status(which) => status::run(&which, wanted, out).await,
        DevCommand::Start(args) => start::run(&args, wanted, out).await,
        DevCommand::Down(args) => down::run(&args, wanted, out).await,
    }
}

/// Where a fabric lies if nobody says.
fn default_dir(name: &str) -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    let state = state.context("where should the fabric's files lie? Give --dir, or set HOME")?;
    Ok(state.join("relay/dev").join(name))
}

impl Which {
    /// The directory of a fabric that was started, and what was started there.
    fn find(&self, wanted: Option<&str>) -> anyhow::Result<(PathBuf, Record)> {
        let dir = self.dir(wanted)?;
        match Record::read(&dir)? {
            Some(mut record) => {
                adopt::adopt(&mut record);
                Ok((dir, record))
            }
            None => bail!(
                "no trial fabric was started in {}: name it with --dir or --name, or start one with \"relayctl dev up\"",
                dir.display()
            ),
        }
    }

    fn dir(&self, wanted: Option<&str>) -> anyhow::Result<PathBuf> {
        if let Some(dir) = &self.dir {
            return Ok(std::path::absolute(dir)?);
        }
        let contexts = ContextFile::of_user()?.read()?;
        let name = self.name.as_deref().or(wanted);
        let context = contexts.choose(name).ok();
        if let Some(dir) = context.and_then(|context| dir_of(&context.ca)) {
            return Ok(dir);
        }
        default_dir(name.unwrap_or(DEFAULT_NAME))
    }
}

/// The directory of the trial fabric that a root certificate belongs to, if it is of one.
fn dir_of(ca: &Path) -> Option<PathBuf> {
    let dir = ca.parent()?.parent()?;
    Record::is_there(dir).then(|| dir.to_owned())
}
