//! Whom a newcomer believes: a server whose chain goes up to the root with the fingerprint that it was told, and nobody else.
//!
//! There is no trust on first use. The server shows its whole chain with the root in it; the root counts if its fingerprint is
//! the one in the newcomer's configuration, and everything else (signatures, names, usages, time) is then rustls' own check
//! with that root alone. This is the only verifier of our own in the tree: rustls has none that begins with a hash.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::{tls::TlsError, trust::Pin};

/// Longest chain a server may show: leaf, issuer, and the roots of a replacement.
const MAX_SHOWN: usize = 8;

/// Knows the fingerprint of a root; learns the root.
#[derive(Debug)]
pub struct Pinned {
    pin: Pin,
    provider: Arc<CryptoProvider>,
    root: Mutex<Option<CertificateDer<'static>>>,
}

impl Pinned {
    /// Whoever has this root's word.
    pub fn new(pin: Pin) -> Arc<Pinned> {
        Arc::new(Pinned { pin, provider: Arc::new(aws_lc_rs::default_provider()), root: Mutex::default() })
    }

    /// The root, once a server was verified by it.
    pub fn root(&self) -> Option<CertificateDer<'static>> {
        self.root.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A TLS configuration that believes nobody else, and shows no certificate.
    ///
    /// # Errors
    /// TLS 1.3 is missing from the provider: never.
    pub fn client(self: &Arc<Self>) -> Result<Arc<ClientConfig>, TlsError> {
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        if intermediates.len() > MAX_SHOWN {
            return Err(unknown());
        }
        let pinned = |shown: &&CertificateDer<'_>| Pin::of_certificate(shown) == Some(self.pin);
        let root = intermediates.iter().find(pinned).ok_or_else(unknown)?.clone().into_owned();
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone());
        let verifier = verifier.build().map_err(|e| Error::General(e.to_string()))?;
        let good = verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(root);
        Ok(good)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
