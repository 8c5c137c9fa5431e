//! Leaves of the gRPC floor, many in one process: each reads a job and answers it over a connection of its own.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use relay_core::identity::Role;
use tokio::task::JoinSet;

use super::{LEAF, MIDDLE, client, identity, wire};
use crate::{
    floor::{Plan, run},
    part::tell,
};

/// Leaves of one process that dial at once, as many as simulated minions.
const DIALLING: usize = 64;

/// The process. Says `attached` when all its leaves are connected.
///
/// # Errors
/// A middle cannot be reached.
pub fn main() -> anyhow::Result<()> {
    run(serve)
}

async fn serve(plan: Plan) -> anyhow::Result<()> {
    let tls = client(plan.authority.as_deref(), LEAF, Role::Minion)?;
    let name: Arc<str> = identity(MIDDLE, Role::Syndic)?.to_dns().into();
    let answer = Bytes::from(vec![1; plan.payload.answer]);
    let mut dialling = JoinSet::new();
    for n in plan.first..plan.first + plan.links {
        if dialling.len() >= DIALLING {
            taken(dialling.join_next().await, &answer)?;
        }
        let parents = &plan.parents;
        let middle =
            parents.get(n as usize % parents.len().max(1)).context("no middles in the plan")?.clone();
        let (name, tls) = (name.clone(), tls.clone());
        dialling.spawn(async move { wire::dial(&middle, &name, tls).await });
    }
    while let Some(dialled) = dialling.join_next().await {
        taken(Some(dialled), &answer)?;
    }
    tell("attached");
    // Until the scenario ends this process.
    std::future::pending().await
}

type Dialled = Result<anyhow::Result<wire::Link>, tokio::task::JoinError>;

fn taken(dialled: Option<Dialled>, answer: &Bytes) -> anyhow::Result<()> {
    if let Some(link) = dialled {
        tokio::spawn(leaf(link??, answer.clone()));
    }
    Ok(())
}

async fn leaf(mut link: wire::Link, answer: Bytes) {
    while let Ok(Some(_)) = link.rx.message().await {
        if link.tx.send(answer.clone()).await.is_err() {
            return;
        }
    }
}
