//! What is asked of a fabric about its topology. A trait, so that what a top master may answer, and losing it in the middle,
//! can be tested without one.

use relay_core::ids::Jid;
use relay_proto::operator::{
    ApplyTopologyRequest, Following, JobFilter, JobHead, ListJobsRequest, ListMinionsRequest, Minion,
    Outstanding, TopologyHistoryRequest, TopologyProgress, TopologyRevision, TopologyStatusReply,
};
use tonic::Streaming;

use crate::{api::CallError, connect::Fabric};

/// Open jobs that a plan looks at, at most: one page.
pub const OPEN_JOBS: u32 = 50;

/// A fabric, as far as its topology goes.
pub trait Topologies {
    /// What is told of one apply.
    type Progress: Progress;
    /// A revision with its text; 0 is the active one. Its number is 0 if there is none.
    async fn revision(&mut self, number: u64) -> Result<TopologyRevision, CallError>;
    /// So many revisions older than `before` (0: the newest), newest first, without texts.
    async fn history(&mut self, limit: u32, before: u64) -> Result<Vec<TopologyRevision>, CallError>;
    /// The active topology against what is attached.
    async fn standing(&mut self) -> Result<TopologyStatusReply, CallError>;
    /// Applies a text.
    async fn apply(&mut self, request: ApplyTopologyRequest) -> Result<Self::Progress, CallError>;
    /// Looks at the followed repository.
    async fn look(&mut self, apply: bool) -> Result<Following, CallError>;
    /// All minions.
    async fn inventory(&mut self) -> Result<Vec<Minion>, CallError>;
    /// The newest open jobs, at most [`OPEN_JOBS`].
    async fn open_jobs(&mut self) -> Result<Vec<JobHead>, CallError>;
    /// Targets of a job without an outcome.
    async fn missing(&mut self, jid: Jid) -> Result<Vec<Outstanding>, CallError>;
}

/// How an apply goes.
pub trait Progress {
    /// The next step; nothing at the end.
    async fn next(&mut self) -> Result<Option<TopologyProgress>, CallError>;
}

impl Progress for Streaming<TopologyProgress> {
    async fn next(&mut self) -> Result<Option<TopologyProgress>, CallError> {
        self.message().await.map_err(|status| CallError::of(&status))
    }
}

impl Topologies for Fabric {
    type Progress = Streaming<TopologyProgress>;

    async fn revision(&mut self, number: u64) -> Result<TopologyRevision, CallError> {
        self.topology(number).await
    }
    async fn history(&mut self, limit: u32, before: u64) -> Result<Vec<TopologyRevision>, CallError> {
        self.topology_history(TopologyHistoryRequest { limit, before }).await
    }
    async fn standing(&mut self) -> Result<TopologyStatusReply, CallError> {
        self.topology_status().await
    }
    async fn apply(&mut self, request: ApplyTopologyRequest) -> Result<Self::Progress, CallError> {
        self.apply_topology(request).await
    }
    async fn look(&mut self, apply: bool) -> Result<Following, CallError> {
        self.follow_now(apply).await
    }
    async fn inventory(&mut self) -> Result<Vec<Minion>, CallError> {
        self.minions(ListMinionsRequest::default()).await
    }
    async fn open_jobs(&mut self) -> Result<Vec<JobHead>, CallError> {
        let filter = Some(JobFilter { state: "open".into(), ..JobFilter::default() });
        self.jobs(ListJobsRequest { limit: OPEN_JOBS, before: 0, filter }).await
    }
    async fn missing(&mut self, jid: Jid) -> Result<Vec<Outstanding>, CallError> {
        self.outstanding(jid).await
    }
}
