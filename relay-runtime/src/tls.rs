//! rustls configurations of the fabric: mutual TLS 1.3, one provider, one root.
//!
//! Owns what both sides of a connection insist on; reading certificates is [`crate::identity`]'s, sockets are
//! [`crate::link`]'s. tonic's own TLS is not used: it has no reload, no revocation hook and no peer check (docs/adr/0002).

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use rustls_pki_types::CertificateDer;

use crate::{identity::LoadedIdentity, link::framed};

mod current;
mod files;

pub use current::{ClientTls, Ended, ServerTls, Tls, still};
pub use files::follow_files;

/// HTTP/2: gRPC, on every port of ours.
const HTTP2: &[u8] = b"h2";

/// What a dialling side offers where a minion's link to its syndic is meant: frames of our own, and gRPC for a syndic that does not
/// know them yet.
pub(crate) fn link_protocols() -> Vec<Vec<u8>> {
    vec![framed::ALPN.to_vec(), HTTP2.to_vec()]
}

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate, the key or the root is not usable.
    #[error("TLS: {0}: check that certificate, key and root belong together")]
    Rustls(#[from] rustls::Error),
    /// What is configured as a root is none.
    #[error("TLS: the root: {0}")]
    Root(String),
    /// The root is not usable to verify clients.
    #[error("TLS: the root can't verify clients: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(certificates: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates {
        roots.add(root.clone())?;
    }
    Ok(Arc::new(roots))
}

/// The accepting side: a client without a certificate of this fabric does not get past the handshake. No session
/// tickets and no cache: a link lives for days, and idle memory is what counts (docs/adr/0002).
pub fn server(identity: &LoadedIdentity) -> Result<Arc<ServerConfig>, TlsError> {
    accepting(identity, Port::Closed)
}

/// What kind of port connections come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Port {
    /// gRPC, for those who show a certificate.
    Closed,
    /// gRPC; a client may show no certificate at all: it proves in its calls who it is, or may make none. A certificate that is shown
    /// has to be one of this fabric all the same.
    Open,
    /// The same, where minions attach: their links may be in frames of our own ([`crate::link`]).
    Minions,
}

/// [`server`] for a kind of port.
///
/// # Errors
/// As for it.
pub fn server_at(identity: &LoadedIdentity, port: Port) -> Result<Arc<ServerConfig>, TlsError> {
    accepting(identity, port)
}

fn accepting(identity: &LoadedIdentity, port: Port) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(&identity.roots)?, provider.clone());
    let verifier = if port == Port::Closed { verifier } else { verifier.allow_unauthenticated() }.build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.certs.clone(), identity.key.clone_key())?;
    config.alpn_protocols = if port == Port::Minions { link_protocols() } else { vec![HTTP2.to_vec()] };
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// The dialling side: the server must show the name that the configuration says it has.
pub fn client(identity: &LoadedIdentity) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(&identity.roots)?)
        .with_client_auth_cert(identity.certs.clone(), identity.key.clone_key())?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The dialling side of who has no certificate: it knows the fabric's roots, and shows nothing.
pub fn client_without_certificate(
    trusted: &[CertificateDer<'static>],
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(trusted)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
