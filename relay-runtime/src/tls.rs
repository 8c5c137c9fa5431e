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

use crate::identity::LoadedIdentity;

/// HTTP/2, the only protocol on any of our ports.
const ALPN: &[u8] = b"h2";

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate, the key or the root is not usable.
    #[error("TLS: {0}: check that certificate, key and root belong together")]
    Rustls(#[from] rustls::Error),
    /// The root is not usable to verify clients.
    #[error("TLS: the root can't verify clients: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(identity: &LoadedIdentity) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in &identity.roots {
        roots.add(root.clone())?;
    }
    Ok(Arc::new(roots))
}

/// The accepting side: a client without a certificate of this fabric does not get past the handshake. No session
/// tickets and no cache: a link lives for days, and idle memory is what counts (docs/adr/0002).
pub fn server(identity: &LoadedIdentity) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(identity)?, provider.clone()).build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.certs.clone(), identity.key.clone_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// The dialling side: the server must show the name that the configuration says it has.
pub fn client(identity: &LoadedIdentity) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(identity)?)
        .with_client_auth_cert(identity.certs.clone(), identity.key.clone_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
