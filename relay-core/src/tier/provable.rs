//! What a tier can show of the trees over the targets of its jobs: whom it may send a job to, with a proof.
//!
//! Owns how much of that is kept: an owner makes it again from what is stored, a syndic is offered the job again by whoever is
//! above it, so what is over the bound is forgotten, the longest unused first.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    ids::Jid,
    merkle::{Proof, TargetRoot, Tree},
};

/// Bytes of trees kept at one tier: about eighty jobs to 5,000 minions. Without a bound a thousand open jobs would take 400 MB.
pub const MAX_TREE_BYTES: usize = 32 << 20;
/// What a member's place takes beside the tree.
const PLACE_BYTES: usize = size_of::<(u32, u32)>();

/// Part of a job's tree, and whose leaves are known in it.
#[derive(Debug, Clone, Default)]
pub struct Provable {
    tree: Tree,
    /// Local numbers, ascending, and the place of each one's leaf.
    places: Vec<(u32, u32)>,
}

impl Provable {
    /// These members, at these places.
    pub fn new(tree: Tree, mut places: Vec<(u32, u32)>) -> Provable {
        places.sort_unstable_by_key(|(member, _)| *member);
        Provable { tree, places }
    }

    /// The tree's root.
    pub fn root(&self) -> TargetRoot {
        self.tree.root()
    }

    /// Where a member's leaf is.
    pub fn place_of(&self, member: u32) -> Option<u32> {
        let at = self.places.binary_search_by_key(&member, |(member, _)| *member).ok()?;
        self.places.get(at).map(|(_, place)| *place)
    }

    /// That these leaves are in the tree: places that [`Provable::place_of`] gave.
    pub fn prove(&self, places: Vec<u32>) -> Proof {
        self.tree.prove(places).unwrap_or_default()
    }

    /// What else is known of the same tree.
    fn extend(&mut self, more: Provable) {
        self.tree.graft(more.tree);
        if self.places.is_empty() {
            self.places = more.places;
            return;
        }
        // The newer stand first among equals, and stay. Both ascend: the sort finds two runs.
        let before = std::mem::replace(&mut self.places, more.places);
        self.places.extend(before);
        self.places.sort_by_key(|(member, _)| *member);
        self.places.dedup_by_key(|(member, _)| *member);
    }

    /// What it takes in memory, in bytes, about.
    pub fn bytes(&self) -> usize {
        self.tree.bytes() + self.places.len() * PLACE_BYTES
    }
}

/// The trees of all jobs.
#[derive(Debug, Default)]
pub struct Trees {
    kept: BTreeMap<Jid, (u64, Arc<Provable>)>,
    uses: u64,
    bytes: usize,
}

impl Trees {
    /// What is known of a job's tree.
    pub fn get(&mut self, jid: Jid) -> Option<&Provable> {
        self.uses += 1;
        let (used, provable) = self.kept.get_mut(&jid)?;
        *used = self.uses;
        Some(provable)
    }

    /// Whether anything is known of it.
    pub fn has(&self, jid: Jid) -> bool {
        self.kept.contains_key(&jid)
    }

    /// More is known of it. Verified: it leads to the same root. What jobs share counts for each of them.
    pub fn add(&mut self, jid: Jid, more: Arc<Provable>) {
        self.uses += 1;
        match self.kept.get_mut(&jid) {
            Some((used, known)) => {
                *used = self.uses;
                self.bytes -= known.bytes();
                Arc::make_mut(known).extend(Arc::unwrap_or_clone(more));
                self.bytes += known.bytes();
            }
            None => {
                self.bytes += more.bytes();
                self.kept.insert(jid, (self.uses, more));
            }
        }
        while self.bytes > MAX_TREE_BYTES && self.kept.len() > 1 {
            let oldest = self.kept.iter().min_by_key(|(_, (used, _))| *used).map(|(jid, _)| *jid);
            oldest.into_iter().for_each(|jid| self.forget(jid));
        }
    }

    /// Nothing of it is needed any more.
    pub fn forget(&mut self, jid: Jid) {
        if let Some((_, provable)) = self.kept.remove(&jid) {
            self.bytes -= provable.bytes();
        }
    }

    /// What they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::Incarnation, merkle::leaf};

    fn provable(members: std::ops::Range<u32>) -> Arc<Provable> {
        let leaves =
            members.clone().map(|no| leaf(Incarnation(no.into()), &format!("m{no}").parse().unwrap()));
        Arc::new(Provable::new(Tree::full(leaves.collect()), members.clone().zip(0..).collect()))
    }

    #[test]
    fn the_longest_unused_goes_first_and_the_newest_stays_whatever_its_size() {
        let mut trees = Trees::default();
        let jids = (0..1_000).map(Jid::from_micros);
        for jid in jids.clone() {
            trees.add(jid, provable(0..2_000));
            trees.get(Jid::from_micros(0)).expect("used all the time");
            assert!(trees.bytes() <= MAX_TREE_BYTES);
        }
        let kept: Vec<Jid> = jids.filter(|jid| trees.has(*jid)).collect();
        assert!(kept.len() > 100 && kept[1..].windows(2).all(|pair| pair[0].next() == pair[1]));
        assert_eq!((kept[0], kept[kept.len() - 1]), (Jid::from_micros(0), Jid::from_micros(999)));
        kept.iter().for_each(|jid| trees.forget(*jid));
        assert_eq!(trees.bytes(), 0);
    }

    #[test]
    fn what_is_added_is_counted_once() {
        let (jid, mut trees) = (Jid::from_micros(1), Trees::default());
        trees.add(jid, provable(0..100));
        let once = trees.bytes();
        trees.add(jid, provable(0..100));
        assert_eq!(trees.bytes(), once);
        assert_eq!(trees.get(jid).unwrap().prove(vec![3]).places, [3]);
    }
}
