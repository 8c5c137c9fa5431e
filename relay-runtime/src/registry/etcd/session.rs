//! The connection to one member at a time, and when to give it up for the next.
//!
//! etcd-client would spread calls over all members, also over those that are gone. Here one member is used until it fails;
//! then the next one is asked. A new connection is used only after a read that etcd's quorum has confirmed, so that nothing is
//! written to an etcd that went back (see [`super::seen`]).

use std::{
    fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use etcd_client::{Certificate, Client, ConnectOptions, GetOptions, Identity, ResponseHeader, TlsOptions};
use tokio::time::{Instant, timeout};

use super::{
    super::{Area, LeaseId, RegistryError, Revision},
    config::{EtcdConfig, EtcdTls},
    failure::Failure,
    names::Names,
    seen::Seen,
};
use crate::store::postgres::password;

/// How long one member may take for one answer: often enough for what must be answered within a third of a lease.
pub(super) const ATTEMPT: Duration = Duration::from_millis(1_000);
/// How long it may take to get to a member, to log in and to hear from the quorum. A password's hash takes a tenth of a second.
const CONNECT: Duration = Duration::from_millis(1_500);
/// How long a call goes on trying: time for two members that do not answer, or for an election.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries: members that refuse at once are not asked thousands of times.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the connection is tried below everything else while something waits on it. etcd's members hang up on whoever
/// does it more often than every 5 s, or while nothing waits.
const PING_EVERY: Duration = Duration::from_secs(6);
/// How long the answer to that may take.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// How to get to etcd, and the connection if there is one.
pub(super) struct Sessions {
    config: EtcdConfig,
    tls: Option<TlsOptions>,
    seen: Seen,
    current: Mutex<Current>,
    /// Held while connecting, so that one does it for all.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Current {
    session: Option<Session>,
    /// Rises with each connection.
    number: u64,
    /// Which endpoint is to be tried next.
    endpoint: usize,
}

/// A connection to a member.
#[derive(Clone)]
pub(super) struct Session {
    client: Client,
    number: u64,
    url: String,
}

impl Session {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

/// Leaves a member that a call has waited for without an answer, also when whoever called stopped waiting first.
struct Pending<'a> {
    sessions: &'a Sessions,
    number: u64,
    since: Instant,
    answered: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.answered && self.since.elapsed() >= ATTEMPT / 2 {
            self.sessions.leave(self.number);
        }
    }
}

/// One try of a call.
pub(super) struct Attempt<'a> {
    session: Session,
    seen: &'a Seen,
    before: Revision,
    after_doubt: bool,
}

impl Attempt<'_> {
    pub(super) fn client(&self) -> &Client {
        &self.session.client
    }

    /// Whether an earlier try of this call may have been carried out.
    pub(super) fn after_doubt(&self) -> bool {
        self.after_doubt
    }

    /// Notes an answer that the quorum has confirmed, and what change it is as of.
    pub(super) fn saw(&self, header: Option<&ResponseHeader>) -> Result<Revision, Failure> {
        Ok(self.seen.check(self.before, header)?)
    }
}

