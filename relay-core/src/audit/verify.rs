//! Going through a whole log, from its first record on, without trust in whoever keeps it.
//!
//! Each record tells the hash of the one before it, so a change is found at the record. The tree over all of them must have the
//! roots that the checkpoints say, so nobody who can write the file but not sign can change all of it. Whether a signature is
//! good is asked of whoever has the keys.

use std::{collections::BTreeMap, fmt};

use super::{
    checkpoint::SignedCheckpoint,
    entry::Entry,
    tree::{Hash, Log, leaf_hash},
};

/// Most problems that are told one by one. More are counted.
pub const MAX_PROBLEMS: usize = 1_000;
/// Most checkpoints that may wait for their size. There is one in a file at most behind its records; the others are given by hand.
pub const MAX_EXPECTED: usize = 1_000;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The record, if it is one's.
    pub seq: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seq {
            Some(seq) => write!(f, "record {seq}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Records that were looked at.
    pub records: u64,
    /// Checkpoints that fit, with a good signature.
    pub checkpoints: u64,
    /// The records before this one are proven by a checkpoint.
    pub proven: u64,
    /// What is wrong, in the order in which it was found; at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// Problems beyond these.
    pub more: u64,
}

impl Findings {
    fn note(&mut self, seq: Option<u64>, what: impl Into<String>) {
        match self.problems.len() < MAX_PROBLEMS {
            true => self.problems.push(Problem { seq, what: what.into() }),
            false => self.more += 1,
        }
    }
}

/// Says whether a checkpoint's signature is good, or why not.
pub trait Judge: FnMut(&SignedCheckpoint) -> Result<(), String> {}
impl<F: FnMut(&SignedCheckpoint) -> Result<(), String>> Judge for F {}

/// A record and the one before it, of which one was changed.
struct Torn {
    seq: u64,
    /// The log up to the record, if the one before it was what the record says.
    repaired: Log,
}

/// Looks at a log that passes by.
pub struct Verifier<J> {
    judge: J,
    log: Log,
    /// The log without its last record.
    older: Log,
    /// Records are missing before this point: roots can't be told any more.
    broken: bool,
    /// The record before: its leaf, and whether it could be read.
    last: Option<(Hash, bool)>,
    /// The number that the next record should have.
    next: u64,
    /// This record does not fit the one before it; which of the two was changed is known when the next one is.
    torn: Option<Torn>,
    /// Checkpoints by the size that they are about, with where they come from.
    expected: BTreeMap<u64, Vec<(SignedCheckpoint, String)>>,
    waiting: usize,
    findings: Findings,
}

impl<J: Judge> Verifier<J> {
    /// At the beginning of a log.
    pub fn new(judge: J) -> Verifier<J> {
        Verifier {
            judge,
            log: Log::default(),
            older: Log::default(),
            broken: false,
            last: None,
            next: 0,
            torn: None,
            expected: BTreeMap::new(),
            waiting: 0,
            findings: Findings::default(),
        }
    }

    /// The next record's line, without its end.
    pub fn record(&mut self, line: &[u8]) {
        let leaf = leaf_hash(line);
        let read = match Entry::decode(line) {
            Ok(entry) => {
                self.place(entry.seq);
                self.chain(&entry);
                true
            }
            Err(why) => {
                self.settle();
                self.findings.note(Some(self.next), why.to_string());
                false
            }
        };
        self.last = Some((leaf, read));
        self.next += 1;
        self.findings.records += 1;
        self.older = self.log.clone();
        self.log.append(leaf);
        if let Some(torn) = self.torn.as_mut().filter(|torn| torn.seq + 1 == self.next) {
            torn.repaired.append(leaf);
        }
        self.reached();
    }

    /// A checkpoint, from where it is said to be (a file, a line).
    pub fn checkpoint(&mut self, text: &str, place: &str) {
        let signed: SignedCheckpoint = match text.parse() {
            Ok(signed) => signed,
            Err(error) => return self.findings.note(None, format!("{place}: {error}")),
        };
        let (size, here) = (signed.checkpoint.size, self.log.size());
        if let Err(why) = (self.judge)(&signed) {
            self.findings.note(None, format!("{place}: the checkpoint of the first {size} records: {why}"));
        } else if size < here {
            let what =
                format!("{place}: the checkpoint of the first {size} records stands behind {here} of them");
            self.findings.note(None, what);
        } else if self.waiting == MAX_EXPECTED {
            self.findings
                .note(None, format!("{place}: more than {MAX_EXPECTED} checkpoints wait for their records"));
        } else {
            self.expected.entry(size).or_default().push((signed, place.to_owned()));
            self.waiting += 1;
            self.reached();
        }
    }

    /// The log is over.
    pub fn finish(mut self) -> Findings {
        self.settle();
        let here = self.log.size();
        for (size, waiting) in std::mem::take(&mut self.expected) {
            for (_, place) in waiting {
                let missing = size.saturating_sub(here);
                let what = format!(
                    "{place}: the checkpoint is of the first {size} records, and there are {here}: the last {missing} are missing"
                );
                self.findings.note(None, what);
            }
        }
        self.findings
    }

    /// Records that are missing or stand twice.
    fn place(&mut self, seq: u64) {
        if seq == self.next {
            return;
        }
        self.settle();
        let what = match self.next {
            0 => format!(
                "it comes first; the {seq} before it are not here: give the files with them, too, oldest first"
            ),
            next if seq > next => format!("it comes where record {next} belongs: {} are missing", seq - next),
            next => format!("it comes where record {next} belongs"),
        };
        self.findings.note(Some(seq), what);
        (self.next, self.broken, self.last) = (seq, true, None);
    }

    /// Whether it has the hash of the record before.
    fn chain(&mut self, entry: &Entry) {
        let fits = match self.last {
            Some((leaf, true)) => entry.prev == Some(leaf),
            // The one before is known to be wrong, or to be missing.
            Some((_, false)) => true,
            None => entry.seq > 0 || entry.prev.is_none(),
        };
        match (fits, self.torn.take()) {
            (true, None) => {}
            (true, Some(torn)) => self.changed(torn.seq.saturating_sub(1)),
            (false, None) => {
                let mut repaired = self.older.clone();
                entry.prev.iter().for_each(|leaf| repaired.append(*leaf));
                self.torn = Some(Torn { seq: entry.seq, repaired });
            }
            // It fits neither side.
            (false, Some(torn)) => self.changed(torn.seq),
        }
    }

    /// Nothing more will be known of a record that does not fit the one before it: that one was changed.
    fn settle(&mut self) {
        if let Some(torn) = self.torn.take() {
            self.changed(torn.seq.saturating_sub(1));
        }
    }

    fn changed(&mut self, seq: u64) {
        self.findings.note(Some(seq), "it was changed: the records beside it do not fit it");
    }

    /// Compares the checkpoints of what there is now.
    fn reached(&mut self) {
        let size = self.log.size();
        for (signed, place) in self.expected.remove(&size).unwrap_or_default() {
            self.waiting -= 1;
            match self.broken {
                true => {
                    let what = format!(
                        "{place}: the checkpoint can't be compared, as records before it are missing"
                    );
                    self.findings.note(None, what);
                }
                false if signed.checkpoint.root == self.log.root() => {
                    self.findings.checkpoints += 1;
                    self.findings.proven = size;
                }
                false => self.differs(size, &signed.checkpoint.root, &place),
            }
        }
    }

    /// The chain tells of each change but one of the last record, or one that made the chain anew.
    fn differs(&mut self, size: u64, root: &Hash, place: &str) {
        match self.torn.take() {
            Some(torn) if torn.repaired.root() != *root => self.changed(torn.seq),
            torn => {
                self.torn = torn;
                self.settle();
            }
        }
        let from = self.findings.proven;
        let named =
            self.findings.problems.iter().any(|p| p.seq.is_some_and(|seq| (from..size).contains(&seq)));
        let last = size.saturating_sub(1);
        let (seq, what) = match (named, size - from.min(size)) {
            (false, 1) => (Some(last), format!("it was changed: {place} is a checkpoint of another one")),
            (false, _) => {
                let what = format!(
                    "{place}: the checkpoint is of other records than the first {size}: record {last} was changed, or all from one behind {from} on were written anew"
                );
                (Some(last), what)
            }
            (true, _) => (None, format!("{place}: the checkpoint is of other records than the first {size}")),
        };
        self.findings.note(seq, what);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{Checkpoint, Event, Kind, VerifierKey},
        *,
    };
    use crate::ids::Epoch;

    fn lines(n: u64) -> Vec<Vec<u8>> {
        let (mut lines, mut prev) = (Vec::new(), None);
        for seq in 0..n {
            let event = Event::new(Kind::Job, "alice", "certificate").about(seq);
            let line = Entry { seq, prev, at: 5, epoch: Epoch(1), event }.encode();
            prev = Some(leaf_hash(&line));
            lines.push(line);
        }
        lines
    }

    fn checkpoint(lines: &[Vec<u8>]) -> String {
        let mut log = Log::default();
        lines.iter().for_each(|line| log.append(leaf_hash(line)));
        let key = VerifierKey::new("k", [0; 32]).unwrap();
        Checkpoint { origin: "o".into(), size: log.size(), root: log.root() }.signed(&key, &[1; 64])
    }

    /// The log with one checkpoint at its end, and those given beforehand.
    fn verify(lines: &[Vec<u8>], end: &str, given: &[String]) -> Findings {
        let mut verifier = Verifier::new(|_: &SignedCheckpoint| Ok(()));
        given.iter().for_each(|text| verifier.checkpoint(text, "given"));
        lines.iter().for_each(|line| verifier.record(line));
        verifier.checkpoint(end, "end");
        verifier.finish()
    }

    fn named(findings: &Findings) -> Vec<u64> {
        findings.problems.iter().filter_map(|problem| problem.seq).collect()
    }

    proptest! {
        #[test]
        fn a_whole_log_is_proven(n in 0u64..20, early in 0u64..20) {
            let lines = lines(n);
            let early = checkpoint(&lines[..early.min(n) as usize]);
            let found = verify(&lines, &checkpoint(&lines), &[early]);
            let expected = Findings { records: n, checkpoints: 2, proven: n, ..Findings::default() };
            prop_assert_eq!(found, expected);
        }

        /// Any bit of any record: it is named, and no other.
        #[test]
        fn a_flipped_bit_is_found_in_its_record(n in 1u64..12, pick: prop::sample::Index, at: prop::sample::Index, bit in 0..8) {
            let (good, record) = (lines(n), pick.index(n as usize));
            let mut bad = good.clone();
            let place = at.index(bad[record].len());
            bad[record][place] ^= 1u8 << bit;
            let found = verify(&bad, &checkpoint(&good), &[]);
            let mut named = named(&found);
            named.dedup();
            // A number that was changed is told as the number that stands there.
            let seq = Entry::decode(&bad[record]).map_or(record as u64, |entry| entry.seq);
            prop_assert!(named.contains(&(record as u64)) || named.contains(&seq), "{:?}", found.problems);
            prop_assert!(named.iter().all(|n| *n == record as u64 || *n == seq || *n == record as u64 + 1), "{:?}", found.problems);
            prop_assert_eq!(found.proven, 0);
        }

        #[test]
        fn a_cut_log_is_found_by_an_older_checkpoint(n in 1u64..12, pick: prop::sample::Index) {
            let (all, kept) = (lines(n), pick.index(n as usize));
            let end = checkpoint(&all[..kept]);
            prop_assert_eq!(verify(&all[..kept], &end, &[]).problems, vec![]);
            let found = verify(&all[..kept], &end, &[checkpoint(&all)]);
            prop_assert!(found.problems.iter().any(|p| p.what.contains("are missing")), "{:?}", found.problems);
        }

        #[test]
        fn a_record_left_out_is_found(n in 2u64..12, pick: prop::sample::Index) {
            let mut bad = lines(n);
            let end = checkpoint(&bad);
            let gone = pick.index(n as usize - 1);
            bad.remove(gone);
            let found = verify(&bad, &end, &[]);
            prop_assert!(named(&found).contains(&(gone as u64 + 1)), "{:?}", found.problems);
        }
    }

    /// Who can write but not sign, and makes the whole chain fit again.
    #[test]
    fn a_log_written_anew_is_found_by_its_checkpoint() {
        let good = lines(6);
        let (mut bad, mut prev) = (good[..3].to_vec(), leaf_hash(&good[2]));
        for seq in 3..6 {
            let event = Event::new(Kind::Job, "bob", "certificate").about(seq);
            let line = Entry { seq, prev: Some(prev), at: 5, epoch: Epoch(1), event }.encode();
            prev = leaf_hash(&line);
            bad.push(line);
        }
        let found = verify(&bad, &checkpoint(&good), &[checkpoint(&good[..3])]);
        assert_eq!((found.proven, found.problems.len()), (3, 1), "{:?}", found.problems);
        assert!(found.problems[0].what.contains("written anew"), "{:?}", found.problems);
    }

    #[test]
    fn one_changed_record_in_the_middle_is_the_only_one_named() {
        let mut bad = lines(9);
        let end = checkpoint(&bad);
        let text = String::from_utf8(bad[4].clone()).unwrap();
        for (from, to) in [("alice", "mallory"), ("\"prev\":\"", "\"prev\":\"0"), ("\"at\":5", "\"at\":6")] {
            bad[4] = text.replacen(from, to, 1).into_bytes();
            assert_eq!(named(&verify(&bad, &end, &[])), [4], "{from}");
        }
        // With a hash that reads as one.
        let prev = Entry { prev: Some([7; 32]), ..Entry::decode(text.as_bytes()).unwrap() };
        bad[4] = prev.encode();
        assert_eq!(named(&verify(&bad, &end, &[])), [4]);
    }

    #[test]
    fn signatures_are_asked_for() {
        let lines = lines(3);
        let mut verifier = Verifier::new(|_: &SignedCheckpoint| Err("nobody's".to_owned()));
        lines.iter().for_each(|line| verifier.record(line));
        verifier.checkpoint(&checkpoint(&lines), "line 4");
        verifier.checkpoint("nonsense", "line 5");
        let found = verifier.finish();
        assert_eq!((found.proven, found.checkpoints, found.problems.len()), (0, 0, 2));
        assert!(
            found.problems[0].to_string().contains("line 4") && found.problems[0].what.contains("nobody's")
        );
    }

    #[test]
    fn a_part_of_a_log_asks_for_the_rest() {
        let all = lines(9);
        let found = verify(&all[4..], &checkpoint(&all), &[]);
        assert_eq!(found.problems[0].to_string().split(';').next(), Some("record 4: it comes first"));
        assert_eq!(found.proven, 0);
    }
}
