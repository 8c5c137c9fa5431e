//! A way to etcd on which answers can get lost while everything looks well.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use relay_core::topology::HostPort;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What one step takes along.
const CHUNK_BYTES: usize = 16 << 10;

/// A listener that passes bytes on.
pub(super) struct Wire {
    place: HostPort,
    /// Connections up to this number bring no answers.
    muffled: Arc<AtomicU64>,
    made: Arc<AtomicU64>,
    _running: DropGuard,
}

impl Wire {
    pub(super) async fn to(target: &HostPort) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().into();
        let (muffled, made) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let token = CancellationToken::new();
        let carrying = carry(listener, target.to_string(), muffled.clone(), made.clone(), token.clone());
        tokio::spawn(token.clone().run_until_cancelled_owned(carrying));
        Wire { place, muffled, made, _running: token.drop_guard() }
    }

    pub(super) fn place(&self) -> HostPort {
        self.place.clone()
    }

    /// From now on nothing comes back on the connections there are. What goes there arrives.
    pub(super) fn muffle(&self) {
        self.muffled.store(self.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

async fn carry(
    listener: TcpListener,
    target: String,
    muffled: Arc<AtomicU64>,
    made: Arc<AtomicU64>,
    token: CancellationToken,
) {
    while let Ok((near, _)) = listener.accept().await {
        let number = made.fetch_add(1, Ordering::SeqCst) + 1;
        let (target, muffled) = (target.clone(), muffled.clone());
        tokio::spawn(token.clone().run_until_cancelled_owned(connection(near, target, number, muffled)));
    }
}

async fn connection(near: TcpStream, target: String, number: u64, muffled: Arc<AtomicU64>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
    let there = async { tokio::io::copy(&mut near_in, &mut far_out).await.map(drop) };
    let back = async {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = far_in.read(&mut chunk).await?;
            if read == 0 {
                return Ok(());
            }
            if number > muffled.load(Ordering::SeqCst) {
                near_out.write_all(&chunk[..read]).await?;
            }
        }
    };
    let _: Result<(), std::io::Error> = tokio::select! {
        ended = there => ended,
        ended = back => ended,
    };
}
