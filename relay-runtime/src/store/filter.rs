//! Which jobs: what an operator may ask a list for.

use relay_core::{outcome::Outcome, target::Glob, time::WallMicros};

use super::JobSummary;

/// Which jobs. What is not given lets every job through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Where it stands.
    pub state: Option<JobState>,
    /// Its function.
    pub function: Option<Glob>,
    /// Text within its target expression, as written.
    pub target: Option<String>,
    /// Exactly who asked for it.
    pub caller: Option<String>,
    /// Accepted then or later.
    pub since: Option<WallMicros>,
    /// Accepted then or earlier.
    pub until: Option<WallMicros>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Some target has no outcome yet.
    Open,
    /// Every target had an outcome.
    Closed,
    /// A cancel was asked for, open or closed.
    Cancelled,
    /// At least one target ended so, open or closed.
    Has(Outcome),
}

impl JobFilter {
    /// Whether it takes a job.
    pub fn takes(&self, job: &JobSummary) -> bool {
        self.function.as_ref().is_none_or(|glob| glob.matches(&job.function))
            && self.target.as_ref().is_none_or(|text| job.target.contains(text))
            && self.caller.as_ref().is_none_or(|caller| *caller == job.caller)
            && self.since.is_none_or(|since| job.created >= since)
            && self.until.is_none_or(|until| job.created <= until)
            && self.state.is_none_or(|state| state.is_of(job))
    }
}

impl JobState {
    fn is_of(self, job: &JobSummary) -> bool {
        match self {
            JobState::Open => job.closed.is_none(),
            JobState::Closed => job.closed.is_some(),
            JobState::Cancelled => job.cancelled,
            JobState::Has(outcome) => job.counts.get(&outcome).is_some_and(|n| *n > 0),
        }
    }
}
