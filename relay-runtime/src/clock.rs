//! The clocks of a process: monotonic milliseconds for everything that decides, wall time for names and people.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use relay_core::time::{Millis, WallMicros};

/// The process's monotonic clock, from a moment before it did anything. Copies read the same clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Starts at 1: zero stands for "never" nowhere, but a clock that has run reads better in logs.
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Now.
    pub fn now(&self) -> Millis {
        self.0.elapsed().as_millis() as Millis + 1
    }

    /// How long until `deadline`.
    pub fn until(&self, deadline: Millis) -> Duration {
        let at = Duration::from_millis(deadline.saturating_sub(1));
        at.saturating_sub(self.0.elapsed())
    }
}

/// Microseconds since 1970 UTC.
pub fn wall() -> WallMicros {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as WallMicros)
}
