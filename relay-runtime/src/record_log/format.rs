//! The bytes of a record log: its header and the frame around each record. All integers are little-endian.
//!
//! Owns the layout and the checksums. Reading a whole file is `scan`'s, writing one is `tail`'s.
//!
//! ```text
//! header  magic[8] version:u16 kind:u8 zero:u8 incarnation:u64 first_sequence:u64 crc32:u32      = 32 bytes
//! record  length:u32 crc32:u32 sequence:u64 place:u32 payload[length]                            = 20 + length
//! ```
//! `place` is how many records of the same commit stand before it. Behind the last record there may be zeros, room made ahead; no record
//! begins with them, as sequences are never 0. Version 1 had no `place` (16 + length) and no such room: it is read, not written.
//!
//! The 32 header bytes keep this shape in every later version, so that an old program can tell "newer" from "damaged".

/// The format this program writes, and the newest that it reads.
pub(super) const VERSION: u16 = 2;
/// Bytes of the file before its first record.
pub(super) const HEADER_LEN: usize = 32;
/// Bytes in front of each payload.
pub(super) const RECORD_HEAD: usize = 20;
/// Bytes in front of each payload in version 1.
const RECORD_HEAD_1: usize = 16;
/// The first record of a log. Zeros are no record then.
pub(super) const FIRST_SEQUENCE: u64 = 1;

const MAGIC: &[u8; 8] = b"RELAYLOG";
const CHECKED: usize = HEADER_LEN - 4;

/// The checked contents of a file's first 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u16,
    pub(super) kind: u8,
    pub(super) incarnation: u64,
    pub(super) first_sequence: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&self.version.to_le_bytes());
        out[10] = self.kind;
        out[12..20].copy_from_slice(&self.incarnation.to_le_bytes());
        out[20..28].copy_from_slice(&self.first_sequence.to_le_bytes());
        let crc = crc32fast::hash(&out[..CHECKED]);
        out[CHECKED..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` when these are not the bytes some version of this program wrote.
    pub(super) fn decode(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let intact = &bytes[..8] == MAGIC && u32_at(bytes, CHECKED) == crc32fast::hash(&bytes[..CHECKED]);
        intact.then(|| Self {
            version: u16::from_le_bytes([bytes[8], bytes[9]]),
            kind: bytes[10],
            incarnation: u64_at(bytes, 12),
            first_sequence: u64_at(bytes, 20),
        })
    }

    /// Bytes in front of each payload of this log.
    pub(super) fn record_head(&self) -> usize {
        if self.has_places() { RECORD_HEAD } else { RECORD_HEAD_1 }
    }

    /// Its records say where in their commit they stand, and zeros may follow the last.
    pub(super) fn has_places(&self) -> bool {
        self.version > 1
    }
}

/// What stands in front of a payload; nothing in it is trusted before the checksum agrees.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordHead {
    pub(super) length: u32,
    pub(super) crc: u32,
    pub(super) sequence: u64,
    /// Not in version 1.
    pub(super) place: Option<u32>,
}

impl RecordHead {
    /// `bytes` must hold at least [`Header::record_head`] bytes.
    pub(super) fn decode(header: &Header, bytes: &[u8]) -> Self {
        let place = header.has_places().then(|| u32_at(bytes, RECORD_HEAD_1));
        Self { length: u32_at(bytes, 0), crc: u32_at(bytes, 4), sequence: u64_at(bytes, 8), place }
    }

    pub(super) fn matches(&self, incarnation: u64, payload: &[u8]) -> bool {
        self.crc == self.checksum(incarnation, payload)
    }

    /// The incarnation is part of it so that blocks of an older log, recycled by the file system, never verify here.
    fn checksum(&self, incarnation: u64, payload: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&incarnation.to_le_bytes());
        crc.update(&self.length.to_le_bytes());
        crc.update(&self.sequence.to_le_bytes());
        crc.update(self.place.map(u32::to_le_bytes).as_ref().map_or(&[], |place| &place[..]));
        crc.update(payload);
        crc.finalize()
    }
}

/// Appends one framed record. The caller has checked that the payload's length fits a `u32`.
pub(super) fn push_record(out: &mut Vec<u8>, incarnation: u64, sequence: u64, place: u32, payload: &[u8]) {
    let head = RecordHead { length: payload.len() as u32, crc: 0, sequence, place: Some(place) };
    out.extend_from_slice(&head.length.to_le_bytes());
    out.extend_from_slice(&head.checksum(incarnation, payload).to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&place.to_le_bytes());
    out.extend_from_slice(payload);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}
