//! One parent of a relay: its open fold, and the batches it has not acknowledged.

use std::collections::VecDeque;

use crate::{
    Members,
    fold::{FlushRule, Fold},
    ids::Jid,
    message::{LinkId, ReturnBatch},
    time::Millis,
};

/// A parent, by its place in the configuration.
pub type ParentNo = usize;

/// Bytes of bodies sent up and not acknowledged. What one syndic may make its parent hold.
pub const MAX_UNACKED_BYTES: usize = 4 << 20;
/// Batches sent up and not acknowledged.
pub const MAX_UNACKED_BATCHES: usize = 64;
/// What an answer costs beside its body, in bytes: without it, a child could fill memory and disk with answers of nothing.
pub const ANSWER_BYTES: usize = 128;

#[derive(Debug)]
struct Spooled {
    batch: ReturnBatch,
    bytes: usize,
    durable: bool,
}

#[derive(Debug)]
pub(super) struct Uplink {
    pub(super) fold: Fold,
    pub(super) next_beat: Millis,
    link: Option<LinkId>,
    heard: Millis,
    held_until: Millis,
    next_seq: u64,
    queue: VecDeque<Spooled>,
    bytes: usize,
    /// How many from the front were sent over this link, and their bytes.
    sent: usize,
    sent_bytes: usize,
}

impl Uplink {
    pub(super) fn new(rule: FlushRule) -> Uplink {
        Uplink {
            fold: Fold::new(rule),
            next_beat: 0,
            link: None,
            heard: 0,
            held_until: 0,
            next_seq: 1,
            queue: VecDeque::new(),
            bytes: 0,
            sent: 0,
            sent_bytes: 0,
        }
    }

    /// A batch that the spool remembers.
    pub(super) fn restore(&mut self, batch: ReturnBatch) {
        self.next_seq = self.next_seq.max(batch.seq.saturating_add(1));
        self.push(batch, true);
    }

    /// Takes a batch that the spool remembers for another parent. It is durable there until the same write says that it is
    /// here, and not there.
    pub(super) fn adopt(&mut self, batch: ReturnBatch) -> ReturnBatch {
        let batch = ReturnBatch { seq: self.next_seq, ..batch };
        self.restore(batch.clone());
        batch
    }

    fn push(&mut self, batch: ReturnBatch, durable: bool) {
        let bytes = batch.groups.iter().map(|g| g.answer.body.len() + ANSWER_BYTES).sum();
        self.bytes += bytes;
        self.queue.push_back(Spooled { batch, bytes, durable });
    }

    pub(super) fn attach(&mut self, now: Millis, link: LinkId) {
        (self.link, self.heard, self.held_until) = (Some(link), now, 0);
        (self.sent, self.sent_bytes) = (0, 0);
    }

    pub(super) fn detach(&mut self) {
        self.link = None;
    }

    pub(super) fn link(&self) -> Option<LinkId> {
        self.link
    }

    pub(super) fn heard(&mut self, now: Millis) {
        self.heard = now;
    }

    pub(super) fn is_silent(&self, now: Millis, dead_after: Millis) -> bool {
        now >= self.heard.saturating_add(dead_after)
    }

    /// The parent can't take returns: everything unacknowledged goes again, later.
    pub(super) fn hold(&mut self, until: Millis) {
        self.held_until = until;
        (self.sent, self.sent_bytes) = (0, 0);
    }

    /// Closes the fold into a batch.
    pub(super) fn flush(&mut self, now: Millis) -> Option<ReturnBatch> {
        let groups = self.fold.take(now);
        if groups.is_empty() {
            return None;
        }
        let batch = ReturnBatch { seq: self.next_seq, groups };
        self.next_seq += 1;
        self.push(batch.clone(), false);
        Some(batch)
    }

    pub(super) fn set_durable(&mut self, seq: u64) {
        if let Some(spooled) = self.queue.iter_mut().find(|s| s.batch.seq == seq) {
            spooled.durable = true;
        }
    }

    fn sendable(&self, now: Millis) -> Option<&Spooled> {
        let full = self.sent_bytes >= MAX_UNACKED_BYTES || self.sent >= MAX_UNACKED_BATCHES;
        let may = self.link.is_some() && !full && now >= self.held_until;
        self.queue.get(self.sent).filter(|s| may && s.durable)
    }

    /// Whether a batch may go now.
    pub(super) fn has_to_send(&self, now: Millis) -> bool {
        self.sendable(now).is_some()
    }

    /// The next batch that may go now.
    pub(super) fn next_to_send(&mut self, now: Millis) -> Option<ReturnBatch> {
        let next = self.sendable(now)?;
        let (bytes, batch) = (next.bytes, next.batch.clone());
        self.sent += 1;
        self.sent_bytes += bytes;
        Some(batch)
    }

    /// Forgets what the parent has; says which jobs those batches spoke of, once per group.
    pub(super) fn acked(&mut self, up_to: u64) -> Vec<Jid> {
        let mut jids = Vec::new();
        while let Some(spooled) = self.queue.pop_front_if(|s| s.batch.seq <= up_to) {
            self.bytes -= spooled.bytes;
            if self.sent > 0 {
                self.sent -= 1;
                self.sent_bytes -= spooled.bytes;
            }
            jids.extend(spooled.batch.groups.iter().map(|g| g.jid));
        }
        jids
    }

    /// Every batch the parent does not have.
    pub(super) fn batches(&self) -> impl Iterator<Item = &ReturnBatch> {
        self.queue.iter().map(|s| &s.batch)
    }

    /// Those of whom the parent has yet to hear about a job.
    pub(super) fn owes(&self, jid: Jid) -> Members {
        let groups = self.batches().flat_map(|batch| &batch.groups).chain(self.fold.groups());
        let of_it = groups.filter(|group| group.jid == jid);
        of_it.fold(Members::new(), |all, group| all | &group.members)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}
