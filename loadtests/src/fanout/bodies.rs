//! How many bodies cross an uplink in one batch, told from bytes alone.

use crate::fabric::Uplinks;

/// The text that every minion echoes in the rounds that count bodies.
pub(super) const BODY: usize = 4 << 10;
/// Bytes of one batch besides bodies and members, about: what a batch more or less than usual is taken for.
const BATCH_BYTES: f64 = 64.0;

/// How many bodies of [`BODY`] bytes are in so many bytes, to the nearest, for each batch. What is no body is taken from
/// pings, which have the same members and next to no body, and corrected for the number of batches.
pub(super) fn bodies_per_batch(bytes: f64, batches: f64, ping: Uplinks) -> f64 {
    let other = ping.bytes + (batches - ping.batches) * BATCH_BYTES;
    let bodies = ((bytes - other) / BODY as f64).round();
    if batches > 0.0 { bodies / batches } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_counted_whatever_the_number_of_batches() {
        let ping = Uplinks { bytes: 10_000.0 + 16.0 * 64.0, batches: 16.0 };
        let bytes = |batches: f64, bodies: f64| 10_000.0 + batches * 64.0 + bodies * 4_098.0;
        assert_eq!(bodies_per_batch(bytes(8.0, 8.0), 8.0, ping), 1.0);
        assert_eq!(bodies_per_batch(bytes(24.0, 24.0), 24.0, ping), 1.0);
        assert_eq!(bodies_per_batch(bytes(8.0, 9.0), 8.0, ping), 9.0 / 8.0);
        assert!(bodies_per_batch(bytes(24.0, 5_000.0), 24.0, ping) > 200.0);
    }
}
