//! Journals of simulated minions: in memory, or on disk as in a real process with many minions.
//!
//! On disk, one thread writes all journals of a process with group commit and one fsync for each file, and its reports
//! find their minion by number.

use std::path::Path;

use anyhow::Context as _;
use minion::journal::{self, Journal};
use relay_core::ids::Incarnation;
use relay_runtime::{
    log_writer::{LogWriter, Report},
    record_log::RecordLog,
};
use tokio::sync::mpsc;

/// Reports of the writer's thread waiting, for all minions of the process: what one group commit gives.
const REPORTS: usize = 1_024;
/// Reports waiting for one minion: its session has few writes under way.
const OWN_REPORTS: usize = 64;

/// A new journal on disk.
pub struct Opened {
    log: RecordLog,
    /// Names it.
    pub incarnation: Incarnation,
}

impl Opened {
    /// Makes one in a directory of its own.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn at(dir: &Path) -> anyhow::Result<Opened> {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let found = journal::open(dir)?;
        Ok(Opened { log: found.log, incarnation: found.incarnation })
    }
}

/// The journals of a process, handed out one by one.
pub struct Kept {
    writer: Option<LogWriter>,
    reports: std::vec::IntoIter<(usize, mpsc::Receiver<Report>)>,
}

impl Kept {
    /// Starts the writer for these journals; without any, everybody gets one in memory. Call it in a runtime.
    ///
    /// # Errors
    /// The thread does not start.
    pub fn start(opened: Vec<Opened>) -> anyhow::Result<Kept> {
        if opened.is_empty() {
            return Ok(Kept { writer: None, reports: Vec::new().into_iter() });
        }
        let (report, reports) = mpsc::channel(REPORTS);
        let logs: Vec<RecordLog> = opened.into_iter().map(|opened| opened.log).collect();
        let (inboxes, own): (Vec<_>, Vec<_>) = logs.iter().map(|_| mpsc::channel(OWN_REPORTS)).unzip();
        let writer = LogWriter::start("journal", logs, report)?;
        tokio::spawn(hand_out(reports, inboxes));
        let own: Vec<_> = own.into_iter().enumerate().collect();
        Ok(Kept { writer: Some(writer), reports: own.into_iter() })
    }

    /// The next minion's journal, and what is reported of it.
    pub fn next(&mut self) -> (Journal, mpsc::Receiver<Report>) {
        match (&self.writer, self.reports.next()) {
            (Some(writer), Some((log, reports))) => (Journal::disk(writer.clone(), log), reports),
            // The journal in memory reports to nobody.
            _ => (Journal::Memory, mpsc::channel(1).1),
        }
    }
}

async fn hand_out(mut reports: mpsc::Receiver<Report>, inboxes: Vec<mpsc::Sender<Report>>) {
    while let Some(report) = reports.recv().await {
        if let Some(inbox) = inboxes.get(report.log()) {
            let _ = inbox.send(report).await;
        }
    }
}
