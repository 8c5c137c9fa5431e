//! Spans of time as operators write them: `30s`, `5m`, `1h`, `2d`, `250ms`, or plain seconds.

use std::time::Duration;

/// Longest span that may be asked for: 30 days. More is a typing error.
pub const MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Units and their seconds. `ms` before `s`: the longer ending first.
const UNITS: [(&str, f64); 5] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3_600.0), ("d", 86_400.0)];

/// Reads one. Fractions count: `1.5h`.
///
/// # Errors
/// What to write instead.
pub fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "write a time as 30s, 5m, 1h, 2d or seconds, from 1ms to 30d".to_owned();
    let unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (number, unit) = unit.unwrap_or((text, &1.0));
    // Only what people write: `parse` also takes "inf", "1e9" and a sign.
    if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(wrong());
    }
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let span = Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())?;
    let fits = span >= Duration::from_millis(1) && span <= MAX;
    fits.then_some(span).ok_or_else(wrong)
}

/// In milliseconds for the wire, where 0 says that nothing was asked for.
pub fn millis(span: Option<Duration>) -> u64 {
    span.map_or(0, |s| s.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        let table =
            [("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("2d", 172_800_000), ("250ms", 250)];
        let plain = [("1.5", 1_500), ("60", 60_000), ("0.5h", 1_800_000), ("30d", 2_592_000_000)];
        for (text, expected) in table.into_iter().chain(plain) {
            assert_eq!(span(text).map(|s| s.as_millis()), Ok(expected), "{text}");
        }
        for text in ["", "0", "0s", "-1", "+1", "inf", "1e99", "31d", "5x", "s", "1h30m", "0.5ms", "1 h"] {
            assert!(span(text).unwrap_err().starts_with("write a time as"), "{text}");
        }
    }
}
