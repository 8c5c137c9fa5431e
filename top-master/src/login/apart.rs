//! Work that blocks, apart from the loop, and the permits that bound it.
//!
//! Owns one thing: a permit goes with the work and not with who waits for it. Callers go away at any moment; a thread that computes a
//! hash, or is in PAM, goes on, and what it takes of the machine stays taken until it is done.

use tokio::{sync::OwnedSemaphorePermit, task::spawn_blocking};

/// Does work on a thread where it may take its time. It is done to its end, with the permit, also when nobody waits any more.
///
/// # Errors
/// It panicked, or the process is stopping: in words.
pub async fn apart<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let done = spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    done.await.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use tokio::sync::{Semaphore, oneshot};

    use super::*;

    #[tokio::test]
    async fn who_goes_away_frees_no_permit_before_the_work_is_done() {
        let turns = Arc::new(Semaphore::new(1));
        let (begun, is_begun) = oneshot::channel();
        let (gate, shut) = mpsc::channel::<()>();
        let asked = tokio::spawn(apart(turns.clone().try_acquire_owned().unwrap(), move || {
            begun.send(()).unwrap();
            shut.recv().unwrap_err();
        }));
        is_begun.await.unwrap();
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert_eq!(turns.available_permits(), 0, "it still works");
        drop(gate);
        let _turn = turns.acquire().await.unwrap();
    }

    #[tokio::test]
    async fn work_that_panics_frees_its_permit() {
        let turns = Arc::new(Semaphore::new(1));
        let turn = turns.clone().try_acquire_owned().unwrap();
        apart(turn, || panic!("in the work")).await.unwrap_err();
        assert_eq!(turns.available_permits(), 1);
    }
}
