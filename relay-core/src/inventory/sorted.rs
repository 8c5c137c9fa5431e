//! Every id (or value of a grain) in order and in one piece of memory: what a pattern on ids walks over. A walk over the tree of ids waits for
//! the memory at each of them, which costs more than the comparison.

use std::ops::Range;

use super::MinionNo;

/// Ids in order, with their numbers.
#[derive(Debug, Default)]
pub(super) struct SortedIds {
    text: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    /// Where the id begins in the text.
    start: usize,
    /// No id is longer than [`crate::ids::MAX_ID_BYTES`], no value than [`super::MAX_GRAIN_VALUE_BYTES`] in lower case.
    len: u16,
    shared: u16,
    no: MinionNo,
}

/// One id on a walk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) id: &'a str,
    pub(super) no: MinionNo,
    /// How many bytes it has in common with the id before it.
    pub(super) shared: usize,
}

impl SortedIds {
    /// From ids in ascending order.
    pub(super) fn new<'a>(ids: impl Iterator<Item = (&'a str, MinionNo)>) -> SortedIds {
        let mut sorted = SortedIds::default();
        let mut before = "";
        for (id, no) in ids {
            let shared = before.bytes().zip(id.bytes()).take_while(|(a, b)| a == b).count();
            let (len, shared) = (id.len() as u16, shared as u16);
            sorted.rows.push(Row { start: sorted.text.len(), len, shared, no });
            sorted.text.push_str(id);
            before = id;
        }
        sorted
    }

    /// The ids that begin with `prefix`, and how many there are.
    pub(super) fn starting_with(&self, prefix: &str) -> impl ExactSizeIterator<Item = Known<'_>> {
        let range = self.range(prefix);
        let known = |row: &Row| Known { id: self.id(row), no: row.no, shared: row.shared.into() };
        self.rows[range].iter().map(known)
    }

    fn range(&self, prefix: &str) -> Range<usize> {
        let start = self.rows.partition_point(|row| self.id(row) < prefix);
        let len = self.rows[start..].partition_point(|row| self.id(row).starts_with(prefix));
        start..start + len
    }

    fn id(&self, row: &Row) -> &str {
        self.text.get(row.start..row.start + usize::from(row.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_begins_with_a_prefix() {
        let ids = ["a", "ab", "ab1", "ac", "b"];
        let sorted = SortedIds::new(ids.iter().copied().zip(10..));
        for (prefix, expected) in [
            ("", &[10, 11, 12, 13, 14][..]),
            ("ab", &[11, 12]),
            ("ab1", &[12]),
            ("ab2", &[]),
            ("b", &[14]),
            ("c", &[]),
            ("A", &[]),
        ] {
            let found: Vec<MinionNo> = sorted.starting_with(prefix).map(|known| known.no).collect();
            assert_eq!(found, expected, "{prefix}");
        }
        let shared: Vec<usize> = sorted.starting_with("").map(|known| known.shared).collect();
        assert_eq!(shared, [0, 1, 2, 1, 0]);
        assert_eq!(SortedIds::default().starting_with("").len(), 0);
    }
}
