//! What crosses a link, as the core sees it: `Up` from child to parent, `Down` from parent to child.
//!
//! A child is a minion or a syndic; both speak the same messages, a minion with a roster of one. Wire encoding,
//! fragmentation and version negotiation belong to `relay-proto` and `relay-runtime`.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Members,
    ids::{Epoch, Incarnation, Jid, MinionId, RegionName, TierId},
    job::Job,
    merkle::Proof,
    outcome::{Answer, Reason},
    suspicion::Suspicion,
    time::{Millis, WallMicros},
    topology::HostPort,
};

/// A link as this process numbers it; never reused within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// From child to parent.
#[derive(Debug, Clone, PartialEq)]
pub enum Up {
    /// Who is below.
    Roster(RosterUpdate),
    /// The child is alive, and these jobs run below it.
    Heartbeat(Vec<Running>),
    /// Answers. Kept by the child until acknowledged.
    Returns(ReturnBatch),
    /// What was refused as forged, at most [`crate::suspicion::MAX_TOLD`] of them.
    Suspicions(Vec<Suspicion>),
}

/// From parent to child.
#[derive(Debug, Clone, PartialEq)]
pub enum Down {
    /// The parent is alive.
    Heartbeat,
    /// The parent's copy of the roster has a gap: send all of it.
    RosterResync,
    /// Start this job.
    Dispatch(Dispatch),
    /// Keep this job from starting, or kill it.
    Cancel {
        /// The job.
        jid: Jid,
        /// Its owner's epoch.
        epoch: Epoch,
        /// The owner's signature with what it is over, as it was encoded; empty from a tier of a version that had none. Passed on
        /// unread: minions verify it.
        seal: Bytes,
    },
    /// Every return batch of this link up to and with this one is durable here; the child may forget them.
    ReturnsAck {
        /// The newest batch covered.
        up_to: u64,
    },
    /// Returns cannot be taken now (spool full, disk full): keep them, send them again after a while.
    ReturnsBusy {
        /// How long to wait.
        retry_after: Millis,
    },
    /// Which syndics minions belong to.
    Placed(Placed),
    /// Whom to believe, as its signers encoded it. Read, kept and passed on by the processes around the core.
    Trust(Bytes),
}

/// Most lists in one message: orders of a region's syndics are few, but a hostile parent's need not be.
pub const MAX_PLACED_GROUPS: usize = 4_096;
/// Most syndics in a list that is taken: a minion tries a handful before it begins anew.
pub const MAX_PLACED_SYNDICS: usize = 16;

/// Which syndics the minions of a link belong to, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The number of the topology's revision; a lower one than heard before says nothing.
    pub revision: u64,
    /// Minions with equal lists.
    pub groups: Vec<PlacedGroup>,
    /// A minion that has to move waits, idle, a random part of so long first.
    pub spread: Millis,
}

/// Minions that belong to the same syndics in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedGroup {
    /// Numbers in the child's roster.
    pub members: Members,
    /// The primary, then the fallbacks. Shared: the lists of a region are few.
    pub syndics: Arc<[PlacedSyndic]>,
}

/// A syndic that a minion may attach to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlacedSyndic {
    /// Its id.
    pub id: TierId,
    /// Its region, which its certificate names.
    pub region: RegionName,
    /// host:port, where minions dial it.
    pub address: HostPort,
}

/// A job and whom it is for, over one link.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// The sealed job.
    pub job: Arc<Job>,
    /// Its owner's epoch; an older one than seen before is refused.
    pub epoch: Epoch,
    /// Numbers in the child's roster.
    pub members: Members,
    /// That they are targets of the job, in the order of their numbers. To minions, whose message is shared, each one's own goes
    /// along with it ([`crate::tier::Sending`]).
    pub proof: Proof,
    /// These members may have been sent the job on another path: only their journals can prove that it did not start.
    pub reoffer: bool,
    /// What is left of the delivery window; with 0 nothing may start any more, the journals are only asked.
    pub deliver_within: Millis,
    /// Set by the receiving edge when the job does not verify: the minion answers `refused` with this reason.
    pub flaw: Option<Reason>,
}

/// One job that runs below a link.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// The job.
    pub jid: Jid,
    /// Where, in the sender's roster numbers.
    pub members: Members,
}

/// Answers on their way up.
#[derive(Debug, Clone, PartialEq)]
pub struct ReturnBatch {
    /// Rises by one with each batch of one session of a link; in a spool, with each that was made.
    pub seq: u64,
    /// Equal answers folded.
    pub groups: Vec<ReturnGroup>,
}

/// What an answer costs beside its body, in bytes: without it, a child could fill memory and disk with answers of nothing.
pub const ANSWER_BYTES: usize = 128;

impl ReturnBatch {
    /// What it is to whoever holds it, in bytes: its bodies, and [`ANSWER_BYTES`] for each answer.
    pub fn weight(&self) -> usize {
        self.groups.iter().map(|group| group.answer.body.len() + ANSWER_BYTES).sum()
    }
}

/// One answer and all who gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReturnGroup {
    /// The job.
    pub jid: Jid,
    /// What they say.
    pub answer: Arc<Answer>,
    /// Numbers in the sender's roster.
    pub members: Members,
}

/// A child's roster, whole or what changed in it.
#[derive(Debug, Clone, PartialEq)]
pub enum RosterUpdate {
    /// All of it.
    Full {
        /// Rises by one with each change sent.
        version: u64,
        /// Every entry.
        entries: Vec<RosterEntry>,
    },
    /// What changed.
    Delta {
        /// The version these changes apply to; another one at the parent is a gap.
        from: u64,
        /// The version they lead to.
        to: u64,
        /// The changes, in order.
        changes: Vec<RosterChange>,
    },
}

/// One minion in a roster. Its number stands for exactly one (id, incarnation), for the life of the sender's spool.
#[derive(Debug, Clone, PartialEq)]
pub struct RosterEntry {
    /// Its number.
    pub no: u32,
    /// Its id.
    pub id: MinionId,
    /// Its journal's incarnation.
    pub incarnation: Incarnation,
    /// Whether it is connected.
    pub up: bool,
    /// When that changed last, by the sender's wall clock.
    pub since: WallMicros,
    /// Its grains as JSON text; empty if the sender does not know them.
    pub grains: Arc<str>,
}

impl RosterEntry {
    /// The sender knows this number from its spool only: it says whose the number is, and nothing of how that minion is.
    pub fn is_remembered(&self) -> bool {
        !self.up && self.grains.is_empty()
    }
}

/// One change of a roster.
#[derive(Debug, Clone, PartialEq)]
pub enum RosterChange {
    /// A new entry, or one whose grains changed.
    Put(RosterEntry),
    /// These came up.
    Up(Members),
    /// These went down.
    Down(Members),
    /// These numbers are retired: their incarnation is gone. They still stand for it: its returns may be under way.
    Drop(Members),
}
