//! When a log has grown enough to be compacted.
//!
//! Owns the sizes and the waiting. What lives is gathered by the loop that owns the log; the file is rewritten by the
//! [`LogWriter`](super::LogWriter), which tells when it did.

use relay_core::time::Millis;

use crate::record_log::Limits;

/// A log is compacted when it is over this, and over so many times what lives.
const COMPACT_ABOVE: u64 = 4 << 20;
const TIMES_ALIVE: u64 = 4;
/// A log whose owner waits for quiet is compacted beside writes when it is over this, and over so many times what lives.
const PRESSING_ABOVE: u64 = 32 << 20;
const PRESSING_TIMES_ALIVE: u64 = 2;
/// It is quiet when no write was under way for so long, in milliseconds: the steps of a job follow one another within less.
const QUIET: Millis = 100;
/// A compaction that failed (the disk is full) is tried again after so many milliseconds at the earliest.
const FAILED: Millis = 10_000;

/// For a log of which nobody knows what lives before it is gathered: a minion's journal.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    max: u64,
    size: u64,
    /// The size after the last compaction: what lived then.
    base: u64,
    /// A write was refused, because the file may not grow any more.
    full: bool,
    /// A compaction is under way.
    asked: bool,
    not_before: Millis,
}

impl Growth {
    /// Of a log as it was opened: what its file may hold, and its size.
    pub fn new(limits: Limits, size: u64) -> Growth {
        Growth { max: limits.max_file_bytes, size, base: 0, full: false, asked: false, not_before: 0 }
    }

    /// A write was made durable; the log has this size.
    pub fn written(&mut self, size: u64) {
        self.size = size;
    }

    /// A write was refused, because the file may not grow any more.
    pub fn refused(&mut self) {
        self.full = true;
    }

    /// Whether the log should be compacted now.
    pub fn is_due(&self, now: Millis) -> bool {
        let limit = self.floor().max(TIMES_ALIVE * self.base).min(self.latest());
        self.may_ask(now) && (self.full || self.size >= limit)
    }

    /// It was asked for.
    pub fn asked(&mut self) {
        self.asked = true;
    }

    /// It is over; the log has this size.
    pub fn compacted(&mut self, now: Millis, size: u64, done: bool) {
        (self.asked, self.size) = (false, size);
        if done {
            (self.base, self.full) = (size, false);
        } else {
            self.not_before = now.saturating_add(FAILED);
        }
    }

    fn may_ask(&self, now: Millis) -> bool {
        !self.asked && now >= self.not_before
    }

    fn floor(&self) -> u64 {
        COMPACT_ABOVE.min(self.max / 2)
    }

    /// From half of what the file may hold a log waits no longer, so that there is room for what comes meanwhile. If more lives, then a
    /// quarter more of it: not each write. And if that is more than the file may hold, for the first write that is refused.
    fn latest(&self) -> u64 {
        (self.max / 2).max(self.base + self.base / 4)
    }
}

/// For a log that small jobs wait for, and whose owner knows how much of it lives: a syndic's spool. It is compacted when it is quiet, for
/// what is written behind a compaction waits for a new file, two syncs and the old file's end.
#[derive(Debug, Clone, Copy)]
pub struct QuietGrowth {
    growth: Growth,
    /// Writes that were asked for and are not durable yet.
    under_way: usize,
    /// When a write was last asked for or made durable.
    stirred: Millis,
    /// What lived when a compaction was asked for, as told.
    told: u64,
    /// What lived beside that.
    untold: u64,
    /// The disk refuses writes.
    stalled: bool,
}

impl QuietGrowth {
    /// Of a log as it was opened.
    pub fn new(growth: Growth) -> QuietGrowth {
        QuietGrowth { growth, under_way: 0, stirred: 0, told: 0, untold: 0, stalled: false }
    }

    /// A write was asked for.
    pub fn writing(&mut self, now: Millis) {
        self.under_way += 1;
        self.stirred = now;
    }

    /// A write was made durable; the log has this size.
    pub fn written(&mut self, now: Millis, size: u64) {
        self.under_way = self.under_way.saturating_sub(1);
        self.stirred = now;
        self.growth.written(size);
    }

    /// A write was refused, because the file may not grow any more.
    pub fn refused(&mut self) {
        self.growth.refused();
    }

    /// Writes are refused, or not any more. While they are, nobody waits for a compaction, and it may make room.
    pub fn stalled(&mut self, stalled: bool) {
        self.stalled = stalled;
    }

    /// Whether the log should be compacted now. So many bytes of it live that come and go; what else lives is known from the last time.
    pub fn is_due(&self, now: Millis, lives: u64) -> bool {
        let Growth { size, full, .. } = self.growth;
        let lives = lives + self.untold;
        let quiet = self.under_way == 0 && now >= self.stirred.saturating_add(QUIET);
        let worth_it = size >= self.growth.floor() && size >= TIMES_ALIVE * lives;
        let pressing = size >= PRESSING_ABOVE && size >= PRESSING_TIMES_ALIVE * lives;
        let due = full || size >= self.growth.latest() || pressing || (worth_it && (quiet || self.stalled));
        due && self.growth.may_ask(now)
    }

    /// When to ask next though nothing happens: a log that has grown waits for the end of `QUIET`.
    pub fn next_look(&self, now: Millis) -> Option<Millis> {
        let at = self.stirred.saturating_add(QUIET);
        let waits = self.growth.size >= self.growth.floor() && !self.growth.asked && self.under_way == 0;
        (waits && at > now).then_some(at)
    }

