//! How long to wait for a database that is gone: a while together, then each for himself, briefly.

use std::time::Duration;

use tokio::time::Instant;

/// A restart or a change to the standby takes seconds. What is asked for meanwhile waits; after that it fails at once, so
/// that the queue does not grow old.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Between the first tries.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Between later ones, and between single tries after our patience ended.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The time without a database.
#[derive(Debug, Clone)]
pub(super) struct Outage {
    /// When our patience ends.
    until: Instant,
    pause: Duration,
    next: Instant,
    /// What the last try brought.
    pub(super) why: String,
}

impl Outage {
    /// Begins now.
    pub(super) fn new(why: String, now: Instant, patience: Duration) -> Outage {
        Outage { until: now + patience, pause: FIRST_PAUSE, next: now, why }
    }

    /// Another try failed.
    pub(super) fn failed(&mut self, why: String, now: Instant) {
        self.why = why;
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// When to try next; `None`: not now, fail.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        (now < self.until || now >= self.next).then_some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_many_at_first_and_rare_when_patience_has_ended() {
        let begun = Instant::now();
        let mut outage = Outage::new("gone".into(), begun, PATIENCE);
        let (mut now, mut tries) = (begun, 0);
        while let Some(next) = outage.next(now).filter(|next| *next < begun + PATIENCE) {
            now = next.max(now);
            outage.failed("still gone".into(), now);
            tries += 1;
        }
        assert_eq!(tries, 15);
        now = begun + PATIENCE;
        outage.failed("still gone".into(), now);
        assert_eq!(outage.next(now), None, "whoever asks now fails at once");
        assert_eq!(outage.next(now + LONGEST_PAUSE), Some(now + LONGEST_PAUSE), "one may try");
    }
}
