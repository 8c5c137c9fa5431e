//! What a child's numbers stand for: a local number and a journal each.
//!
//! In one piece of memory, ordered by the child's number: a minion's link has one, a syndic's thousands, nearly without gaps.

use crate::{Members, ids::Incarnation};

/// What a child's number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// The child's number.
    pub(super) no: u32,
    /// The local number.
    pub(super) member: u32,
    /// The journal: a child's number stands for one.
    pub(super) incarnation: Incarnation,
}

/// All that a child has told.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<Told>);

impl Numbers {
    fn at(&self, no: u32) -> Result<usize, usize> {
        // Where it is if no number below it is missing. It can't be any later.
        let near = no as usize;
        match self.0.get(near) {
            Some(told) if told.no == no => Ok(near),
            _ => self.0[..near.min(self.0.len())].binary_search_by_key(&no, |told| told.no),
        }
    }

    /// What a number stands for.
    pub(super) fn get(&self, no: u32) -> Option<&Told> {
        self.at(no).ok().and_then(|at| self.0.get(at))
    }

    /// It stands for this from now on.
    pub(super) fn insert(&mut self, told: Told) {
        match self.at(told.no) {
            Ok(at) => self.0[at] = told,
            Err(at) => self.0.insert(at, told),
        }
    }

    /// Nothing was told.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The local numbers.
    pub(super) fn members(&self) -> Members {
        set_of(self.0.iter().map(|told| told.member))
    }
}

/// A set of numbers that mostly ascend: a bitmap grows by far the fastest at its end.
pub(crate) fn set_of(numbers: impl Iterator<Item = u32>) -> Members {
    let mut all: Vec<u32> = numbers.collect();
    if !all.is_sorted() {
        all.sort_unstable();
    }
    all.dedup();
    // In order and none twice: none is refused.
    Members::from_sorted_iter(all).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_a_map_whatever_the_order_and_the_gaps(told in prop::collection::vec((0u32..40, any::<u32>()), 0..60)) {
            let (mut numbers, mut map) = (Numbers::default(), BTreeMap::new());
            for (no, member) in told {
                numbers.insert(Told { no, member, incarnation: Incarnation(u64::from(member) + 1) });
                map.insert(no, member);
                for no in 0..45 {
                    let found = numbers.get(no);
                    prop_assert_eq!(found.map(|told| told.member), map.get(&no).copied());
                    prop_assert!(found.is_none_or(|told| told.no == no && told.incarnation.0 == u64::from(told.member) + 1));
                }
            }
            let told: Vec<u32> = map.values().copied().collect();
            prop_assert_eq!(set_of(told.iter().chain(&told).copied()), told.iter().copied().collect::<Members>());
            prop_assert_eq!(numbers.members(), map.into_values().collect::<Members>());
            prop_assert!(numbers.0.windows(2).all(|pair| pair[0].no < pair[1].no));
        }
    }
}
