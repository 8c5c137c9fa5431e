//! One thread that writes record logs, with group commit.
//!
//! Owns opening them, the order of writes, the one fsync for everything that waits, retries when the disk is full, and compaction.
//! What the records say is encoded by who sends them; what a failure means is decided by who hears of it.

use std::{
    collections::VecDeque,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use bytes::Bytes;
use relay_core::ids::Incarnation;
use relay_proto::WireError;
use tokio::sync::mpsc::{self, error::TrySendError};
use tracing::{error, warn};

use crate::{
    record_log::{Kind, Limits, LogError, Opened, RecordLog},
    telemetry,
};

/// Writes waiting for the thread. The cores bound what they have under way; a full queue makes the loop wait for the
/// disk, which is what there is left to do.
const QUEUE: usize = 4_096;
/// Most writes of one group commit.
const GROUP: usize = 1_024;
/// Pause before a full channel of reports is tried again.
const HAND_OVER: Duration = Duration::from_millis(1);
/// Pause between two tries on a disk that refuses.
const RETRY: Duration = Duration::from_millis(200);
/// A log is compacted when it is over this, and four times what was alive after the last compaction.
pub const COMPACT_ABOVE: u64 = 4 << 20;

/// A log, by its place among those the writer was given.
pub type LogNo = usize;

/// What the thread reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Durable.
    Written {
        /// The log.
        log: LogNo,
        /// The write.
        ticket: u64,
        /// The log's size now.
        size: u64,
    },
    /// Not written, and given up.
    GivenUp {
        /// The log.
        log: LogNo,
        /// The write.
        ticket: u64,
    },
    /// A log can't be written (why), or can again (`None`).
    Stalled {
        /// The log.
        log: LogNo,
        /// What the system says.
        why: Option<String>,
    },
}

/// A log as it was found.
#[derive(Debug)]
pub struct Found<R> {
    /// The log, for the writer.
    pub log: RecordLog,
    /// Names it.
    pub incarnation: Incarnation,
    /// What it remembers.
    pub records: Vec<R>,
}

/// Opens a log and decodes what it remembers. Torn, damaged and unreadable parts are told and counted.
///
/// # Errors
/// Locked by another process, of a newer version, or not readable at all.
pub fn open_log<R>(
    path: &Path,
    kind: Kind,
    limits: Limits,
    decode: impl Fn(Bytes) -> Result<R, WireError>,
) -> Result<Found<R>, LogError> {
    let Opened { log, incarnation, records, torn, reset } =
        RecordLog::open(path, kind, rand::random(), limits)?;
    let told = || metrics::counter!(telemetry::TORN_RECORDS_TOTAL).increment(1);
    let path = path.display();
    if let Some(torn) = torn {
        warn!(%path, ?torn, "the torn end of the log was cut off");
        told();
    }
    if let Some(reset) = reset {
        error!(%path, ?reset, "the log was damaged: a new one was begun, as a new incarnation");
        told();
    }
    let records = records.into_iter().filter_map(|bytes| {
        let refused = |error: &WireError| {
            error!(%path, %error, "a record cannot be read; it is left out");
            told();
        };
        decode(bytes).inspect_err(refused).ok()
    });
    let records = records.collect();
    Ok(Found { log, incarnation: Incarnation(incarnation), records })
}

enum Command {
    Write(Write),
    Compact { log: LogNo, live: Vec<Bytes> },
}

struct Write {
    log: LogNo,
    ticket: u64,
    records: Vec<Vec<u8>>,
    may_fail: bool,
}

/// When a log has grown enough to be compacted.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    limit: u64,
    /// A compaction was asked for, and what is told of the log may still be from before it.
    asked: bool,
}

impl Default for Growth {
    fn default() -> Self {
        Growth { limit: COMPACT_ABOVE, asked: false }
    }
}

impl Growth {
    /// Whether a log of this size should be compacted. Not again because of what was on its way when it was; but again if it failed, and
    /// the log has grown on to twice the size.
    pub fn is_due(&mut self, size: u64) -> bool {
        self.asked &= size >= self.limit && size < self.limit.saturating_mul(2);
        size >= self.limit && !self.asked
    }

    /// It was, to these records.
    pub fn compacted(&mut self, live: &[Bytes]) {
        self.limit = COMPACT_ABOVE.max(4 * live.iter().map(|b| b.len() as u64 + 32).sum::<u64>());
        self.asked = true;
    }
}

/// The sending side.
#[derive(Debug, Clone)]
pub struct LogWriter(SyncSender<Command>);

