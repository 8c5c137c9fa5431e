//! The stages of a canary: a barrier between each and the next, and perhaps an operator's word.

use crate::{
    batch::{BatchRule, BatchSize},
    ledger::Ledger,
};

/// Where a job stands in its stages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The stage, from 0.
    pub no: usize,
    /// How many targets may have had their turn.
    pub upto: u64,
    /// It is over, and waits for an operator.
    pub asks: bool,
}

/// How many targets have had their turn after each stage; none: no stages.
#[derive(Debug)]
pub(super) struct Stages {
    ends: Vec<u64>,
    approve: bool,
    approved: u32,
}

impl Stages {
    /// Stages that add nobody (1% of 40) fall away; what the last one leaves is one more.
    pub(super) fn new(rule: &BatchRule, total: u64) -> Stages {
        Stages { ends: ends(rule, total), approve: rule.approve, approved: 0 }
    }

    pub(super) fn is_none(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Where the job stands, and how many targets have had their turn.
    pub(super) fn place(&self, ledger: &Ledger) -> (Place, u64) {
        let taken = ledger.targets().len() - ledger.unsent().len();
        let last = self.ends.len().saturating_sub(1);
        let mut place = Place { no: 0, upto: self.ends.first().copied().unwrap_or(u64::MAX), asks: false };
        while place.no < last && taken >= place.upto {
            if taken == place.upto {
                if !ledger.in_flight().is_empty() {
                    break;
                }
                place.asks = self.approve && self.approved <= place.no as u32;
                if place.asks {
                    break;
                }
            }
            place.no += 1;
            place.upto = self.ends[place.no];
        }
        (place, taken)
    }

    /// Stage `no` is approved; says which begins, from 1, and how many there are.
    pub(super) fn approve(&mut self, no: usize) -> (u32, u32) {
        self.approved = self.approved.max(no as u32 + 1);
        (no as u32 + 2, self.len())
    }

    pub(super) fn set_approved(&mut self, approved: u32) {
        self.approved = self.approved.max(approved);
    }
}

pub(super) fn ends(rule: &BatchRule, total: u64) -> Vec<u64> {
    let BatchSize::Canary(shares) = &rule.size else { return Vec::new() };
    let mut ends: Vec<u64> = Vec::new();
    for end in shares.iter().map(|share| share.of(total).min(total)).chain([total]) {
        if ends.last().is_none_or(|last| end > *last) {
            ends.push(end);
        }
    }
    ends
}
