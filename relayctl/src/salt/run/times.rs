//! Moments as Salt's runners write and read them.

use anyhow::anyhow;
use jiff::{Timestamp, civil, tz::TimeZone};

/// As `jobs.list_jobs` writes a job's start, in UTC.
const WRITTEN: &str = "%Y, %b %d %H:%M:%S%.6f";

/// A moment, given in microseconds since 1970 UTC: `2026, Nov 21 03:28:17.567579`.
pub fn written(micros: u64) -> String {
    let stamp = i64::try_from(micros).ok().and_then(|m| Timestamp::from_microsecond(m).ok());
    stamp.map_or_else(String::new, |stamp| stamp.strftime(WRITTEN).to_string())
}

/// A moment as people write it: RFC 3339, `2026-11-21 03:28`, `2026-11-21`, or as [`written`]. Without a zone it is UTC.
/// In microseconds since 1970.
///
/// # Errors
/// It is none of these.
pub fn read(text: &str) -> anyhow::Result<u64> {
    let civil = || {
        let forms = ["%Y, %b %d %H:%M:%S%.f", "%Y, %b %d %H:%M:%S", "%Y, %b %d %H:%M", "%Y-%m-%d %H:%M"];
        let written = forms.iter().find_map(|form| civil::DateTime::strptime(form, text).ok());
        let day = || civil::Date::strptime("%Y, %b %d", text).ok().map(|day| day.at(0, 0, 0, 0));
        let moment = written.or_else(|| text.parse::<civil::DateTime>().ok()).or_else(day)?;
        Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let stamp = text.parse::<Timestamp>().ok().or_else(civil);
    let micros = stamp.and_then(|stamp| u64::try_from(stamp.as_microsecond()).ok());
    micros.ok_or_else(|| {
        anyhow!("{text:?} is no moment: write 2026-11-21T03:28:17Z, '2026-11-21 03:28' or 2026-11-21 (UTC)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROS: u64 = 1_795_231_697_567_579;

    #[test]
    fn as_salt_writes_it() {
        assert_eq!(written(MICROS), "2026, Nov 21 03:28:17.567579");
        assert_eq!(read(&written(MICROS)).unwrap(), MICROS);
    }

    #[test]
    fn as_people_write_it() {
        let minute = MICROS - 17_567_579;
        for (text, expected) in [
            ("2026-11-21T03:28:17.567579Z", MICROS),
            ("2026-11-21T04:28:00+01:00", minute),
            ("2026-11-21 03:28", minute),
            ("2026-11-21 03:28:00", minute),
            ("2026, Nov 21 03:28", minute),
            ("2026-11-21", minute - (3 * 60 + 28) * 60_000_000),
            ("2026, Nov 21", minute - (3 * 60 + 28) * 60_000_000),
        ] {
            assert_eq!(read(text).unwrap_or_else(|e| panic!("{e}")), expected, "{text}");
        }
        for wrong in ["", "yesterday", "2026-13-01", "1969-01-01"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
