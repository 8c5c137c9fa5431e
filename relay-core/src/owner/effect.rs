//! What an owner asks its top master to do.

use std::sync::Arc;

use super::{
    record::Write,
    request::{Accepted, SubmitError},
};
use crate::{
    Members,
    ids::{Jid, MinionId, RegionName, TierId},
    inventory::GrainsError,
    ledger::GroupNo,
    message::LinkId,
    outcome::Answer,
    suspicion::Report,
    tier::Sending,
    time::WallMicros,
};

/// What changed in a job, once it is durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The job.
    pub jid: Jid,
    /// Its number within the job, as in [`Write::Returns`]; if there are no answers, the one before.
    pub seq: u64,
    /// When it was asked for, by the wall clock.
    pub at: WallMicros,
    /// Answers, and who newly gave them.
    pub answers: Vec<(GroupNo, Arc<Answer>, Members)>,
    /// Every target has an outcome now (or still, after a late return).
    pub closed: bool,
}

/// What the top master must do.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnerEffect {
    /// Commit these in one transaction, then call [`Owner::persisted`]. Commits are done in the order in which they were
    /// asked for, retries included: no later one may land before an earlier one that must not fail.
    Persist {
        /// Rises by one.
        ticket: u64,
        /// The writes, in order.
        writes: Vec<Write>,
        /// If the store can't be written: give up and report it (an acceptance). Otherwise retry until it works, and
        /// say [`Owner::set_stalled`] meanwhile.
        may_fail: bool,
    },
    /// Send to syndics.
    Send(Sending),
    /// Drop this link.
    Hangup {
        /// The link.
        link: LinkId,
        /// Why.
        why: &'static str,
    },
    /// Answer a submission.
    Reply {
        /// Which: the caller's own number.
        token: u64,
        /// The answer.
        result: Result<Accepted, SubmitError>,
    },
    /// Tell whoever watches.
    Changed {
        /// The commit it belongs to.
        ticket: u64,
        /// What changed.
        changes: Vec<Change>,
    },
    /// Duplicate answers were dropped.
    Duplicates(u64),
    /// Grains of a minion were refused.
    GrainsRefused {
        /// Whose.
        id: MinionId,
        /// Why.
        why: GrainsError,
    },
    /// A syndic named a minion of another region (I8): a security event.
    ForeignMinion {
        /// The syndic.
        syndic: TierId,
        /// The minion.
        id: MinionId,
    },
    /// A syndic named minions that nobody knew, more than its region can have: they were not taken (a security event: there are not so
    /// many machines).
    RegionFull {
        /// The syndic.
        syndic: TierId,
        /// Its region.
        region: RegionName,
        /// One of them.
        first: MinionId,
        /// How many.
        refused: u64,
    },
    /// Over a syndic's link came what shows that somebody tries what he may not: a security event.
    Suspect {
        /// The syndic.
        syndic: TierId,
        /// The job.
        jid: Jid,
        /// What it was.
        why: &'static str,
        /// For how many minions.
        members: u64,
    },
    /// Somebody below says that a parent of his sent what is forged: a security event, if it is true.
    Reported(Report),
    /// So many such reports were not taken from a syndic: more than anybody has who does not make them up.
    ReportsDropped {
        /// The syndic.
        syndic: TierId,
        /// How many.
        dropped: u64,
    },
    /// Something to log, with the job it is about.
    Note {
        /// The job.
        jid: Jid,
        /// What happened to it.
        what: &'static str,
        /// How many members.
        members: u64,
    },
}
