//! The tree against a naive one, proofs against what they must not prove.

use proptest::{prelude::*, sample::Index};

use super::*;

fn leaves(count: u32) -> Vec<Hash> {
    (0..count).map(|no| leaf(Incarnation(u64::from(no) + 7), &format!("m{no}").parse().unwrap())).collect()
}

/// RFC 6962, section 2.1, as it is written there.
fn naive(leaves: &[Hash]) -> Hash {
    match leaves {
        [one] => *one,
        _ => {
            let mut split = 1;
            while 2 * split < leaves.len() {
                split *= 2;
            }
            node(&naive(&leaves[..split]), &naive(&leaves[split..]))
        }
    }
}

/// Some places of a tree, in any order.
fn some(size: u32, picks: &[Index]) -> Vec<u32> {
    let mut places: Vec<u32> = Vec::new();
    for pick in picks {
        let place = pick.index(size as usize) as u32;
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

fn of(leaves: &[Hash], places: &[u32]) -> Vec<Hash> {
    places.iter().map(|place| leaves[*place as usize]).collect()
}

#[test]
fn a_leaf_is_the_hash_of_a_journal_and_an_id() {
    // printf '\0\0\0\0\0\0\0\0\7web01' | sha256sum
    let hex: String =
        leaf(Incarnation(7), &"web01".parse().unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "a91b4af5f156f69c6e078063b0b58add034941631c852c8defb9b49922991fd9");
}

#[test]
fn one_of_five_thousand_takes_thirteen_hashes() {
    let tree = Tree::full(leaves(5_000));
    let longest = (0..5_000).map(|place| tree.prove(vec![place]).unwrap().hashes.len()).max();
    assert_eq!(longest, Some(13));
    let all = tree.prove((0..5_000).collect()).unwrap();
    assert!(all.hashes.is_empty());
    // A range, as what goes over one link nearly is, has a path on either side.
    let range = tree.prove((700..1_400).collect()).unwrap();
    assert!(range.hashes.len() <= 2 * 13, "{}", range.hashes.len());
}

#[test]
fn the_smallest_trees() {
    assert_eq!(Tree::full(Vec::new()).root(), TargetRoot::default());
    assert_eq!(Tree::full(Vec::new()).prove(vec![0]), None);
    let one = Tree::full(leaves(1));
    assert_eq!(one.root().hash, leaves(1)[0]);
    let proof = one.prove(vec![0]).unwrap();
    assert!(proof.hashes.is_empty() && proof.verify(&leaves(1), &one.root()).is_ok());
    assert_eq!((one.prove(vec![]), one.prove(vec![1]), one.prove(vec![0, 0])), (None, None, None));
}

proptest! {
    #[test]
    fn the_root_is_the_naive_one(size in 1u32..300) {
        let leaves = leaves(size);
        prop_assert_eq!(Tree::full(leaves.clone()).root(), TargetRoot { hash: naive(&leaves), count: size });
    }

    #[test]
    fn a_proof_holds_for_its_leaves_in_their_order(size in 1u32..200, picks: [Index; 9]) {
        let leaves = leaves(size);
        let tree = Tree::full(leaves.clone());
        let places = some(size, &picks);
        let proof = tree.prove(places.clone()).unwrap();
        prop_assert!(proof.hashes.len() <= places.len() * 8);
        let shown = proof.verify(&of(&leaves, &places), &tree.root()).unwrap();
        prop_assert_eq!(shown.root(), tree.root());
        // And what it shows is enough to cut it down to any part of it.
        for part in 1..=places.len() {
            let narrow = shown.prove(places[..part].to_vec()).unwrap();
            prop_assert_eq!(Some(narrow.clone()), tree.prove(places[..part].to_vec()));
            prop_assert!(narrow.verify(&of(&leaves, &places[..part]), &tree.root()).is_ok());
        }
        // Of others it shows nothing, or (of a neighbour) what is true.
        for stranger in (0..size).filter(|place| !places.contains(place)) {
            let proof = shown.prove(vec![stranger]);
            prop_assert!(proof.is_none() || proof == tree.prove(vec![stranger]));
        }
    }

    #[test]
    fn parts_grow_together(size in 2u32..200, first: [Index; 4], second: [Index; 4]) {
        let tree = Tree::full(leaves(size));
        let parts = [some(size, &first), some(size, &second)];
        let mut grown = Tree::default();
        for places in &parts {
            let proof = tree.prove(places.clone()).unwrap();
            grown.graft(proof.verify(&of(&leaves(size), places), &tree.root()).unwrap());
        }
        let mut all = parts.concat();
        all.sort_unstable();
        all.dedup();
        prop_assert_eq!(grown.prove(all.clone()), tree.prove(all));
        prop_assert_eq!(grown.root(), tree.root());
        grown.graft(Tree::full(leaves(size + 1)));
        prop_assert_eq!(grown.root(), tree.root(), "another tree");
    }

    #[test]
    fn an_altered_proof_proves_nothing(size in 2u32..200, picks: [Index; 3], what in 0u8..7, which: Index, bit in 0usize..256) {
        let leaves = leaves(size);
        let tree = Tree::full(leaves.clone());
        let places = some(size, &picks);
        let mut proof = tree.prove(places.clone()).unwrap();
        let mut claimed = of(&leaves, &places);
        match what {
            0 if !proof.hashes.is_empty() => {
                let at = which.index(proof.hashes.len());
                proof.hashes[at][bit / 8] ^= 1 << (bit % 8);
            }
            1 => {
                let at = which.index(claimed.len());
                claimed[at][bit / 8] ^= 1 << (bit % 8);
            }
            2 => proof.hashes.push([0; 32]),
            3 => drop(proof.hashes.pop().map_or_else(|| proof.places.pop().is_some(), |_| true)),
            4 => {
                let at = which.index(proof.places.len());
                proof.places[at] = (proof.places[at] + 1) % size;
            }
            5 => proof.size += 1,
            _ => claimed.push([1; 32]),
        }
        let same = tree.prove(places).as_ref() == Some(&proof) && claimed == of(&leaves, &proof.places);
        prop_assert!(same || proof.verify(&claimed, &tree.root()).is_err());
    }

    /// Whatever comes over a wire.
    #[test]
    fn any_proof_is_opened_or_refused(
        size: u32,
        places in prop::collection::vec(any::<u32>(), 0..9),
        hashes in prop::collection::vec(any::<[u8; 32]>(), 0..40),
        small: bool,
    ) {
        let size = if small { size % 64 } else { size };
        let places: Vec<u32> = places.iter().map(|place| if small { place % 64 } else { *place }).collect();
        let leaves = vec![[9; 32]; places.len()];
        let proof = Proof { size, places, hashes };
        let _ = proof.open(&leaves);
        let root = TargetRoot { hash: [3; 32], count: size };
        prop_assert!(proof.verify(&leaves, &root).is_err());
    }
}
