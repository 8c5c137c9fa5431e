//! What was started: `DIR/dev.json`. Its being there says that the directory is a trial fabric's.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::{process::ProcessId, ready::Attached};
use crate::contexts::{Context, write_whole};

const FILE: &str = "dev.json";
/// The version of the format that this build reads and writes.
const VERSION: u32 = 1;
/// Largest file read, in bytes: thousands of processes.
const MAX_BYTES: u64 = 16 << 20;

/// A trial fabric as it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// How it is reached.
    pub context: Context,
    /// The context that was the current one before.
    pub previous: Option<String>,
    /// How many of each there are.
    #[serde(flatten)]
    pub size: Attached,
    /// What was started, in this order.
    pub processes: Vec<Process>,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its directory's name.
    pub name: String,
    /// Its role.
    pub role: String,
    /// How many minions it hosts.
    #[serde(default)]
    pub count: Option<u64>,
    /// The process.
    #[serde(flatten)]
    pub id: ProcessId,
    /// Where it serves its state.
    pub admin: String,
    /// Its configuration.
    pub config: PathBuf,
    /// Its log.
    pub log: PathBuf,
}

impl Record {
    /// A fabric of which nothing is started yet.
    pub fn new(context: Context, previous: Option<String>, size: Attached) -> Record {
        Record { version: VERSION, context, previous, size, processes: Vec::new() }
    }

    /// Whether a directory is a trial fabric's.
    pub fn is_there(dir: &Path) -> bool {
        dir.join(FILE).is_file()
    }

    /// Reads it; nothing if there is none.
    ///
    /// # Errors
    /// It cannot be read or understood.
    pub fn read(dir: &Path) -> anyhow::Result<Option<Record>> {
        let path = dir.join(FILE);
        let place = || format!("{}: which processes are the fabric's is not known", path.display());
        let text = match fs::metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(about) if about.len() > MAX_BYTES => bail!("{}: more than {MAX_BYTES} bytes", place()),
            _ => fs::read_to_string(&path).with_context(place)?,
        };
        let record: Record = serde_json::from_str(&text).with_context(place)?;
        match record.version {
            VERSION => Ok(Some(record)),
            other => bail!("{}: format {other}, this relayctl reads {VERSION}", place()),
        }
    }

    /// Writes it, as a whole.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let path = dir.join(FILE);
        let place = || path.display().to_string();
        let text = serde_json::to_string_pretty(self).with_context(place)?;
        write_whole(&path, &text).with_context(place)
    }

    /// What a process is told at its start.
    pub fn arguments(config: &Path, count: Option<u64>) -> Vec<String> {
        let mut arguments = vec!["serve".to_owned(), "--config".to_owned(), config.display().to_string()];
        arguments.extend(count.into_iter().flat_map(|n| ["--count".to_owned(), n.to_string()]));
        arguments
    }

    /// The processes that live.
    pub fn living(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|p| p.id.lives())
    }
}
