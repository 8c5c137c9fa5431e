//! The operator API as a client: one call at a time, dialled anew for each, so that it is no matter which top master owns the
//! fabric, and whether one was restarted.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use crate::wait::until;
use relay_core::ids::Jid;
use relay_proto::{
    Code,
    operator::{
        ApplyTopologyRequest, ApproveRequest, CancelReply, CancelRequest, JobHead, ListJobsRequest,
        ListMinionsRequest, ListSchedulesRequest, Minion, PutScheduleRequest, Schedule, StatusReply,
        StatusRequest, SubmitRequest, Submitted, WatchEvent, WatchRequest, operator_client::OperatorClient,
        topology_progress,
    },
    trust::{RevokeRequest, members_client::MembersClient},
};
use relay_runtime::{identity::LoadedIdentity, link, tls};
use rustls::ClientConfig;
use tonic::{Response, Status, Streaming};

/// Largest message taken, in bytes: a return of 1 MiB with its ids.
const MAX_MESSAGE: usize = 16 << 20;

type Client = OperatorClient<link::Channel>;

/// An operator.
#[derive(Clone)]
pub struct Operator {
    /// Where top masters answer, and the name that each has to prove.
    tops: Vec<(String, String)>,
    /// The one that answered last.
    last: Arc<AtomicUsize>,
    /// Clones share it, too: a certificate that is renewed is renewed for all of them.
    tls: Arc<Mutex<Arc<ClientConfig>>>,
}

impl Operator {
    /// Somebody who calls whoever of these owns the fabric: each has an address, and a name that it has to prove.
    ///
    /// # Panics
    /// The certificate makes no TLS configuration.
    pub fn new(tops: Vec<(String, String)>, identity: &LoadedIdentity) -> Operator {
        let tls = tls::client(identity).expect("a TLS configuration");
        Operator { tops, last: Arc::default(), tls: Arc::new(Mutex::new(tls)) }
    }

    /// The same addresses, called with another certificate.
    ///
    /// # Panics
    /// As [`Operator::new`].
    pub fn with_identity(&self, identity: &LoadedIdentity) -> Operator {
        Operator::new(self.tops.clone(), identity)
    }

    fn tls(&self) -> Arc<ClientConfig> {
        self.tls.lock().expect("a whole lock").clone()
    }

    /// Calls with this certificate from now on.
    ///
    /// # Panics
    /// As [`Operator::new`].
    pub fn renew(&self, identity: &LoadedIdentity) {
        *self.tls.lock().expect("a whole lock") = tls::client(identity).expect("a TLS configuration");
    }

    /// Of these addresses, only that of the top master `no`.
    ///
    /// # Panics
    /// There are fewer.
    pub fn only(&self, no: usize) -> Operator {
        Operator { tops: vec![self.tops[no].clone()], last: Arc::default(), tls: self.tls.clone() }
    }

    /// Where it calls first.
    pub fn address(&self) -> &str {
        &self.tops[0].0
    }

    /// Calls the one that answered last, then the others: past those who are not there and those who do not own.
    pub(crate) async fn call<T>(
        &self,
        call: impl AsyncFn(&mut Client) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        let on = async |channel| {
            let mut client = OperatorClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
            call(&mut client).await
        };
        self.call_on(on).await
    }

