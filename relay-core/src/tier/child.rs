//! What a tier knows of one of its links.

use super::numbers::Numbers;
use crate::{Members, ids::Incarnation, time::Millis};

/// A child's link.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) via: Incarnation,
    pub(super) version: Option<u64>,
    /// By the child's number.
    pub(super) local: Numbers,
    /// Numbers that were told and refused: what is said of them is dropped, and not asked for again.
    pub(super) refused: Members,
    /// Child numbers that it says are up, whoever sits where.
    pub(super) says_up: Members,
    /// The next return batch to take, once one came.
    pub(super) next_batch: Option<u64>,
    pub(super) heard: Millis,
}

impl Child {
    pub(super) fn member(&self, no: u32) -> Option<u32> {
        self.local.get(no).map(|told| told.member)
    }

    pub(super) fn members(&self) -> Members {
        self.local.members()
    }

    pub(super) fn new(via: Incarnation, now: Millis) -> Child {
        Child {
            via,
            version: None,
            local: Numbers::default(),
            refused: Members::new(),
            says_up: Members::new(),
            next_batch: None,
            heard: now,
        }
    }
}
