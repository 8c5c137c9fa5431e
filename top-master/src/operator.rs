//! The operators' gRPC service: form is checked here, decisions are the loop's.
//!
//! Every call is made by an identity from a certificate with the role `operator`; what it may do is policy, which comes
//! between here and the loop. What belongs together is in a part: [`submit`] makes submissions, [`plan`] says what they
//! would do, [`jobs`] answers about jobs, [`schedules`] about schedules, [`minions`] about minions, [`head`] is how a job
//! looks from outside.

pub mod head;
mod jobs;
mod minions;
mod plan;
mod reach;
mod schedules;
mod submit;
#[cfg(test)]
mod tests;

use std::{pin::Pin, sync::Arc};

use futures_core::Stream;
use relay_core::{
    identity::Identity,
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
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    directory::Directory,
    topology::{self, Effective, Topologies},
    watch::{self, Subscription},
};

pub use reach::Reach;
pub use schedules::{definition, scheduled_by};

/// Requests waiting for the loop. Beyond it callers wait, which their own deadline bounds.
pub const REQUEST_QUEUE: usize = 256;
/// Messages of one stream waiting for its client.
const STREAM_QUEUE: usize = 16;

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
/// A stream of answers to one call.
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn stopping() -> Status {
    Code::Store.status("this top master is stopping: try again, or ask another one")
}

