//! Answers counted where they come in, and taken where they are sent on.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::sync::Notify;

/// A count with a bell.
#[derive(Debug, Default)]
pub struct Tally {
    answers: AtomicU32,
    more: Notify,
}

impl Tally {
    /// Counts some more.
    pub fn add(&self, answers: u32) {
        self.answers.fetch_add(answers, Relaxed);
        self.more.notify_one();
    }

    /// Forgets what was counted.
    pub fn reset(&self) {
        self.answers.store(0, Relaxed);
    }

    /// Waits until so many are counted; says how many there are.
    pub async fn all(&self, expected: u32) -> u32 {
        loop {
            let answers = self.answers.load(Relaxed);
            if answers >= expected {
                return answers;
            }
            self.more.notified().await;
        }
    }

    /// Waits for some, and takes all that are there after one turn of the loop: everybody who is readable now goes into
    /// the same batch.
    pub async fn some(&self) -> u32 {
        loop {
            self.more.notified().await;
            tokio::task::yield_now().await;
            let answers = self.answers.swap(0, Relaxed);
            if answers > 0 {
                return answers;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_counted_is_taken_once() {
        let tally = Tally::default();
        tally.add(2);
        tally.add(3);
        assert_eq!(tally.some().await, 5);
        tally.add(1);
        assert_eq!(tally.all(1).await, 1);
        tally.reset();
        tally.add(4);
        assert_eq!(tally.some().await, 4);
    }
}
