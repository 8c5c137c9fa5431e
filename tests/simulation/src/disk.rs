//! A disk: records that are durable, and writes under way.
//!
//! Writes end in the order in which they were asked for. A crash keeps everything durable and, of the writes under
//! way, any number from the front: a write that nobody was told of may have been durable all the same.

use std::collections::VecDeque;

use relay_core::time::Millis;

use crate::random::Random;

/// A write under way.
#[derive(Debug, Clone)]
pub struct Pending<R> {
    /// What to report.
    pub ticket: u64,
    /// What is written.
    pub records: Vec<R>,
    /// It may be given up.
    pub may_fail: bool,
}

/// A disk.
#[derive(Debug)]
pub struct Disk<R> {
    /// What a restart finds.
    pub durable: Vec<R>,
    pending: VecDeque<Pending<R>>,
    last: Millis,
    /// Writes fail.
    pub failing: bool,
}

impl<R> Default for Disk<R> {
    fn default() -> Self {
        Disk { durable: Vec::new(), pending: VecDeque::new(), last: 0, failing: false }
    }
}

/// How a write went.
pub enum Done<R> {
    /// Durable, these records.
    Durable(u64, Vec<R>),
    /// Given up.
    Failed(u64),
    /// It must be tried again.
    Retry,
    /// There was none.
    Nothing,
}

impl<R: Clone> Disk<R> {
    /// Begins a write; returns when it is done.
    pub fn write(&mut self, pending: Pending<R>, at: Millis) -> Millis {
        self.pending.push_back(pending);
        self.last = self.last.max(at);
        self.last
    }

    /// The oldest write under way is done, or fails.
    pub fn written(&mut self) -> Done<R> {
        let Some(next) = self.pending.pop_front() else { return Done::Nothing };
        if self.failing && next.may_fail {
            return Done::Failed(next.ticket);
        }
        if self.failing {
            self.pending.push_front(next);
            return Done::Retry;
        }
        self.durable.extend(next.records.iter().cloned());
        Done::Durable(next.ticket, next.records)
    }

    /// Power is cut: returns the writes that made it although nobody was told, and those that did not.
    pub fn crash(&mut self, random: &mut Random) -> (Vec<Pending<R>>, Vec<Pending<R>>) {
        let kept = if self.failing || random.once_in(2) { 0 } else { random.below(self.pending.len() + 1) };
        let made_it: Vec<Pending<R>> = self.pending.drain(..kept).collect();
        self.durable.extend(made_it.iter().flat_map(|p| p.records.iter().cloned()));
        self.last = 0;
        (made_it, self.pending.drain(..).collect())
    }

    /// Everything on it is replaced by records that say the same, the writes under way included.
    pub fn compact(&mut self, records: Vec<R>) {
        self.durable = records;
        self.pending.iter_mut().for_each(|p| (p.records, p.may_fail) = (Vec::new(), false));
    }

    /// Everything on it is gone.
    pub fn wipe(&mut self) {
        self.durable.clear();
        self.pending.clear();
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }
}
