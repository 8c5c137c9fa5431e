//! How often somebody may ask: a bucket of credit for each source, and a bound on the number of sources remembered.

use std::{collections::HashMap, hash::Hash};

use crate::time::Millis;

/// How often one source may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So often at once.
    pub burst: u32,
    /// So often each second afterwards.
    pub per_second: u32,
}

/// Who has asked lately.
#[derive(Debug, Clone)]
pub struct Rates<K> {
    rate: Rate,
    most: usize,
    sources: HashMap<K, Bucket>,
}

/// What is left to one source, in thousandths of a request.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u64,
    at: Millis,
}

impl<K: Eq + Hash> Rates<K> {
    /// Nobody has asked yet. At most `most` sources are remembered at a time.
    pub fn new(rate: Rate, most: usize) -> Rates<K> {
        Rates { rate, most, sources: HashMap::new() }
    }

    /// Whether this source may ask now; if so, it has asked.
    pub fn take(&mut self, source: K, now: Millis) -> bool {
        let rate = self.rate;
        if !self.sources.contains_key(&source) && self.sources.len() >= self.most {
            // Who has all of its credit again need not be remembered.
            self.sources.retain(|_, bucket| bucket.filled(rate, now) < rate.full());
            if self.sources.len() >= self.most {
                return false;
            }
        }
        let bucket = self.sources.entry(source).or_insert(Bucket { left: rate.full(), at: now });
        *bucket = Bucket { left: bucket.filled(rate, now), at: now };
        let may = bucket.left >= 1_000;
        if may {
            bucket.left -= 1_000;
        }
        may
    }
}

impl Rate {
    fn full(self) -> u64 {
        u64::from(self.burst) * 1_000
    }
}

impl Bucket {
    fn filled(self, rate: Rate, now: Millis) -> u64 {
        let more = now.saturating_sub(self.at).saturating_mul(u64::from(rate.per_second));
        self.left.saturating_add(more).min(rate.full())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { burst: 3, per_second: 2 };

    #[test]
    fn credit_is_spent_and_comes_back_for_each_source_by_itself() {
        let mut rates = Rates::new(RATE, 8);
        let times = [0, 0, 0, 0, 499, 500, 501, 1_000, 60_000, 60_000, 60_000, 60_000];
        let may: Vec<bool> = times.iter().map(|now| rates.take("a", *now)).collect();
        let expected = [true, true, true, false, false, true, false, true, true, true, true, false];
        assert_eq!(may, expected);
        assert!(rates.take("b", 0));
    }

    #[test]
    fn sources_are_bounded_and_idle_ones_are_forgotten() {
        let mut rates = Rates::new(RATE, 2);
        assert!(rates.take(1, 0) && rates.take(2, 0));
        assert!(!rates.take(3, 100), "no room while both have spent credit lately");
        assert!(rates.take(3, 500), "1 and 2 have all of it again");
        assert_eq!(rates.sources.len(), 1);
    }

    proptest! {
        #[test]
        fn no_source_ever_gets_more_than_its_rate(mut times in prop::collection::vec(0u64..20_000, 1..200)) {
            times.sort_unstable();
            let mut rates = Rates::new(RATE, 4);
            let given: Vec<u64> = times.into_iter().filter(|now| rates.take((), *now)).collect();
            for (i, from) in given.iter().enumerate() {
                for (n, to) in given[i..].iter().enumerate() {
                    let most = u64::from(RATE.burst) + (to - from) * u64::from(RATE.per_second) / 1_000;
                    prop_assert!((n as u64) < most + 1, "{} requests from {from} to {to}", n + 1);
                }
            }
        }
    }
}
