//! The tree over a job's frozen targets: its root is signed, and a proof shows that some minions are among them.
//!
//! Hashed as in RFC 6962: a leaf is SHA-256(0 ‖ what it stands for), a node SHA-256(1 ‖ left ‖ right), a last one without a
//! neighbour goes up as it is. Owns the shape: [`Tree`] (whole, or what a proof shows of it) and [`Proof`] over any set of
//! leaves, which each tier cuts down for each of its children. Whose leaf is where is [`crate::leaves`]'s.

use sha2::{Digest, Sha256};

use crate::ids::{Incarnation, MinionId};

mod level;
mod proof;
#[cfg(test)]
mod tests;
use level::Level;
pub use proof::{Proof, ProofError};

/// SHA-256.
pub type Hash = [u8; 32];

/// Most leaves of a tree: more than all rosters together can hold, and 24 hashes of proof for one.
pub const MAX_LEAVES: u32 = 1 << 24;

/// The leaf of a minion under one journal.
pub fn leaf(incarnation: Incarnation, id: &MinionId) -> Hash {
    let hash = Sha256::new().chain_update([0]).chain_update(incarnation.0.to_be_bytes());
    hash.chain_update(id.as_str()).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// What is signed of a job's targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TargetRoot {
    /// The root of the tree over them.
    pub hash: Hash,
    /// How many there are.
    pub count: u32,
}

/// A tree: the whole of it, or all that a proof shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    size: u32,
    /// From the leaves to the root.
    levels: Vec<Level>,
}

impl Tree {
    /// The tree over all of these leaves, of which there are at most [`MAX_LEAVES`].
    pub fn full(leaves: Vec<Hash>) -> Tree {
        let size = leaves.len() as u32;
        let mut levels = vec![Level::whole(leaves)];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let pair = |pair: &[Hash]| match pair {
                [left, right] => node(left, right),
                rest => rest[0],
            };
            let above = level.hashes().chunks(2).map(pair).collect();
            levels.push(Level::whole(above));
        }
        Tree { size, levels }
    }

    /// How many leaves the tree has, known or not.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Its root; of a tree without leaves, all zeros.
    pub fn root(&self) -> TargetRoot {
        let top = self.levels.last().and_then(|level| level.hashes().first());
        TargetRoot { hash: top.copied().unwrap_or_default(), count: self.size }
    }

    /// What it takes in memory, in bytes, about.
    pub fn bytes(&self) -> usize {
        self.levels.iter().map(Level::bytes).sum()
    }

    /// The proof that leaves are at these places, in this order. `None` if one of them is not known here, or named twice.
    pub fn prove(&self, places: Vec<u32>) -> Option<Proof> {
        let mut sorted = places.clone();
        sorted.sort_unstable();
        let leaves = self.levels.first()?;
        let known = sorted.iter().all(|place| leaves.get(*place).is_some());
        let mut hashes = Vec::new();
        let whole = known && sorted.windows(2).all(|pair| pair[0] < pair[1]) && !sorted.is_empty();
        (whole && self.beside(self.levels.len() - 1, 0, &sorted, &mut hashes).is_some()).then_some(Proof {
            size: self.size,
            places,
            hashes,
        })
    }

    /// The hashes of the largest subtrees below a node that have none of these leaves, from the left.
    fn beside(&self, level: usize, no: u32, places: &[u32], hashes: &mut Vec<Hash>) -> Option<()> {
        if places.is_empty() {
            hashes.push(*self.levels[level].get(no)?);
            return Some(());
        }
        if level == 0 {
            return Some(());
        }
        let (below, left) = (level - 1, 2 * no);
        let middle = u64::from(left + 1) << below;
        let (ours, others) = places.split_at(places.partition_point(|place| u64::from(*place) < middle));
        self.beside(below, left, ours, hashes)?;
        match left + 1 < width(self.size, below) {
            true => self.beside(below, left + 1, others, hashes),
            false => Some(()),
        }
    }

    /// Adds what another proof shows of the same tree. Of a tree of another size nothing is taken.
    pub fn graft(&mut self, other: Tree) {
        if self.levels.is_empty() {
            *self = other;
        } else if self.size == other.size {
            let levels = self.levels.iter_mut().zip(other.levels).enumerate();
            levels.for_each(|(no, (level, more))| level.merge(more, width(self.size, no)));
        }
    }
}

/// How many nodes a level has in a tree of so many leaves.
fn width(size: u32, level: usize) -> u32 {
    (u64::from(size).div_ceil(1 << level)) as u32
}
