//! Reads a whole log and says how it ends: cleanly, torn (a write that a crash cut short) or damaged.
//!
//! Owns the difference between the last two: whether a later commit is there. Acting on it (cutting, setting aside) is left to `record_log`.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::format::{HEADER_LEN, Header, RecordHead};

/// How many bytes the search for a later valid record may checksum. A real file needs a few records' worth; only
/// payloads made to look like record heads come near it, and then the log is called damaged, which is the safe answer.
const SEARCH_BUDGET_BYTES: usize = 64 << 20;

/// Read-ahead while opening; freed again before `scan` returns.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// Everything up to the first byte that does not verify.
pub(super) struct Scan {
    pub(super) records: Vec<Bytes>,
    /// Length of the file up to the end of the last good record.
    pub(super) valid_len: u64,
    /// Where that record's commit begins.
    pub(super) last_commit: u64,
    pub(super) next_sequence: u64,
    pub(super) end: End,
}

/// What stands after the last good record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing, or room made ahead.
    Clean,
    /// Bytes of a commit that never finished: no valid record of a later one comes after them.
    Torn {
        /// What is wrong with them.
        why: &'static str,
        /// How many there are, up to the last that is not zero.
        bytes: u64,
    },
    /// A valid record of a later commit comes after bad bytes, so committed records were lost.
    Damaged(&'static str),
}

pub(super) fn scan(file: &File, header: &Header, file_len: u64) -> io::Result<Scan> {
    let mut reader = BufReader::with_capacity(READ_AHEAD_BYTES.min(file_len as usize), file);
    reader.seek(SeekFrom::Start(HEADER_LEN as u64))?;
    let mut found = Scan {
        records: Vec::new(),
        valid_len: HEADER_LEN as u64,
        last_commit: HEADER_LEN as u64,
        next_sequence: header.first_sequence,
        end: End::Clean,
    };
    while found.valid_len < file_len {
        match next_record(&mut reader, header, &found, file_len)? {
            Ok((head, payload)) => found.push(header, head, payload),
            Err(why) => {
                found.end = classify(file, header, &found, file_len, why)?;
                break;
            }
        }
    }
    Ok(found)
}

impl Scan {
    fn push(&mut self, header: &Header, head: RecordHead, payload: Bytes) {
        if head.place.is_none_or(|place| place == 0) {
            self.last_commit = self.valid_len;
        }
        self.valid_len += (header.record_head() + payload.len()) as u64;
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.records.push(payload);
    }
}

/// The inner error is a verdict on the bytes, the outer one a failed read.
fn next_record(
    reader: &mut impl Read,
    header: &Header,
    found: &Scan,
    file_len: u64,
) -> io::Result<Result<(RecordHead, Bytes), &'static str>> {
    let Some(room) = (file_len - found.valid_len).checked_sub(header.record_head() as u64) else {
        return Ok(Err("the head of the last record is cut short"));
    };
    let mut head = vec![0; header.record_head()];
    reader.read_exact(&mut head)?;
    let head = RecordHead::decode(header, &head);
    // Checked before allocating: a garbled length must not cost more memory than the file has bytes.
    if u64::from(head.length) > room {
        return Ok(Err("a record is longer than the rest of the file"));
    }
    let mut payload = vec![0; head.length as usize];
    reader.read_exact(&mut payload)?;
    if !head.matches(header.incarnation, &payload) {
        return Ok(Err("the checksum of a record is wrong"));
    }
    if head.sequence != found.next_sequence {
        return Ok(Err("a record is out of sequence"));
    }
    Ok(Ok((head, Bytes::from(payload))))
}

fn classify(file: &File, header: &Header, found: &Scan, file_len: u64, why: &'static str) -> io::Result<End> {
    let mut rest = vec![0; (file_len - found.valid_len) as usize];
    file.read_exact_at(&mut rest, found.valid_len)?;
    let bytes = match header.has_places() {
        true => rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1),
        false => rest.len(),
    };
    Ok(match damaged(&rest, bytes, header, found.next_sequence) {
        true => End::Damaged(why),
        false if bytes == 0 => End::Clean,
        false => End::Torn { why, bytes: bytes as u64 },
    })
}

