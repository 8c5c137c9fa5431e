//! Looking at the queues of a storm while it goes on.

use std::{future::Future, time::Duration};

use crate::fabric::faults::accept_queue;

/// How often a queue is looked at. One look reads a table of the kernel that has a line for each connection.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits for something, and says how long the longest queue of connections on these ports was meanwhile.
pub(super) async fn longest_during<T>(ports: Vec<u16>, what: impl Future<Output = T>) -> (T, u64) {
    let mut what = std::pin::pin!(what);
    let mut longest = 0;
    loop {
        tokio::select! {
            done = &mut what => return (done, longest),
            () = tokio::time::sleep(LOOK_EVERY) => longest = longest.max(accept_queue(&ports)),
        }
    }
}
