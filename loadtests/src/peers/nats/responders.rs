//! Responders, many in one process: each has its own connection with a subscription, and answers what it hears.

use std::{ops::Range, sync::Arc};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    client::{Client, Diallers, Server},
    protocol::{self, Heard},
};
use crate::part::{self, tell};

/// Responders of one process that dial at once, as in a swarm.
const DIALLING: usize = 64;
/// Bytes of an answer that say whose it is.
pub const NUMBER: usize = 4;
/// What all of them listen to.
pub const SUBJECT: &str = "bench.ping";

/// What one process is to host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Whom they connect to.
    pub server: Server,
    /// Their numbers.
    pub numbers: Range<u32>,
    /// Bytes of an answer.
    pub answer: usize,
}

/// The process. Says `attached` when all its responders are subscribed.
///
/// # Errors
/// A responder cannot connect, or lost its connection.
pub fn main() -> anyhow::Result<()> {
    let plan: Plan = part::plan()?;
    part::end_with_the_scenario();
    // One thread, as each process of a swarm has.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(host(plan))
}

async fn host(plan: Plan) -> anyhow::Result<()> {
    let diallers = Diallers::new(&plan.server, &format!("responders-{}", plan.numbers.start))?;
    let turns = Arc::new(Semaphore::new(DIALLING));
    let mut dialling = JoinSet::new();
    for number in plan.numbers {
        let (diallers, turns) = (diallers.clone(), turns.clone());
        dialling.spawn(async move {
            let _turn = turns.acquire().await?;
            anyhow::Ok((number, diallers.subscribed(SUBJECT).await?))
        });
    }
    let mut responders = JoinSet::new();
    while let Some(dialled) = dialling.join_next().await {
        let (number, client) = dialled??;
        responders.spawn(respond(client, answer(number, plan.answer)));
    }
    tell("attached");
    // Until the scenario ends this process, or one of them is cut off.
    responders.join_next().await.context("no responders in the plan")??
}

async fn respond(mut client: Client, answer: Vec<u8>) -> anyhow::Result<()> {
    loop {
        if let Heard::Message { reply: Some(reply), .. } = client.hear().await? {
            client.say(&protocol::publish(&reply, None, &answer)).await?;
        }
    }
}

/// An answer of so many bytes: whose it is, and nothing.
pub fn answer(number: u32, size: usize) -> Vec<u8> {
    let mut answer = number.to_le_bytes().to_vec();
    answer.resize(size.max(NUMBER), 0);
    answer
}

/// Whose answer it is.
pub fn number_of(answer: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(answer.get(..NUMBER)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whose_it_is_and_is_as_long_as_a_minions() {
        assert_eq!(number_of(&answer(4_999, 40)), Some(4_999));
        assert_eq!((answer(1, 40).len(), answer(1, 0).len()), (40, NUMBER));
        assert_eq!(number_of(&[1, 2]), None);
    }
}
