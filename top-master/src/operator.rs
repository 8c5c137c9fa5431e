//! The operators' gRPC service: form is checked here, decisions are the loop's.
//!
//! Every call is made by an identity from a certificate with the role `operator`; what it may do is policy, which comes
//! between here and the loop.

use std::{pin::Pin, sync::Arc};

use futures_core::Stream;
use relay_core::{
    identity::Identity,
    ids::{Jid, RequestId},
    inventory::Inventory,
    owner::{Accepted, Submission, SubmitError},
    target::Target,
    time::Millis,
};
use relay_proto::{
    Code,
    envelope::MAX_ENVELOPE_BYTES,
    operator::{self as wire, operator_server::Operator},
};
use relay_runtime::store::{JobSummary, Store, StoreError};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    directory::Directory,
    watch::{self, Update},
};

/// Requests waiting for the loop. Beyond it callers wait, which their own deadline bounds.
pub const REQUEST_QUEUE: usize = 256;
/// Events of one stream waiting for its client.
const STREAM_QUEUE: usize = 16;
/// Minions in one message of a list.
const MINIONS_PER_PAGE: usize = 500;
/// Longest run limit: a week. What takes longer is a service, not a job.
const MAX_RUN_LIMIT: Millis = 7 * 24 * 60 * 60 * 1_000;
/// Longest delivery window: an hour. For longer ones jobs will be queued, not held open.
const MAX_DELIVERY_LIMIT: Millis = 60 * 60 * 1_000;
/// Largest arguments: they and the rest must fit an envelope.
const MAX_ARGS_BYTES: usize = MAX_ENVELOPE_BYTES - (4 << 10);

/// A question about the inventory, answered by the loop.
pub type Look = Box<dyn FnOnce(&Inventory) -> Vec<wire::Minion> + Send>;

/// What the loop is asked.
pub enum Ask {
    /// To accept a job.
    Submit(Box<Submission>, oneshot::Sender<Result<Accepted, SubmitError>>),
    /// To cancel one.
    Cancel(Jid, oneshot::Sender<Option<u64>>),
    /// To tell of each change of one.
    Watch(Jid, oneshot::Sender<Option<mpsc::Receiver<Update>>>),
    /// To look something up in the inventory.
    Look(Look, oneshot::Sender<Vec<wire::Minion>>),
    /// How things stand.
    Status(oneshot::Sender<wire::StatusReply>),
}

/// The service.
#[derive(Clone)]
pub struct OperatorService {
    /// The loop.
    pub asks: mpsc::Sender<Ask>,
    /// Read for lists and watches.
    pub store: Arc<dyn Store>,
    /// Names minions.
    pub directory: Directory,
    /// Limits where a request names none.
    pub defaults: Defaults,
}

/// Limits where a request names none.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// Delivery timeout.
    pub delivery: Millis,
    /// Run timeout.
    pub run: Millis,
}

type Reply<T> = Result<Response<T>, Status>;
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl OperatorService {
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Status> {
        let stopping = |()| Code::Store.status("this top master is stopping: try again, or ask another one");
        let (tx, rx) = oneshot::channel();
        self.asks.send(ask(tx)).await.map_err(|_| stopping(()))?;
        rx.await.map_err(|_| stopping(()))
    }

    fn submission(&self, caller: String, request: wire::SubmitRequest) -> Result<Submission, Status> {
        let invalid = |why: String| Code::Invalid.status(why);
        let request_id = <[u8; 16]>::try_from(request.request_id.as_slice())
            .map_err(|_| invalid(format!("request_id: {} bytes, not 16", request.request_id.len())))?;
        if request.args.len() > MAX_ARGS_BYTES {
            return Err(invalid(format!("args: {} bytes, at most {MAX_ARGS_BYTES}", request.args.len())));
        }
        if request.function.is_empty() || request.function.len() > 128 {
            return Err(invalid(format!("{:?} is no function name", request.function)));
        }
        let limit = |name: &str, asked: Millis, default: Millis, max: Millis| match asked {
            0 => Ok(default),
            asked if asked <= max => Ok(asked),
            asked => Err(invalid(format!("{name}: {asked} ms is over the limit of {max} ms"))),
        };
        Ok(Submission {
            request_id: RequestId(u128::from_be_bytes(request_id)),
            request_digest: digest(&caller, &request),
            target: Target::parse(&request.target).map_err(|e| invalid(e.to_string()))?,
            delivery_limit: limit(
                "delivery timeout",
                request.delivery_timeout_ms,
                self.defaults.delivery,
                MAX_DELIVERY_LIMIT,
            )?,
            run_limit: limit("timeout", request.run_timeout_ms, self.defaults.run, MAX_RUN_LIMIT)?,
            function: request.function,
            args: request.args.into(),
            caller,
            batch: request
                .batch
                .map(relay_proto::batch::decode)
                .transpose()
                .map_err(|e| invalid(e.to_string()))?
                .unwrap_or_default(),
            subset: None,
            planned: None,
            confirmed: None,
        })
    }
}

