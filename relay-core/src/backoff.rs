//! How long to wait before trying again: "decorrelated jitter" (AWS Architecture Blog, "Exponential Backoff And
//! Jitter"). A fleet that lost its parent at one instant must not come back at one instant.
//!
//! It owns the arithmetic only. The caller brings the random number and does the waiting.

use crate::time::Millis;

/// The waits of one dialler, growing from `base` to `cap` while tries keep failing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    base: Millis,
    cap: Millis,
    previous: Millis,
}

impl Backoff {
    /// Waits between `base` and `cap`. A base of 0 counts as 1 ms (it would never grow: a busy loop), and a cap below
    /// the base counts as the base.
    pub fn new(base: Millis, cap: Millis) -> Backoff {
        let base = base.max(1);
        Backoff { base, cap: cap.max(base), previous: base }
    }

    /// The next wait: evenly distributed over `base ..= 3 * previous`, at most `cap`. `random` is any 64 random bits.
    pub fn next(&mut self, random: u64) -> Millis {
        let span = self.previous.saturating_mul(3) - self.base;
        // The upper half of the product is `random` scaled to 0..=span; a remainder would favour the short waits.
        let jitter = (u128::from(random) * (u128::from(span) + 1)) >> 64;
        self.previous = self.base.saturating_add(jitter as u64).min(self.cap);
        self.previous
    }

    /// Forgets past failures. Call it when a link has proven good, not as soon as it is up: a parent that accepts and
    /// then drops everyone would be hammered otherwise.
    pub fn reset(&mut self) {
        self.previous = self.base;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn grows_to_three_times_the_previous_wait_and_stops_at_the_cap() {
        let mut waits = Backoff::new(100, 5_000);
        let longest: Vec<_> = (0..6).map(|_| waits.next(u64::MAX)).collect();
        assert_eq!(longest, [300, 900, 2_700, 5_000, 5_000, 5_000]);
        assert_eq!(waits.next(0), 100);
    }

    #[test]
    fn a_reset_starts_over() {
        let mut waits = Backoff::new(100, 5_000);
        waits.next(u64::MAX);
        waits.reset();
        assert_eq!(waits, Backoff::new(100, 5_000));
    }

    #[test]
    fn different_random_numbers_spread_the_fleet() {
        let wait = |random| Backoff::new(1_000, 60_000).next(random);
        let quarters: Vec<_> = (0..4).map(|i| wait(i << 62)).collect();
        assert_eq!(quarters, [1_000, 1_500, 2_000, 2_500]);
    }

    proptest! {
        #[test]
        fn stays_between_base_and_cap(base: u64, cap: u64, randoms in proptest::collection::vec(any::<u64>(), 1..50)) {
            let mut waits = Backoff::new(base, cap);
            let (low, high) = (base.max(1), cap.max(base).max(1));
            for random in randoms {
                let wait = waits.next(random);
                prop_assert!((low..=high).contains(&wait), "{} not in {}..={}", wait, low, high);
            }
        }
    }
}
