//! Moments and spans of time, written for people and for programs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, in microseconds since 1970 UTC. Only for showing how long ago something was.
pub fn now_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// A moment (microseconds since 1970 UTC) as RFC 3339, in UTC and to the second. Nothing for 0, which means "never".
pub fn moment(micros: u64) -> Option<String> {
    let stamp = jiff::Timestamp::from_second(i64::try_from(micros / 1_000_000).ok()?).ok()?;
    (micros > 0).then(|| stamp.to_string())
}

/// How long ago a moment was, in at most two units: `3m 12s`, `4d 2h`.
pub fn ago(micros: u64, now: u64) -> String {
    match micros {
        0 => "-".into(),
        _ => span(Duration::from_micros(now.saturating_sub(micros))),
    }
}

/// A span in at most two units.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (d, h, m, s) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s}s"),
        (0, 0, _) => format!("{m}m {s}s"),
        (0, _, _) => format!("{h}h {m}m"),
        _ => format!("{d}d {h}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        let table =
            [(0, "0s"), (59, "59s"), (60, "1m 0s"), (3_599, "59m 59s"), (3_600, "1h 0m"), (90_061, "1d 1h")];
        for (seconds, text) in table {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn never_is_no_moment() {
        assert_eq!((moment(0), ago(0, 5)), (None, "-".into()));
        assert_eq!(moment(1_795_246_616_123_456).unwrap(), "2026-11-21T07:36:56Z");
        // A clock that is behind makes no negative age.
        assert_eq!(ago(2_000_000, 1_000_000), "0s");
    }
}
