//! A proof over a set of leaves: their places, and the hashes of what stands beside them.

use super::{Hash, Level, MAX_LEAVES, TargetRoot, Tree, node, width};

/// That leaves are in a tree: the hashes of the largest subtrees without any of them, from the left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proof {
    /// How many leaves the tree has.
    pub size: u32,
    /// Where the leaves are, in the order in which their owners are named.
    pub places: Vec<u32>,
    /// The hashes beside them.
    pub hashes: Vec<Hash>,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Nobody to prove, or another number of places than of leaves.
    #[error("{places} places for {leaves} members")]
    Members {
        /// Places in the proof.
        places: usize,
        /// Leaves that were to be proven.
        leaves: usize,
    },
    /// The size is none that a tree may have.
    #[error("a tree of {0} leaves")]
    Size(u32),
    /// A place outside the tree, or one named twice.
    #[error("place {0} is outside of the tree, or named twice")]
    Place(u32),
    /// Another number of hashes than there is room for.
    #[error("{0} hashes, which is too few or too many")]
    Hashes(usize),
    /// It leads to another root.
    #[error("it leads to another root than the signed one")]
    Root,
}

impl Proof {
    /// What the proof shows of the tree, if these are its leaves. The root is whatever comes out of it.
    ///
    /// # Errors
    /// It has not the form of a proof of so many leaves.
    pub fn open(&self, leaves: &[Hash]) -> Result<Tree, ProofError> {
        if self.places.len() != leaves.len() || leaves.is_empty() {
            return Err(ProofError::Members { places: self.places.len(), leaves: leaves.len() });
        }
        if !(1..=MAX_LEAVES).contains(&self.size) {
            return Err(ProofError::Size(self.size));
        }
        let mut given: Vec<(u32, Hash)> = self.places.iter().copied().zip(leaves.iter().copied()).collect();
        given.sort_unstable_by_key(|(place, _)| *place);
        let twice = given.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0);
        let outside = given.last().map(|(place, _)| *place).filter(|place| *place >= self.size);
        if let Some(place) = twice.or(outside) {
            return Err(ProofError::Place(place));
        }
        let depth = (0..).find(|level| width(self.size, *level) == 1).unwrap_or_default();
        let mut walk =
            Walk { size: self.size, hashes: self.hashes.iter(), levels: vec![Vec::new(); depth + 1] };
        let wrong = ProofError::Hashes(self.hashes.len());
        walk.node(depth, 0, &given).ok_or(wrong)?;
        match walk.hashes.next() {
            Some(_) => Err(wrong),
            None => {
                let levels = walk.levels.into_iter().enumerate();
                let levels = levels.map(|(no, known)| Level::some(known, width(self.size, no))).collect();
                Ok(Tree { size: self.size, levels })
            }
        }
    }

    /// The same, where the root is known.
    ///
    /// # Errors
    /// It does not show that these are leaves of the tree with this root.
    pub fn verify(&self, leaves: &[Hash], root: &TargetRoot) -> Result<Tree, ProofError> {
        if self.size != root.count {
            return Err(ProofError::Size(self.size));
        }
        let tree = self.open(leaves)?;
        if tree.root() == *root { Ok(tree) } else { Err(ProofError::Root) }
    }
}

/// Walks a tree from its root, leaves to the left first, and takes the hashes in that order.
struct Walk<'a> {
    size: u32,
    hashes: std::slice::Iter<'a, Hash>,
    /// What is known of each level: nodes ascending.
    levels: Vec<Vec<(u32, Hash)>>,
}

impl Walk<'_> {
    fn node(&mut self, level: usize, no: u32, given: &[(u32, Hash)]) -> Option<Hash> {
        let hash = match (given, level) {
            ([], _) => *self.hashes.next()?,
            ([(_, leaf), ..], 0) => *leaf,
            _ => self.children(level - 1, 2 * no, given)?,
        };
        self.levels[level].push((no, hash));
        Some(hash)
    }

    fn children(&mut self, level: usize, left: u32, given: &[(u32, Hash)]) -> Option<Hash> {
        let middle = u64::from(left + 1) << level;
        let (ours, others) = given.split_at(given.partition_point(|(place, _)| u64::from(*place) < middle));
        let first = self.node(level, left, ours)?;
        if left + 1 >= width(self.size, level) {
            return Some(first);
        }
        let second = self.node(level, left + 1, others)?;
        Some(node(&first, &second))
    }
}
