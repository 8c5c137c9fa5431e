//! The operators' gRPC service: form is checked here, decisions are the loop's.
//!
//! Every call is made by a [`Caller`] whom [`crate::front`] has let in; whether he may is asked in [`gate`], before anything else.
//! What belongs together is in a part: [`submit`] makes submissions, [`plan`] says what they
//! would do, [`jobs`] answers about jobs, [`schedules`] about schedules, [`minions`] about minions, [`head`] is how a job
//! looks from outside.

pub(crate) mod gate;
pub mod head;
mod jobs;
mod minions;
mod plan;
mod reach;
mod schedules;
pub(crate) mod submit;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use relay_core::{
    access::Verb,
    ids::Jid,
    owner::{Accepted, ApproveError, Approving, Batches, Owner, Submission, SubmitError},
    target::NodeGroups,
    time::Millis,
};
use relay_proto::{
    Code,
    operator::{self as wire, operator_server::Operator},
};
use relay_runtime::store::{Store, StoreError};
use tokio::sync::{Notify, mpsc, oneshot};
use tonic::{Request, Response, Status};

use crate::{
    access::{Access, Asking, caller},
    directory::Directory,
    streams::{Streamed, Streams},
    topology::{self, Effective, Topologies},
    watch::{self, Subscription},
};

pub use reach::Reach;
pub use schedules::{asking_of, definition, scheduled_by};

/// Requests waiting for the loop. Beyond it callers wait, which their own deadline bounds.
pub const REQUEST_QUEUE: usize = 256;

/// A question about how things stand, answered by the loop.
pub type Look = Box<dyn FnOnce(&Owner) + Send>;

/// What the loop is asked.
pub enum Ask {
    /// To accept a job.
    Submit(Box<Submission>, oneshot::Sender<Result<Accepted, SubmitError>>),
    /// To cancel one.
    Cancel(Jid, oneshot::Sender<Option<u64>>),
    /// To let one go on.
    Approve(Jid, oneshot::Sender<Result<Approving, ApproveError>>),
    /// To tell of each change of one.
    Watch(Jid, oneshot::Sender<Option<Subscription>>),
    /// To look something up.
    Look(Look),
    /// To go by another topology from now on.
    Effective(Option<Effective>, oneshot::Sender<()>),
    /// How things stand.
    Status(oneshot::Sender<wire::StatusReply>),
}

/// The service.
#[derive(Clone)]
pub struct OperatorService {
    /// The loop.
    pub asks: mpsc::Sender<Ask>,
    /// Read for lists and watches; keeps plans and schedules.
    pub store: Arc<dyn Store>,
    /// Names minions.
    pub directory: Directory,
    /// What requests leave open.
    pub defaults: tokio::sync::watch::Receiver<Arc<Defaults>>,
    /// Told when a schedule is put, removed or paused.
    pub schedules_changed: Arc<Notify>,
    /// Whether new jobs are taken.
    pub reach: Reach,
    /// The topology's revisions.
    pub topology: Topologies,
    /// Who may do what.
    pub access: Access,
    /// Answers that are streams.
    pub streams: Streams,
}

/// What requests leave open.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// Delivery timeout.
    pub delivery: Millis,
    /// Run timeout.
    pub run: Millis,
    /// What names in targets stand for.
    pub groups: NodeGroups,
    /// What regions have for batches: the same as the owner has.
    pub batches: Batches,
}

/// An answer to one call.
type Reply<T> = Result<Response<T>, Status>;

fn stopping() -> Status {
    Code::Store.status("this top master is stopping: try again, or ask another one")
}

impl OperatorService {
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Status> {
        let (tx, rx) = oneshot::channel();
        self.asks.send(ask(tx)).await.map_err(|_| stopping())?;
        rx.await.map_err(|_| stopping())
    }

    /// What requests leave open, as of now. Read once for each request: names in its target, names in rules and batches are of one
    /// and the same topology.
    pub(crate) fn defaults(&self) -> Arc<Defaults> {
        self.defaults.borrow().clone()
    }

    /// Looks something up where the loop is.
    ///
    /// # Errors
    /// The loop has ended.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Owner) -> T + Send + 'static,
    ) -> Result<T, Status> {
        self.ask(|tx| Ask::Look(Box::new(move |owner| drop(tx.send(look(owner)))))).await
    }
}

