//! The top of the gRPC floor: fans a request out to the middles and counts what comes back.

use std::sync::Arc;

use bytes::Bytes;
use relay_core::identity::Role;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tonic::Streaming;

use super::{TOP, server, wire};
use crate::{
    floor::{COUNT, Plan, listen, run, tally::Tally},
    part::tell,
};

/// The process. Says `listening ADDRESS ADDRESS`: for middles, and for who asks (in plain TCP).
///
/// # Errors
/// A connection broke.
pub fn main() -> anyhow::Result<()> {
    run(serve)
}

async fn serve(plan: Plan) -> anyhow::Result<()> {
    let (middles, for_middles) = listen().await?;
    let (askers, for_asker) = listen().await?;
    let mut links = wire::accept(middles, server(plan.authority.as_deref(), TOP, Role::TopMaster)?);
    tell(&format!("listening {for_middles} {for_asker}"));
    let counted = Arc::new(Tally::default());
    let mut down: Vec<mpsc::Sender<Bytes>> = Vec::new();
    while down.len() < plan.links as usize {
        let Some(link) = links.recv().await else { anyhow::bail!("the floor's top accepts no more") };
        tokio::spawn(count(link.rx, counted.clone()));
        down.push(link.tx);
    }
    let (mut asker, _) = askers.accept().await?;
    asker.set_nodelay(true)?;
    let mut job = vec![0; plan.payload.job];
    while asker.read_exact(&mut job).await.is_ok() {
        counted.reset();
        let job = Bytes::copy_from_slice(&job);
        for middle in &down {
            middle.send(job.clone()).await?;
        }
        asker.write_all(&counted.all(plan.leaves).await.to_le_bytes()).await?;
    }
    Ok(())
}

/// Reads batches: each begins with a count.
async fn count(mut from: Streaming<Bytes>, counted: Arc<Tally>) {
    while let Ok(Some(batch)) = from.message().await {
        let Some(head) = batch.first_chunk::<COUNT>() else { return };
        counted.add(u32::from_le_bytes(*head));
    }
}
