//! Medians and percentiles of a few dozen rounds.

/// The middle value; between two, their mean. 0 for nothing.
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    match sorted.len() {
        0 => 0.0,
        n if n.is_multiple_of(2) => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
        n => sorted[n / 2],
    }
}

/// The smallest value that at least 99 of 100 values do not exceed. With under 100 values that is the largest.
pub fn p99(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let rank = (sorted.len() * 99).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_nothing_is_zero() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0]), median(&[])), (2.0, 2.5, 0.0));
        assert_eq!((p99(&[5.0, 9.0, 1.0]), p99(&[])), (9.0, 0.0));
        let many: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(p99(&many), 198.0);
    }
}
