//! What a relay keeps in its spool, and what it asks its syndic to do.

use super::ParentNo;
use crate::{
    ids::{Incarnation, Jid, MinionId},
    message::{LinkId, ReturnBatch, Up},
    suspicion::Forgery,
    tier::{SendMark, Sending},
};

/// What the spool holds.
#[derive(Debug, Clone, PartialEq)]
pub enum SpoolRecord {
    /// A roster number was given.
    Member {
        /// The number.
        no: u32,
        /// Who.
        id: MinionId,
        /// Which journal.
        incarnation: Incarnation,
    },
    /// A send begins.
    Sent(SendMark),
    /// Returns for a parent.
    Batch {
        /// The parent.
        parent: ParentNo,
        /// The batch.
        batch: ReturnBatch,
    },
    /// The parent has every batch up to this one. By the spool's own numbers, which a link's are not: there batches are numbered as
    /// they leave.
    Acked {
        /// The parent.
        parent: ParentNo,
        /// The newest batch it has.
        up_to: u64,
    },
    /// Nothing about this job needs to be known any more.
    Forget {
        /// The job.
        jid: Jid,
    },
}

/// What the syndic must do.
#[derive(Debug, Clone, PartialEq)]
pub enum RelayEffect {
    /// Append these to the spool, fsync once, then call [`Relay::persisted`]. On failure keep them, retry, and say
    /// [`Relay::set_stalled`]. Writes are reported in the order in which they were asked for: a later one done means
    /// that the earlier ones are.
    Persist {
        /// Rises by one.
        ticket: u64,
        /// The records.
        records: Vec<SpoolRecord>,
    },
    /// Send to children.
    Send(Sending),
    /// Send to a parent.
    SendUp {
        /// The link.
        link: LinkId,
        /// The message.
        up: Up,
    },
    /// Drop this link.
    Hangup {
        /// The link.
        link: LinkId,
        /// Why, for the log and the metric.
        why: &'static str,
    },
    /// Something to log, with the job it is about.
    Note {
        /// The job.
        jid: Jid,
        /// What happened to it here.
        what: &'static str,
        /// How many members.
        members: u64,
    },
    /// A dispatch was not taken that no honest parent sends: a security event.
    Alarm {
        /// The job.
        jid: Jid,
        /// What it is taken for.
        kind: Forgery,
        /// What is wrong with it.
        why: &'static str,
        /// For how many members it was.
        members: u64,
    },
    /// So many suspicions of those below were not passed on: more than anybody has who does not make them up.
    ReportsDropped(u64),
    /// Duplicate answers were dropped.
    Duplicates(u64),
}
