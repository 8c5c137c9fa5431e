//! Waiting for a condition, with a bound. The bound is generous: reaching it is a failure, never part of a test.

use std::time::{Duration, Instant};

/// Longest wait for anything. The slowest thing waited for is a job's own bound of some 20 s, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks until there is something, and gives it back.
///
/// # Panics
/// After [`PATIENCE`], saying what was waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