fn invalid(why: impl std::fmt::Display) -> Status {
    Code::Invalid.status(why.to_string())
}

/// A store's error for a client.
pub fn store_error(error: StoreError) -> Status {
    match error {
        StoreError::Busy(_) => Code::Busy.status(error.to_string()),
        _ => Code::Store.status(error.to_string()),
    }
}

/// There is no such job.
pub fn no_such_job(jid: Jid) -> Status {
    Code::NoSuchJob
        .status(format!("there is no job {jid} (any more): relayctl jobs list shows those that are kept"))
}

#[tonic::async_trait]
impl Operator for OperatorService {
    async fn submit(&self, request: Request<wire::SubmitRequest>) -> Reply<wire::Submitted> {
        let asking = Asking::of(caller(&request)?);
        self.submit_as(asking, request.into_inner()).await.map(Response::new)
    }

    type WatchStream = Streamed<wire::WatchEvent>;

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Reply<Self::WatchStream> {
        let caller = caller(&request)?;
        let wire::WatchRequest { jid, after } = request.into_inner();
        let jid = Jid::from_micros(jid);
        self.may_with_job(&caller, Verb::JobsShow, jid).await?;
        let subscription = self.ask(|tx| Ask::Watch(jid, tx)).await?;
        let subscription =
            subscription.ok_or_else(|| Code::Busy.status("too many watchers: try again later"))?;
        let (store, names) = (self.store.clone(), self.directory.clone());
        self.streams.watch(move |tx| watch::stream(store, names, jid, after, subscription, tx))
    }

    async fn cancel(&self, request: Request<wire::CancelRequest>) -> Reply<wire::CancelReply> {
        let (caller, jid) = (caller(&request)?, Jid::from_micros(request.into_inner().jid));
        self.may_with_job(&caller, Verb::JobsCancel, jid).await?;
        self.cancel_job(jid).await.map(Response::new)
    }

    async fn approve(&self, request: Request<wire::ApproveRequest>) -> Reply<wire::ApproveReply> {
        let (caller, jid) = (caller(&request)?, Jid::from_micros(request.into_inner().jid));
        self.may_with_job(&caller, Verb::JobsContinue, jid).await?;
        self.approve_job(jid).await.map(Response::new)
    }

    async fn plan(&self, request: Request<wire::SubmitRequest>) -> Reply<wire::PlanReply> {
        let asking = Asking::of(caller(&request)?);
        self.make_plan(asking, request.into_inner()).await.map(Response::new)
    }

    type OutstandingStream = Streamed<wire::OutstandingPage>;

    async fn outstanding(
        &self,
        request: Request<wire::OutstandingRequest>,
    ) -> Reply<Self::OutstandingStream> {
        let (caller, jid) = (caller(&request)?, Jid::from_micros(request.into_inner().jid));
        self.may_with_job(&caller, Verb::JobsShow, jid).await?;
        self.outstanding_of(jid).await
    }

    async fn list_jobs(&self, request: Request<wire::ListJobsRequest>) -> Reply<wire::ListJobsReply> {
        let caller = caller(&request)?;
        let request = self.only_own(&caller, request.into_inner()).await?;
        self.job_list(request).await.map(Response::new)
    }

    async fn job_stats(&self, request: Request<wire::JobFilter>) -> Reply<wire::JobStatsReply> {
        self.may(&*caller(&request)?, Verb::JobsStats).await?;
        self.stats(request.into_inner()).await.map(Response::new)
    }

    async fn prune_jobs(&self, request: Request<wire::PruneJobsRequest>) -> Reply<wire::PruneJobsReply> {
        let (caller, request) = (caller(&request)?, request.into_inner());
        self.may_about(&caller, Verb::JobsPrune, request.before).await?;
        self.prune(request).await.map(Response::new)
    }

    async fn put_schedule(&self, request: Request<wire::PutScheduleRequest>) -> Reply<wire::Schedule> {
        let caller = caller(&request)?;
        let name = request.get_ref().schedule.as_ref().map_or("", |schedule| &schedule.name);
        self.may_about(&caller, Verb::SchedulesPut, name).await?;
        self.keep_schedule(caller, request.into_inner()).await.map(Response::new)
    }

