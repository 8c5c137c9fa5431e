//! The growing end of a log: what is committed, what is buffered, and how one becomes the other.
//!
//! Owns the rule that a failed commit leaves nothing behind, and the room made ahead: zeros that are on the disk already, so that a commit
//! writes over them and changes nothing of the file but its bytes. Works on any [`Medium`], so that tests can fill the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::format::push_record;

/// Buffer kept between commits; more is given back, because one process may hold 5,000 logs.
const KEEP_BUFFER_BYTES: usize = 4 << 10;
/// Room is made by writing so many of them at once.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The three things a commit asks of a file.
pub(super) trait Medium {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
}

impl Medium for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }
    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}

#[derive(Debug)]
pub(super) struct Tail {
    incarnation: u64,
    committed_len: u64,
    /// The file's length, with the room behind what is committed.
    file_len: u64,
    next_sequence: u64,
    pending: Vec<u8>,
    pending_records: u32,
    /// Bytes of a failed commit may stand behind `committed_len`: cut them off before anything is written there.
    dirty: bool,
    /// There was no space for room: not tried again before so much is committed.
    no_room_before: u64,
}

impl Tail {
    pub(super) fn new(incarnation: u64, committed_len: u64, file_len: u64, next_sequence: u64) -> Self {
        Self {
            incarnation,
            committed_len,
            file_len,
            next_sequence,
            pending: Vec::new(),
            pending_records: 0,
            dirty: false,
            no_room_before: 0,
        }
    }

    pub(super) fn committed_len(&self) -> u64 {
        self.committed_len
    }

    /// The length of the file once everything buffered is committed.
    pub(super) fn len_with_pending(&self) -> u64 {
        self.committed_len + self.pending.len() as u64
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    pub(super) fn is_pending(&self) -> bool {
        self.pending_records > 0
    }

    pub(super) fn push(&mut self, payload: &[u8]) {
        let sequence = self.next_sequence.wrapping_add(self.pending_records.into());
        push_record(&mut self.pending, self.incarnation, sequence, self.pending_records, payload);
        self.pending_records += 1;
    }

    /// Whether less than half of so much room is left, and it is worth while to make some.
    pub(super) fn wants_room(&self, room: u64) -> bool {
        let tried = self.committed_len < self.no_room_before;
        !tried && !self.dirty && self.file_len - self.committed_len < room / 2
    }

    /// Makes so much room behind what is committed, up to a file of `most` bytes.
    pub(super) fn make_room(&mut self, medium: &impl Medium, room: u64, most: u64) -> io::Result<()> {
        let (from, to) = (self.file_len, (self.committed_len + room).min(most));
        if self.dirty || to <= from {
            return Ok(());
        }
        let mut pieces = (from..to).step_by(ZEROS.len());
        let made = pieces
            .try_for_each(|at| medium.write_all_at(&ZEROS[..ZEROS.len().min((to - at) as usize)], at))
            .and_then(|()| medium.sync_data());
        match made {
            Ok(()) => self.file_len = to,
            Err(_) => {
                self.no_room_before = self.committed_len + room;
                // Zeros that stay are room all the same.
                let _ = medium.set_len(from);
            }
        }
        made
    }

    /// One write and one sync for all that is buffered. On an error the buffer is kept.
    pub(super) fn commit(&mut self, medium: &impl Medium) -> io::Result<()> {
        if !self.is_pending() {
            return Ok(());
        }
        self.clean(medium)?;
        self.dirty = true;
        let written =
            medium.write_all_at(&self.pending, self.committed_len).and_then(|()| medium.sync_data());
        if let Err(error) = written {
            // Should the cut fail as well, `dirty` stays set and the next commit cuts first.
            let _ = self.clean(medium);
            return Err(error);
        }
        self.dirty = false;
        self.committed_len += self.pending.len() as u64;
        self.file_len = self.file_len.max(self.committed_len);
        self.next_sequence = self.next_sequence.wrapping_add(self.pending_records.into());
        self.forget_pending();
        Ok(())
    }

    pub(super) fn rollback(&mut self) -> u64 {
        let dropped = self.pending_records;
        self.forget_pending();
        dropped.into()
    }

    fn clean(&mut self, medium: &impl Medium) -> io::Result<()> {
        if self.dirty {
            medium.set_len(self.committed_len)?;
            // Or blocks of this try could stand among those of the next one when the power goes.
            medium.sync_data()?;
            self.file_len = self.committed_len;
            self.dirty = false;
        }
        Ok(())
    }

    fn forget_pending(&mut self) {
        self.pending.clear();
        self.pending.shrink_to(KEEP_BUFFER_BYTES);
        self.pending_records = 0;
    }
}
