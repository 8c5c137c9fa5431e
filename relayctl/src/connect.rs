//! A connection to the top master of a context: dialled when it is needed, and again when it was lost.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use relay_core::ids::Jid;
use relay_proto::operator::{
    ApproveReply, ApproveRequest, CancelReply, CancelRequest, FunctionStats, JobFilter, JobHead,
    ListJobsRequest, ListMinionsRequest, ListSchedulesRequest, Minion, Outstanding, OutstandingRequest,
    PauseScheduleRequest, PlanReply, PruneJobsRequest, PutScheduleRequest, RunScheduleRequest, Schedule,
    ScheduleName, StatusReply, StatusRequest, SubmitRequest, Submitted, WatchEvent, WatchRequest,
    operator_client::OperatorClient,
};
use relay_runtime::{config::TlsConfig, identity, link, tls};
use tonic::{Status, Streaming};

use crate::{
    api::{Api, CallError, Events},
    contexts::{Address, Context, ContextFile},
};

/// Largest message taken from a top master, in bytes: a page of minions with grains, a return of 1 MiB with its ids.
const MAX_MESSAGE: usize = 16 << 20;

/// How long one answer may take. Accepting a job means one commit; a top master that needs longer is as good as gone.
const ANSWER_TIME: Duration = Duration::from_secs(20);

type Client = OperatorClient<link::Channel>;

/// The top master of a context. A clone shares the connection: for two calls at once.
#[derive(Clone)]
pub struct Fabric {
    addresses: Vec<Address>,
    tls: Arc<rustls::ClientConfig>,
    client: Option<Client>,
}

impl Fabric {
    /// Reads the certificates of a context. Dials nobody yet.
    ///
    /// # Errors
    /// A file of the context cannot be used: which, why, and what to do.
    pub fn of(context: &Context) -> anyhow::Result<Fabric> {
        let place = || format!("context {:?}", context.name);
        let fabric = context.fabric.parse().with_context(place)?;
        let files =
            TlsConfig { ca: context.ca.clone(), cert: context.cert.clone(), key: context.key.clone() };
        let loaded =
            identity::load(&files, &fabric).map_err(|e| anyhow!("{e}; {}", e.hint())).with_context(place)?;
        let tls = tls::client(&loaded).with_context(place)?;
        Ok(Fabric { addresses: context.addresses.clone(), tls, client: None })
    }

    /// The fabric of the context with this name; the current one without a name.
    ///
    /// # Errors
    /// There is no such context, or a file of it cannot be used.
    pub fn wanted(name: Option<&str>) -> anyhow::Result<Fabric> {
        Fabric::of(ContextFile::of_user()?.read()?.choose(name)?)
    }

