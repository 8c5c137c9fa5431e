//! The leaves of a job's tree: which target stands at which place, and under which journal it was frozen.
//!
//! Owns the order as it is kept with the job, for as long as anybody may still be sent it: after a restart the same tree has to
//! come out of it, whatever journal a minion has by then. The tree itself is [`crate::merkle`]'s.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{Members, ids::Incarnation};

/// The form in which this build writes it. Another one is not read.
const FORMAT: u8 = 1;
/// Bytes of one target, at least: a step and a journal.
const MIN_ITEM: usize = 9;
/// Bytes of one number, at most.
const MAX_VARINT: usize = 5;

/// A job's targets in the order of their leaves: 9 to 10 bytes for each, encoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaves(Vec<(u32, Incarnation)>);

/// Bytes that are not the leaves of these targets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeavesError {
    /// Of another version, or cut off.
    #[error("not a list of leaves that this version can read")]
    Form,
    /// They name others than the targets, or one twice.
    #[error("the leaves are not those of the targets")]
    Others,
}

impl Leaves {
    /// In this order: inventory numbers, and the journal that each had when the targets were frozen.
    pub fn new(order: Vec<(u32, Incarnation)>) -> Leaves {
        Leaves(order)
    }

    /// In the order of the leaves.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Incarnation)> + '_ {
        self.0.iter().copied()
    }

    /// Each target, and its place.
    pub fn places(&self) -> Vec<(u32, u32)> {
        self.0.iter().zip(0..).map(|((no, _), place)| (*no, place)).collect()
    }

    /// As it is kept: the distance of each number from the one before, and the journal.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + self.0.len() * 10);
        out.put_u8(FORMAT);
        let mut before = 0i64;
        for (no, incarnation) in &self.0 {
            let step = i64::from(*no) - before;
            before = i64::from(*no);
            put(&mut out, ((step << 1) ^ (step >> 63)) as u64);
            out.put_u64(incarnation.0);
        }
        out.freeze()
    }

    /// From what was kept.
    ///
    /// # Errors
    /// It is not a list of all these targets.
    pub fn decode(mut bytes: &[u8], targets: &Members) -> Result<Leaves, LeavesError> {
        if bytes.try_get_u8() != Ok(FORMAT) {
            return Err(LeavesError::Form);
        }
        // Not by the targets' number: in a damaged row a few bytes can say four billion.
        let mut order = Vec::with_capacity(bytes.len() / MIN_ITEM);
        let (mut before, mut left) = (0i64, targets.clone());
        while !bytes.is_empty() {
            let coded = take(&mut bytes).ok_or(LeavesError::Form)?;
            before += (coded >> 1) as i64 ^ -((coded & 1) as i64);
            let no = u32::try_from(before).map_err(|_| LeavesError::Form)?;
            let incarnation = bytes.try_get_u64().map_err(|_| LeavesError::Form)?;
            if !left.remove(no) {
                return Err(LeavesError::Others);
            }
            order.push((no, Incarnation(incarnation)));
        }
        if left.is_empty() { Ok(Leaves(order)) } else { Err(LeavesError::Others) }
    }
}

fn put(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for byte in 0..MAX_VARINT {
        let next = bytes.try_get_u8().ok()?;
        number |= u64::from(next & 0x7f) << (7 * byte);
        if next < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn targets(leaves: &Leaves) -> Members {
        leaves.iter().map(|(no, _)| no).collect()
    }

    #[test]
    fn others_than_the_targets_are_refused() {
        let leaves = Leaves::new(vec![(3, Incarnation(9)), (1, Incarnation(8))]);
        let bytes = leaves.encode();
        assert_eq!(Leaves::decode(&bytes, &targets(&leaves)), Ok(leaves.clone()));
        for others in [vec![1], vec![1, 2, 3], vec![]] {
            assert_eq!(Leaves::decode(&bytes, &others.into_iter().collect()), Err(LeavesError::Others));
        }
        let twice = Leaves::new(vec![(1, Incarnation(9)), (1, Incarnation(9))]).encode();
        assert_eq!(Leaves::decode(&twice, &[1].into_iter().collect()), Err(LeavesError::Others));
        assert_eq!(Leaves::decode(&[], &Members::new()), Err(LeavesError::Form), "a job that has none");
        assert_eq!(Leaves::decode(&[2], &Members::new()), Err(LeavesError::Form), "of a newer version");
        assert_eq!(Leaves::decode(&bytes[..bytes.len() - 1], &targets(&leaves)), Err(LeavesError::Form));
    }

    proptest! {
        #[test]
        fn they_survive(picks in prop::collection::btree_map(any::<u32>(), any::<u64>(), 0..50), turn: bool) {
            let mut order: Vec<(u32, Incarnation)> = picks.iter().map(|(no, i)| (*no, Incarnation(*i))).collect();
            if turn {
                order.reverse();
            }
            let leaves = Leaves::new(order);
            let places = leaves.places();
            prop_assert!(places.iter().all(|(no, place)| leaves.iter().nth(*place as usize).unwrap().0 == *no));
            prop_assert_eq!(places.len(), picks.len());
            prop_assert_eq!(Leaves::decode(&leaves.encode(), &targets(&leaves)), Ok(leaves));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Leaves::decode(&bytes, &[1, 2].into_iter().collect());
        }
    }
}
