//! A middle of the gRPC floor: passes a job to each leaf, and sends up together what came in together.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use relay_core::identity::Role;
use tokio::sync::mpsc;
use tonic::Streaming;

use super::{MIDDLE, TOP, client, identity, server, wire};
use crate::{
    floor::{COUNT, MEMBER, Plan, listen, run, tally::Tally},
    part::tell,
};

/// The process. Says `listening ADDRESS`, and `attached` when all its leaves are there.
///
/// # Errors
/// A connection broke.
pub fn main() -> anyhow::Result<()> {
    run(serve)
}

async fn serve(plan: Plan) -> anyhow::Result<()> {
    let authority = plan.authority.as_deref();
    let top = plan.parents.first().context("no top in the plan")?;
    let name = identity(TOP, Role::TopMaster)?.to_dns();
    let mut up = wire::dial(top, &name, client(authority, MIDDLE, Role::Syndic)?).await?;
    let (listener, address) = listen().await?;
    let mut links = wire::accept(listener, server(authority, MIDDLE, Role::Syndic)?);
    tell(&format!("listening {address}"));
    let gathered = Arc::new(Tally::default());
    tokio::spawn(send_up(up.tx, plan.payload.answer, gathered.clone()));
    let mut leaves: Vec<mpsc::Sender<Bytes>> = Vec::new();
    while leaves.len() < plan.links as usize {
        let Some(link) = links.recv().await else { anyhow::bail!("the floor's middle accepts no more") };
        tokio::spawn(gather(link.rx, gathered.clone()));
        leaves.push(link.tx);
    }
    tell("attached");
    while let Some(job) = up.rx.message().await? {
        for leaf in &leaves {
            leaf.send(job.clone()).await?;
        }
    }
    Ok(())
}

async fn gather(mut leaf: Streaming<Bytes>, gathered: Arc<Tally>) {
    while let Ok(Some(_)) = leaf.message().await {
        gathered.add(1);
    }
}

async fn send_up(top: mpsc::Sender<Bytes>, answer: usize, gathered: Arc<Tally>) {
    loop {
        let answers = gathered.some().await;
        let mut batch = answers.to_le_bytes().to_vec();
        batch.resize(COUNT + answer + answers as usize * MEMBER, 0);
        if top.send(batch.into()).await.is_err() {
            return;
        }
    }
}
