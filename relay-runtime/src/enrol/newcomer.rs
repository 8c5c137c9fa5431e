//! Joining: asking with a key of one's own until an operator or a token has decided, and keeping what comes back.
//!
//! The key is made here and leaves this machine never. While it waits, the log says the fingerprint that the operator is to
//! compare. A refusal does not end it: an operator may think otherwise, so it asks again, more seldom.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use relay_core::{backoff::Backoff, enrol::token::JoinToken, identity::Identity};
use relay_proto::trust::{EnrolReply, EnrolRequest, Issued, Refused, enrol_reply};
use rustls::{ClientConfig, RootCertStore, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{error, info, warn};

use super::{
    FORMAT,
    files::{FileError, Files},
    parents::{Call, Parents},
    pinned::Pinned,
    proof::{BadProof, Held, OwnKey, TokenKey},
};
use crate::{
    config::{EnrolConfig, Parent, RootConfig},
    identity::{LoadError, LoadedIdentity, peer_identity},
    link::SOFTWARE,
    secret::Secret,
    tls,
    trust::{Ground, Pin, Trusted},
};

/// First wait after a parent could not be asked, in milliseconds.
const FIRST_WAIT: u64 = 500;
/// Longest wait after a parent could not be asked, in milliseconds.
const LONGEST_WAIT: u64 = 60_000;
/// Shortest and longest that is waited because a parent said so: what it says is not believed without bounds.
const TOLD_WAIT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3_600));
/// A wait is made up to so much longer, in parts of a thousand, so that those who began together ask apart.
const JITTER: u64 = 250;

/// Somebody who joins, or has joined.
pub struct Newcomer {
    identity: Identity,
    files: Files,
    state_dir: PathBuf,
    root: Root,
    token_file: Option<PathBuf>,
    parents: Parents,
    /// What it believes by now, once it is a member.
    pub(super) believed: Option<Trusted>,
}

/// By what a newcomer knows the fabric.
enum Root {
    Pinned(Pin, Arc<Pinned>),
    Known(Vec<CertificateDer<'static>>),
}

/// Why somebody cannot join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The roots' file.
    #[error(transparent)]
    Roots(#[from] LoadError),
    /// The token's file.
    #[error("{0}")]
    Token(String),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// A key.
    #[error(transparent)]
    Proof(#[from] BadProof),
    /// What is there is of somebody else.
    #[error(
        "{path} is the certificate of {found}, and the configuration says {expected}: correct it, or remove that directory to join anew"
    )]
    Other {
        /// The directory.
        path: PathBuf,
        /// Who it is.
        found: Box<Identity>,
        /// Who it should be.
        expected: Box<Identity>,
    },
    /// It was told to stop.
    #[error("stopped before it had joined")]
    Stopped,
}

/// An answer that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum BadAnswer {
    /// What is wrong with it.
    #[error("the answer cannot be taken: {0}")]
    Content(String),
    /// It can't be kept.
    #[error(transparent)]
    File(#[from] FileError),
    /// The bundle can't be kept.
    #[error("the bundle of trust cannot be kept: {0}")]
    Trust(String),
}

/// What became of one request.
pub(super) enum Outcome {
    /// It has a certificate, and it is kept.
    Member,
    /// Ask again after this.
    Later(Duration),
}

impl Newcomer {
    /// Somebody, as the configuration has it.
    ///
    /// # Errors
    /// The roots' file cannot be used.
    pub fn new(
        identity: Identity,
        config: &EnrolConfig,
        parents: Vec<Parent>,
        state_dir: &Path,
    ) -> Result<Newcomer, JoinError> {
        let root = match &config.root {
            RootConfig::Pin(pin) => Root::Pinned(*pin, Pinned::new(*pin)),
            RootConfig::File(path) => Root::Known(crate::identity::roots(path)?),
        };
        Ok(Newcomer {
            parents: Parents::new(parents, identity.fabric().clone()),
            files: Files::new(&config.dir),
            state_dir: state_dir.into(),
            token_file: config.token_file.clone(),
            root,
            identity,
            believed: None,
        })
    }

    /// Who.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where its key and its certificate are.
    pub fn files(&self) -> &Files {
        &self.files
    }

    pub(super) fn parents(&self) -> &Parents {
        &self.parents
    }

    /// What its belief begins with.
    pub fn ground(&self) -> Ground {
        match &self.root {
            Root::Pinned(pin, _) => Ground::Pin(*pin),
            Root::Known(roots) => Ground::Roots(roots.clone()),
        }
    }

