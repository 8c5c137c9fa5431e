//! What a store gives back: jobs as they stand, and what earlier owners left.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use relay_core::{
    Members,
    batch::BatchRule,
    ids::{Epoch, Jid},
    inventory::Record,
    ledger::GroupNo,
    outcome::{Answer, Outcome},
    owner::{JobHead, StoredJob},
    time::WallMicros,
};

/// What earlier owners left.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// This owner's epoch: higher than any before.
    pub epoch: Epoch,
    /// All minions, by number.
    pub minions: Vec<Record>,
    /// Open jobs, and the newest `owner::MAX_UNRESOLVED` closed ones with unknown members; oldest first.
    pub jobs: Vec<StoredJob>,
}

/// One job as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    /// The head.
    pub head: JobHead,
    /// A cancel was asked for.
    pub cancelled: bool,
    /// When every target first had an outcome; `None` while it is open.
    pub closed: Option<WallMicros>,
    /// The answers so far, by number.
    pub groups: Vec<GroupView>,
    /// How many have each outcome so far.
    pub counts: BTreeMap<Outcome, u64>,
    /// The number of the newest change in this view; 0: there was none. What it and those before it changed is here,
    /// what later ones change is not.
    pub seq: u64,
    /// The changes after the one that was asked for, in order: with all of them from 0 on, every outcome of the job, and
    /// when it came. They are as many as outcomes were told, so at most two for each target.
    pub changes: Vec<ChangeView>,
    /// How many stages of its canary were approved.
    pub approved: u32,
}

/// One answer in one change of a job: who newly gave it, and when. A target that was `unknown` is in two: the one that
/// said so and the one that resolved it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeView {
    /// The change's number, as in `relay_core::owner::Write::Returns`. Several answers may be of one change.
    pub seq: u64,
    /// When, for people.
    pub at: WallMicros,
    /// Which of [`JobView::groups`].
    pub no: GroupNo,
    /// Who.
    pub members: Members,
}

/// All who gave one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupView {
    /// Its number within the job.
    pub no: GroupNo,
    /// What they say. Without its body if [`GroupView::body_left_out`].
    pub answer: Arc<Answer>,
    /// Who. Empty if all have been resolved into other answers.
    pub members: Members,
    /// There is a body, but no change of the view needs it, or [`super::MAX_READ_BODY_BYTES`] were used up: ask
    /// [`super::Store::answers`]. In a view from the first change on, these are all from one number on.
    pub body_left_out: bool,
}

/// One job in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSummary {
    /// Its name.
    pub jid: Jid,
    /// The function.
    pub function: String,
    /// Its arguments as JSON; `None` if longer than [`super::MAX_SUMMARY_ARGS`].
    pub args: Option<Bytes>,
    /// The target expression.
    pub target: String,
    /// Who asked for it.
    pub caller: String,
    /// How many targets it has.
    pub targets: u64,
    /// When it was accepted.
    pub created: WallMicros,
    /// When every target first had an outcome; `None` while it is open.
    pub closed: Option<WallMicros>,
    /// A cancel was asked for.
    pub cancelled: bool,
    /// How many have each outcome so far.
    pub counts: BTreeMap<Outcome, u64>,
    /// How many at once, and when it stops.
    pub batch: BatchRule,
    /// How many stages of its canary were approved.
    pub approved: u32,
}

/// What a prune removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Jobs.
    pub jobs: u64,
    /// Request ids.
    pub requests: u64,
}
