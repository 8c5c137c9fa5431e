//! The top masters of a context: dialled when one is needed, and again when a connection was lost. Who of several is asked
//! is in `round`, the calls are in `calls`, a watch that notices a frozen one is in `watching`; `client` is what a connection is
//! used for, `presenting` shows the token on it.

mod calls;
mod client;
mod presenting;
mod round;
mod watching;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use http::HeaderValue;
use relay_core::identity::FabricName;
use relay_proto::operator::{StatusReply, StatusRequest};
use relay_runtime::{config::TlsConfig, identity, link, secret::Secret, tls, trust::Pin};
use tokio::time::timeout;
use tonic::{Response, Status};

pub use calls::Pages;
pub use client::Client;
pub use presenting::Presenting;
pub use round::Again;
use round::{Doors, Round};

use crate::{
    api::CallError,
    contexts::{Address, Context, ContextFile},
    job::Patience,
    tokens::Tokens,
};

/// Largest message taken from a top master, in bytes: a page of minions with grains, a return of 1 MiB with its ids.
const MAX_MESSAGE: usize = 16 << 20;

/// How long one answer may take. Accepting a job means one commit; a top master that needs longer is as good as gone.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// The same where another top master can be asked and asking twice does no harm: a frozen one shall cost seconds.
const ANSWER_TIME_AMONG: Duration = Duration::from_secs(8);

/// How long one dial may take where there is another address. Over continents it takes less than one.
const DIAL_TIME: Duration = Duration::from_secs(3);

/// The top masters of a context. A clone shares connections: for two calls at once.
#[derive(Clone)]
pub struct Fabric {
    round: Round<Addresses>,
}

/// Where they are, and as whom they are dialled.
#[derive(Clone)]
struct Addresses {
    addresses: Vec<Address>,
    tls: Arc<rustls::ClientConfig>,
    /// What is shown with each call.
    shown: Option<HeaderValue>,
}

/// How a caller shows who he is.
#[derive(Debug)]
pub enum Shown {
    /// By the context's certificate.
    Certificate,
    /// By a token.
    Token(Secret),
    /// Not at all: to log in.
    Nothing,
}

/// What one top master says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It owns the fabric.
    Owner,
    /// It waits to take over; what it says of the owner.
    Standby(String),
    /// It does not answer: why.
    Silent(String),
}

impl Fabric {
    /// The fabric of a context, as whoever the context and the environment say. Dials nobody yet.
    ///
    /// # Errors
    /// A file of the context cannot be used, or its user is not logged in: what to do.
    pub fn of(context: &Context) -> anyhow::Result<Fabric> {
        Fabric::showing(context, &Tokens::shown(context)?)
    }

    /// The same, as whoever is said. Reads the files that it takes.
    ///
    /// # Errors
    /// A file of the context cannot be used: which, why, and what to do.
    pub fn showing(context: &Context, shown: &Shown) -> anyhow::Result<Fabric> {
        let place = || format!("context {:?}", context.name);
        let fabric = context.fabric.parse().with_context(place)?;
        let tls = tls_of(context, &fabric, shown).with_context(place)?;
        let shown = match shown {
            Shown::Token(token) => Some(presenting::header(token).with_context(place)?),
            Shown::Certificate | Shown::Nothing => None,
        };
        Ok(Fabric { round: Round::new(Addresses { addresses: context.addresses.clone(), tls, shown }) })
    }

    /// The fabric of the context with this name; the current one without a name.
    ///
    /// # Errors
    /// There is no such context, or a file of it cannot be used.
    pub fn wanted(name: Option<&str>) -> anyhow::Result<Fabric> {
        Fabric::of(ContextFile::of_user()?.read()?.choose(name)?)
    }

    /// The same one, over connections of its own.
    pub fn apart(&self) -> Fabric {
        Fabric { round: Round::new(self.round.doors().clone()) }
    }

    /// How many top masters the context names.
    pub fn addresses(&self) -> usize {
        self.round.doors().count()
    }

    /// The addresses of its top masters, and what each says of itself when it is asked now.
    pub async fn standings(&self) -> Vec<(Address, Standing)> {
        let mut standings = Vec::new();
        for (at, address) in self.round.doors().addresses.iter().enumerate() {
            standings.push((address.clone(), self.standing(at).await));
        }
        standings
    }