impl Sessions {
    /// Reads the files for TLS once.
    pub(super) fn new(config: &EtcdConfig, seen: Seen) -> Result<Sessions, RegistryError> {
        let tls = config.tls.as_ref().map(tls_options).transpose().map_err(RegistryError::Refused)?;
        Ok(Sessions {
            config: config.clone(),
            tls,
            seen,
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        })
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Does a call, trying again for as long as there is patience. `lease`: the one it depends on.
    pub(super) async fn ask<'a, T, F>(
        &'a self,
        lease: Option<LeaseId>,
        call: impl Fn(Attempt<'a>) -> F,
    ) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let until = Instant::now() + PATIENCE;
        let mut after_doubt = false;
        loop {
            let why = match self.session().await {
                Err(failure) => failure.judge(None)?,
                Ok(session) => {
                    let (number, url) = (session.number, session.url.clone());
                    let before = self.seen.revision();
                    let done = self
                        .attempt(call(Attempt { session, seen: &self.seen, before, after_doubt }), number);
                    let failure = match done.await {
                        Ok(done) => return Ok(done),
                        Err(failure) => failure.judge(lease).map_err(|error| self.given_up(number, error))?,
                    };
                    self.leave(number);
                    after_doubt = true;
                    format!("{url}: {failure}")
                }
            };
            if Instant::now() + PAUSE >= until {
                return Err(RegistryError::Unreachable(why));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn attempt<T>(
        &self,
        call: impl Future<Output = Result<T, Failure>>,
        number: u64,
    ) -> Result<T, Failure> {
        let mut pending = Pending { sessions: self, number, since: Instant::now(), answered: false };
        let answer = timeout(ATTEMPT, call).await;
        pending.answered = answer.is_ok();
        answer.unwrap_or_else(|_| Err(Failure::Again(silence(ATTEMPT))))
    }

    /// A connection that came to an etcd that is not ours is no good for the next call either.
    fn given_up(&self, number: u64, error: RegistryError) -> RegistryError {
        if matches!(error, RegistryError::Older { .. } | RegistryError::OtherCluster { .. }) {
            self.leave(number);
        }
        error
    }

    /// The connection; made if there is none.
    pub(super) async fn session(&self) -> Result<Session, Failure> {
        let _connecting = self.connecting.lock().await;
        if let Some(session) = self.current().session.clone() {
            return Ok(session);
        }
        let (number, endpoint) = {
            let mut current = self.current();
            let endpoint = current.endpoint;
            current.number += 1;
            // The next one is tried next, also if whoever waits for this one stops waiting.
            current.endpoint = endpoint.wrapping_add(1);
            (current.number, endpoint)
        };
        let connected = timeout(CONNECT, self.connect(number, endpoint)).await;
        let session = connected
            .map_err(|_| Failure::Again(format!("{}: {}", self.url(endpoint), silence(CONNECT))))??;
        let mut current = self.current();
        current.session = Some(session.clone());
        current.endpoint = endpoint;
        Ok(session)
    }

    async fn connect(&self, number: u64, endpoint: usize) -> Result<Session, Failure> {
        let url = self.url(endpoint);
        let options = self.options().map_err(RegistryError::Refused)?;
        let before = self.seen.revision();
        let at_url = |failure: Failure| match failure.judge(None) {
            Ok(why) => Failure::Again(format!("{url}: {why}")),
            Err(error) => Failure::Final(error),
        };
        let client = Client::connect([&url], Some(options)).await.map_err(|e| at_url(e.into()))?;
        let probe = GetOptions::new().with_prefix().with_count_only();
        let names = Names::below(&self.config.prefix).start(Area::All);
        let answer = client.kv_client().get(names, Some(probe)).await.map_err(|e| at_url(e.into()))?;
        self.seen.check(before, answer.header())?;
        Ok(Session { client, number, url })
    }

    fn options(&self) -> Result<ConnectOptions, String> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECT)
            .with_timeout(CONNECT)
            .with_keep_alive(PING_EVERY, PING_TIMEOUT)
            .with_keep_alive_while_idle(false)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some(tls) = &self.tls {
            options = options.with_tls(tls.clone());
        }
        if let Some(login) = &self.config.login {
            options = options.with_user(&login.user, password(&login.password_file)?.expose());
        }
        Ok(options)
    }

    fn url(&self, endpoint: usize) -> String {
        let endpoints = &self.config.endpoints;
        let endpoint = endpoints.get(endpoint % endpoints.len().max(1));
        endpoint.map(|endpoint| self.config.url(endpoint)).unwrap_or_default()
    }

    /// Gives a connection up, and its member for the next one.
    pub(super) fn leave(&self, number: u64) {
        let mut current = self.current();
        if current.session.as_ref().is_some_and(|session| session.number == number) {
            current.session = None;
            current.endpoint = current.endpoint.wrapping_add(1);
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn silence(within: Duration) -> String {
    format!("no answer within {} ms", within.as_millis())
}

fn tls_options(tls: &EtcdTls) -> Result<TlsOptions, String> {
    let read = |path: &Path| fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    let options = TlsOptions::new().ca_certificate(Certificate::from_pem(read(&tls.ca)?));
    match &tls.identity {
        None => Ok(options),
        Some((cert, key)) => Ok(options.identity(Identity::from_pem(read(cert)?, read(key)?))),
    }
}
