//! The floor's top: fans a request out to the middles and counts what comes back.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
};

use super::{COUNT, MEMBER, Plan, listen, run, tally::Tally};
use crate::part::tell;

/// The process. Says `listening ADDRESS ADDRESS`: for middles, and for who asks.
///
/// # Errors
/// A connection broke.
pub fn main() -> anyhow::Result<()> {
    run(serve)
}

async fn serve(plan: Plan) -> anyhow::Result<()> {
    let (middles, for_middles) = listen().await?;
    let (askers, for_asker) = listen().await?;
    tell(&format!("listening {for_middles} {for_asker}"));
    let counted = Arc::new(Tally::default());
    let mut down: Vec<OwnedWriteHalf> = Vec::new();
    for _ in 0..plan.links {
        let (socket, _) = middles.accept().await?;
        socket.set_nodelay(true)?;
        let (read, write) = socket.into_split();
        tokio::spawn(count(read, plan.payload.answer, counted.clone()));
        down.push(write);
    }
    let (mut asker, _) = askers.accept().await?;
    asker.set_nodelay(true)?;
    let mut job = vec![0; plan.payload.job];
    while asker.read_exact(&mut job).await.is_ok() {
        counted.reset();
        for middle in &mut down {
            middle.write_all(&job).await?;
        }
        asker.write_all(&counted.all(plan.leaves).await.to_le_bytes()).await?;
    }
    Ok(())
}

/// Reads batches: a count, one answer, and so many members.
async fn count(mut from: OwnedReadHalf, answer: usize, counted: Arc<Tally>) {
    let mut batch = Vec::new();
    let mut head = [0; COUNT];
    while from.read_exact(&mut head).await.is_ok() {
        let answers = u32::from_le_bytes(head);
        batch.resize(answer + answers as usize * MEMBER, 0);
        if from.read_exact(&mut batch).await.is_err() {
            return;
        }
        counted.add(answers);
    }
}
