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
use relay_core::{ids::Incarnation, time::Millis};
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
/// A log whose owner waits for quiet is compacted beside writes when it is over so many times that.
const PRESSING: u64 = 8;
/// It is quiet when nothing was written for so long, in milliseconds: the steps of a job follow one another within less.
const QUIET: Millis = 100;

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
    /// Half of what the file may hold: however much lives, there is room left for what comes until it is compacted.
    most: u64,
    limit: u64,
    /// At which size a compaction was asked for. What is told of the log may still be from before it.
    asked: Option<u64>,
}

impl Growth {
    /// Of a log whose file may have so many bytes.
    pub fn new(limits: Limits) -> Growth {
        let most = limits.max_file_bytes / 2;
        Growth { most, limit: COMPACT_ABOVE.min(most), asked: None }
    }

    /// Whether a log of this size should be compacted. Not again because of what was on its way when it was; but again if it failed, and
    /// the log has grown by half.
    pub fn is_due(&mut self, size: u64) -> bool {
        self.asked = self.asked.filter(|asked| (*asked..asked + asked / 2).contains(&size));
        size >= self.limit && self.asked.is_none()
    }

    /// It was asked for at this size, with these records.
    pub fn compacted(&mut self, size: u64, live: &[Bytes]) {
        let live: u64 = live.iter().map(|b| b.len() as u64 + 32).sum();
        // Where more than half of the file lives, a quarter more makes it worth it: not each write.
        self.limit = COMPACT_ABOVE.max(4 * live).min(self.most.max(live + live / 4));
        self.asked = Some(size);
    }
}

/// The same for a log that small jobs wait for: it is compacted when it is quiet. What is written behind a compaction waits for a new
/// file, two syncs and the old file's end.
#[derive(Debug, Clone, Copy)]
pub struct QuietGrowth {
    growth: Growth,
    size: u64,
    written: Millis,
}

impl QuietGrowth {
    /// Of a log whose file may have so many bytes.
    pub fn new(limits: Limits) -> QuietGrowth {
        QuietGrowth { growth: Growth::new(limits), size: 0, written: 0 }
    }

    /// A write was made durable; the log has this size.
    pub fn written(&mut self, now: Millis, size: u64) {
        (self.written, self.size) = (now, size);
    }

    /// Whether the log, of which so many bytes live, should be compacted: grown enough, quiet, and most of it dead; or grown so far that
    /// it can't wait. To be asked now and then, also while nothing is written.
    pub fn is_due(&mut self, now: Millis, live: u64) -> bool {
        let quiet = now >= self.written.saturating_add(QUIET) && live <= self.size / 4;
        let pressing = (PRESSING * self.growth.limit).min(self.growth.most);
        (quiet || self.size >= pressing) && self.growth.is_due(self.size)
    }

    /// It was asked for, with these records.
    pub fn compacted(&mut self, live: &[Bytes]) {
        self.growth.compacted(self.size, live);
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

    const LARGE: Limits = Limits { max_record_bytes: 1 << 20, max_file_bytes: 256 << 20 };

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
        let mut growth = Growth::new(LARGE);
        assert!(!growth.is_due(COMPACT_ABOVE - 1));
        assert!(growth.is_due(COMPACT_ABOVE));
        growth.compacted(COMPACT_ABOVE, &[]);
        assert!(!growth.is_due(COMPACT_ABOVE + 1), "written before it");
        assert!(!growth.is_due(100));
        assert!(growth.is_due(COMPACT_ABOVE + 2), "grown again");
        growth.compacted(COMPACT_ABOVE + 2, &[]);
        assert!(!growth.is_due(COMPACT_ABOVE * 3 / 2));
        assert!(growth.is_due(COMPACT_ABOVE * 3 / 2 + 3), "it failed");
        growth.compacted(COMPACT_ABOVE * 3 / 2 + 3, &vec![Bytes::from(vec![0; 1 << 20]); 8]);
        assert!(!growth.is_due(100));
        assert!(!growth.is_due(30 << 20), "much of it lives");
        assert!(growth.is_due(33 << 20));
    }

    #[test]
    fn a_log_is_compacted_before_its_file_is_full_however_much_lives() {
        let mut growth = Growth::new(Limits { max_file_bytes: 16 << 20, ..LARGE });
        assert!(growth.is_due(4 << 20));
        growth.compacted(4 << 20, &vec![Bytes::from(vec![0; 1 << 20]); 4]);
        assert!(!growth.is_due(7 << 20) && growth.is_due(8 << 20), "four times what lives is the whole file");
        growth.compacted(8 << 20, &[]);
        assert!(
            !growth.is_due(11 << 20) && growth.is_due(12 << 20),
            "it failed, and there is room for another try"
        );
        growth.compacted(12 << 20, &vec![Bytes::from(vec![0; 1 << 20]); 10]);
        assert!(!growth.is_due(11 << 20), "nearly all of it lives: not at each write");
        assert!(growth.is_due(13 << 20));
    }

    #[test]
    fn a_log_that_is_waited_for_is_compacted_when_it_is_quiet_or_can_wait_no_longer() {
        let mut growth = QuietGrowth::new(LARGE);
        growth.written(1_000, COMPACT_ABOVE);
        assert!(!growth.is_due(1_000 + QUIET - 1, 0));
        assert!(!growth.is_due(1_000 + QUIET, COMPACT_ABOVE / 4 + 1), "much of it lives");
        assert!(growth.is_due(1_000 + QUIET, COMPACT_ABOVE / 4));
        growth.compacted(&[]);
        assert!(!growth.is_due(5_000, 0), "nothing was heard of it yet");
        growth.written(6_000, 500);
        assert!(!growth.is_due(9_000, 0), "it is small now");
        growth.written(9_000, PRESSING * COMPACT_ABOVE - 1);
        assert!(!growth.is_due(9_000, 0));
        growth.written(9_001, PRESSING * COMPACT_ABOVE);
        assert!(growth.is_due(9_001, PRESSING * COMPACT_ABOVE));
        growth.compacted(&[]);
        growth.written(9_002, PRESSING * COMPACT_ABOVE + 9);
        assert!(!growth.is_due(9_002, 0), "written before it");
        let mut small = QuietGrowth::new(Limits { max_file_bytes: 16 << 20, ..LARGE });
        small.written(1, 8 << 20);
        assert!(small.is_due(1, 8 << 20), "half of what the file may hold");
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
