//! What can be asked of a top master, call by call, and which calls may be made twice when an answer was lost.

use std::time::Duration;

use relay_core::ids::Jid;
use relay_proto::operator::{
    ApplyTopologyRequest, ApproveReply, ApproveRequest, CancelReply, CancelRequest, FollowNowRequest,
    Following, FunctionStats, GetTopologyRequest, JobFilter, JobHead, ListJobsRequest, ListMinionsRequest,
    ListSchedulesRequest, Minion, Outstanding, OutstandingRequest, PauseScheduleRequest, PlanReply,
    PruneJobsRequest, PutScheduleRequest, RunScheduleRequest, Schedule, ScheduleName, StatusReply,
    StatusRequest, SubmitRequest, Submitted, TopologyHistoryRequest, TopologyProgress, TopologyRevision,
    TopologyStatusReply, TopologyStatusRequest, WatchRequest,
};
use tokio::time::timeout;
use tonic::{Response, Status, Streaming};

use super::{
    Client, Fabric, answered,
    round::{Again, Doors},
    watching::{Stream, Watching},
};
use crate::{
    api::{Api, CallError},
    job::Patience,
};

/// Answers that come in pieces.
pub trait Pages {
    /// What they are pieces of.
    type Item;
    /// The pieces of this one.
    fn items(self) -> Vec<Self::Item>;
}

impl Pages for relay_proto::operator::OutstandingPage {
    type Item = Outstanding;
    fn items(self) -> Vec<Outstanding> {
        self.minions
    }
}

impl Pages for relay_proto::operator::MinionsPage {
    type Item = Minion;
    fn items(self) -> Vec<Minion> {
        self.minions
    }
}

impl Fabric {
    /// Cancels a job; says how many targets had no outcome yet. Twice is as good as once.
    pub async fn cancel(&mut self, jid: Jid) -> Result<CancelReply, CallError> {
        let request = CancelRequest { jid: jid.micros() };
        self.call(Again::Harmless, async |client| client.cancel(request).await).await
    }

    /// Lets a job go on that waits between two stages of its batch. Twice may be two stages.
    pub async fn approve(&mut self, jid: Jid) -> Result<ApproveReply, CallError> {
        let request = ApproveRequest { jid: jid.micros() };
        self.call(Again::Never, async |client| client.approve(request).await).await
    }

    /// What a job would do, and an id under which exactly that can be run.
    pub async fn plan(&mut self, request: SubmitRequest) -> Result<PlanReply, CallError> {
        self.call(Again::Harmless, async |client| client.plan(request.clone()).await).await
    }

    /// Who has no outcome yet in a job, and where each is held.
    pub async fn outstanding(&mut self, jid: Jid) -> Result<Vec<Outstanding>, CallError> {
        let request = OutstandingRequest { jid: jid.micros() };
        self.pages(async |client| client.outstanding(request).await).await
    }

    /// Jobs, newest first.
    pub async fn jobs(&mut self, request: ListJobsRequest) -> Result<Vec<JobHead>, CallError> {
        let call = self.call(Again::Harmless, async |client| client.list_jobs(request.clone()).await);
        call.await.map(|reply| reply.jobs)
    }

    /// Figures over the jobs that are kept, by function.
    pub async fn job_stats(&mut self, filter: JobFilter) -> Result<Vec<FunctionStats>, CallError> {
        let call = self.call(Again::Harmless, async |client| client.job_stats(filter.clone()).await);
        call.await.map(|reply| reply.functions)
    }

    /// Forgets jobs that were closed before a moment (microseconds since 1970 UTC); says how many.
    pub async fn prune_jobs(&mut self, before: u64) -> Result<u64, CallError> {
        // A second one would do no harm, and say that there was nothing to forget.
        let call =
            self.call(Again::Never, async |client| client.prune_jobs(PruneJobsRequest { before }).await);
        call.await.map(|reply| reply.jobs)
    }

    /// Keeps a job to be run at times.
    pub async fn put_schedule(&mut self, request: PutScheduleRequest) -> Result<Schedule, CallError> {
        self.call(Again::Never, async |client| client.put_schedule(request.clone()).await).await
    }

    /// All schedules.
    pub async fn schedules(&mut self) -> Result<Vec<Schedule>, CallError> {
        let call =
            self.call(Again::Harmless, async |client| client.list_schedules(ListSchedulesRequest {}).await);
        call.await.map(|reply| reply.schedules)
    }

    /// Forgets a schedule; says what it was.
    pub async fn remove_schedule(&mut self, name: &str) -> Result<Schedule, CallError> {
        let request = ScheduleName { name: name.to_owned() };
        self.call(Again::Never, async |client| client.remove_schedule(request.clone()).await).await
    }