impl LogWriter {
    /// Starts the thread. It ends when all writers are dropped and everything is written.
    ///
    /// # Errors
    /// The system can't start a thread.
    pub fn start(
        name: &str,
        logs: Vec<RecordLog>,
        reports: mpsc::Sender<Report>,
    ) -> std::io::Result<LogWriter> {
        let (tx, rx) = sync_channel(QUEUE);
        let thread = Thread { stalled: vec![false; logs.len()], logs, reports, backlog: VecDeque::new() };
        thread::Builder::new().name(name.into()).stack_size(256 << 10).spawn(move || thread.run(rx))?;
        Ok(LogWriter(tx))
    }

    /// Writes records; reported under `ticket`. If it may not fail, it is tried until it works.
    pub fn write(&self, log: LogNo, ticket: u64, records: Vec<Vec<u8>>, may_fail: bool) {
        self.send(Command::Write(Write { log, ticket, records, may_fail }));
    }

    /// Replaces a log by what is alive. `live` must hold everything written before this call.
    pub fn compact(&self, log: LogNo, live: Vec<Bytes>) {
        self.send(Command::Compact { log, live });
    }

    fn send(&self, command: Command) {
        if self.0.send(command).is_err() {
            error!("the log writer has died");
        }
    }
}

struct Thread {
    logs: Vec<RecordLog>,
    stalled: Vec<bool>,
    reports: mpsc::Sender<Report>,
    /// Reports that the channel has no room for yet. One for each write the loops have under way, at most, which the
    /// cores bound. Waiting for room instead would be a deadlock: the loop that reads reports may be waiting in
    /// [`LogWriter::write`] for this thread.
    backlog: VecDeque<Report>,
}

