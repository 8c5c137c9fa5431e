//! One level of a tree: the hashes that are known of it, and which nodes they are of.

use super::Hash;

/// Nodes of one level that are known, ascending: all of them, or some.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Level {
    /// Whose hashes they are; nothing, if they are all that the level has.
    numbers: Option<Vec<u32>>,
    hashes: Vec<Hash>,
}

impl Level {
    /// All of a level.
    pub(super) fn whole(hashes: Vec<Hash>) -> Level {
        Level { numbers: None, hashes }
    }

    /// Some of a level that has `width` nodes, in order.
    pub(super) fn some(known: Vec<(u32, Hash)>, width: u32) -> Level {
        let (numbers, hashes): (Vec<u32>, Vec<Hash>) = known.into_iter().unzip();
        // In ascending order so many different numbers below the width are all of them.
        Level { numbers: Some(numbers).filter(|numbers| numbers.len() < width as usize), hashes }
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// What it takes in memory, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        let numbers = self.numbers.as_ref().map_or(0, |numbers| numbers.len() * size_of::<u32>());
        numbers + self.hashes.len() * size_of::<Hash>()
    }

    /// The known ones, in order.
    pub(super) fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The hash of a node, if it is known.
    pub(super) fn get(&self, no: u32) -> Option<&Hash> {
        let at = match &self.numbers {
            None => no as usize,
            Some(numbers) => numbers.binary_search(&no).ok()?,
        };
        self.hashes.get(at)
    }

    fn iter(&self) -> impl Iterator<Item = (u32, Hash)> + '_ {
        let number =
            |at: u32| self.numbers.as_ref().and_then(|all| all.get(at as usize)).map_or(at, |no| *no);
        (0..).zip(&self.hashes).map(move |(at, hash)| (number(at), *hash))
    }

    /// What is known in another copy of the same level, too. What is known already stays.
    pub(super) fn merge(&mut self, more: Level, width: u32) {
        let news: Vec<(u32, Hash)> = more.iter().filter(|(no, _)| self.get(*no).is_none()).collect();
        if news.is_empty() {
            return;
        }
        let mut known: Vec<(u32, Hash)> = self.iter().chain(news).collect();
        // Both ascend: the sort finds two runs.
        known.sort_by_key(|(no, _)| *no);
        *self = Level::some(known, width);
    }
}