    /// Joins, if it has not yet; who has, at once. `waits` is told once that it waits.
    ///
    /// # Errors
    /// A file cannot be used, or it was told to stop. Parents that are away or say no are asked again and again.
    pub async fn join(&self, token: &CancellationToken, waits: impl Fn()) -> Result<(), JoinError> {
        self.files.make()?;
        if let Some(held) = self.files.load(self.identity.fabric())? {
            return self.is_own(&held);
        }
        let key = self.files.next_key()?;
        waits();
        info!(
            identity = %self.identity, fingerprint = %key.fingerprint(), dir = %self.files.dir().display(),
            "asking to join; an operator compares this fingerprint"
        );
        let request = self.request(&key)?;
        let mut said = Said::default();
        let mut away = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let wait = match self.parents.ask(&request, &self.tls()?).await {
                Ok(reply) => {
                    away.reset();
                    match self.taken(reply, &key, &mut said) {
                        Ok(Outcome::Member) => return Ok(()),
                        Ok(Outcome::Later(wait)) => wait,
                        Err(bad) => {
                            said.say(Level::Error, bad.to_string());
                            Duration::from_millis(away.next(rand::random()))
                        }
                    }
                }
                Err(status) => {
                    said.say(Level::Warn, format!("cannot ask to join: {}", told(&status)));
                    Duration::from_millis(away.next(rand::random()))
                }
            };
            // There are bounds on connections without a certificate: none is held while there is nothing to ask.
            self.parents.forget();
            tokio::select! {
                () = token.cancelled() => return Err(JoinError::Stopped),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn is_own(&self, held: &LoadedIdentity) -> Result<(), JoinError> {
        if held.identity == self.identity {
            return Ok(());
        }
        let (found, expected) = (Box::new(held.identity.clone()), Box::new(self.identity.clone()));
        Err(JoinError::Other { path: self.files.dir().into(), found, expected })
    }

    /// The request to join with a key.
    pub(super) fn request(&self, key: &OwnKey) -> Result<Call, JoinError> {
        let csr = key.csr()?;
        let join = match &self.token_file {
            Some(path) => Some(TokenKey::of(&read_token(path)?)?.prove(&self.identity, &csr)),
            None => None,
        };
        Ok(Call::Request(EnrolRequest {
            format: FORMAT,
            id: self.identity.id().into(),
            role: self.identity.role().word().into(),
            region: self.identity.region().as_str().into(),
            csr,
            join,
            software: SOFTWARE.into(),
            from: String::new(),
        }))
    }

    /// TLS without a certificate, to whoever has the root's word.
    pub(super) fn tls(&self) -> Result<Arc<ClientConfig>, tls::TlsError> {
        match &self.root {
            Root::Pinned(_, pinned) => pinned.client(),
            Root::Known(roots) => tls::client_without_certificate(roots),
        }
    }

    /// What an answer to a request with this key means.
    pub(super) fn taken(
        &self,
        reply: EnrolReply,
        key: &OwnKey,
        said: &mut Said,
    ) -> Result<Outcome, BadAnswer> {
        match reply.state {
            Some(enrol_reply::State::Issued(issued)) => {
                self.keep(issued, key)?;
                Ok(Outcome::Member)
            }
            Some(enrol_reply::State::Pending(pending)) => {
                let (print, id) = (key.fingerprint(), self.identity.id());
                if pending.fingerprint != print.to_string() {
                    return Err(BadAnswer::Content("it is about another key".into()));
                }
                said.say(
                    Level::Info,
                    format!("waiting to be accepted: relayctl keys accept {id} --fingerprint {print}"),
                );
                Ok(Outcome::Later(later(pending.retry_after_ms)))
            }
            Some(enrol_reply::State::Refused(Refused { state, why, retry_after_ms })) => {
                let print = key.fingerprint();
                said.say(Level::Error, format!("not let in ({state}): {why}; own fingerprint {print}"));
                Ok(Outcome::Later(later(retry_after_ms)))
            }
            None => Err(BadAnswer::Content("it says nothing".into())),
        }
    }

    /// Keeps a certificate, if it is what was asked for and of this fabric.
    fn keep(&self, issued: Issued, key: &OwnKey) -> Result<(), BadAnswer> {
        let chain: Vec<CertificateDer<'static>> =
            issued.chain.into_iter().map(CertificateDer::from).collect();
        let bundle = issued.bundle.map(|bundle| prost::Message::encode_to_vec(&bundle));
        // A member hears of newer bundles on its links.
        let believed = match (&self.believed, &bundle) {
            (Some(believed), _) => Some(believed.clone()),
            (None, Some(bundle)) => Some(self.believe(bundle)?),
            (None, None) => None,
        };
        let roots = match &believed {
            Some(believed) => believed.now().roots().iter().map(|root| root.certificate.clone()).collect(),
            None => self.roots()?,
        };
        self.is_good(&chain, &roots, key).map_err(BadAnswer::Content)?;
        if let Some(believed) = believed.filter(|_| self.believed.is_none()) {
            let failed = |e| BadAnswer::Trust(format!("{}: {e}", self.state_dir.display()));
            believed.keep(&self.state_dir, &self.ground()).map_err(failed)?;
        }
        self.files.keep(key, &chain, &roots)?;
        let ends = Held::read(chain).map(|held| held.span.1).unwrap_or_default();
        info!(identity = %self.identity, fingerprint = %key.fingerprint(), ends, "has a certificate");
        Ok(())
    }

    /// What follows from the bundle that came with the first certificate.
    fn believe(&self, bundle: &[u8]) -> Result<Trusted, BadAnswer> {
        let (fabric, now) = (self.identity.fabric().clone(), crate::trust::now());
        let refused = |why: String| BadAnswer::Trust(why);
        match &self.root {
            Root::Pinned(pin, _) => {
                Trusted::of_pin(fabric, *pin, bundle, now).map_err(|e| refused(e.to_string()))
            }
            Root::Known(roots) => {
                let trusted = Trusted::of_roots(fabric, roots).map_err(|e| refused(e.to_string()))?;
                trusted.offer(bundle, now).map_err(|e| refused(e.to_string()))?;
                Ok(trusted)
            }
        }
    }

    /// The root that the configuration names.
    fn roots(&self) -> Result<Vec<CertificateDer<'static>>, BadAnswer> {
        match &self.root {
            Root::Known(roots) => Ok(roots.clone()),
            Root::Pinned(_, pinned) => {
                let none = || BadAnswer::Content("the root is not known yet".into());
                pinned.root().map(|root| vec![root]).ok_or_else(none)
            }
        }
    }

    fn is_good(
        &self,
        chain: &[CertificateDer<'static>],
        roots: &[CertificateDer<'static>],
        key: &OwnKey,
    ) -> Result<(), String> {
        let (leaf, between) = chain.split_first().ok_or("there is no certificate in it")?;
        let found = peer_identity(leaf, self.identity.fabric()).map_err(|e| e.to_string())?;
        if found != self.identity {
            return Err(format!("it is the certificate of {found}"));
        }
        let held = Held::read(chain.to_vec()).map_err(|e| e.to_string())?;
        if held.fingerprint != key.fingerprint() {
            return Err("it is the certificate of another key".into());
        }
        of_fabric(leaf, between, roots, UnixTime::now())
            .map_err(|e| format!("{e}; is this machine's clock right?"))
    }
}

/// Whether a chain goes up to one of these roots, at a moment.
///
/// # Errors
/// It does not, or a certificate of it does not count then.
pub fn of_fabric(
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    roots: &[CertificateDer<'static>],
    at: UnixTime,
) -> Result<(), rustls::Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider).build();
    let verifier = verifier.map_err(|e| rustls::Error::General(e.to_string()))?;
    verifier.verify_client_cert(leaf, between, at).map(drop)
}

/// The token in a file that is for its owner alone.
fn read_token(path: &Path) -> Result<JoinToken, JoinError> {
    let text = Secret::read("the join token", path).map_err(JoinError::Token)?;
    let token = text.expose().trim().parse();
    token.map_err(|error| JoinError::Token(format!("{}: {error}", path.display())))
}

/// What a parent says about when to ask again, with jitter.
fn later(told_ms: u64) -> Duration {
    let told = Duration::from_millis(told_ms).clamp(TOLD_WAIT.0, TOLD_WAIT.1);
    let more = rand::random_range(0..=JITTER) as f64 / 1_000.0;
    told.mul_f64(1.0 + more)
}

/// A status for the log.
pub(super) fn told(status: &Status) -> String {
    match status.message() {
        "" => status.code().to_string(),
        message => message.to_owned(),
    }
}

/// How loud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Info,
    Warn,
    Error,
}

/// What was said last: the same again each few seconds would bury the log.
#[derive(Debug, Default)]
pub(super) struct Said(String);

impl Said {
    pub(super) fn say(&mut self, level: Level, text: String) {
        if text == self.0 {
            return;
        }
        match level {
            Level::Info => info!("{text}"),
            Level::Warn => warn!("{text}"),
            Level::Error => error!("{text}"),
        }
        self.0 = text;
    }
}
