//! The operator API as a client: one call at a time, dialled anew for each, so that a restarted top master is no matter.

use std::sync::Arc;

use crate::wait::until;
use relay_core::ids::Jid;
use relay_proto::operator::{
    ApproveRequest, CancelReply, CancelRequest, JobHead, ListJobsRequest, ListMinionsRequest,
    ListSchedulesRequest, Minion, Schedule, StatusReply, StatusRequest, SubmitRequest, Submitted, WatchEvent,
    WatchRequest, operator_client::OperatorClient,
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
    address: String,
    server_name: String,
    tls: Arc<ClientConfig>,
}

impl Operator {
    /// Somebody who calls the address, which has to prove that it is `server_name`.
    ///
    /// # Panics
    /// The certificate makes no TLS configuration.
    pub fn new(address: String, server_name: String, identity: &LoadedIdentity) -> Operator {
        Operator { address, server_name, tls: tls::client(identity).expect("a TLS configuration") }
    }

    /// The same address, called with another certificate.
    ///
    /// # Panics
    /// As [`Operator::new`].
    pub fn with_identity(&self, identity: &LoadedIdentity) -> Operator {
        Operator::new(self.address.clone(), self.server_name.clone(), identity)
    }

    /// Where it calls.
    pub fn address(&self) -> &str {
        &self.address
    }

    async fn call<T>(
        &self,
        call: impl AsyncFnOnce(&mut Client) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        let channel = link::channel(&self.address, &self.server_name, self.tls.clone()).await;
        let channel = channel.map_err(|e| Status::unavailable(e.to_string()))?;
        let mut client = OperatorClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        call(&mut client).await.map(Response::into_inner)
    }

    /// Submits a job.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn submit(&self, request: SubmitRequest) -> Result<Submitted, Status> {
        self.call(async |c| c.submit(request).await).await
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
        self.call(async |c| c.list_jobs(request).await).await.map(|reply| reply.jobs)
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
        let mut pages = self.call(async |c| c.list_minions(request).await).await?;
        let mut minions = Vec::new();
        while let Some(page) = pages.message().await? {
            minions.extend(page.minions);
        }
        Ok(minions)
    }

    /// How things stand.
    ///
    /// # Errors
    /// Nobody there.
    pub async fn status(&self) -> Result<StatusReply, Status> {
        self.call(async |c| c.status(StatusRequest {}).await).await
    }
}
