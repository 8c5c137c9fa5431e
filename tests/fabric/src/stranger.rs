//! Whoever should not be let in: a child that says and shows what it likes.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use relay_proto::{PROTOCOL, link};
use relay_runtime::{
    identity::LoadedIdentity,
    link::{
        channel,
        codec::FrameCodec,
        frame::{Encoded, Frame},
    },
    tls,
};
use tonic::{Request, Status, Streaming, client::Grpc};

/// A hello as this build says it.
pub fn hello() -> link::Hello {
    let (oldest, newest) = (*PROTOCOL.start(), *PROTOCOL.end());
    link::Hello { oldest, newest, incarnation: rand::random(), software: "stranger".into() }
}

/// A message from a child.
pub fn up(message: link::up::Message) -> Vec<Frame> {
    Encoded::new(&link::Up { message: Some(message) }).frames().collect()
}

/// Attaches to a parent under a certificate, trusting `trusted`'s root, and sends these frames.
///
/// # Errors
/// Refused: in TLS, or by the parent in words.
///
/// # Panics
/// The certificate makes no TLS configuration.
pub async fn attach(
    address: SocketAddr,
    server_name: &str,
    shown: LoadedIdentity,
    trusted: &LoadedIdentity,
    frames: Vec<Frame>,
) -> Result<Streaming<Bytes>, Status> {
    let shown = LoadedIdentity { roots: trusted.roots.clone(), ..shown };
    let tls = tls::client(&shown).expect("a TLS configuration");
    let channel = channel(&address.to_string(), server_name, Arc::clone(&tls)).await;
    let channel = channel.map_err(|e| Status::unavailable(e.to_string()))?;
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
    let path = "/relay.link.v1.Link/Attach".parse().expect("a path");
    // A stream that stays open after the frames: the link would live.
    let (sender, receiver) = tokio::sync::mpsc::channel(frames.len().max(1));
    for frame in frames {
        sender.try_send(frame).expect("room for every frame");
    }
    tokio::spawn(async move { sender.closed().await });
    let frames = tokio_stream::wrappers::ReceiverStream::new(receiver);
    grpc.streaming(Request::new(frames), path, FrameCodec).await.map(tonic::Response::into_inner)
}
