//! One link of the gRPC floor: a stream of bytes each way, accepted or dialled.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use anyhow::Context as _;
use bytes::{Buf, BufMut, Bytes};
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{
    Request, Response, Status, Streaming,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::QUEUE;

/// The one call.
const ATTACH: &str = "/floor.Floor/Attach";
/// Links that are accepted and not taken yet.
const ACCEPTED: usize = 64;

/// A link: what it says, and the way to tell it something.
pub struct Link {
    /// To the other end.
    pub tx: mpsc::Sender<Bytes>,
    /// From the other end.
    pub rx: Streaming<Bytes>,
}

/// Accepts links, handshakes side by side, until the receiver is gone.
pub fn accept(listener: TcpListener, tls: Arc<rustls::ServerConfig>) -> mpsc::Receiver<Link> {
    let (accepted, links) = mpsc::channel(ACCEPTED);
    let acceptor = TlsAcceptor::from(tls);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
            tokio::spawn(async move {
                let _ = socket.set_nodelay(true);
                let Ok(tls) = acceptor.accept(socket).await else { return };
                let service = service_fn(move |request| {
                    let attach = Attach(accepted.clone());
                    async move {
                        Ok::<_, Infallible>(tonic::server::Grpc::new(Raw).streaming(attach, request).await)
                    }
                });
                let served = http2::Builder::new(TokioExecutor::new());
                let _ = served.serve_connection(TokioIo::new(tls), service).await;
            });
        }
    });
    links
}

/// Dials a link.
///
/// # Errors
/// Nobody answers there, or it is somebody else.
pub async fn dial(address: &str, name: &str, tls: Arc<rustls::ClientConfig>) -> anyhow::Result<Link> {
    let channel = relay_runtime::link::channel(address, name, tls).await?;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.with_context(|| format!("the floor at {address}"))?;
    let (tx, outgoing) = mpsc::channel(QUEUE);
    let path = http::uri::PathAndQuery::from_static(ATTACH);
    let attached = grpc.streaming(Request::new(ReceiverStream::new(outgoing)), path, Raw).await;
    let rx = attached.with_context(|| format!("the floor at {address}"))?.into_inner();
    Ok(Link { tx, rx })
}

/// Takes the call of one connection.
struct Attach(mpsc::Sender<Link>);

type Outgoing = Pin<Box<dyn tokio_stream::Stream<Item = Result<Bytes, Status>> + Send>>;

impl tower_service::Service<Request<Streaming<Bytes>>> for Attach {
    type Response = Response<Outgoing>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let accepted = self.0.clone();
        Box::pin(async move {
            let (tx, outgoing) = mpsc::channel(QUEUE);
            let link = Link { tx, rx: request.into_inner() };
            accepted.send(link).await.map_err(|_| Status::unavailable("the floor is ending"))?;
            Ok(Response::new(Box::pin(ReceiverStream::new(outgoing).map(Ok)) as Outgoing))
        })
    }
}

/// Messages as the bytes that they are.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;
    fn encoder(&mut self) -> Raw {
        Raw
    }
    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
