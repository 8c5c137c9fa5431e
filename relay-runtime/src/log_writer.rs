//! One thread that writes record logs, with group commit.
//!
//! Owns opening them, the order of writes, the one fsync for everything that waits, retries when the disk is full, and compaction; when
//! to compact is told by [`Growth`] and [`QuietGrowth`].
//! What the records say is encoded by who sends them; what a failure means is decided by who hears of it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use relay_core::ids::Incarnation;
use relay_proto::WireError;
use tokio::sync::mpsc::{self, error::TrySendError};
use tracing::{debug, error, warn};

use crate::{
    record_log::{Kind, Limits, LogError, Opened, RecordLog},
    telemetry,
};

mod growth;
#[cfg(test)]
mod tests;

pub use growth::{Growth, QuietGrowth};

/// Writes waiting for the thread. The cores bound what they have under way; a full queue makes the loop wait for the
/// disk, which is what there is left to do.
const QUEUE: usize = 4_096;
/// Most writes of one group commit.
const GROUP: usize = 1_024;
/// Pause before a full channel of reports is tried again.
const HAND_OVER: Duration = Duration::from_millis(1);
/// Pause between two tries on a disk that refuses.
const RETRY: Duration = Duration::from_millis(200);
/// While a log is full, its owner is asked so often to compact it. If all of it lives, that is up to a whole file written for nothing.
const FULL_AGAIN: Duration = Duration::from_secs(5);

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
        /// What the system says, and what helps.
        why: Option<String>,
    },
    /// A write was refused because the log's file may not grow any more: it should be compacted.
    Full {
        /// The log.
        log: LogNo,
    },
    /// A compaction that was asked for is over.
    Compacted {
        /// The log.
        log: LogNo,
        /// The log's size now.
        size: u64,
        /// False if it failed (why is in the process's log): the log is as it was.
        done: bool,
    },
}

impl Report {
    /// The log it is about.
    pub fn log(&self) -> LogNo {
        match self {
            Report::Written { log, .. }
            | Report::GivenUp { log, .. }
            | Report::Stalled { log, .. }
            | Report::Full { log }
            | Report::Compacted { log, .. } => *log,
        }
    }
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

/// The sending side.
#[derive(Debug, Clone)]
pub struct LogWriter {
    commands: SyncSender<Command>,
    /// As they were opened.
    growths: Arc<[Growth]>,
}

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
        let (commands, rx) = sync_channel(QUEUE);
        let growths = logs.iter().map(|log| Growth::new(log.limits(), log.size())).collect();
        let thread = Thread::new(logs, reports);
        thread::Builder::new().name(name.into()).stack_size(256 << 10).spawn(move || thread.run(rx))?;
        Ok(LogWriter { commands, growths })
    }

    /// Writes records; reported under `ticket`. If it may not fail, it is tried until it works.
    pub fn write(&self, log: LogNo, ticket: u64, records: Vec<Vec<u8>>, may_fail: bool) {
        self.send(Command::Write(Write { log, ticket, records, may_fail }));
    }

    /// When to compact a log: what its owner is to keep, and to tell what is reported.
    pub fn growth(&self, log: LogNo) -> Growth {
        self.growths[log]
    }

    /// Replaces a log by what is alive. `live` must hold everything written before this call, durable or not. Ends with
    /// [`Report::Compacted`].
    pub fn compact(&self, log: LogNo, live: Vec<Bytes>) {
        self.send(Command::Compact { log, live });
    }

    fn send(&self, command: Command) {
        if self.commands.send(command).is_err() {
            error!("the log writer has died");
        }
    }
}

/// Why a group of writes was not made durable.
struct Refusal {
    why: String,
    /// Not the disk: the file may not grow any more.
    full: bool,
}

struct Thread {
    logs: Vec<RecordLog>,
    stalled: Vec<bool>,
    /// When [`Report::Full`] was last told.
    told_full: Vec<Option<Instant>>,
    /// Logs to make room in.
    cramped: BTreeSet<LogNo>,
    /// The last that got some: the others first.
    roomed: LogNo,
    reports: mpsc::Sender<Report>,
    /// Reports that the channel has no room for yet. One for each write the loops have under way, at most, which the
    /// cores bound, and a few for each log. Waiting for room instead would be a deadlock: the loop that reads reports may be waiting in
    /// [`LogWriter::write`] for this thread.
    backlog: VecDeque<Report>,
}

