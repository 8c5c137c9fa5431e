//! One job as its operator sees it: asked for exactly once, watched without gaps, collected into a result.

mod follow;
mod result;
mod submit;
#[cfg(test)]
pub mod tests;

pub use follow::{End, follow, follow_events, so_far};
pub use result::{Group, JobResult, Late, Said, value};
pub use submit::{submit, uncertain};

use std::time::Duration;

use relay_core::{backoff::Backoff, ids::Jid};

/// How often something is tried again, and how long is waited between.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Tries in a row without any success.
    pub tries: u32,
    /// Shortest wait.
    pub base: Duration,
    /// Longest wait.
    pub cap: Duration,
}

impl Patience {
    /// A connection that was lost, or nobody who owns the fabric: half a minute to a minute, enough for a top master to be
    /// started again. The waits are short: another one takes over within some 5 s, and that shall be noticed.
    pub const LOST: Patience =
        Patience { tries: 60, base: Duration::from_millis(200), cap: Duration::from_secs(1) };
    /// Nothing answers at all: a second or two, since most probably nothing is there.
    pub const ABSENT: Patience =
        Patience { tries: 4, base: Duration::from_millis(200), cap: Duration::from_secs(1) };

    /// The waits between the tries.
    pub fn waits(&self) -> Backoff {
        Backoff::new(self.base.as_millis() as u64, self.cap.as_millis() as u64)
    }
}

/// What was asked about a job: an error says about which, once.
///
/// # Errors
/// The one there was.
pub fn named<T, E: Into<anyhow::Error>>(jid: Jid, answer: Result<T, E>) -> anyhow::Result<T> {
    answer.map_err(|error| {
        let error = error.into();
        // The top master's own words name the job already.
        match format!("{error:#}").contains(&jid.to_string()) {
            true => error,
            false => error.context(format!("jid {jid}")),
        }
    })
}

/// Waits.
pub async fn pause(waits: &mut Backoff) {
    tokio::time::sleep(Duration::from_millis(waits.next(rand::random()))).await;
}