/// Over everything of a request but its id, each part with its length: the same id with another body is an error.
fn digest(caller: &str, request: &wire::SubmitRequest) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [caller.as_bytes(), request.target.as_bytes(), request.function.as_bytes(), &request.args] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(request.delivery_timeout_ms.to_be_bytes());
    hash.update(request.run_timeout_ms.to_be_bytes());
    hash.finalize().into()
}

fn caller<T>(request: &Request<T>) -> Result<String, Status> {
    let peer = request.extensions().get::<Arc<Identity>>();
    peer.map(|p| p.id().to_string()).ok_or_else(|| Code::Denied.status("no identity"))
}

fn submit_error(error: SubmitError) -> Status {
    let code = match error {
        SubmitError::NoMatch { .. } => Code::NoMatch,
        SubmitError::UnknownIds { .. } => Code::Invalid,
        SubmitError::PlanMoved { .. } => Code::PlanMoved,
        SubmitError::TooWide { .. } => Code::TooWide,
        SubmitError::RequestReused(_) => Code::RequestReused,
        SubmitError::TooManyJobs => Code::Busy,
        SubmitError::Store(_) => Code::Store,
    };
    code.status(error.to_string())
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

fn summary(job: JobSummary) -> wire::JobHead {
    wire::JobHead {
        jid: job.jid.micros(),
        function: job.function,
        args: job.args.unwrap_or_default().to_vec(),
        target: job.target,
        caller: job.caller,
        targets: job.targets,
        created: job.created,
        closed: job.closed.unwrap_or(0),
        outcomes: watch::counts(job.counts.into_iter()),
        cancelled: job.cancelled,
        ..wire::JobHead::default()
    }
}

#[tonic::async_trait]
impl Operator for OperatorService {
    async fn submit(&self, request: Request<wire::SubmitRequest>) -> Reply<wire::Submitted> {
        let caller = caller(&request)?;
        let submission = Box::new(self.submission(caller, request.into_inner())?);
        let accepted = self.ask(|tx| Ask::Submit(submission, tx)).await?.map_err(submit_error)?;
        let Accepted { jid, targets, known } = accepted;
        Ok(Response::new(wire::Submitted { jid: jid.micros(), targets, known }))
    }

    type WatchStream = Streamed<wire::WatchEvent>;

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Reply<Self::WatchStream> {
        let jid = Jid::from_micros(request.into_inner().jid);
        let updates = self.ask(|tx| Ask::Watch(jid, tx)).await?;
        let updates = updates.ok_or_else(|| Code::Busy.status("too many watchers: try again later"))?;
        let (tx, rx) = mpsc::channel(STREAM_QUEUE);
        // Ends with its client: sending to a stream that is gone fails.
        tokio::spawn(watch::stream(self.store.clone(), self.directory.clone(), jid, updates, tx));
        Ok(Response::new(Box::pin(ReceiverStream::new(rx))))
    }

    async fn cancel(&self, request: Request<wire::CancelRequest>) -> Reply<wire::CancelReply> {
        let jid = Jid::from_micros(request.into_inner().jid);
        let outstanding = self.ask(|tx| Ask::Cancel(jid, tx)).await?;
        let gone = || Code::NoSuchJob.status(format!("job {jid} is not open: there is nothing to cancel"));
        Ok(Response::new(wire::CancelReply { outstanding: outstanding.ok_or_else(gone)? }))
    }

    async fn list_jobs(&self, request: Request<wire::ListJobsRequest>) -> Reply<wire::ListJobsReply> {
        let wire::ListJobsRequest { limit, before, .. } = request.into_inner();
        let limit = if limit == 0 { 50 } else { limit as usize };
        let before = (before != 0).then(|| Jid::from_micros(before));
        let jobs = self.store.jobs(limit, before).await.map_err(store_error)?;
        Ok(Response::new(wire::ListJobsReply { jobs: jobs.into_iter().map(summary).collect() }))
    }

    async fn approve(&self, _: Request<wire::ApproveRequest>) -> Reply<wire::ApproveReply> {
        Err(Status::unimplemented("approve"))
    }
    async fn plan(&self, _: Request<wire::SubmitRequest>) -> Reply<wire::PlanReply> {
        Err(Status::unimplemented("plan"))
    }
    type OutstandingStream = Streamed<wire::OutstandingPage>;
    async fn outstanding(&self, _: Request<wire::OutstandingRequest>) -> Reply<Self::OutstandingStream> {
        Err(Status::unimplemented("outstanding"))
    }
    async fn job_stats(&self, _: Request<wire::JobFilter>) -> Reply<wire::JobStatsReply> {
        Err(Status::unimplemented("job_stats"))
    }
    async fn prune_jobs(&self, _: Request<wire::PruneJobsRequest>) -> Reply<wire::PruneJobsReply> {
        Err(Status::unimplemented("prune_jobs"))
    }
    async fn put_schedule(&self, _: Request<wire::PutScheduleRequest>) -> Reply<wire::Schedule> {
        Err(Status::unimplemented("put_schedule"))
    }
    async fn list_schedules(
        &self,
        _: Request<wire::ListSchedulesRequest>,
    ) -> Reply<wire::ListSchedulesReply> {
        Err(Status::unimplemented("list_schedules"))
    }
    async fn remove_schedule(&self, _: Request<wire::ScheduleName>) -> Reply<wire::Schedule> {
        Err(Status::unimplemented("remove_schedule"))
    }
    async fn pause_schedule(&self, _: Request<wire::PauseScheduleRequest>) -> Reply<wire::Schedule> {
        Err(Status::unimplemented("pause_schedule"))
    }
    async fn run_schedule(&self, _: Request<wire::RunScheduleRequest>) -> Reply<wire::Submitted> {
        Err(Status::unimplemented("run_schedule"))
    }

    type ListMinionsStream = Streamed<wire::MinionsPage>;

    async fn list_minions(
        &self,
        request: Request<wire::ListMinionsRequest>,
    ) -> Reply<Self::ListMinionsStream> {
        let wire::ListMinionsRequest { down, target, grains } = request.into_inner();
        let target = match target.as_str() {
            "" => None,
            text => Some(Target::parse(text).map_err(|e| Code::Invalid.status(e.to_string()))?),
        };
        let look = move |inventory: &Inventory| {
            let mut members = target.map_or_else(|| inventory.all().clone(), |t| inventory.evaluate(&t));
            if down {
                members -= inventory.up();
            }
            let minion = |m: &relay_core::inventory::Minion| wire::Minion {
                id: m.id.to_string(),
                region: m.region.to_string(),
                syndic: m.syndic.to_string(),
                up: m.up,
                since: m.since,
                grains: if grains { m.grains.to_string() } else { String::new() },
            };
            members.iter().filter_map(|no| inventory.get(no)).map(minion).collect()
        };
        let mut minions = self.ask(|tx| Ask::Look(Box::new(look), tx)).await?;
        minions.sort_by(|a, b| a.id.cmp(&b.id));
        let (tx, rx) = mpsc::channel(STREAM_QUEUE);
        tokio::spawn(async move {
            let mut minions = minions.into_iter().peekable();
            while minions.peek().is_some() {
                let page = wire::MinionsPage { minions: minions.by_ref().take(MINIONS_PER_PAGE).collect() };
                if tx.send(Ok(page)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(rx))))
    }

    async fn status(&self, _: Request<wire::StatusRequest>) -> Reply<wire::StatusReply> {
        Ok(Response::new(self.ask(Ask::Status).await?))
    }
}
