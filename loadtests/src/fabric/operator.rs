//! The operator's side of a run: jobs measured from the request to the event that closes them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use relay_core::{
    batch::{BatchRule, BatchSize},
    topology::Share,
};
use relay_proto::{
    Code, batch,
    operator::{
        Returns, StatusReply, StatusRequest, SubmitRequest, WatchRequest, operator_client::OperatorClient,
        watch_event::Event,
    },
};
use relay_runtime::{config::TlsConfig, identity, link, tls};
use tokio::time::timeout;

use super::site::fabric_name;

/// Largest message taken from a top master, in bytes: returns of thousands of minions with one body.
const MAX_MESSAGE: usize = 16 << 20;
/// How long a job may take until the run is given up: longer than the delivery and run timeouts together.
pub const JOB_TIME: Duration = Duration::from_secs(120);

/// How long a top master may take to own the fabric, once it listens.
const OWNING_TIME: Duration = Duration::from_secs(30);
/// The pause between two questions whether it does.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A connection to the top master. Clones share it.
#[derive(Debug, Clone)]
pub struct Operator {
    client: OperatorClient<link::Channel>,
}

/// How a job went.
#[derive(Debug, Clone)]
pub struct Ended {
    /// From the request to the closing event, both at the operator.
    pub elapsed: Duration,
    /// From the request to its acceptance.
    pub accepted: Duration,
    /// Targets at the beginning.
    pub targets: u64,
    /// Targets by outcome, as the closing event counts them.
    pub outcomes: BTreeMap<String, u64>,
    /// Minions named in the returns with the outcome `ok`, each return event counted.
    pub named_ok: u64,
}

impl Ended {
    /// Targets that have an outcome, whichever.
    pub fn accounted(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// Targets that answered `ok`, if the two ways to count them agree: the closing event's, and the minions named.
    pub fn answered(&self) -> u64 {
        self.outcomes.get("ok").copied().unwrap_or(0).min(self.named_ok)
    }
}

impl Operator {
    /// Connects.
    ///
    /// # Errors
    /// Nobody answers there, or it is not the top master.
    pub async fn dial(address: SocketAddr, server_name: &str, files: &TlsConfig) -> anyhow::Result<Operator> {
        let tls = tls::client(&identity::load(files, &fabric_name()?)?)?;
        let channel = link::channel(&address.to_string(), server_name, tls).await?;
        Ok(Operator { client: OperatorClient::new(channel).max_decoding_message_size(MAX_MESSAGE) })
    }

    /// The state of the fabric.
    ///
    /// # Errors
    /// The top master does not answer, or owns nothing after [`OWNING_TIME`].
    pub async fn status(&mut self) -> anyhow::Result<StatusReply> {
        let until = tokio::time::Instant::now() + OWNING_TIME;
        loop {
            match self.client.status(StatusRequest {}).await {
                // It listens before it has taken the store over.
                Err(status)
                    if Code::of(&status) == Some(Code::NotOwner) && tokio::time::Instant::now() < until =>
                {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                reply => return Ok(reply.context("status of the fabric")?.into_inner()),
            }
        }
    }

    /// Runs a job on all minions. `args` is JSON as in a `SubmitRequest`.
    ///
    /// # Errors
    /// It is not accepted, or not closed within [`JOB_TIME`].
    pub async fn run(&mut self, request_id: u128, function: &str, args: &str) -> anyhow::Result<Ended> {
        self.run_batched(request_id, function, args, None).await
    }

    /// Runs a job on all minions, so many at once if `window` says so.
    ///
    /// # Errors
    /// As [`Operator::run`].
    pub async fn run_batched(
        &mut self,
        request_id: u128,
        function: &str,
        args: &str,
        window: Option<u32>,
    ) -> anyhow::Result<Ended> {
        self.run_on("*", request_id, function, args, window).await
    }

    /// Runs a job on a target, so many at once if `window` says so.
    ///
    /// # Errors
    /// As [`Operator::run`].
    pub async fn run_on(
        &mut self,
        target: &str,
        request_id: u128,
        function: &str,
        args: &str,
        window: Option<u32>,
    ) -> anyhow::Result<Ended> {
        let rule =
            window.map(|n| BatchRule { size: BatchSize::Window(Share::Count(n)), ..BatchRule::default() });
        let request = SubmitRequest {
            request_id: request_id.to_be_bytes().to_vec(),
            target: target.into(),
            function: function.into(),
            args: args.as_bytes().to_vec(),
            delivery_timeout_ms: 0,
            run_timeout_ms: 0,
            batch: rule.as_ref().map(batch::encode),
            ..SubmitRequest::default()
        };
        let job = timeout(JOB_TIME, self.follow(request)).await;
        job.with_context(|| format!("{function}: not closed within {JOB_TIME:?}"))?
            .context(function.to_owned())
    }

    /// Asks for a job and does not wait for its end: its jid, and how many targets it has.
    ///
    /// # Errors
    /// It is not accepted, or nobody answers. It can be asked for again under the same id.
    pub async fn ask(
        &mut self,
        target: &str,
        request_id: u128,
        function: &str,
    ) -> anyhow::Result<(u64, u64)> {
        let request = SubmitRequest {
            request_id: request_id.to_be_bytes().to_vec(),
            target: target.into(),
            function: function.into(),
            args: super::NO_ARGUMENTS.as_bytes().to_vec(),
            ..SubmitRequest::default()
        };
        let submitted = self.client.submit(request).await?.into_inner();
        Ok((submitted.jid, submitted.targets))
    }

    /// How many jobs are open.
    ///
    /// # Errors
    /// As [`Operator::status`].
    pub async fn open_jobs(&mut self) -> anyhow::Result<u64> {
        Ok(self.status().await?.jobs_open)
    }

    /// All that was ever told of the answers of a job, in order, until it was closed.
    ///
    /// # Errors
    /// There is no such job, or it is not closed within [`JOB_TIME`].
    pub async fn history(&mut self, jid: u64) -> anyhow::Result<Vec<Returns>> {
        let told = async {
            let mut events = self.client.watch(WatchRequest { jid, after: 0 }).await?.into_inner();
            let mut told = Vec::new();
            while let Some(event) = events.message().await? {
                match event.event {
                    Some(Event::Returns(returns)) => told.push(returns),
                    Some(Event::Closed(_)) => return Ok(told),
                    _ => {}
                }
            }
            anyhow::bail!("job {jid}: the stream of its events ended before it was closed")
        };
        timeout(JOB_TIME, told).await.with_context(|| format!("job {jid}: not closed within {JOB_TIME:?}"))?
    }

    async fn follow(&mut self, request: SubmitRequest) -> anyhow::Result<Ended> {
        let begun = Instant::now();
        let submitted = self.client.submit(request).await?.into_inner();
        let accepted = begun.elapsed();
        let mut events = self.client.watch(WatchRequest { jid: submitted.jid, after: 0 }).await?.into_inner();
        let mut named_ok = 0;
        while let Some(event) = events.message().await? {
            match event.event {
                Some(Event::Returns(returns)) if returns.outcome == "ok" => {
                    named_ok += returns.minions.len() as u64
                }
                Some(Event::Closed(closed)) => {
                    let elapsed = begun.elapsed();
                    let outcomes = closed.outcomes.into_iter().map(|c| (c.outcome, c.minions)).collect();
                    return Ok(Ended { elapsed, accepted, targets: submitted.targets, outcomes, named_ok });
                }
                _ => {}
            }
        }
        anyhow::bail!("the top master ended the stream of events before it closed the job")
    }
}
