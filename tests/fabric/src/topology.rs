//! The topology service as an operator calls it.

use relay_proto::operator::{
    ApplyTopologyRequest, GetTopologyRequest, SubmitRequest, TopologyHistoryRequest, TopologyProgress,
    TopologyRevision, TopologyStatusReply, TopologyStatusRequest,
};
use tonic::{Status, Streaming};

use crate::operator::Operator;

impl Operator {
    /// Applies a topology, and follows it.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn apply(&self, request: ApplyTopologyRequest) -> Result<Streaming<TopologyProgress>, Status> {
        self.call(async |c| c.apply_topology(request.clone()).await).await
    }

    /// A revision with its text; 0 is the active one.
    ///
    /// # Errors
    /// There is none, or nobody there.
    pub async fn topology(&self, number: u64) -> Result<TopologyRevision, Status> {
        self.call(async |c| c.get_topology(GetTopologyRequest { number }).await).await
    }

    /// All revisions, newest first.
    ///
    /// # Errors
    /// Nobody there.
    pub async fn topologies(&self) -> Result<Vec<TopologyRevision>, Status> {
        let request = TopologyHistoryRequest { limit: 1_000, before: 0 };
        self.call(async |c| c.topology_history(request).await).await.map(|reply| reply.revisions)
    }

    /// The active topology against what is there.
    ///
    /// # Errors
    /// Nobody there.
    pub async fn topology_status(&self) -> Result<TopologyStatusReply, Status> {
        self.call(async |c| c.topology_status(TopologyStatusRequest {}).await).await
    }

    /// How many minions of a plan's first stage would run at once.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn at_once(&self, target: &str) -> Result<u64, Status> {
        let request = SubmitRequest {
            target: target.into(),
            function: "test.ping".into(),
            args: br#"{"args":[],"kwargs":{}}"#.to_vec(),
            ..SubmitRequest::default()
        };
        let plan = self.call(async |c| c.plan(request.clone()).await).await?;
        Ok(plan.stages.first().map_or(0, |stage| stage.at_once))
    }
}
