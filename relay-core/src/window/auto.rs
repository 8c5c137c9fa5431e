//! `--batch auto`: how many at once is found out, region by region.
//!
//! Additive increase: each full window of good answers widens it by 2% of the region's targets. Multiplicative decrease:
//! it is halved when more than a tenth of a window failed, when answers take more than twice as long as the best did, or
//! when the owner can't take returns as fast as they come; at most once per window, so that one bad moment counts once.

use crate::{batch::RegionBatch, time::Millis};

/// Part of a window that may fail before it is halved, as 1/n.
const FAILURES: u64 = 10;
/// How much slower than the best answers may become.
const SLOWER: u64 = 2;
/// Differences below this are the machine's noise, in milliseconds.
const NOISE: Millis = 250;
/// The window grows by this part of the region's targets, as 1/n.
const STEP: u64 = 50;

#[derive(Debug)]
pub(super) struct Auto {
    min: u64,
    max: u64,
    step: u64,
    limit: u64,
    /// Answers since the last change.
    answers: u64,
    failures: u64,
    /// Smoothed time from sending to answer, and the best of it.
    latency: Option<Millis>,
    best: Option<Millis>,
}

impl Auto {
    pub(super) fn new(region: &RegionBatch, size: u64, cap: u64) -> Auto {
        let max = region.auto_max.map_or(size, |share| share.of(size)).min(cap).max(1);
        let min = region.auto_min.map_or(1, |share| share.of(size)).min(max);
        let step = (size / STEP).max(1);
        Auto { min, max, step, limit: min, answers: 0, failures: 0, latency: None, best: None }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn answered(&mut self, answers: u64, failed: bool, latency: Option<Millis>) {
        self.answers += answers;
        self.failures += if failed { answers } else { 0 };
        if let Some(latency) = latency {
            let smooth = self.latency.map_or(latency, |before| (7 * before + latency) / 8);
            self.latency = Some(smooth);
            self.best = Some(self.best.map_or(smooth, |best| best.min(smooth)));
        }
        if self.failures * FAILURES > self.limit {
            self.halve();
        } else if self.answers >= self.limit {
            match self.is_slow() {
                true => self.halve(),
                false => self.settle((self.limit + self.step).min(self.max)),
            }
        }
    }

    fn is_slow(&self) -> bool {
        let slow = |latency, best| latency > SLOWER * best && latency > best + NOISE;
        self.latency.zip(self.best).is_some_and(|(latency, best)| slow(latency, best))
    }

    pub(super) fn congested(&mut self) {
        if self.answers > 0 {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.settle((self.limit / 2).max(self.min));
    }

    fn settle(&mut self, limit: u64) {
        (self.limit, self.answers, self.failures) = (limit, 0, 0);
    }
}