    /// The same for another service than the operators' main one.
    pub(crate) async fn call_on<T>(
        &self,
        call: impl AsyncFn(link::Channel) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        let (first, mut refused) = (self.last.load(Ordering::Relaxed), Status::unavailable("no address"));
        for no in (0..self.tops.len()).map(|n| (first + n) % self.tops.len()) {
            let (address, server_name) = &self.tops[no];
            let channel = match link::channel(address, server_name, self.tls()).await {
                Ok(channel) => channel,
                Err(error) => {
                    refused = Status::unavailable(error.to_string());
                    continue;
                }
            };
            match call(channel).await.map(Response::into_inner) {
                Err(status) if Code::of(&status) == Some(Code::NotOwner) => refused = status,
                answer => {
                    self.last.store(no, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        Err(refused)
    }

    /// Lets certificates count no more.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn revoke(&self, uid: u64, up_to_generation: u32) -> Result<(), Status> {
        let request = RevokeRequest { uid, up_to_generation };
        self.call_on(async |channel| MembersClient::new(channel).revoke(request).await).await.map(drop)
    }

    /// Submits a job.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn submit(&self, request: SubmitRequest) -> Result<Submitted, Status> {
        self.call(async |c| c.submit(request.clone()).await).await
    }

    /// Watches a job from its beginning.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn watch(&self, jid: u64) -> Result<Streaming<WatchEvent>, Status> {
        self.watch_after(jid, 0).await
    }

    /// Watches a job from after a cursor.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn watch_after(&self, jid: u64, after: u64) -> Result<Streaming<WatchEvent>, Status> {
        self.call(async |c| c.watch(WatchRequest { jid, after }).await).await
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// Not open, or nobody there.
    pub async fn cancel(&self, jid: u64) -> Result<CancelReply, Status> {
        self.call(async |c| c.cancel(CancelRequest { jid }).await).await
    }

    /// Lets a canary go on, as soon as it asks.
    ///
    /// # Panics
    /// It does not ask in time.
    pub async fn approve_when_asked(&self, jid: Jid) {
        let request = ApproveRequest { jid: jid.micros() };
        until("the job to ask for an approval", async || {
            self.call(async |c| c.approve(request).await).await.ok()
        })
        .await;
    }

    /// The newest jobs.
    ///
    /// # Errors
    /// Nobody there.
    pub async fn jobs(&self) -> Result<Vec<JobHead>, Status> {
        let request = ListJobsRequest { limit: 1_000, before: 0, filter: None };
        self.call(async |c| c.list_jobs(request.clone()).await).await.map(|reply| reply.jobs)
    }

    /// Keeps a job to be run at times.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn put_schedule(&self, request: PutScheduleRequest) -> Result<Schedule, Status> {
        self.call(async |c| c.put_schedule(request.clone()).await).await
    }

    /// All schedules.
    ///
    /// # Errors
    /// Nobody there.
    pub async fn schedules(&self) -> Result<Vec<Schedule>, Status> {
        self.call(async |c| c.list_schedules(ListSchedulesRequest {}).await)
            .await
            .map(|reply| reply.schedules)
    }

    /// The minions that match a target; all for an empty one.
    ///
    /// # Errors
    /// A wrong target, or nobody there.
    pub async fn minions(&self, target: &str) -> Result<Vec<Minion>, Status> {
        let request = ListMinionsRequest { down: false, target: target.into(), grains: false };
        let mut pages = self.call(async |c| c.list_minions(request.clone()).await).await?;
        let mut minions = Vec::new();
        while let Some(page) = pages.message().await? {
            minions.extend(page.minions);
        }
        Ok(minions)
    }

    /// Applies a topology made on a revision, region by region without a pause, and says how the revision ended.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn apply_topology(&self, text: String, planned_on: u64) -> Result<String, Status> {
        let request = ApplyTopologyRequest { text, planned_on, settle_ms: 1, ..Default::default() };
        let mut progress = self.call(async |c| c.apply_topology(request.clone()).await).await?;
        let mut last = None;
        while let Some(event) = progress.message().await? {
            last = event.event;
        }
        match last {
            Some(topology_progress::Event::Done(revision)) => Ok(revision.state),
            other => Err(Status::internal(format!("the stream ended with {other:?}"))),
        }
    }

    /// How things stand.
    ///
    /// # Errors
    /// Nobody there.
    pub async fn status(&self) -> Result<StatusReply, Status> {
        self.call(async |c| c.status(StatusRequest {}).await).await
    }
}

impl Operator {
    /// Makes a call with an empty message, whatever it is: what is said to it, if it is refused.
    ///
    /// # Panics
    /// Nobody can be dialled, or the path is none.
    pub async fn empty(&self, path: &'static str) -> Result<(), Status> {
        let (address, server_name) = &self.tops[0];
        let channel = link::channel(address, server_name, self.tls()).await.expect("a connection");
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.expect("a connection that takes calls");
        let (path, codec) = (path.parse().expect("a path"), tonic_prost::ProstCodec::<(), ()>::default());
        let answer = client.server_streaming(tonic::Request::new(()), path, codec).await;
        answer?.into_inner().message().await.map(drop)
    }
}
