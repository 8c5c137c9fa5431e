//! TLS to the database, with the fabric's own provider. The host's name in the certificate is checked, always.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::{TlsConnector, client};

use crate::identity;

/// TLS as the files say.
///
/// # Errors
/// What is wrong with which file.
pub(super) fn client_config(
    ca: &Path,
    identity: Option<&(PathBuf, PathBuf)>,
) -> Result<Arc<ClientConfig>, String> {
    with_identity(roots(ca)?, identity).map(Arc::new)
}

/// TLS to any server that is not of the fabric, by the roots in a file.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn tls_to(ca: &Path) -> Result<Arc<ClientConfig>, String> {
    client_config(ca, None)
}

/// Everything that is wrong with the files, for whoever checks a configuration.
pub(crate) fn wrong_files(ca: &Path, identity: Option<&(PathBuf, PathBuf)>) -> Vec<String> {
    let alone = with_identity(RootCertStore::empty(), identity).map(drop);
    [roots(ca).map(drop), alone].into_iter().filter_map(Result::err).collect()
}

fn with_identity(
    roots: RootCertStore,
    identity: Option<&(PathBuf, PathBuf)>,
) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots);
    let Some((certs, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    let own = identity::private_key(key).map_err(|e| e.to_string())?;
    let fitted = builder.with_client_auth_cert(certificates(certs)?, own);
    fitted.map_err(|e| format!("{} with {}: {e}", certs.display(), key.display()))
}

fn roots(ca: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for root in certificates(ca)? {
        roots.add(root).map_err(|e| format!("{}: {e}", ca.display()))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |e: rustls_pki_types::pem::Error| format!("{}: {e}", path.display());
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(failed)?.collect();
    match read.map_err(failed)? {
        none if none.is_empty() => Err(format!("{}: no certificate in it", path.display())),
        some => Ok(some),
    }
}

/// Makes TLS connections to one host.
#[derive(Clone)]
pub(super) struct Tls(pub(super) Arc<ClientConfig>);

/// One connection to be made.
pub(super) struct Dial {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Stream<S>;
    type TlsConnect = Dial;
    type Error = rustls_pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Dial, Self::Error> {
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Dial { connector: TlsConnector::from(self.0.clone()), name })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Dial {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { self.connector.connect(self.name, stream).await.map(Stream) })
    }
}

/// A TLS stream. Without channel binding: the certificate's name and signer are checked, which binds it as well.
pub(super) struct Stream<S>(client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