/// Whether a record of a later commit is there: then the commit before it was synced, and what is missing of that is lost. A commit that
/// a power cut left unfinished may have any of its blocks, in any order.
///
/// Looks at every offset below `within` (behind it there are zeros, which a record may end with and none begins with), since the length
/// of the bad record cannot be trusted; at the first one too, where an intact record stands when those before it have vanished. A payload may quote an older part of
/// its own log (a job that prints the spool): only sequences not seen yet count.
fn damaged(rest: &[u8], within: usize, header: &Header, expected: u64) -> bool {
    let head_len = header.record_head();
    let most = (rest.len() / head_len) as u64;
    let mut budget = SEARCH_BUDGET_BYTES;
    for bytes in rest[..].windows(head_len).take(within).enumerate().map(|(at, _)| &rest[at..]) {
        let head = RecordHead::decode(header, bytes);
        let ahead = head.sequence.wrapping_sub(expected);
        // The one that is missing would be intact, if it had been written where it belongs.
        let of_its_commit = ahead > 0 && head.place.is_some_and(|place| u64::from(place) >= ahead);
        let payload = bytes[head_len..].get(..head.length as usize);
        let (Some(payload), true, false) = (payload, ahead <= most, of_its_commit) else { continue };
        if budget < payload.len() || head.matches(header.incarnation, payload) {
            return true;
        }
        budget -= payload.len();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_log::format::{VERSION, push_record};

    const INCARNATION: u64 = 77;
    const HEADER: Header = Header { version: VERSION, kind: 2, incarnation: INCARNATION, first_sequence: 1 };

    fn with_junk_before(sequence: u64, place: u32, incarnation: u64) -> Vec<u8> {
        let mut rest = vec![0xEE; 21];
        push_record(&mut rest, incarnation, sequence, place, b"later");
        rest
    }

    #[test]
    fn only_a_record_of_this_log_and_of_a_later_commit_proves_damage() {
        for (name, rest, want) in [
            ("the next record", with_junk_before(6, 0, INCARNATION), true),
            ("the next record, of the same commit", with_junk_before(6, 1, INCARNATION), false),
            ("the same, in the midst of its commit", with_junk_before(6, 4, INCARNATION), false),
            ("the same sequence", with_junk_before(5, 0, INCARNATION), true),
            ("the same sequence, in the midst of its commit", with_junk_before(5, 3, INCARNATION), true),
            ("a quotation of an older part", with_junk_before(4, 0, INCARNATION), false),
            ("a sequence the space cannot hold", with_junk_before(5000, 0, INCARNATION), false),
            ("another log's record", with_junk_before(6, 0, 78), false),
            ("zeros", vec![0; 4096], false),
            ("nothing", vec![], false),
        ] {
            assert_eq!(damaged(&rest, rest.len(), &HEADER, 5), want, "{name}");
            let room = [&rest[..], &[0; 99]].concat();
            assert_eq!(damaged(&room, rest.len(), &HEADER, 5), want, "{name}, and room");
        }
        let second_of_the_next = [with_junk_before(6, 1, INCARNATION), with_junk_before(8, 1, INCARNATION)];
        let rest = second_of_the_next.concat();
        assert!(damaged(&rest, rest.len(), &HEADER, 5), "its commit began with 7");
    }

    #[test]
    fn bytes_made_to_look_like_records_exhaust_the_budget_and_count_as_damage() {
        // Each 20 bytes pretend to be a head with a 1 MiB payload: without the budget this is gigabytes of checksum.
        let mut rest = Vec::new();
        for _ in 0..100_000 {
            rest.extend_from_slice(&(1u32 << 20).to_le_bytes());
            rest.extend_from_slice(&[1, 2, 3, 4]);
            rest.extend_from_slice(&6u64.to_le_bytes());
            rest.extend_from_slice(&0u32.to_le_bytes());
        }
        assert!(damaged(&rest, rest.len(), &HEADER, 5));
    }
}