    async fn list_schedules(
        &self,
        request: Request<wire::ListSchedulesRequest>,
    ) -> Reply<wire::ListSchedulesReply> {
        self.may(&*caller(&request)?, Verb::SchedulesList).await?;
        let schedules = self.schedules().await?;
        Ok(Response::new(wire::ListSchedulesReply { schedules }))
    }

    async fn remove_schedule(&self, request: Request<wire::ScheduleName>) -> Reply<wire::Schedule> {
        let (caller, name) = (caller(&request)?, request.into_inner().name);
        self.may_with_schedule(&caller, Verb::SchedulesRemove, &name).await?;
        self.forget_schedule(&name).await.map(Response::new)
    }

    async fn pause_schedule(&self, request: Request<wire::PauseScheduleRequest>) -> Reply<wire::Schedule> {
        let caller = caller(&request)?;
        let wire::PauseScheduleRequest { name, paused } = request.into_inner();
        self.may_with_schedule(&caller, Verb::SchedulesPause, &name).await?;
        self.hold_schedule(&name, paused).await.map(Response::new)
    }

    async fn run_schedule(&self, request: Request<wire::RunScheduleRequest>) -> Reply<wire::Submitted> {
        let caller = caller(&request)?;
        self.may_with_schedule(&caller, Verb::SchedulesRun, &request.get_ref().name).await?;
        self.run_now(caller, request.into_inner()).await.map(Response::new)
    }

    type ListMinionsStream = Streamed<wire::MinionsPage>;

    async fn list_minions(
        &self,
        request: Request<wire::ListMinionsRequest>,
    ) -> Reply<Self::ListMinionsStream> {
        self.may(&*caller(&request)?, Verb::MinionsList).await?;
        self.minion_list(request.into_inner()).await
    }

    async fn status(&self, request: Request<wire::StatusRequest>) -> Reply<wire::StatusReply> {
        self.may(&*caller(&request)?, Verb::FabricStatus).await?;
        let standing = self.access.policies().subscribe().borrow().clone();
        let (policy, policy_problem) = (standing.active.digest.clone(), standing.problem.unwrap_or_default());
        let status = self.ask(Ask::Status).await?;
        Ok(Response::new(wire::StatusReply { policy, policy_problem, ..status }))
    }

    async fn get_topology(
        &self,
        request: Request<wire::GetTopologyRequest>,
    ) -> Reply<wire::TopologyRevision> {
        self.may(&*caller(&request)?, Verb::TopologyShow).await?;
        self.topology.get(request.into_inner().number).await.map(Response::new)
    }

    async fn topology_history(
        &self,
        request: Request<wire::TopologyHistoryRequest>,
    ) -> Reply<wire::TopologyHistoryReply> {
        self.may(&*caller(&request)?, Verb::TopologyShow).await?;
        self.topology.history(request.into_inner()).await.map(Response::new)
    }

    type ApplyTopologyStream = Streamed<wire::TopologyProgress>;

    async fn apply_topology(
        &self,
        request: Request<wire::ApplyTopologyRequest>,
    ) -> Reply<Self::ApplyTopologyStream> {
        let caller = caller(&request)?;
        let planned_on = format!("planned on {}", request.get_ref().planned_on);
        self.may_about(&caller, Verb::TopologyApply, planned_on).await?;
        self.reach.check()?;
        let standing = self.topology.apply_as(caller.name().to_owned(), request.into_inner()).await?;
        self.streams.watch(move |tx| topology::progress(standing, tx))
    }

    async fn topology_status(
        &self,
        request: Request<wire::TopologyStatusRequest>,
    ) -> Reply<wire::TopologyStatusReply> {
        self.may(&*caller(&request)?, Verb::TopologyShow).await?;
        self.topology.status().await.map(Response::new)
    }

    async fn follow_now(&self, request: Request<wire::FollowNowRequest>) -> Reply<wire::Following> {
        let caller = caller(&request)?;
        let apply = request.into_inner().apply;
        let what = if apply { "what is pending in the repository" } else { "a look at the repository" };
        self.may_about(&caller, Verb::TopologyApply, what).await?;
        self.topology.follow_now(apply.then(|| caller.name().to_owned())).await.map(Response::new)
    }
}