    async fn standing(&self, at: usize) -> Standing {
        match self.status_of(at).await {
            Ok(_) => Standing::Owner,
            Err(CallError::Standby(why)) => Standing::Standby(why),
            Err(other) => Standing::Silent(other.to_string()),
        }
    }

    async fn status_of(&self, at: usize) -> Result<StatusReply, CallError> {
        let mut client = self.round.doors().open(at).await?;
        answered(DIAL_TIME, client.status(StatusRequest {})).await
    }

    /// Makes a call; waits while nobody owns the fabric.
    pub async fn call<T>(
        &mut self,
        again: Again,
        mut call: impl AsyncFnMut(&mut Client) -> Result<Response<T>, Status>,
    ) -> Result<T, CallError> {
        let limit = self.answer_time(again);
        let call = async |client: &mut Client| answered(limit, call(client)).await;
        self.round.ask_patiently(again, Patience::LOST, call).await
    }

    /// Makes a call, once around: for those who are patient themselves.
    async fn call_once<T>(
        &mut self,
        again: Again,
        mut call: impl AsyncFnMut(&mut Client) -> Result<Response<T>, Status>,
    ) -> Result<T, CallError> {
        // They know how to ask again.
        let limit = self.answer_time(Again::Harmless);
        self.round.ask(again, async |client: &mut Client| answered(limit, call(client)).await).await
    }

    fn answer_time(&self, again: Again) -> Duration {
        match self.round.doors().count() > 1 && again == Again::Harmless {
            true => ANSWER_TIME_AMONG,
            false => ANSWER_TIME,
        }
    }
}

/// What TLS goes by: a certificate, or the roots alone.
fn tls_of(
    context: &Context,
    fabric: &FabricName,
    shown: &Shown,
) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    let wrong = |e: identity::LoadError| anyhow!("{e}; {}", e.hint());
    let roots = identity::roots(&context.ca).map_err(wrong)?;
    if let Some(pin) = &context.root {
        let pin: Pin = pin.parse().map_err(|e| anyhow!("root {pin:?} {e}"))?;
        if !roots.iter().any(|root| Pin::of_certificate(root) == Some(pin)) {
            let ca = context.ca.display();
            anyhow::bail!(
                "no root in {ca} has the fingerprint {pin}: get the fabric's root from whoever runs it"
            );
        }
    }
    match (shown, &context.cert, &context.key) {
        (Shown::Certificate, Some(cert), Some(key)) => {
            let files = TlsConfig { ca: context.ca.clone(), cert: cert.clone(), key: key.clone() };
            Ok(tls::client(&identity::load(&files, fabric).map_err(wrong)?)?)
        }
        (Shown::Certificate, ..) => {
            Err(anyhow!("has no certificate and key: log in with \"relayctl login\""))
        }
        (Shown::Token(_) | Shown::Nothing, ..) => Ok(tls::client_without_certificate(&roots)?),
    }
}

/// An answer in time.
async fn answered<T>(
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    match timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(CallError::of(&status)),
        Err(_) => Err(CallError::Lost(format!("no answer within {limit:?}"))),
    }
}

impl Doors for Addresses {
    type Client = Client;

    fn count(&self) -> usize {
        self.addresses.len()
    }

    fn name(&self, at: usize) -> &str {
        self.addresses.get(at).map_or("", |a| &a.address)
    }

    /// It has to prove to be who it should be.
    async fn open(&self, at: usize) -> Result<Client, CallError> {
        let Some(Address { address, server_name }) = self.addresses.get(at) else {
            return Err(CallError::Unreachable("the context names no address".into()));
        };
        let dialled = link::channel(address, server_name, self.tls.clone());
        let channel = match self.count() {
            // The dial has bounds of its own.
            1 => dialled.await,
            _ => timeout(DIAL_TIME, dialled).await.map_err(|_| late(address))?,
        };
        let channel = channel.map_err(|error| CallError::Unreachable(error.to_string()))?;
        Ok(Client::new(Presenting::new(channel, self.shown.clone())))
    }
}

fn late(address: &str) -> CallError {
    CallError::Unreachable(format!("{address}: no answer within {DIAL_TIME:?}"))
}
