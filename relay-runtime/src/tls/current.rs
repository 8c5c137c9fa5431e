//! TLS of a process as it is at the moment: its certificate is renewed and roots are replaced while it runs, and each handshake
//! goes by what counts then. Links that stand are [`crate::link`]'s to end.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{ClientConfig, RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;

use super::{Port, TlsError, accepting, client, provider};
use crate::{
    identity::LoadedIdentity,
    trust::{Enrolment, Seconds, Trusted, bundle::Root},
};

/// Who this process is and whom it believes, now. Clones share it.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    own: watch::Sender<Arc<LoadedIdentity>>,
    trusted: Trusted,
    made: Mutex<Made>,
    /// The certificates between a peer's and the root that were shown last.
    between: Mutex<Arc<[CertificateDer<'static>]>>,
}

/// Configurations that were made of what counted then.
#[derive(Default)]
struct Made {
    of: Option<(Arc<LoadedIdentity>, Arc<[Root]>)>,
    servers: [Option<Arc<ServerConfig>>; 3],
    client: Option<Arc<ClientConfig>>,
}

/// Why a certificate that was good does not count any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Its enrolment or its generation is denied.
    #[error("its certificate is revoked")]
    Revoked,
    /// Its time is over.
    #[error("its certificate has expired")]
    Expired,
    /// The root above it counts no more.
    #[error("its certificate is of a root that counts no more")]
    Root,
}

impl Ended {
    /// A word for the metric.
    pub fn word(self) -> &'static str {
        match self {
            Ended::Revoked => "revoked",
            Ended::Expired => "expired",
            Ended::Root => "root",
        }
    }
}

impl Tls {
    /// Of a certificate and a belief. The roots that came with the certificate do not count: those of the belief do.
    ///
    /// # Errors
    /// They make no TLS configuration.
    pub fn new(own: LoadedIdentity, trusted: Trusted) -> Result<Tls, TlsError> {
        let (own, between) = (watch::channel(Arc::new(own)).0, Mutex::new(Arc::from([])));
        let inner = Inner { own, trusted, made: Mutex::default(), between };
        let tls = Tls(Arc::new(inner));
        tls.client()?;
        Ok(tls)
    }

    /// Of a certificate and the roots that came with it, and nothing more: for tests and tools.
    ///
    /// # Errors
    /// They make no TLS configuration.
    pub fn alone(own: LoadedIdentity) -> Result<Tls, TlsError> {
        let trusted = Trusted::of_roots(own.identity.fabric().clone(), &own.roots)
            .map_err(|flaw| TlsError::Root(flaw.to_string()))?;
        Tls::new(own, trusted)
    }

    /// The certificate that is shown.
    pub fn own(&self) -> Arc<LoadedIdentity> {
        self.0.own.borrow().clone()
    }

    /// Follows it.
    pub fn follow_own(&self) -> watch::Receiver<Arc<LoadedIdentity>> {
        self.0.own.subscribe()
    }

    /// Shows another certificate from now on, of the same identity.
    ///
    /// # Errors
    /// It makes no TLS configuration; the old one is shown on.
    pub fn renew(&self, own: LoadedIdentity) -> Result<(), TlsError> {
        client(&own)?;
        self.0.own.send_replace(Arc::new(own));
        Ok(())
    }

    /// What is believed.
    pub fn trusted(&self) -> &Trusted {
        &self.0.trusted
    }

    /// The accepting side of now, on a kind of port.
    ///
    /// # Errors
    /// What counts now makes no TLS configuration.
    pub fn server(&self, port: Port) -> Result<Arc<ServerConfig>, TlsError> {
        self.made(|made| &mut made.servers[port as usize], |own| accepting(own, port))
    }

    /// The dialling side of now.
    ///
    /// # Errors
    /// As [`Tls::server`].
    pub fn client(&self) -> Result<Arc<ClientConfig>, TlsError> {
        self.made(|made| &mut made.client, client)
    }

    fn made<T>(
        &self,
        place: impl Fn(&mut Made) -> &mut Option<Arc<T>>,
        make: impl Fn(&LoadedIdentity) -> Result<Arc<T>, TlsError>,
    ) -> Result<Arc<T>, TlsError> {
        let (own, roots) = (self.own(), self.0.trusted.now().roots().clone());
        // A panic while holding it leaves nothing that is half made.
        let mut made = self.0.made.lock().unwrap_or_else(PoisonError::into_inner);
        let same = made.of.as_ref().is_some_and(|of| Arc::ptr_eq(&of.0, &own) && Arc::ptr_eq(&of.1, &roots));
        if !same {
            *made = Made { of: Some((own.clone(), roots.clone())), ..Made::default() };
        }
        if let Some(kept) = place(&mut made) {
            return Ok(kept.clone());
        }
        let shown = LoadedIdentity {
            certs: own.certs.clone(),
            key: own.key.clone_key(),
            roots: certificates(&roots),
            identity: own.identity.clone(),
        };
        let new = make(&shown)?;
        *place(&mut made) = Some(new.clone());
        Ok(new)
    }

