//! Leaves of the floor, many in one process: each reads a job and answers it.

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Plan, payload::Payload, run};
use crate::part::tell;

/// The process. Says `attached` when all its leaves are connected.
///
/// # Errors
/// A middle cannot be reached.
pub fn main() -> anyhow::Result<()> {
    run(serve)
}

async fn serve(plan: Plan) -> anyhow::Result<()> {
    for n in plan.first..plan.first + plan.links {
        let middle =
            plan.parents.get(n as usize % plan.parents.len().max(1)).context("no middles in the plan")?;
        let socket = TcpStream::connect(middle).await.with_context(|| format!("the middle at {middle}"))?;
        socket.set_nodelay(true)?;
        tokio::spawn(leaf(socket, plan.payload));
    }
    tell("attached");
    // Until the scenario ends this process.
    std::future::pending().await
}

async fn leaf(mut middle: TcpStream, payload: Payload) {
    let (mut job, answer) = (vec![0; payload.job], vec![1; payload.answer]);
    while middle.read_exact(&mut job).await.is_ok() {
        if middle.write_all(&answer).await.is_err() {
            return;
        }
    }
}