    /// It was asked for, when so many bytes lived that come and go.
    pub fn asked(&mut self, lives: u64) {
        self.growth.asked();
        self.told = lives;
    }

    /// It is over; the log has this size.
    pub fn compacted(&mut self, now: Millis, size: u64, done: bool) {
        if done {
            self.untold = size.saturating_sub(self.told);
        }
        self.growth.compacted(now, size, done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn limits(max_mib: u64) -> Limits {
        Limits { max_record_bytes: 1 << 20, max_file_bytes: max_mib * MIB }
    }

    #[test]
    fn a_compaction_is_asked_for_once_and_again_some_time_after_it_failed() {
        let mut growth = Growth::new(limits(256), 0);
        growth.written(COMPACT_ABOVE - 1);
        assert!(!growth.is_due(0));
        growth.written(COMPACT_ABOVE);
        assert!(growth.is_due(0));
        growth.asked();
        growth.written(90 * MIB);
        assert!(!growth.is_due(0), "under way");
        growth.compacted(50, 90 * MIB, false);
        assert!(!growth.is_due(50 + FAILED - 1));
        assert!(growth.is_due(50 + FAILED));
        growth.asked();
        growth.compacted(60_000, 8 * MIB, true);
        growth.written(4 * 8 * MIB - 1);
        assert!(!growth.is_due(60_000), "much of it lived");
        growth.written(4 * 8 * MIB);
        assert!(growth.is_due(60_000));
    }

    #[test]
    fn however_much_lived_a_log_is_compacted_before_its_file_is_full_or_when_it_is() {
        for max in [1, 8, 256] {
            for lived in 0..=100 {
                let mut growth = Growth::new(limits(max), 0);
                let base = max * MIB * lived / 100;
                growth.compacted(0, base, true);
                assert!(!growth.is_due(0), "{lived} % of {max} MiB live: it was compacted this moment");
                growth.written(max * MIB);
                assert!(growth.is_due(0) || lived >= 80, "{lived} % of {max} MiB lived");
                growth.refused();
                assert!(growth.is_due(0), "{lived} % of {max} MiB lived, and it is full");
                growth.asked();
                growth.compacted(0, MIB / 4, true);
                assert!(!growth.is_due(0));
            }
        }
    }

    #[test]
    fn a_log_that_is_opened_over_its_limit_is_due_at_once() {
        assert!(Growth::new(limits(16), 100 * MIB).is_due(0));
        assert!(QuietGrowth::new(Growth::new(limits(16), 100 * MIB)).is_due(0, 90 * MIB));
        assert!(!QuietGrowth::new(Growth::new(limits(256), 3 * MIB)).is_due(1_000, 0));
    }

    fn written(growth: &mut QuietGrowth, now: Millis, size: u64) {
        growth.writing(now);
        growth.written(now, size);
    }

    #[test]
    fn a_log_that_is_waited_for_is_compacted_when_it_is_quiet() {
        let mut growth = QuietGrowth::new(Growth::new(limits(256), 0));
        assert_eq!(growth.next_look(0), None, "it is small");
        written(&mut growth, 1_000, COMPACT_ABOVE);
        assert!(!growth.is_due(1_000 + QUIET - 1, 0));
        assert_eq!(growth.next_look(1_001), Some(1_000 + QUIET));
        assert!(!growth.is_due(1_000 + QUIET, COMPACT_ABOVE / 4 + 1), "much of it lives");
        assert_eq!(growth.next_look(1_000 + QUIET), None, "not again and again");
        assert!(growth.is_due(1_000 + QUIET, COMPACT_ABOVE / 4));
        growth.writing(1_200);
        assert!(!growth.is_due(9_000, 0), "a write is under way, however long it takes");
        growth.written(9_000, COMPACT_ABOVE);
        assert!(!growth.is_due(9_000, 0));
        assert!(growth.is_due(9_000 + QUIET, 0));
    }

    #[test]
    fn what_lives_beside_what_comes_and_goes_is_not_compacted_again_and_again() {
        let mut growth = QuietGrowth::new(Growth::new(limits(256), 20 * MIB));
        assert!(growth.is_due(1_000, MIB));
        growth.asked(MIB);
        growth.compacted(1_000, 6 * MIB, true);
        assert!(!growth.is_due(5_000, 0), "a roster of 5 MiB");
        written(&mut growth, 6_000, 20 * MIB);
        assert!(growth.is_due(6_000 + QUIET, 0));
    }

    #[test]
    fn a_log_that_is_waited_for_can_wait_no_longer_when_it_is_large() {
        let mut growth = QuietGrowth::new(Growth::new(limits(256), 0));
        written(&mut growth, 9_000, PRESSING_ABOVE - 1);
        assert!(!growth.is_due(9_000, 0));
        written(&mut growth, 9_000, PRESSING_ABOVE);
        assert!(!growth.is_due(9_000, PRESSING_ABOVE / 2 + 1), "it would gain little");
        assert!(growth.is_due(9_000, PRESSING_ABOVE / 2));
        written(&mut growth, 9_000, 128 * MIB);
        assert!(growth.is_due(9_000, 128 * MIB), "half of what the file may hold");
        growth.asked(128 * MIB);
        growth.compacted(9_001, 128 * MIB, true);
        written(&mut growth, 9_002, 128 * MIB + 5);
        assert!(!growth.is_due(9_002, 128 * MIB), "all of it lives: not each write");
        written(&mut growth, 9_003, 160 * MIB);
        assert!(growth.is_due(9_003, 128 * MIB));
        assert!(growth.is_due(9_003 + QUIET, 0), "all of it is dead now");
    }
}
