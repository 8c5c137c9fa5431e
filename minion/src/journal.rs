//! Where a minion's journal goes: to disk, or (for simulated minions in load tests) to memory.

use std::path::Path;

use bytes::Bytes;
use relay_core::{seat::JournalRecord, time::Millis};
use relay_proto::records;
use relay_runtime::{
    log_writer::{Found, Growth, LogNo, LogWriter, Report, open_log},
    record_log::{Kind, Limits, LogError},
};

/// A record holds one return at most.
const MAX_RECORD: u32 = 2 << 20;
/// A journal's cap on disk: 16 running jobs and an outbox of 1 MiB returns. Beyond it new jobs are `refused (no_space)`.
const MAX_FILE: u64 = 256 << 20;

const LIMITS: Limits = Limits { max_record_bytes: MAX_RECORD, max_file_bytes: MAX_FILE };

/// The writing side of one minion's journal.
#[derive(Debug)]
pub enum Journal {
    /// One of the logs of a writer thread.
    Disk {
        /// The thread.
        writer: LogWriter,
        /// Which log.
        log: LogNo,
        /// When to compact.
        growth: Growth,
    },
    /// Nothing survives the process. For load tests, which say so.
    Memory,
}

/// Opens a minion's journal.
///
/// # Errors
/// Locked by another process, of a newer version, or not readable.
pub fn open(dir: &Path) -> Result<Found<JournalRecord>, LogError> {
    open_log(&dir.join("journal"), Kind::Journal, LIMITS, records::journal_in)
}

impl Journal {
    /// A journal on a writer thread.
    pub fn disk(writer: LogWriter, log: LogNo) -> Journal {
        Journal::Disk { growth: writer.growth(log), writer, log }
    }

    /// Writes records. True if they are "durable" at once (in memory); else the thread reports.
    pub fn write(&self, ticket: u64, records: &[JournalRecord], may_fail: bool) -> bool {
        match self {
            Journal::Memory => true,
            Journal::Disk { writer, log, .. } => {
                writer.write(*log, ticket, records.iter().map(records::journal_out).collect(), may_fail);
                false
            }
        }
    }

    /// The thread said something.
    pub fn heard(&mut self, now: Millis, report: &Report) {
        let Journal::Disk { growth, .. } = self else { return };
        match *report {
            Report::Written { size, .. } => growth.written(size),
            Report::Full { .. } => growth.refused(),
            Report::Compacted { size, done, .. } => growth.compacted(now, size, done),
            Report::GivenUp { .. } | Report::Stalled { .. } => {}
        }
    }

    /// Compacts, if the log has grown enough. What lives must hold all that was given to [`Journal::write`], and nothing else.
    pub fn compact(&mut self, now: Millis, live: impl FnOnce() -> Vec<JournalRecord>) {
        let Journal::Disk { writer, log, growth } = self else { return };
        if growth.is_due(now) {
            growth.asked();
            writer.compact(*log, live().iter().map(|r| Bytes::from(records::journal_out(r))).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use relay_runtime::record_log::RecordLog;
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn a_journal_that_is_full_is_compacted_once_until_that_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let log = RecordLog::open(&dir.path().join("journal"), Kind::Journal, 1, LIMITS).unwrap().log;
        let mut journal = Journal::disk(LogWriter::start("test", vec![log], mpsc::channel(9).0).unwrap(), 0);
        let mut asked = 0;
        let mut look = |journal: &mut Journal| {
            journal.compact(0, || {
                asked += 1;
                Vec::new()
            });
            asked
        };
        journal.heard(0, &Report::Written { log: 0, ticket: 1, size: 100 });
        assert_eq!(look(&mut journal), 0, "it is small");
        journal.heard(0, &Report::Full { log: 0 });
        assert_eq!((look(&mut journal), look(&mut journal)), (1, 1));
        journal.heard(0, &Report::Compacted { log: 0, size: 32, done: true });
        assert_eq!(look(&mut journal), 1);
        journal.heard(0, &Report::Written { log: 0, ticket: 2, size: 5 << 20 });
        assert_eq!(look(&mut journal), 2, "it has grown");
    }
}
