//! What an owner keeps in its store, and what the store gives back.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::{
    Members,
    batch::BatchRule,
    ids::{Epoch, Incarnation, Jid, RequestId},
    inventory::Record,
    job::{Job, JobSpec},
    ledger::{Group, GroupNo},
    outcome::{Answer, Outcome},
    tier::SendMark,
    time::{Millis, WallMicros},
};

/// A job as it is accepted: what the store keeps of it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobHead {
    /// The sealed job.
    pub job: Arc<Job>,
    /// What is in it.
    pub spec: JobSpec,
    /// The client's id for its request.
    pub request_id: RequestId,
    /// SHA-256 over the request's body: a reused id with another body is an error.
    pub request_digest: [u8; 32],
    /// The target expression, as printed.
    pub target: String,
    /// The frozen targets, as inventory numbers.
    pub targets: Members,
    /// In which order they are signed, and under which journals: encoded [`crate::leaves::Leaves`]. Empty for a job of a former
    /// version, or one that nobody is sent any more.
    pub leaves: Bytes,
    /// The inventory's version they were resolved at.
    pub inventory_version: u64,
    /// When, by the wall clock: for people.
    pub created: WallMicros,
    /// How long after acceptance it may still be delivered.
    pub delivery_limit: Millis,
    /// How many at once, and when it stops.
    pub batch: BatchRule,
    /// The owner's epoch.
    pub epoch: Epoch,
}

/// An open job, or a closed one with unknown targets, as the store gives it back after a restart.
#[derive(Debug, Clone)]
pub struct StoredJob {
    /// The head.
    pub head: JobHead,
    /// Who was sent it, by which path.
    pub sent: Vec<(Incarnation, Members)>,
    /// The answers so far, in order.
    pub groups: Vec<Group>,
    /// Every target has an outcome.
    pub closed: bool,
    /// A cancel was asked for.
    pub cancelled: bool,
    /// The number of the last change of its answers; 0: none yet.
    pub seq: u64,
    /// How many stages of its canary were approved.
    pub approved: u32,
}

/// One row of answers.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRow {
    /// Its number within the job.
    pub no: GroupNo,
    /// The answer, when the row is new.
    pub answer: Option<Arc<Answer>>,
    /// Everybody who is in it once this is committed. Who leaves it for a row that comes in a later commit stays until then.
    pub members: Members,
    /// Those of them who are new in this change. Empty in a row that only lost members to another.
    pub added: Members,
}

/// What goes to the store. One `Persist` is one transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// New or changed minions.
    Minions(Vec<Record>),
    /// A new job. Fails if its jid or its request id is taken.
    Accept(Box<JobHead>),
    /// A send begins.
    Sent(SendMark, Epoch),
    /// Answers.
    Returns {
        /// The job.
        jid: Jid,
        /// The owner's epoch: an older one than stored is refused.
        epoch: Epoch,
        /// The change's number: rises by one within the job. A watcher that has it goes on after it.
        seq: u64,
        /// When, for people.
        at: WallMicros,
        /// The rows that changed.
        rows: Vec<GroupRow>,
    },
    /// A cancel was asked for.
    Cancel(Jid, Epoch),
    /// So many stages of its canary are approved.
    Approve(Jid, Epoch, u32),
    /// Every target has an outcome.
    Close {
        /// The job.
        jid: Jid,
        /// The owner's epoch.
        epoch: Epoch,
        /// When, for people.
        at: WallMicros,
        /// How many have each outcome once this is committed.
        counts: BTreeMap<Outcome, u64>,
    },
}

/// Why a write was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Another job has this jid.
    #[error("jid {0} is taken")]
    JidTaken(Jid),
    /// The request id was used before.
    #[error("this request was accepted before, as job {jid}")]
    RequestKnown {
        /// The job it became.
        jid: Jid,
        /// How many targets that has.
        targets: u64,
        /// With the same body.
        same: bool,
    },
    /// Another owner has taken over with a newer epoch.
    #[error("another owner has taken the job over")]
    Fenced,
    /// The store can't be written.
    #[error("the store can't be written: {0}")]
    Failed(String),
}
