//! A middle of the floor: passes a job to each leaf, and sends up together what came in together.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{MEMBER, Plan, listen, run, tally::Tally};
use crate::part::tell;

/// The process. Says `listening ADDRESS`, and `attached` when all its leaves are there.
///
/// # Errors
/// A connection broke.
pub fn main() -> anyhow::Result<()> {
    run(serve)
}

async fn serve(plan: Plan) -> anyhow::Result<()> {
    let top = TcpStream::connect(plan.parents.first().context("no top in the plan")?).await?;
    top.set_nodelay(true)?;
    let (mut jobs, up) = top.into_split();
    let (listener, address) = listen().await?;
    tell(&format!("listening {address}"));
    let gathered = Arc::new(Tally::default());
    tokio::spawn(send_up(up, plan.payload.answer, gathered.clone()));
    let mut leaves: Vec<OwnedWriteHalf> = Vec::new();
    for _ in 0..plan.links {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let (read, write) = socket.into_split();
        tokio::spawn(gather(read, plan.payload.answer, gathered.clone()));
        leaves.push(write);
    }
    tell("attached");
    let mut job = vec![0; plan.payload.job];
    while jobs.read_exact(&mut job).await.is_ok() {
        for leaf in &mut leaves {
            leaf.write_all(&job).await?;
        }
    }
    Ok(())
}

async fn gather(mut leaf: OwnedReadHalf, answer: usize, gathered: Arc<Tally>) {
    let mut bytes = vec![0; answer];
    while leaf.read_exact(&mut bytes).await.is_ok() {
        gathered.add(1);
    }
}

async fn send_up(mut top: OwnedWriteHalf, answer: usize, gathered: Arc<Tally>) -> anyhow::Result<()> {
    let mut batch = Vec::new();
    loop {
        let answers = gathered.some().await;
        batch.clear();
        batch.extend_from_slice(&answers.to_le_bytes());
        batch.resize(batch.len() + answer + answers as usize * MEMBER, 0);
        top.write_all(&batch).await?;
    }
}
