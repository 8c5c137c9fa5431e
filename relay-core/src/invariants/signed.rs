//! I13: whatever starts is what its owner signed, on a minion and under a journal for which it was signed, within its time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Slot, Trace, Violation, found};
use crate::{
    ids::{Incarnation, Jid, MinionId},
    time::WallMicros,
};

/// What an owner signed, as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// SHA-256 of the signed bytes.
    pub digest: [u8; 32],
    /// For whom.
    pub targets: BTreeSet<(MinionId, Incarnation)>,
    /// When it may start at the latest, on the observer's clock, whatever clocks may differ by included.
    pub until: WallMicros,
}

/// An execution as its minion started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// SHA-256 of what it was told.
    pub digest: [u8; 32],
    /// Its journal.
    pub incarnation: Incarnation,
    /// When it was taken, on the observer's clock.
    pub at: WallMicros,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Signed {
    orders: BTreeMap<Jid, Order>,
    executions: Vec<(Slot, Execution)>,
}

impl Signed {
    pub(super) fn ordered(&mut self, jid: Jid, order: Order) {
        self.orders.insert(jid, order);
    }

    pub(super) fn executed(&mut self, slot: Slot, execution: Execution) {
        self.executions.push((slot, execution));
    }

    fn objection(&self, (jid, id): &Slot, execution: &Execution) -> Option<&'static str> {
        let Some(order) = self.orders.get(jid) else { return Some("which nobody ordered") };
        let target = order.targets.contains(&(id.clone(), execution.incarnation));
        match () {
            () if order.digest != execution.digest => Some("which is not what its owner signed"),
            () if !target => Some("which was not signed for it and its journal"),
            () if execution.at > order.until => Some("after the time for which it was signed"),
            () => None,
        }
    }
}

/// I13: nothing started but what was signed, for whom and for when it was signed.
pub fn i13(trace: &Trace) -> Vec<Violation> {
    let signed = &trace.signed;
    let wrong = signed.executions.iter().filter_map(|(slot, execution)| {
        let why = signed.objection(slot, execution)?;
        Some(format!("{} started job {}, {why}", slot.1, slot.0))
    });
    found("I13", wrong)
}
