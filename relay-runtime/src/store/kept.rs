//! What a top master keeps beside its jobs: requests, plans and schedules. What their bytes mean is the top master's.

use bytes::Bytes;
use relay_core::{Members, ids::Jid, time::WallMicros};

/// What became of a request that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownRequest {
    /// The job.
    pub jid: Jid,
    /// How many targets it was given.
    pub targets: u64,
    /// Of the request's body.
    pub digest: [u8; 32],
}

/// A plan's name: the digest of what it would run.
pub type PlanId = [u8; 32];

/// What was planned, to be run exactly so.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPlan {
    /// Its name.
    pub id: PlanId,
    /// When it was made.
    pub created: WallMicros,
    /// Until when it can be run.
    pub expires: WallMicros,
    /// The request, as the top master encodes it.
    pub request: Bytes,
    /// The frozen targets, as inventory numbers.
    pub targets: Members,
}

/// A schedule to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSchedule {
    /// Its name.
    pub name: String,
    /// What runs and when, as the top master encodes it.
    pub definition: Bytes,
    /// It does not run for now.
    pub paused: bool,
    /// Times up to this moment are over for it: the moment it was made.
    pub passed: WallMicros,
    /// It may take the place of one with its name.
    pub replace: bool,
}

/// A schedule that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSchedule {
    /// Its name.
    pub name: String,
    /// What runs and when, as the top master encodes it.
    pub definition: Bytes,
    /// It does not run for now.
    pub paused: bool,
    /// Times up to this moment are over for it: it ran, missed them, or was not there or paused. Never goes back but
    /// when it is replaced.
    pub passed: WallMicros,
    /// How it last ran.
    pub last: Option<ScheduleRun>,
}

/// One run of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRun {
    /// When.
    pub at: WallMicros,
    /// The job, if there is one.
    pub jid: Option<Jid>,
    /// Why there is none.
    pub error: Option<String>,
}

/// What became of a schedule that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is kept.
    Kept,
    /// Another has its name, and it may not replace that one.
    Taken,
    /// There are [`super::MAX_SCHEDULES`] already.
    Full,
}