    /// Pauses a schedule, or lets it go on.
    pub async fn pause_schedule(&mut self, name: &str, paused: bool) -> Result<Schedule, CallError> {
        let request = PauseScheduleRequest { name: name.to_owned(), paused };
        self.call(Again::Harmless, async |client| client.pause_schedule(request.clone()).await).await
    }

    /// Runs a schedule's job now. The same request id again is the same job.
    pub async fn run_schedule(&mut self, request: &RunScheduleRequest) -> Result<Submitted, CallError> {
        self.call(Again::Harmless, async |client| client.run_schedule(request.clone()).await).await
    }

    /// All minions that a request asks for.
    pub async fn minions(&mut self, request: ListMinionsRequest) -> Result<Vec<Minion>, CallError> {
        self.pages(async |client| client.list_minions(request.clone()).await).await
    }

    /// The state of the fabric.
    pub async fn status(&mut self) -> Result<StatusReply, CallError> {
        self.call(Again::Harmless, async |client| client.status(StatusRequest {}).await).await
    }

    /// A revision of the topology with its text; 0 is the active one.
    pub async fn topology(&mut self, number: u64) -> Result<TopologyRevision, CallError> {
        let request = GetTopologyRequest { number };
        self.call(Again::Harmless, async |client| client.get_topology(request).await).await
    }

    /// Revisions without their texts, newest first.
    pub async fn topology_history(
        &mut self,
        request: TopologyHistoryRequest,
    ) -> Result<Vec<TopologyRevision>, CallError> {
        let call = self.call(Again::Harmless, async |client| client.topology_history(request).await);
        call.await.map(|reply| reply.revisions)
    }

    /// Makes a text the active topology. Sent twice, the second one would be refused as planned on a former revision.
    pub async fn apply_topology(
        &mut self,
        request: ApplyTopologyRequest,
    ) -> Result<Streaming<TopologyProgress>, CallError> {
        self.call(Again::Never, async |client| client.apply_topology(request.clone()).await).await
    }

    /// The active topology against what is attached.
    pub async fn topology_status(&mut self) -> Result<TopologyStatusReply, CallError> {
        let call =
            self.call(Again::Harmless, async |client| client.topology_status(TopologyStatusRequest {}).await);
        call.await
    }

    /// Looks at the followed repository now, or applies what is pending there.
    pub async fn follow_now(&mut self, apply: bool) -> Result<Following, CallError> {
        let again = if apply { Again::Never } else { Again::Harmless };
        self.call(again, async |client| client.follow_now(FollowNowRequest { apply }).await).await
    }

    /// A question whose answer comes in pieces: all of them, from one top master.
    pub async fn pages<P: Pages>(
        &mut self,
        mut call: impl AsyncFnMut(&mut Client) -> Result<Response<Streaming<P>>, Status>,
    ) -> Result<Vec<P::Item>, CallError> {
        let limit = self.answer_time(Again::Harmless);
        let whole = async |client: &mut Client| all(limit, answered(limit, call(client)).await?).await;
        self.round.ask_patiently(Again::Harmless, Patience::LOST, whole).await
    }
}

/// All pieces; none may take longer than `limit`.
async fn all<P: Pages>(limit: Duration, mut pages: Streaming<P>) -> Result<Vec<P::Item>, CallError> {
    let mut items = Vec::new();
    loop {
        match timeout(limit, pages.message()).await {
            Ok(Ok(Some(page))) => items.extend(page.items()),
            Ok(Ok(None)) => return Ok(items),
            Ok(Err(status)) => return Err(CallError::of(&status)),
            Err(_) => return Err(CallError::Lost(format!("no more of the answer within {limit:?}"))),
        }
    }
}

impl Api for Fabric {
    type Events = Watching;

    async fn submit(&mut self, request: &SubmitRequest) -> Result<Submitted, CallError> {
        // A retry is the same job, and whoever submits retries; but he has to know that something was sent.
        self.call_once(Again::Never, async |client| client.submit(request.clone()).await).await
    }

    async fn cancel(&mut self, jid: Jid) -> Result<CancelReply, CallError> {
        Fabric::cancel(self, jid).await
    }

    async fn approve(&mut self, jid: Jid) -> Result<ApproveReply, CallError> {
        Fabric::approve(self, jid).await
    }

    async fn watch(&mut self, jid: Jid, after: u64) -> Result<Watching, CallError> {
        let request = WatchRequest { jid: jid.micros(), after };
        let mut told = None;
        let call = async |client: &mut Client| {
            told = Some(client.clone());
            client.watch(request).await
        };
        let events = self.call_once(Again::Harmless, call).await?;
        let client = told.ok_or_else(|| CallError::Lost("nobody was asked".into()))?;
        let (first, count) = (self.round.first().clone(), self.round.doors().count());
        Ok(Watching::new(Stream::new(events, client), first, count))
    }
}
