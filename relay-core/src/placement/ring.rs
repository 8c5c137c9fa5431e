//! The hash ring: the seam around the crate `consistent_hash_ring`, and the only place that knows it.
//!
//! The crate makes the ring; the way around it is ours. Its own list of replicas hashes the key again for each, so a minion
//! that fled to its first fallback would have to move once more when its primary leaves the topology for good. Walking on
//! around the ring, the list without one syndic is the same list without it.
//!
//! The crate's weight of 0 never ends; here nothing is below one point. Its default hash and its use of the standard
//! library's hashing of texts and numbers differ between machines and releases; [`Fixed`] does not.

use std::hash::{BuildHasher, Hash, Hasher};

use consistent_hash_ring::RingBuilder;
use twox_hash::XxHash3_64;

use crate::{
    ids::{MinionId, TierId},
    topology::DEFAULT_WEIGHT,
};

/// Points on the ring of a syndic with the default weight; others in proportion. A share strays from its ideal by
/// 1/sqrt(points): 160 points give 8 % on average and miss 20 % now and then, 1024 give 3 %.
pub const POINTS_PER_DEFAULT_WEIGHT: u64 = 1024;
/// The heaviest syndic of a region has this many points at least, and less than [`STEP`] times as many.
const LEAST: u64 = POINTS_PER_DEFAULT_WEIGHT / 2;
/// By how much all weights are multiplied or divided to get there. Where that changes, minions move that need not.
const STEP: u64 = 8;
/// Most points on a ring. Inserting is linear in what is there, so 64 syndics of the default weight in one region cost what
/// a start may cost (a second); with more, everybody has half as many, and so on. Passing this line moves minions once
/// that need not move.
pub const MAX_POINTS: u64 = 65_536;
/// Keeps the points of minions apart from those of syndics with the same id. Part of the placement: never changes.
const MINIONS: u64 = 1;

/// Syndics on a ring. They are known by their number in the order in which they were given.
#[derive(Debug, Clone)]
pub struct Ring {
    /// The last point of each stretch, ascending, and whose it is. Neighbouring stretches have different owners.
    stretches: Vec<(u64, usize)>,
    syndics: usize,
}

impl Ring {
    /// A ring of syndics with weights. Adding one leaves the others' points where they are, up to [`MAX_POINTS`].
    pub fn new<'a>(syndics: impl IntoIterator<Item = (&'a TierId, u32)>) -> Ring {
        let owners: Vec<Owner> = syndics
            .into_iter()
            .enumerate()
            .map(|(number, (id, weight))| Owner { number, id: id.clone(), weight })
            .collect();
        let points = points(owners.iter().map(|o| o.weight));
        let syndics = owners.len();
        let ring = RingBuilder::new(Fixed).weighted_nodes_iter(owners.into_iter().zip(points)).build();
        let stretches = match syndics {
            // The crate has one stretch without an owner in an empty ring, and looks for it.
            0 => Vec::new(),
            _ => ring.resident_ranges().map(|r| (*r.keys().end(), r.node().number)).collect(),
        };
        Ring { stretches, syndics }
    }

    /// Every syndic once, the nearest first.
    pub fn order(&self, minion: &MinionId) -> impl Iterator<Item = usize> {
        let at = point(minion);
        let start = self.stretches.partition_point(|(end, _)| *end < at);
        let around = self.stretches[start..].iter().chain(&self.stretches[..start]).map(|(_, owner)| *owner);
        let mut seen = vec![false; self.syndics];
        around.filter(move |owner| !std::mem::replace(&mut seen[*owner], true)).take(self.syndics)
    }
}

/// A minion's place on the ring.
pub(super) fn point(minion: &MinionId) -> u64 {
    XxHash3_64::oneshot_with_seed(MINIONS, minion.as_str().as_bytes())
}

/// How many points each weight has: at least 1. Weights of another order of magnitude (1 to 3, or thousands) are brought
/// near to the default first, in steps of [`STEP`]: the heaviest one decides, so that another syndic rarely changes it.
fn points(weights: impl Iterator<Item = u32>) -> Vec<usize> {
    let weights: Vec<u64> = weights.map(u64::from).collect();
    let (mut times, mut parts) = (POINTS_PER_DEFAULT_WEIGHT, u64::from(DEFAULT_WEIGHT));
    let heaviest = weights.iter().copied().max().unwrap_or(0).max(1);
    while heaviest * times / parts < LEAST {
        times *= STEP;
    }
    while heaviest * times / parts >= LEAST * STEP {
        parts *= STEP;
    }
    let mut points: Vec<u64> = weights.into_iter().map(|weight| weight * times / parts).collect();
    while points.iter().sum::<u64>() > MAX_POINTS && points.iter().any(|n| *n > 1) {
        points.iter_mut().for_each(|n| *n /= 2);
    }
    points.into_iter().map(|n| n.max(1) as usize).collect()
}

/// A syndic on the crate's ring. Equal and hashed by its id alone.
#[derive(Clone)]
struct Owner {
    number: usize,
    id: TierId,
    weight: u32,
}

impl PartialEq for Owner {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}
impl Eq for Owner {}
impl Hash for Owner {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.id.as_str().as_bytes());
    }
}

/// xxh3 with the seed 0, whatever the machine's byte order. The crate hashes [`Owner`]s and, for the next point of a chain,
/// 64-bit numbers; each is one write.
#[derive(Clone, Copy)]
struct Fixed;

impl BuildHasher for Fixed {
    type Hasher = State;
    fn build_hasher(&self) -> State {
        State(0)
    }
}

struct State(u64);

impl Hasher for State {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = XxHash3_64::oneshot_with_seed(self.0, bytes);
    }
    fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_go_by_weight_and_have_a_bound() {
        assert_eq!(points([100, 50, 1].into_iter()), [1024, 512, 10]);
        assert_eq!(points([399, 100].into_iter()), [4085, 1024], "what is near the default stays as it is");
        assert_eq!(points([1, 2, 3].into_iter()), [655, 1310, 1966], "64 times as many");
        assert_eq!(points([10_000, 5_000, 1].into_iter()), [1600, 800, 1], "a 64th");
        let many = points(std::iter::repeat_n(100, 1000));
        assert!(many.iter().sum::<usize>() as u64 <= MAX_POINTS && many.iter().all(|n| *n == 64));
        let crowd = points(std::iter::repeat_n(1, 200_000));
        assert!(crowd.iter().all(|n| *n == 1), "never 0: the crate would not end");
    }

    #[test]
    fn an_empty_ring_has_nobody() {
        assert_eq!(Ring::new([]).order(&"m".parse().unwrap()).count(), 0);
    }
}
