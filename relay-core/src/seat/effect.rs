//! What a minion keeps in its journal, and what its seat asks to have done.

use std::sync::Arc;

use super::Home;
use crate::{
    ids::Jid,
    job::Job,
    message::{PlacedSyndic, Up},
    outcome::{Answer, Reason},
};

/// What the journal holds.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalRecord {
    /// About to start.
    Intent {
        /// The job.
        jid: Jid,
        /// Its digest.
        digest: [u8; 32],
        /// Names this execution's runner directory.
        run: u64,
    },
    /// How it ended; without an intent before it, a tombstone.
    End {
        /// The job.
        jid: Jid,
        /// The answer.
        answer: Arc<Answer>,
    },
    /// The parent has the end durably.
    Acked {
        /// The job.
        jid: Jid,
    },
    /// The entry's retention is over.
    Forget {
        /// The job.
        jid: Jid,
    },
}

/// What the minion must do.
#[derive(Debug, Clone, PartialEq)]
pub enum SeatEffect {
    /// Write these, fsync, then call [`Seat::persisted`]. If `may_fail` is false, retry until it works.
    Persist {
        /// Rises by one.
        ticket: u64,
        /// The records.
        records: Vec<JournalRecord>,
        /// On failure call [`Seat::persist_failed`]; otherwise keep trying.
        may_fail: bool,
    },
    /// Run this now; report with [`Seat::finished`].
    Start {
        /// The job.
        job: Arc<Job>,
        /// Names the runner directory.
        run: u64,
    },
    /// Kill it; it will finish as cancelled.
    Kill {
        /// The job.
        jid: Jid,
    },
    /// Nobody needs this execution's files any more.
    Release {
        /// The job.
        jid: Jid,
        /// Its runner directory's name.
        run: u64,
    },
    /// Send this to the parent.
    Send(Up),
    /// The parent is silent: drop the link and dial again.
    Hangup,
    /// It was told where it belongs: write this down, and from the next dial on try these first. Losing it costs nothing
    /// but that it is told again.
    Keep(Home),
    /// See whether this one can be reached, without touching the link, and call [`Seat::reached`].
    Seek(PlacedSyndic),
    /// Give the link up, and dial from the first of the kept list.
    Leave,
    /// The same jid came with another content, or an older epoch: a security event.
    Alarm {
        /// The job.
        jid: Jid,
        /// What was wrong.
        why: Reason,
    },
}
