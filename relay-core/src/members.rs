//! Sets of minions as bytes: on links, in stores, in records.
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
        fn they_survive_and_are_never_longer(picks in prop::collection::btree_set(0u32..200_000, 0..300), from in 0u32..9_000, to in 0u32..9_000) {
            let members: Members = picks.into_iter().chain(from..to).collect();
            let bytes = encode(&members);
            prop_assert!(bytes.len() <= members.serialized_size());
            prop_assert_eq!(Members::deserialize_from(&bytes[..]).unwrap(), members);
        }
    }
}
