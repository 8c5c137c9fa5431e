//! Sets of minions: as bytes on links, in stores, in records; and changed by a few members at a time.
//!
//! Owns how they are written. Who reads them says what a wrong one means there.

use crate::Members;

/// A set in roaring's portable format, ranges as ranges: numbers are given out one after the other, so the thousands who give one
/// answer mostly are a few ranges, of four bytes each instead of two for each member.
pub fn encode(members: &Members) -> Vec<u8> {
    let mut shortest = members.clone();
    shortest.optimize();
    let mut bytes = Vec::with_capacity(shortest.serialized_size());
    // Writing to memory cannot fail.
    let _ = shortest.serialize_into(&mut bytes);
    bytes
}

/// So few are added or removed one by one. Answers mostly come one by one, and an operation on whole sets walks or copies the large
/// one: beside a job of 5,000 distinct answers that was a tenth of what the top master did.
const FEW: u64 = 8;

/// Adds some to a set that may be large.
pub fn add(set: &mut Members, some: &Members) {
    match some.len() {
        0..FEW => set.extend(some),
        _ => *set |= some,
    }
}

/// Removes some from a set that may be large.
pub fn remove(set: &mut Members, some: &Members) {
    match some.len() {
        0..FEW => some.iter().for_each(|no| {
            set.remove(no);
        }),
        _ => *set -= some,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_takes_a_few_bytes() {
        assert!(encode(&(10..5_000).collect()).len() <= 32);
    }

    proptest! {
        #[test]
        fn few_and_many_are_added_and_removed_alike(set in prop::collection::btree_set(0u32..40, 0..30), some in prop::collection::btree_set(0u32..40, 0..20)) {
            let (set, some): (Members, Members) = (set.into_iter().collect(), some.into_iter().collect());
            let (mut more, mut less) = (set.clone(), set.clone());
            add(&mut more, &some);
            remove(&mut less, &some);
            prop_assert_eq!((more, less), (&set | &some, set - some));
        }

        #[test]
        fn they_survive_and_are_never_longer(picks in prop::collection::btree_set(0u32..200_000, 0..300), from in 0u32..9_000, to in 0u32..9_000) {
            let members: Members = picks.into_iter().chain(from..to).collect();
            let bytes = encode(&members);
            prop_assert!(bytes.len() <= members.serialized_size());
            prop_assert_eq!(Members::deserialize_from(&bytes[..]).unwrap(), members);
        }
    }
}