impl Thread {
    fn new(logs: Vec<RecordLog>, reports: mpsc::Sender<Report>) -> Thread {
        let (stalled, told_full) = (vec![false; logs.len()], vec![None; logs.len()]);
        Thread {
            logs,
            stalled,
            told_full,
            cramped: BTreeSet::new(),
            roomed: 0,
            reports,
            backlog: VecDeque::new(),
        }
    }

    fn run(mut self, commands: Receiver<Command>) {
        let mut waiting: Vec<Write> = Vec::new();
        loop {
            self.hand_over();
            self.make_room();
            let pause = match (waiting.is_empty(), self.backlog.is_empty()) {
                (_, false) => Some(HAND_OVER),
                (false, true) => Some(RETRY),
                (true, true) if self.cramped.is_empty() => None,
                (true, true) => Some(Duration::ZERO),
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
            waiting.extend(rest.drain(..before - done));
            done = before;
            self.commit_waiting(waiting);
            // Who waits for those writes does not wait for the compaction.
            self.hand_over();
            self.compact(waiting, log, live);
        }
        waiting.extend(rest);
        self.commit_waiting(waiting);
    }

    /// All that waits: what was refused before goes first, so that a later write is never durable without it.
    fn commit_waiting(&mut self, waiting: &mut Vec<Write>) {
        let all = std::mem::take(waiting);
        *waiting = self.commit(all);
    }

    fn compact(&mut self, waiting: &mut Vec<Write>, log: LogNo, live: Vec<Bytes>) {
        let rewritten = self.logs[log].rewrite(&live);
        let done = rewritten
            .inspect_err(|error| warn!(%error, "compaction failed; the log goes on as it is"))
            .is_ok();
        if done {
            // Writes that were refused are among what lives: to write them again would be to say them twice.
            let (mut covered, others): (Vec<_>, Vec<_>) =
                waiting.drain(..).partition(|write| write.log == log);
            covered.iter_mut().for_each(|write| write.records.clear());
            *waiting = others;
            waiting.extend(self.commit(covered));
        }
        self.report(Report::Compacted { log, size: self.logs[log].size(), done });
    }

    /// Commits writes, log by log; gives back those to be tried again.
    fn commit(&mut self, writes: Vec<Write>) -> Vec<Write> {
        let mut by_log: BTreeMap<LogNo, Vec<Write>> = BTreeMap::new();
        for write in writes {
            by_log.entry(write.log).or_default().push(write);
        }
        by_log.into_iter().flat_map(|(log, group)| self.commit_one(log, group)).collect()
    }

    fn commit_one(&mut self, log: LogNo, group: Vec<Write>) -> Vec<Write> {
        match self.try_commit(log, &group) {
            Ok(()) => {
                self.set_stalled(log, None);
                if self.logs[log].wants_room() {
                    self.cramped.insert(log);
                }
                let size = self.logs[log].size();
                group.iter().for_each(|w| self.report(Report::Written { log, ticket: w.ticket, size }));
                Vec::new()
            }
            Err(Refusal { why, full }) => {
                self.logs[log].rollback();
                let (given_up, kept): (Vec<_>, Vec<_>) = group.into_iter().partition(|w| w.may_fail);
                for write in &given_up {
                    self.report(Report::GivenUp { log, ticket: write.ticket });
                }
                self.set_stalled(log, Some(why));
                if full && self.told_full[log].is_none_or(|told| told.elapsed() >= FULL_AGAIN) {
                    self.told_full[log] = Some(Instant::now());
                    self.report(Report::Full { log });
                }
                kept
            }
        }
    }

    fn try_commit(&mut self, log: LogNo, group: &[Write]) -> Result<(), Refusal> {
        let log = &mut self.logs[log];
        for write in group {
            let records: Vec<&[u8]> = write.records.iter().map(Vec::as_slice).collect();
            log.append(&records).map_err(|error| {
                let full = matches!(error, LogError::Full { .. });
                let next = if full { "; it is compacted, and waits until less of it is needed" } else { "" };
                Refusal { why: format!("{error}{next}"), full }
            })?;
        }
        log.commit().map_err(|error| Refusal { why: format!("{error}: free space on its disk"), full: false })
    }

    /// In one log, once those who waited have heard: it is a write and a sync, and thousands of journals may want some at once.
    fn make_room(&mut self) {
        if !self.backlog.is_empty() {
            return;
        }
        let next = self.cramped.range(self.roomed + 1..).next().or_else(|| self.cramped.first());
        let Some(log) = next.copied() else { return };
        self.cramped.remove(&log);
        self.roomed = log;
        if let Err(error) = self.logs[log].make_room() {
            debug!(log, %error, "there is no room ahead in this log; it does without");
        }
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
