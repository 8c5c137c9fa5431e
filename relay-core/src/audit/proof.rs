//! Proofs after RFC 6962 (sections 2.1.1 and 2.1.2), checked as RFC 9162 says (sections 2.1.3.2 and 2.1.4.2).
//!
//! A proof is a list of hashes of ranges of records. Which ranges, is told here; hashing them is whoever has the records.

use std::ops::Range;

use super::tree::{Hash, node_hash};

/// The largest power of two below `n`, which is above 1.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// The ranges whose hashes prove that the record `index` is in the log of the first `size`; nearest first. `None`: it is not.
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let (mut begin, mut end, mut ranges) = (0, size, Vec::new());
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        match index < middle {
            true => (ranges.push(middle..end), end = middle),
            false => (ranges.push(begin..middle), begin = middle),
        };
    }
    ranges.reverse();
    Some(ranges)
}

/// The ranges whose hashes prove that the log of the first `old` records is the beginning of that of the first `new`. None are
/// needed if they are the same, or the old one is empty. `None`: the old one is longer.
pub fn consistency(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old > new {
        return None;
    }
    let mut ranges = Vec::new();
    if old > 0 && old < new {
        // Who checks knows the old root: it is not told again where it stands as a whole.
        let (mut begin, mut end, mut known) = (0, new, true);
        while old != end {
            let middle = begin + split(end - begin);
            match old <= middle {
                true => (ranges.push(middle..end), end = middle),
                false => (ranges.push(begin..middle), (begin, known) = (middle, false)),
            };
        }
        if !known {
            ranges.push(begin..end);
        }
        ranges.reverse();
    }
    Some(ranges)
}

/// Whether a leaf stands at `index` in the log of this size and root.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for step in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(step, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether the log of one size and root is the beginning of another.
pub fn verify_consistency(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    proof: &[Hash],
) -> bool {
    match (old, new) {
        (old, new) if old > new => return false,
        (old, new) if old == new => return proof.is_empty() && old_root == new_root,
        (0, _) => return proof.is_empty(),
        _ => {}
    }
    // A complete subtree is its own first hash.
    let mut path = proof.iter();
    let first = match old.is_power_of_two() {
        true => Some(old_root),
        false => path.next(),
    };
    let Some(first) = first else { return false };
    let shift = (old - 1).trailing_ones();
    let (mut at, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut before, mut after) = (*first, *first);
    for step in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (before, after) = (node_hash(step, &before), node_hash(step, &after));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            after = node_hash(&after, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && before == *old_root && after == *new_root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::tree::tests::*, *};

    fn hashes(leaves: &[Hash], ranges: &[Range<u64>]) -> Vec<Hash> {
        ranges.iter().map(|range| mth(&leaves[range.start as usize..range.end as usize])).collect()
    }

    /// Any one bit of any one hash.
    fn flipped(proof: &[Hash]) -> impl Iterator<Item = Vec<Hash>> {
        (0..proof.len()).map(|i| {
            let mut wrong = proof.to_vec();
            wrong[i][i % 32] ^= 1;
            wrong
        })
    }

    proptest! {
        #[test]
        fn every_record_is_proven_and_no_other(n in 1usize..70, pick: prop::sample::Index) {
            let (leaves, at) = (leaves(n), pick.index(n));
            let (root, size) = (mth(&leaves), n as u64);
            let proof = hashes(&leaves, &inclusion(at as u64, size).unwrap());
            prop_assert!(proof.len() <= 7);
            for other in 0..n {
                let fits = verify_inclusion(&leaves[other], at as u64, size, &proof, &root);
                prop_assert_eq!(fits, other == at);
                prop_assert_eq!(verify_inclusion(&leaves[at], other as u64, size, &proof, &root), other == at);
            }
            for wrong in flipped(&proof) {
                prop_assert!(!verify_inclusion(&leaves[at], at as u64, size, &wrong, &root));
            }
            let longer = [&proof[..], &[[0; 32]]].concat();
            prop_assert!(!verify_inclusion(&leaves[at], at as u64, size, &longer, &root));
        }

        #[test]
        fn every_beginning_is_proven_and_nothing_else(n in 1usize..70, pick: prop::sample::Index) {
            let (leaves, old) = (leaves(n), pick.index(n + 1));
            let (before, after) = (mth(&leaves[..old]), mth(&leaves));
            let (old, new) = (old as u64, n as u64);
            let proof = hashes(&leaves, &consistency(old, new).unwrap());
            prop_assert!(verify_consistency((old, &before), (new, &after), &proof));
            for wrong in flipped(&proof) {
                prop_assert!(!verify_consistency((old, &before), (new, &after), &wrong));
            }
            let longer = [&proof[..], &[[0; 32]]].concat();
            prop_assert!(!verify_consistency((old, &before), (new, &after), &longer));
            if old > 0 {
                prop_assert!(!verify_consistency((old, &[9; 32]), (new, &after), &proof));
                prop_assert!(!verify_consistency((old, &before), (new, &[9; 32]), &proof));
            }
        }

        /// Whatever a stranger sends.
        #[test]
        fn any_proof_is_looked_at_without_harm(
            (a, b, c) in (any::<u64>(), any::<u64>(), any::<u64>()),
            proof in prop::collection::vec(any::<Hash>(), 0..70),
        ) {
            prop_assert!(!verify_inclusion(&[1; 32], a, b, &proof, &[2; 32]));
            if b.min(c) > 0 {
                prop_assert!(!verify_consistency((b, &[1; 32]), (c, &[2; 32]), &proof));
            }
            let most = 130;
            prop_assert!(inclusion(a, b).is_none_or(|ranges| ranges.len() <= most));
            prop_assert!(consistency(b, c).is_none_or(|ranges| ranges.len() <= most));
        }
    }

    #[test]
    fn there_is_no_proof_of_what_is_not_so() {
        assert_eq!((inclusion(3, 3), consistency(4, 3)), (None, None));
        assert_eq!((consistency(0, 3), consistency(3, 3)), (Some(vec![]), Some(vec![])));
        assert_eq!(inclusion(0, 1), Some(vec![]));
    }
}
