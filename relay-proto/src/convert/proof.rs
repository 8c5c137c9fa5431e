//! Proofs that members are targets, on the wire.

use relay_core::{
    merkle::{Hash, MAX_LEAVES, Proof},
    roster::MAX_ROSTER,
};

use crate::{error::WireError, link};

/// Hashes of a proof, at most: a path on either side of each member, with the largest tree over the largest roster. Far above what
/// a peer of ours sends, whose members stand together.
const MAX_HASHES: usize = MAX_ROSTER as usize * 8;

/// A proof for the wire.
pub fn proof_out(proof: &Proof) -> link::Proof {
    let mut before = 0;
    let step = |place: &u32| {
        // Places are below the most leaves of a tree, so neither the numbers nor their distances leave their type.
        let step = (*place as i32).wrapping_sub(before);
        before = *place as i32;
        step
    };
    link::Proof {
        size: proof.size,
        places: proof.places.iter().map(step).collect(),
        hashes: proof.hashes.concat(),
    }
}

/// A proof from the wire. Whether it proves anything is not asked here.
pub(super) fn proof_in(proof: link::Proof) -> Result<Proof, WireError> {
    let link::Proof { size, places, hashes } = proof;
    if size > MAX_LEAVES
        || places.len() > MAX_ROSTER as usize
        || hashes.len() > MAX_HASHES * size_of::<Hash>()
    {
        let why = format!("{size} leaves, {} places, {} bytes of hashes", places.len(), hashes.len());
        return Err(WireError::field("proof", why));
    }
    let (hashes, rest) = hashes.as_chunks();
    if !rest.is_empty() {
        return Err(WireError::field("proof", "a hash is cut off"));
    }
    let mut before = 0i32;
    let place = |step: i32| {
        before = before.checked_add(step).filter(|place| *place >= 0)?;
        Some(before as u32)
    };
    let places = places.into_iter().map(place).collect::<Option<Vec<_>>>();
    let places = places.ok_or_else(|| WireError::field("proof", "a place outside of any tree"))?;
    Ok(Proof { size, places, hashes: hashes.to_vec() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn there_and_back(proof: &Proof) -> Result<Proof, WireError> {
        proof_in(link::Proof::decode(&*proof_out(proof).encode_to_vec()).unwrap())
    }

    #[test]
    fn a_range_takes_a_byte_for_each_of_its_members() {
        let proof = Proof { size: 5_000, places: (700..1_400).collect(), hashes: vec![[7; 32]; 20] };
        assert!(proof_out(&proof).encoded_len() < 700 + 20 * 32 + 20);
        let one = Proof { size: 5_000, places: vec![4_711], hashes: vec![[7; 32]; 13] };
        assert!(proof_out(&one).encoded_len() < 13 * 32 + 12);
    }

    #[test]
    fn what_may_not_be_is_refused() {
        let good = link::Proof { size: 2, places: vec![1], hashes: vec![0; 32] };
        assert!(proof_in(good.clone()).is_ok());
        assert!(proof_in(link::Proof { size: MAX_LEAVES + 1, ..good.clone() }).is_err());
        assert!(proof_in(link::Proof { places: vec![1, -2], ..good.clone() }).is_err());
        assert!(proof_in(link::Proof { places: vec![i32::MAX, 1], ..good.clone() }).is_err());
        assert!(proof_in(link::Proof { places: vec![0; MAX_ROSTER as usize + 1], ..good.clone() }).is_err());
        assert!(proof_in(link::Proof { hashes: vec![0; 33], ..good.clone() }).is_err());
        assert!(proof_in(link::Proof { hashes: vec![0; MAX_HASHES * 32 + 32], ..good }).is_err());
    }

    proptest! {
        #[test]
        fn proofs_survive(
            size in 0..MAX_LEAVES,
            places in prop::collection::vec(0..MAX_LEAVES, 0..20),
            hashes in prop::collection::vec(any::<Hash>(), 0..9),
        ) {
            let proof = Proof { size, places, hashes };
            prop_assert_eq!(there_and_back(&proof), Ok(proof));
        }
    }
}