    /// Whether a certificate whose chain TLS has verified is denied all the same.
    ///
    /// # Errors
    /// It is.
    pub fn check(&self, enrolment: Enrolment) -> Result<(), Ended> {
        if self.0.trusted.is_denied(enrolment) { Err(Ended::Revoked) } else { Ok(()) }
    }

    /// The same certificates, kept once for peers that follow each other and show the same between their own and the root: nearly
    /// all do, and there are thousands of them.
    pub fn between(&self, shown: &[CertificateDer<'_>]) -> Arc<[CertificateDer<'static>]> {
        let mut last = self.0.between.lock().unwrap_or_else(PoisonError::into_inner);
        if **last != *shown {
            *last = shown.iter().map(|der| der.clone().into_owned()).collect();
        }
        last.clone()
    }

    /// Whether a chain that was good still is, under the roots of now.
    ///
    /// # Errors
    /// It is not.
    pub fn still(&self, chain: &[CertificateDer<'static>], now: Seconds) -> Result<(), Ended> {
        still(&self.0.trusted, chain, now)
    }
}

/// Whether a chain is good under the roots that are believed in now.
///
/// # Errors
/// It is not.
pub fn still(trusted: &Trusted, chain: &[CertificateDer<'static>], now: Seconds) -> Result<(), Ended> {
    use rustls::{CertificateError as Because, Error};
    let Some((leaf, between)) = chain.split_first() else { return Ok(()) };
    let mut store = RootCertStore::empty();
    for root in certificates(trusted.now().roots()) {
        store.add(root).map_err(|_| Ended::Root)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider()).build();
    let verifier = verifier.map_err(|_| Ended::Root)?;
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
    match verifier.verify_client_cert(leaf, between, at) {
        Ok(_) => Ok(()),
        Err(Error::InvalidCertificate(Because::Expired | Because::ExpiredContext { .. })) => {
            Err(Ended::Expired)
        }
        Err(_) => Err(Ended::Root),
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.own().identity).finish()
    }
}

fn certificates(roots: &[Root]) -> Vec<CertificateDer<'static>> {
    roots.iter().map(|root| root.certificate.clone()).collect()
}

/// The TLS of a port where connections are accepted.
#[derive(Clone)]
pub enum ServerTls {
    /// Always the same, and nobody's certificate ends: for tests.
    Fixed(Arc<ServerConfig>),
    /// As it is when a connection comes, on this kind of port.
    Current(Tls, Port),
}

impl ServerTls {
    /// For the next connection.
    ///
    /// # Errors
    /// What counts now makes no TLS configuration.
    pub fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        match self {
            ServerTls::Fixed(config) => Ok(config.clone()),
            ServerTls::Current(tls, port) => tls.server(*port),
        }
    }

    /// By whose belief certificates end.
    pub fn current(&self) -> Option<&Tls> {
        match self {
            ServerTls::Fixed(_) => None,
            ServerTls::Current(tls, _) => Some(tls),
        }
    }
}

impl From<Arc<ServerConfig>> for ServerTls {
    fn from(config: Arc<ServerConfig>) -> ServerTls {
        ServerTls::Fixed(config)
    }
}

/// The TLS of who dials.
#[derive(Clone)]
pub enum ClientTls {
    /// Always the same.
    Fixed(Arc<ClientConfig>),
    /// As it is when dialled.
    Current(Tls),
}

impl ClientTls {
    /// For the next connection.
    ///
    /// # Errors
    /// What counts now makes no TLS configuration.
    pub fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        match self {
            ClientTls::Fixed(config) => Ok(config.clone()),
            ClientTls::Current(tls) => tls.client(),
        }
    }

    /// By whose belief certificates end.
    pub fn current(&self) -> Option<&Tls> {
        match self {
            ClientTls::Fixed(_) => None,
            ClientTls::Current(tls) => Some(tls),
        }
    }
}

impl From<Arc<ClientConfig>> for ClientTls {
    fn from(config: Arc<ClientConfig>) -> ClientTls {
        ClientTls::Fixed(config)
    }
}

impl From<Tls> for ClientTls {
    fn from(tls: Tls) -> ClientTls {
        ClientTls::Current(tls)
    }
}
