//! The tree over the records, as RFC 6962 (section 2.1) hashes it, of which only the peaks are kept.

use std::fmt;

use sha2::{Digest, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// The hash of a record: `SHA-256(0x00 || record)`.
pub fn leaf_hash(record: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(record).finalize().into()
}

/// The hash over two subtrees: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// A log of which only the roots of the largest complete subtrees are known: all that it takes to append, and to tell the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    size: u64,
    /// Left to right, so the largest first; one for each bit of `size`.
    peaks: Vec<Hash>,
}

impl Log {
    /// A log of this size from its peaks; `None` if there are not as many as the size has bits.
    pub fn restore(size: u64, peaks: Vec<Hash>) -> Option<Log> {
        (peaks.len() == size.count_ones() as usize).then_some(Log { size, peaks })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the largest complete subtrees, left to right.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends a leaf. Two subtrees of one size become one.
    pub fn append(&mut self, leaf: Hash) {
        let mut right = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                right = node_hash(&left, &right);
            }
        }
        self.peaks.push(right);
        self.size += 1;
    }

    /// The hash over all leaves; of none, the hash of nothing.
    pub fn root(&self) -> Hash {
        let fold = |right: Hash, left: &Hash| node_hash(left, &right);
        match self.peaks.split_last() {
            Some((last, rest)) => rest.iter().rev().fold(*last, fold),
            None => Sha256::digest([]).into(),
        }
    }
}

/// A hash as people write it.
#[derive(Debug, Clone, Copy)]
pub struct Hex<'a>(pub &'a Hash);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads [`Hex`] again: 64 lower-case digits.
pub fn from_hex(text: &str) -> Option<Hash> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut hash = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition in RFC 6962, word by word.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => *leaf,
            more => {
                let k = more.len().next_power_of_two() / 2;
                node_hash(&mth(&more[..k]), &mth(&more[k..]))
            }
        }
    }

    fn leaves(n: usize) -> Vec<Hash> {
        (0..n as u32).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    fn log(leaves: &[Hash]) -> Log {
        let mut log = Log::default();
        leaves.iter().for_each(|leaf| log.append(*leaf));
        log
    }

    /// The vectors of the certificate transparency project (`testdata`, merkletree_test).
    #[test]
    fn known_roots() {
        let inputs: [&[u8]; 8] =
            [b"", b"\0", b"\x10", b" !", b"01", b"@ABC", b"PQRSTUVW", b"`abcdefghijklmno"];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut log = Log::default();
        for (size, root) in roots.iter().enumerate() {
            assert_eq!(Hex(&log.root()).to_string(), *root, "size {size}");
            if let Some(input) = inputs.get(size) {
                log.append(leaf_hash(input));
            }
        }
    }

    proptest! {
        #[test]
        fn appending_gives_the_root_of_all(n in 0usize..200) {
            let leaves = leaves(n);
            let log = log(&leaves);
            prop_assert_eq!(log.root(), mth(&leaves));
            prop_assert_eq!(Log::restore(n as u64, log.peaks().to_vec()), Some(log));
        }

        #[test]
        fn hex_comes_back(hash: Hash) {
            prop_assert_eq!(from_hex(&Hex(&hash).to_string()), Some(hash));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Log::restore(3, vec![[0; 32]]), None);
        let good = "0".repeat(64);
        for bad in
            ["", &good[1..], &(good.clone() + "0"), &good.replacen('0', "A", 1), &good.replacen("00", "ü", 1)]
        {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
