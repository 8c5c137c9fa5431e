//! Reads a whole log and says how it ends: cleanly, torn (a write that a crash cut short) or damaged.
//!
//! Owns the difference between the last two. Acting on it (cutting, setting aside) is left to `record_log`.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::format::{HEADER_LEN, Header, RECORD_HEAD, RecordHead};

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
    pub(super) next_sequence: u64,
    pub(super) end: End,
}

/// What stands after the last good record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing.
    Clean,
    /// Bytes of a write that never finished: no valid record comes after them.
    Torn(&'static str),
    /// A valid record comes after bad bytes, so committed records were lost.
    Damaged(&'static str),
}

pub(super) fn scan(file: &File, header: &Header, file_len: u64) -> io::Result<Scan> {
    let mut reader = BufReader::with_capacity(READ_AHEAD_BYTES.min(file_len as usize), file);
    reader.seek(SeekFrom::Start(HEADER_LEN as u64))?;
    let mut found = Scan {
        records: Vec::new(),
        valid_len: HEADER_LEN as u64,
        next_sequence: header.first_sequence,
        end: End::Clean,
    };
    while found.valid_len < file_len {
        match next_record(&mut reader, header, &found, file_len)? {
            Ok(payload) => found.push(payload),
            Err(why) => {
                found.end = classify(file, header, &found, file_len, why)?;
                break;
            }
        }
    }
    Ok(found)
}

impl Scan {
    fn push(&mut self, payload: Bytes) {
        self.valid_len += (RECORD_HEAD + payload.len()) as u64;
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
) -> io::Result<Result<Bytes, &'static str>> {
    let Some(room) = (file_len - found.valid_len).checked_sub(RECORD_HEAD as u64) else {
        return Ok(Err("the head of the last record is cut short"));
    };
    let mut head = [0; RECORD_HEAD];
    reader.read_exact(&mut head)?;
    let head = RecordHead::decode(&head);
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
    Ok(Ok(Bytes::from(payload)))
}

fn classify(file: &File, header: &Header, found: &Scan, file_len: u64, why: &'static str) -> io::Result<End> {
    let mut rest = vec![0; (file_len - found.valid_len) as usize];
    file.read_exact_at(&mut rest, found.valid_len)?;
    let damaged = valid_record_within(&rest, header.incarnation, found.next_sequence);
    Ok(if damaged { End::Damaged(why) } else { End::Torn(why) })
}

/// Looks at every offset, since the length of the bad record cannot be trusted; at the first one too, where an intact
/// record stands when those before it have vanished. A payload may quote an older part of
/// its own log (a job that prints the spool): only sequences not seen yet count.
fn valid_record_within(rest: &[u8], incarnation: u64, expected: u64) -> bool {
    let most = (rest.len() / RECORD_HEAD) as u64;
    let mut budget = SEARCH_BUDGET_BYTES;
    for bytes in (0..).map_while(|at| rest.get(at..)).take_while(|bytes| bytes.len() >= RECORD_HEAD) {
        let head = RecordHead::decode(bytes);
        let payload = bytes[RECORD_HEAD..].get(..head.length as usize);
        let (Some(payload), true) = (payload, head.sequence.wrapping_sub(expected) <= most) else { continue };
        if budget < payload.len() || head.matches(incarnation, payload) {
            return true;
        }
        budget -= payload.len();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_log::format::push_record;

    const INCARNATION: u64 = 77;

    fn with_junk_before(sequence: u64, incarnation: u64) -> Vec<u8> {
        let mut rest = vec![0xEE; 21];
        push_record(&mut rest, incarnation, sequence, b"later");
        rest
    }

    #[test]
    fn only_a_record_of_this_log_not_seen_yet_proves_damage() {
        for (name, rest, want) in [
            ("the next record", with_junk_before(6, INCARNATION), true),
            ("the same sequence", with_junk_before(5, INCARNATION), true),
            ("a quotation of an older part", with_junk_before(4, INCARNATION), false),
            ("a sequence the space cannot hold", with_junk_before(5000, INCARNATION), false),
            ("another log's record", with_junk_before(6, 78), false),
            ("zeros", vec![0; 4096], false),
            ("nothing", vec![], false),
        ] {
            assert_eq!(valid_record_within(&rest, INCARNATION, 5), want, "{name}");
        }
    }

    #[test]
    fn bytes_made_to_look_like_records_exhaust_the_budget_and_count_as_damage() {
        // Each 16 bytes pretend to be a head with a 1 MiB payload: without the budget this is gigabytes of checksum.
        let mut rest = Vec::new();
        for _ in 0..100_000 {
            rest.extend_from_slice(&(1u32 << 20).to_le_bytes());
            rest.extend_from_slice(&[1, 2, 3, 4]);
            rest.extend_from_slice(&6u64.to_le_bytes());
        }
        assert!(valid_record_within(&rest, INCARNATION, 5));
    }
}
