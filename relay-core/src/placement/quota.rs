//! How many minions each syndic should have, and the most that it may have. Whole numbers only: a rounding that differs
//! between machines would place minions differently.

use super::LOAD_FACTOR_PERCENT;

/// One syndic's part of a region's minions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Its exact share, in thousandths of a minion, rounded down.
    pub ideal_thousandths: u64,
    /// The most it may have. The bounds of a region sum to at least its minions.
    pub bound: u64,
}

/// The quotas of syndics with (weight, capacity) for `total` minions.
///
/// Shares go by weight. A syndic whose share is above its capacity has its capacity, and the others share the rest. When
/// all capacities together are short, shares go by capacity instead: then everybody is over by the same part.
pub fn quotas(total: u64, syndics: &[(u32, u32)]) -> Vec<Quota> {
    let capacity: u64 = syndics.iter().map(|(_, capacity)| u64::from(*capacity)).sum();
    if capacity < total {
        return syndics.iter().map(|(_, own)| quota(total, u64::from(*own), capacity, u64::MAX)).collect();
    }
    let mut full = vec![false; syndics.len()];
    loop {
        let (rest, weights) = remaining(total, syndics, &full);
        let over = |i: &usize| {
            let (weight, capacity) = syndics[*i];
            !full[*i] && product(rest, u64::from(weight)) > product(u64::from(capacity), weights)
        };
        let found: Vec<usize> = (0..syndics.len()).filter(over).collect();
        if found.is_empty() {
            return (0..syndics.len())
                .map(|i| match (full[i], syndics[i]) {
                    (true, (_, own)) => {
                        Quota { ideal_thousandths: u64::from(own) * 1000, bound: u64::from(own) }
                    }
                    (false, (weight, own)) => quota(rest, u64::from(weight), weights, u64::from(own)),
                })
                .collect();
        }
        found.into_iter().for_each(|i| full[i] = true);
    }
}

/// What those that are not full share, and their weights together.
fn remaining(total: u64, syndics: &[(u32, u32)], full: &[bool]) -> (u64, u64) {
    let of = |wanted: bool, part: fn(&(u32, u32)) -> u32| -> u64 {
        let those = syndics.iter().zip(full).filter(|(_, full)| **full == wanted);
        those.map(|(syndic, _)| u64::from(part(syndic))).sum()
    };
    (total.saturating_sub(of(true, |s| s.1)), of(false, |s| s.0))
}

fn quota(total: u64, weight: u64, weights: u64, most: u64) -> Quota {
    let share = product(total, weight);
    let weights = u128::from(weights.max(1));
    let bound = (share * u128::from(LOAD_FACTOR_PERCENT)).div_ceil(weights * 100);
    Quota { ideal_thousandths: (share * 1000 / weights) as u64, bound: (bound as u64).min(most) }
}

fn product(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(total: u64, syndics: &[(u32, u32)]) -> Vec<(u64, u64)> {
        quotas(total, syndics).iter().map(|q| (q.ideal_thousandths, q.bound)).collect()
    }

    #[test]
    fn by_weight_then_capacity_then_shortage() {
        assert_eq!(pairs(1000, &[(100, 1000), (100, 1000)]), [(500_000, 600), (500_000, 600)]);
        assert_eq!(pairs(1000, &[(100, 1000), (300, 1000)]), [(250_000, 300), (750_000, 900)]);
        assert_eq!(pairs(1000, &[(100, 550), (100, 1000)]), [(500_000, 550), (500_000, 600)]);
        assert_eq!(pairs(1000, &[(100, 100), (100, 5000)]), [(100_000, 100), (900_000, 1080)]);
        assert_eq!(pairs(3000, &[(100, 500), (100, 1000)]), [(1_000_000, 1200), (2_000_000, 2400)]);
        assert_eq!(pairs(0, &[(1, 1)]), [(0, 0)]);
        assert_eq!(pairs(7, &[]), []);
    }

    proptest! {
        #[test]
        fn there_is_room_for_all_and_nobody_is_over(
            total in 0u64..20_000, syndics in proptest::collection::vec((1u32..=10_000, 1u32..3_000), 1..12),
        ) {
            let quotas = quotas(total, &syndics);
            prop_assert!(quotas.iter().map(|q| q.bound).sum::<u64>() >= total);
            let ideal: u64 = quotas.iter().map(|q| q.ideal_thousandths).sum();
            prop_assert!(ideal <= total * 1000 && ideal + syndics.len() as u64 >= total * 1000);
            let enough = syndics.iter().map(|s| u64::from(s.1)).sum::<u64>() >= total;
            for (quota, (_, capacity)) in quotas.iter().zip(&syndics) {
                prop_assert!(quota.bound * 1000 >= quota.ideal_thousandths);
                prop_assert!((quota.bound.saturating_sub(1)) * 100_000 <= quota.ideal_thousandths * LOAD_FACTOR_PERCENT + 120_000);
                prop_assert!(!enough || quota.bound <= u64::from(*capacity));
            }
        }
    }
}