    async fn client(&mut self) -> Result<&mut Client, CallError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => dial(&self.addresses, &self.tls).await?,
        };
        Ok(self.client.insert(client))
    }

    /// Makes a call. After a lost connection the next one dials anew.
    async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut Client) -> Result<tonic::Response<T>, Status>,
    ) -> Result<T, CallError> {
        let client = self.client().await?;
        let answer = tokio::time::timeout(ANSWER_TIME, call(client)).await;
        let error = match answer {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => CallError::of(&status),
            Err(_) => CallError::Lost(format!("no answer within {ANSWER_TIME:?}")),
        };
        if matches!(error, CallError::Lost(_)) {
            self.client = None;
        }
        Err(error)
    }

    /// Cancels a job; says how many targets had no outcome yet.
    pub async fn cancel(&mut self, jid: Jid) -> Result<CancelReply, CallError> {
        self.call(async |client| client.cancel(CancelRequest { jid: jid.micros() }).await).await
    }

    /// Lets a job go on that waits between two stages of its batch.
    pub async fn approve(&mut self, jid: Jid) -> Result<ApproveReply, CallError> {
        self.call(async |client| client.approve(ApproveRequest { jid: jid.micros() }).await).await
    }

    /// What a job would do, and an id under which exactly that can be run.
    pub async fn plan(&mut self, request: SubmitRequest) -> Result<PlanReply, CallError> {
        self.call(async |client| client.plan(request).await).await
    }

    /// Who has no outcome yet in a job, and where each is held.
    pub async fn outstanding(&mut self, jid: Jid) -> Result<Vec<Outstanding>, CallError> {
        let request = OutstandingRequest { jid: jid.micros() };
        let mut pages = self.call(async |client| client.outstanding(request).await).await?;
        let mut minions = Vec::new();
        while let Some(page) = pages.message().await.map_err(|status| CallError::of(&status))? {
            minions.extend(page.minions);
        }
        Ok(minions)
    }

    /// Jobs, newest first.
    pub async fn jobs(&mut self, request: ListJobsRequest) -> Result<Vec<JobHead>, CallError> {
        self.call(async |client| client.list_jobs(request).await).await.map(|reply| reply.jobs)
    }

    /// Figures over the jobs that are kept, by function.
    pub async fn job_stats(&mut self, filter: JobFilter) -> Result<Vec<FunctionStats>, CallError> {
        self.call(async |client| client.job_stats(filter).await).await.map(|reply| reply.functions)
    }

    /// Forgets jobs that were closed before a moment (microseconds since 1970 UTC); says how many.
    pub async fn prune_jobs(&mut self, before: u64) -> Result<u64, CallError> {
        self.call(async |client| client.prune_jobs(PruneJobsRequest { before }).await)
            .await
            .map(|reply| reply.jobs)
    }

    /// Keeps a job to be run at times.
    pub async fn put_schedule(&mut self, request: PutScheduleRequest) -> Result<Schedule, CallError> {
        self.call(async |client| client.put_schedule(request).await).await
    }

    /// All schedules.
    pub async fn schedules(&mut self) -> Result<Vec<Schedule>, CallError> {
        let call = self.call(async |client| client.list_schedules(ListSchedulesRequest {}).await);
        call.await.map(|reply| reply.schedules)
    }

    /// Forgets a schedule; says what it was.
    pub async fn remove_schedule(&mut self, name: &str) -> Result<Schedule, CallError> {
        let name = name.to_owned();
        self.call(async |client| client.remove_schedule(ScheduleName { name }).await).await
    }

    /// Pauses a schedule, or lets it go on.
    pub async fn pause_schedule(&mut self, name: &str, paused: bool) -> Result<Schedule, CallError> {
        let name = name.to_owned();
        self.call(async |client| client.pause_schedule(PauseScheduleRequest { name, paused }).await).await
    }

    /// Runs a schedule's job now. The same request id again is the same job.
    pub async fn run_schedule(&mut self, request: &RunScheduleRequest) -> Result<Submitted, CallError> {
        self.call(async |client| client.run_schedule(request.clone()).await).await
    }

    /// All minions that a request asks for.
    pub async fn minions(&mut self, request: ListMinionsRequest) -> Result<Vec<Minion>, CallError> {
        let mut pages = self.call(async |client| client.list_minions(request).await).await?;
        let mut minions = Vec::new();
        while let Some(page) = pages.message().await.map_err(|status| CallError::of(&status))? {
            minions.extend(page.minions);
        }
        Ok(minions)
    }

    /// The state of the fabric.
    pub async fn status(&mut self) -> Result<StatusReply, CallError> {
        self.call(async |client| client.status(StatusRequest {}).await).await
    }
}

impl Api for Fabric {
    type Events = Streaming<WatchEvent>;

    async fn submit(&mut self, request: &SubmitRequest) -> Result<Submitted, CallError> {
        self.call(async |client| client.submit(request.clone()).await).await
    }

    async fn cancel(&mut self, jid: Jid) -> Result<CancelReply, CallError> {
        Fabric::cancel(self, jid).await
    }

    async fn approve(&mut self, jid: Jid) -> Result<ApproveReply, CallError> {
        Fabric::approve(self, jid).await
    }

    async fn watch(&mut self, jid: Jid, after: u64) -> Result<Streaming<WatchEvent>, CallError> {
        self.call(async |client| client.watch(WatchRequest { jid: jid.micros(), after }).await).await
    }
}

impl Events for Streaming<WatchEvent> {
    async fn next(&mut self) -> Result<Option<WatchEvent>, CallError> {
        self.message().await.map_err(|status| CallError::of(&status))
    }
}

/// The first address that answers and proves to be who it should be.
async fn dial(addresses: &[Address], tls: &Arc<rustls::ClientConfig>) -> Result<Client, CallError> {
    let mut failures = Vec::new();
    for Address { address, server_name } in addresses {
        match link::channel(address, server_name, tls.clone()).await {
            Ok(channel) => return Ok(client(channel)),
            Err(error) => failures.push(error.to_string()),
        }
    }
    let hint = "is the top master running, and does the context name it rightly (relayctl context show)?";
    Err(CallError::Unreachable(format!("{}; {hint}", failures.join("; "))))
}

fn client(channel: link::Channel) -> Client {
    OperatorClient::new(channel).max_decoding_message_size(MAX_MESSAGE)
}
