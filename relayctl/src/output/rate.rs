//! How fast answers come, and when the last one may be there.

use std::collections::VecDeque;

/// How far back the rate looks, in milliseconds: shorter and it jumps, longer and it lags behind a canary's next stage.
const SPAN: u64 = 10_000;
/// Shortest time from which a rate is told, in milliseconds.
const SHORTEST: u64 = 1_000;
/// Samples are at least so far apart, in milliseconds: 40 are kept, however many events come.
const STEP: u64 = 250;

/// Counts over the last seconds.
#[derive(Debug, Default)]
pub struct Rate {
    samples: VecDeque<(u64, u64)>,
}

impl Rate {
    /// Notes how many answers there are; times in milliseconds of any clock that goes forward.
    pub fn note(&mut self, now: u64, answers: u64) {
        match self.samples.back() {
            Some((last, _)) if now.saturating_sub(*last) < STEP => return,
            _ => self.samples.push_back((now, answers)),
        }
        while self.samples.front().is_some_and(|(at, _)| now.saturating_sub(*at) > SPAN) {
            self.samples.pop_front();
        }
    }

    /// Answers per second; nothing until it means something.
    pub fn per_second(&self) -> Option<f64> {
        let ((from, before), (to, after)) = (self.samples.front()?, self.samples.back()?);
        let span = to.saturating_sub(*from);
        (span >= SHORTEST).then(|| after.saturating_sub(*before) as f64 * 1000.0 / span as f64)
    }

    /// Seconds until so many more have come; nothing if none come now.
    pub fn seconds_for(&self, more: u64) -> Option<u64> {
        let rate = self.per_second().filter(|rate| *rate > 0.0)?;
        (more > 0).then(|| (more as f64 / rate).ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_last_seconds() {
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(), None);
        rate.note(0, 0);
        rate.note(500, 100);
        assert_eq!(rate.per_second(), None, "half a second says nothing");
        rate.note(2000, 100);
        assert_eq!(rate.per_second(), Some(50.0));
        assert_eq!((rate.seconds_for(101), rate.seconds_for(0)), (Some(3), None));
        rate.note(15_000, 100);
        rate.note(16_000, 100);
        assert_eq!(rate.per_second(), Some(0.0), "what was before is forgotten");
        assert_eq!(rate.seconds_for(5), None);
    }

    #[test]
    fn many_events_keep_few_samples() {
        let mut rate = Rate::default();
        (0..100_000).for_each(|now| rate.note(now, now));
        assert!(rate.samples.len() <= (SPAN / STEP) as usize + 1);
        assert_eq!(rate.per_second(), Some(1000.0));
    }
}
