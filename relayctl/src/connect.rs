//! A connection to the top master of a context: dialled when it is needed, and again when it was lost.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use relay_core::ids::Jid;
use relay_proto::operator::{
    CancelReply, CancelRequest, JobHead, ListJobsRequest, ListMinionsRequest, Minion, StatusReply,
    StatusRequest, SubmitRequest, Submitted, WatchEvent, WatchRequest, operator_client::OperatorClient,
};
use relay_runtime::{config::TlsConfig, identity, link, tls};
use tonic::{Status, Streaming};

use crate::{
    api::{Api, CallError, Events},
    contexts::{Address, Context},
};

/// Largest message taken from a top master, in bytes: a page of minions with grains, a return of 1 MiB with its ids.
const MAX_MESSAGE: usize = 16 << 20;

/// How long one answer may take. Accepting a job means one commit; a top master that needs longer is as good as gone.
const ANSWER_TIME: Duration = Duration::from_secs(20);

type Client = OperatorClient<link::Channel>;

/// The top master of a context.
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

    /// Jobs, newest first.
    pub async fn jobs(&mut self, request: ListJobsRequest) -> Result<Vec<JobHead>, CallError> {
        self.call(async |client| client.list_jobs(request).await).await.map(|reply| reply.jobs)
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

    async fn watch(&mut self, jid: Jid) -> Result<Streaming<WatchEvent>, CallError> {
        self.call(async |client| client.watch(WatchRequest { jid: jid.micros(), after: 0 }).await).await
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