impl Thread {
    fn run(mut self, commands: Receiver<Command>) {
        let mut waiting: Vec<Write> = Vec::new();
        loop {
            self.hand_over();
            let pause = match (waiting.is_empty(), self.backlog.is_empty()) {
                (_, false) => Some(HAND_OVER),
                (false, true) => Some(RETRY),
                (true, true) => None,
            };
            let first = match pause
                .map_or_else(|| commands.recv().map_err(Into::into), |p| commands.recv_timeout(p))
            {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if first.is_none() && waiting.is_empty() {
                continue;
            }
            let mut compactions = Vec::new();
            for command in first.into_iter().chain(commands.try_iter()).take(GROUP) {
                match command {
                    Command::Write(write) => waiting.push(write),
                    // After everything before it: the live records contain those writes.
                    Command::Compact { log, live } => compactions.push((log, live, waiting.len())),
                }
            }
            self.turn(&mut waiting, compactions);
        }
    }

    fn turn(&mut self, waiting: &mut Vec<Write>, compactions: Vec<(LogNo, Vec<Bytes>, usize)>) {
        let mut rest = std::mem::take(waiting);
        let mut done = 0;
        for (log, live, before) in compactions {
            let now: Vec<Write> = rest.drain(..before - done).collect();
            done = before;
            waiting.extend(self.commit(now));
            if waiting.iter().any(|w| w.log == log) {
                continue; // the disk refuses: compact another time
            }
            if let Err(error) = self.logs[log].rewrite(live.into_iter()) {
                warn!(%error, "compaction failed; the log goes on as it is");
            }
        }
        waiting.extend(self.commit(rest));
    }

    /// Commits writes, log by log; gives back those to be tried again.
    fn commit(&mut self, writes: Vec<Write>) -> Vec<Write> {
        let mut by_log: std::collections::BTreeMap<LogNo, Vec<Write>> = Default::default();
        for write in writes {
            by_log.entry(write.log).or_default().push(write);
        }
        by_log.into_iter().flat_map(|(log, group)| self.commit_one(log, group)).collect()
    }

    fn commit_one(&mut self, log: LogNo, group: Vec<Write>) -> Vec<Write> {
        match self.try_commit(log, &group) {
            Ok(()) => {
                self.set_stalled(log, None);
                let size = self.logs[log].size();
                group.iter().for_each(|w| self.report(Report::Written { log, ticket: w.ticket, size }));
                Vec::new()
            }
            Err(why) => {
                self.logs[log].rollback();
                let (given_up, kept): (Vec<_>, Vec<_>) = group.into_iter().partition(|w| w.may_fail);
                for write in &given_up {
                    self.report(Report::GivenUp { log, ticket: write.ticket });
                }
                self.set_stalled(log, Some(why));
                kept
            }
        }
    }

    fn try_commit(&mut self, log: LogNo, group: &[Write]) -> Result<(), String> {
        let log = &mut self.logs[log];
        for write in group {
            let records: Vec<&[u8]> = write.records.iter().map(Vec::as_slice).collect();
            log.append(&records).map_err(|e| e.to_string())?;
        }
        log.commit().map_err(|e| e.to_string())
    }

    fn set_stalled(&mut self, log: LogNo, why: Option<String>) {
        if self.stalled[log] != why.is_some() {
            self.stalled[log] = why.is_some();
            self.report(Report::Stalled { log, why });
        }
    }

    fn report(&mut self, report: Report) {
        self.backlog.push_back(report);
    }

    /// Gives the loop what its channel has room for.
    fn hand_over(&mut self) {
        while let Some(report) = self.backlog.pop_front() {
            if let Err(TrySendError::Full(report)) = self.reports.try_send(report) {
                self.backlog.push_front(report);
                return;
            } // closed: the loop that listened is gone, and nobody waits for this
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &std::path::Path, max_file_bytes: u64) -> (RecordLog, Vec<Bytes>) {
        let limits = Limits { max_record_bytes: 1_000, max_file_bytes };
        let opened = RecordLog::open(&dir.join("log"), Kind::Journal, 1, limits).unwrap();
        (opened.log, opened.records)
    }

    #[test]
    fn what_is_reported_written_is_there_and_compaction_keeps_the_order() {
        let dir = tempfile::tempdir().unwrap();
        let (tx, mut rx) = mpsc::channel(64);
        let writer = LogWriter::start("test", vec![open(dir.path(), 1 << 20).0], tx).unwrap();
        writer.write(0, 1, vec![b"a".to_vec()], false);
        writer.compact(0, vec![Bytes::from_static(b"A")]);
        writer.write(0, 2, vec![b"b".to_vec()], false);
        let mut tickets = Vec::new();
        while tickets.len() < 2 {
            if let Some(Report::Written { ticket, .. }) = rx.blocking_recv() {
                tickets.push(ticket);
            }
        }
        assert_eq!(tickets, [1, 2]);
        drop(writer);
        while rx.blocking_recv().is_some() {}
        assert_eq!(open(dir.path(), 1 << 20).1, ["A", "b"]);
    }

    #[test]
    fn a_compaction_is_asked_for_once_and_again_if_it_failed() {
        let mut growth = Growth::default();
        assert!(!growth.is_due(COMPACT_ABOVE - 1));
        assert!(growth.is_due(COMPACT_ABOVE));
        growth.compacted(&[]);
        assert!(!growth.is_due(COMPACT_ABOVE + 1), "written before it");
        assert!(!growth.is_due(100));
        assert!(growth.is_due(COMPACT_ABOVE + 2), "grown again");
        growth.compacted(&[]);
        assert!(!growth.is_due(2 * COMPACT_ABOVE - 1));
        assert!(growth.is_due(2 * COMPACT_ABOVE), "it failed");
        growth.compacted(&vec![Bytes::from(vec![0; 1 << 20]); 8]);
        assert!(!growth.is_due(30 << 20), "much of it lives");
        assert!(growth.is_due(33 << 20));
    }

    #[test]
    fn a_loop_that_writes_more_than_it_reads_of_reports_is_not_a_deadlock() {
        let dir = tempfile::tempdir().unwrap();
        let (tx, mut rx) = mpsc::channel(1);
        let writer = LogWriter::start("test", vec![open(dir.path(), 1 << 20).0], tx).unwrap();
        let writes = 3 * QUEUE as u64;
        (0..writes).for_each(|ticket| writer.write(0, ticket, vec![b"x".to_vec()], false));
        for expected in 0..writes {
            assert!(matches!(rx.blocking_recv(), Some(Report::Written { ticket, .. }) if ticket == expected));
        }
    }

    #[test]
    fn a_full_log_gives_up_what_may_fail_and_keeps_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let (tx, mut rx) = mpsc::channel(64);
        let writer = LogWriter::start("test", vec![open(dir.path(), 200).0], tx).unwrap();
        writer.write(0, 1, vec![vec![0; 500]], true);
        assert_eq!(rx.blocking_recv(), Some(Report::GivenUp { log: 0, ticket: 1 }));
        assert!(matches!(rx.blocking_recv(), Some(Report::Stalled { why: Some(_), .. })));
        writer.write(0, 2, vec![b"small".to_vec()], false);
        assert_eq!(rx.blocking_recv(), Some(Report::Stalled { log: 0, why: None }));
        assert!(matches!(rx.blocking_recv(), Some(Report::Written { ticket: 2, .. })));
    }
}
