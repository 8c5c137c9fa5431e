//! Spreads a number of minions over regions and syndics in the proportions of the file: what a trial fabric of 200 takes
//! from the 5,000 of the reference. Placement of real minions is another matter.

use super::{Region, Syndic, Topology};

/// Each syndic with its number of minions; the numbers sum to `total`.
pub(super) fn over_syndics(topology: &Topology, total: u64) -> Vec<(&Region, &Syndic, u64)> {
    let regions = &topology.regions;
    let counts: Vec<u64> = regions.iter().map(|r| u64::from(r.minions.count)).collect();
    let shares = proportional(total, &counts);
    regions.iter().zip(shares).flat_map(|(region, share)| over_region(region, share)).collect()
}

fn over_region(region: &Region, share: u64) -> impl Iterator<Item = (&Region, &Syndic, u64)> {
    let weight = |s: &Syndic| if s.standby { 0 } else { u64::from(s.weight) };
    let weights: Vec<u64> = region.syndics.iter().map(weight).collect();
    region.syndics.iter().zip(proportional(share, &weights)).map(move |(syndic, n)| (region, syndic, n))
}

/// Splits `total` by `weights`, whole numbers, nothing lost: the largest remainders get what rounding left over, the
/// earlier first. Without any weight all count alike.
fn proportional(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|w| u128::from(*w)).sum();
    if sum == 0 {
        return if weights.is_empty() { Vec::new() } else { proportional(total, &vec![1; weights.len()]) };
    }
    let exact = |w: &u64| u128::from(total) * u128::from(*w);
    let mut parts: Vec<u64> = weights.iter().map(|w| (exact(w) / sum) as u64).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(exact(&weights[*i]) % sum));
    let left = total - parts.iter().sum::<u64>();
    for i in order.into_iter().take(left as usize) {
        parts[i] += 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_reference_shares_of_two_hundred() {
        assert_eq!(proportional(200, &[1500, 1200, 800, 1500]), [60, 48, 32, 60]);
        assert_eq!(proportional(5, &[0, 0]), [3, 2]);
        assert_eq!(proportional(1, &[]), Vec::<u64>::new());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nobody_is_off_by_more_than_one(
            total in 0u64..100_000, weights in proptest::collection::vec(0u64..5_000, 1..12),
        ) {
            let parts = proportional(total, &weights);
            prop_assert_eq!(parts.iter().sum::<u64>(), total);
            let sum = weights.iter().sum::<u64>();
            for (part, weight) in parts.iter().zip(&weights).filter(|_| sum > 0) {
                prop_assert!(*part >= total * weight / sum && *part <= total * weight / sum + 1);
            }
        }
    }
}
