//! The spool on disk, as the loop sees it: what is written goes to its thread, and now and then it is compacted.
//!
//! Owns when to compact. What is spooled, and what of it lives, is the relay's business.

use bytes::Bytes;
use relay_core::{relay::SpoolRecord, time::Millis};
use relay_proto::records;
use relay_runtime::log_writer::{LogNo, LogWriter, QuietGrowth, Report};

/// The syndic's one log.
const SPOOL: LogNo = 0;

/// A syndic's spool.
#[derive(Debug)]
pub struct Spool {
    writer: LogWriter,
    growth: QuietGrowth,
}

impl Spool {
    /// The first log of a writer.
    pub fn new(writer: LogWriter) -> Spool {
        Spool { growth: QuietGrowth::new(writer.growth(SPOOL)), writer }
    }

    /// Writes records; the thread reports them under `ticket`.
    pub fn write(&mut self, now: Millis, ticket: u64, records: &[SpoolRecord]) {
        self.growth.writing(now);
        self.writer.write(SPOOL, ticket, records.iter().map(records::spool_out).collect(), false);
    }

    /// The thread said something.
    pub fn heard(&mut self, now: Millis, report: &Report) {
        match report {
            Report::Written { size, .. } => self.growth.written(now, *size),
            Report::Stalled { why, .. } => self.growth.stalled(why.is_some()),
            Report::Full { .. } => self.growth.refused(),
            Report::Compacted { size, done, .. } => self.growth.compacted(now, *size, *done),
            Report::GivenUp { .. } => {} // nothing of a spool may fail
        }
    }

    /// Gives back what nothing needs any more, if that is due. So many bytes of returns live; what lives in all must hold everything that
    /// was given to [`Spool::write`], and is only asked for if it is needed.
    pub fn compact(&mut self, now: Millis, returns: usize, live: impl FnOnce() -> Vec<SpoolRecord>) {
        let returns = returns as u64;
        if self.growth.is_due(now, returns) {
            self.growth.asked(returns);
            self.writer.compact(SPOOL, live().iter().map(|r| Bytes::from(records::spool_out(r))).collect());
        }
    }

    /// When to call [`Spool::compact`] next though nothing happens.
    pub fn next_look(&self, now: Millis) -> Option<Millis> {
        self.growth.next_look(now)
    }
}

#[cfg(test)]
mod tests {
    use relay_runtime::record_log::{Kind, Limits, RecordLog};
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn a_spool_that_is_full_is_compacted_once_until_that_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { max_record_bytes: 1_000, max_file_bytes: 64 << 20 };
        let log = RecordLog::open(&dir.path().join("spool"), Kind::Spool, 1, limits).unwrap().log;
        let writer = LogWriter::start("test", vec![log], mpsc::channel(9).0).unwrap();
        let mut spool = Spool::new(writer);
        let mut asked = 0;
        let mut look = |spool: &mut Spool| {
            spool.compact(1_000, 0, || {
                asked += 1;
                Vec::new()
            });
            asked
        };
        assert_eq!(look(&mut spool), 0, "it is small");
        spool.heard(1_000, &Report::Full { log: SPOOL });
        assert_eq!((look(&mut spool), look(&mut spool)), (1, 1));
        spool.heard(1_000, &Report::Compacted { log: SPOOL, size: 32, done: true });
        assert_eq!(look(&mut spool), 1);
        // The disk is full, and most of the spool is dead: what waits is no reason to wait.
        spool.write(1_000, 1, &[]);
        spool.heard(1_000, &Report::Written { log: SPOOL, ticket: 1, size: 5 << 20 });
        spool.write(1_000, 2, &[]);
        assert_eq!(look(&mut spool), 1, "a write is under way");
        spool.heard(1_000, &Report::Stalled { log: SPOOL, why: Some("no space".into()) });
        assert_eq!(look(&mut spool), 2);
    }
}
