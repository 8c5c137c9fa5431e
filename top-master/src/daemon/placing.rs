//! Tells minions where the topology places them, and shows how many are elsewhere.

use relay_runtime::telemetry;

use super::Daemon;
use crate::topology::Effective;

impl Daemon {
    /// Minions are placed by this topology from now on.
    pub(super) fn place_by(&mut self, effective: &Effective) {
        self.placing.set_topology(effective.number, &effective.topology);
    }

    /// At the end of a turn: sends what minions have to be told. Nothing most of the time.
    pub(super) fn place(&mut self, now: u64) {
        let seen = self.placing.moved();
        for sending in self.placing.turn(now, &self.owner) {
            self.links.send(&sending);
        }
        let moved = self.placing.moved() - seen;
        if moved > 0 {
            metrics::counter!(telemetry::MOVES_TOTAL, "result" => "seen").increment(moved);
        }
    }

    /// When the loop has to turn next, at the latest.
    pub(super) fn next_deadline(&self, now: u64) -> u64 {
        let placing = self.placing.next_deadline(&self.owner).unwrap_or(u64::MAX);
        self.owner.next_deadline(now).min(placing)
    }
}