impl OperatorService {
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Status> {
        let (tx, rx) = oneshot::channel();
        self.asks.send(ask(tx)).await.map_err(|_| stopping())?;
        rx.await.map_err(|_| stopping())
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

fn caller<T>(request: &Request<T>) -> Result<String, Status> {
    let peer = request.extensions().get::<Arc<Identity>>();
    peer.map(|p| p.id().to_string()).ok_or_else(|| Code::Denied.status("no identity"))
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

/// Sends pages of at most `per_page` items, as its client takes them.
fn paged<I: Send + 'static, P: Send + 'static>(
    items: Vec<I>,
    per_page: usize,
    page: impl Fn(Vec<I>) -> P + Send + 'static,
) -> Response<Streamed<P>> {
    let (tx, rx) = mpsc::channel(STREAM_QUEUE);
    // Ends with its client: sending to a stream that is gone fails.
    tokio::spawn(async move {
        let mut items = items.into_iter().peekable();
        while items.peek().is_some() {
            if tx.send(Ok(page(items.by_ref().take(per_page).collect()))).await.is_err() {
                return;
            }
        }
    });
    Response::new(Box::pin(ReceiverStream::new(rx)))
}

#[tonic::async_trait]
impl Operator for OperatorService {
    async fn submit(&self, request: Request<wire::SubmitRequest>) -> Reply<wire::Submitted> {
        let caller = caller(&request)?;
        self.submit_as(caller, request.into_inner()).await.map(Response::new)
    }

    type WatchStream = Streamed<wire::WatchEvent>;

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Reply<Self::WatchStream> {
        let wire::WatchRequest { jid, after } = request.into_inner();
        let jid = Jid::from_micros(jid);
        let subscription = self.ask(|tx| Ask::Watch(jid, tx)).await?;
        let subscription =
            subscription.ok_or_else(|| Code::Busy.status("too many watchers: try again later"))?;
        let (tx, rx) = mpsc::channel(STREAM_QUEUE);
        // Ends with its client: sending to a stream that is gone fails.
        tokio::spawn(watch::stream(self.store.clone(), self.directory.clone(), jid, after, subscription, tx));
        Ok(Response::new(Box::pin(ReceiverStream::new(rx))))
    }

    async fn cancel(&self, request: Request<wire::CancelRequest>) -> Reply<wire::CancelReply> {
        self.cancel_job(Jid::from_micros(request.into_inner().jid)).await.map(Response::new)
    }

    async fn approve(&self, request: Request<wire::ApproveRequest>) -> Reply<wire::ApproveReply> {
        self.approve_job(Jid::from_micros(request.into_inner().jid)).await.map(Response::new)
    }

    async fn plan(&self, request: Request<wire::SubmitRequest>) -> Reply<wire::PlanReply> {
        let caller = caller(&request)?;
        self.make_plan(caller, request.into_inner()).await.map(Response::new)
    }

    type OutstandingStream = Streamed<wire::OutstandingPage>;

    async fn outstanding(
        &self,
        request: Request<wire::OutstandingRequest>,
    ) -> Reply<Self::OutstandingStream> {
        self.outstanding_of(Jid::from_micros(request.into_inner().jid)).await
    }

    async fn list_jobs(&self, request: Request<wire::ListJobsRequest>) -> Reply<wire::ListJobsReply> {
        self.job_list(request.into_inner()).await.map(Response::new)
    }

    async fn job_stats(&self, request: Request<wire::JobFilter>) -> Reply<wire::JobStatsReply> {
        self.stats(request.into_inner()).await.map(Response::new)
    }

    async fn prune_jobs(&self, request: Request<wire::PruneJobsRequest>) -> Reply<wire::PruneJobsReply> {
        self.prune(request.into_inner()).await.map(Response::new)
    }

    async fn put_schedule(&self, request: Request<wire::PutScheduleRequest>) -> Reply<wire::Schedule> {
        let caller = caller(&request)?;
        self.keep_schedule(caller, request.into_inner()).await.map(Response::new)
    }

    async fn list_schedules(
        &self,
        _: Request<wire::ListSchedulesRequest>,
    ) -> Reply<wire::ListSchedulesReply> {
        let schedules = self.schedules().await?;
        Ok(Response::new(wire::ListSchedulesReply { schedules }))
    }

    async fn remove_schedule(&self, request: Request<wire::ScheduleName>) -> Reply<wire::Schedule> {
        self.forget_schedule(&request.into_inner().name).await.map(Response::new)
    }

    async fn pause_schedule(&self, request: Request<wire::PauseScheduleRequest>) -> Reply<wire::Schedule> {
        let wire::PauseScheduleRequest { name, paused } = request.into_inner();
        self.hold_schedule(&name, paused).await.map(Response::new)
    }

    async fn run_schedule(&self, request: Request<wire::RunScheduleRequest>) -> Reply<wire::Submitted> {
        let caller = caller(&request)?;
        self.run_now(caller, request.into_inner()).await.map(Response::new)
    }

    type ListMinionsStream = Streamed<wire::MinionsPage>;

    async fn list_minions(
        &self,
        request: Request<wire::ListMinionsRequest>,
    ) -> Reply<Self::ListMinionsStream> {
        self.minion_list(request.into_inner()).await
    }

    async fn status(&self, _: Request<wire::StatusRequest>) -> Reply<wire::StatusReply> {
        Ok(Response::new(self.ask(Ask::Status).await?))
    }

    async fn get_topology(
        &self,
        request: Request<wire::GetTopologyRequest>,
    ) -> Reply<wire::TopologyRevision> {
        self.topology.get(request.into_inner().number).await.map(Response::new)
    }

    async fn topology_history(
        &self,
        request: Request<wire::TopologyHistoryRequest>,
    ) -> Reply<wire::TopologyHistoryReply> {
        self.topology.history(request.into_inner()).await.map(Response::new)
    }

    type ApplyTopologyStream = Streamed<wire::TopologyProgress>;

    async fn apply_topology(
        &self,
        request: Request<wire::ApplyTopologyRequest>,
    ) -> Reply<Self::ApplyTopologyStream> {
        let caller = caller(&request)?;
        self.reach.check()?;
        let standing = self.topology.apply_as(caller, request.into_inner()).await?;
        let (tx, rx) = mpsc::channel(STREAM_QUEUE);
        // Ends with its client, or with the apply.
        tokio::spawn(topology::progress(standing, tx));
        Ok(Response::new(Box::pin(ReceiverStream::new(rx))))
    }

    async fn topology_status(
        &self,
        _: Request<wire::TopologyStatusRequest>,
    ) -> Reply<wire::TopologyStatusReply> {
        self.topology.status().await.map(Response::new)
    }

    async fn follow_now(&self, request: Request<wire::FollowNowRequest>) -> Reply<wire::Following> {
        let caller = caller(&request)?;
        let apply = request.into_inner().apply.then_some(caller);
        self.topology.follow_now(apply).await.map(Response::new)
    }
}
