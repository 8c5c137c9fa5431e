//! The inventory across a restart: minions as the store keeps them, put back under their old numbers.

use super::{GrainsError, Inventory, Minion, MinionNo};
use crate::{
    ids::{Incarnation, MinionId, RegionName, TierId},
    time::WallMicros,
};

/// Highest number that [`Inventory::restore`] takes: far above any fleet, and far from wrapping.
pub const MAX_RESTORED_NO: MinionNo = 1 << 31;

/// A minion as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub no: MinionNo,
    /// Its id.
    pub id: MinionId,
    /// Its region.
    pub region: RegionName,
    /// The syndic it was last seen through.
    pub syndic: TierId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// See [`Minion::incarnation_seq`].
    pub incarnation_seq: u64,
    /// Its grains as JSON text.
    pub grains: String,
    /// Whether it was up.
    pub up: bool,
    /// When that last changed.
    pub since: WallMicros,
}

/// Why a record can not be restored. The store is damaged, or was not meant for this inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Two records, one number.
    #[error("minion {id} is stored under number {no}, which belongs to {other}: check the store's minions")]
    NumberTaken {
        /// The second one's id.
        id: MinionId,
        /// The number.
        no: MinionNo,
        /// Whose it is.
        other: MinionId,
    },
    /// Two records, one id.
    #[error("minion {id} is stored twice, as number {first} and as {second}: check the store's minions")]
    IdTwice {
        /// The id.
        id: MinionId,
        /// The number restored first.
        first: MinionNo,
        /// The number of the refused record.
        second: MinionNo,
    },
    /// A number above [`MAX_RESTORED_NO`].
    #[error(
        "minion {id} is stored under number {no}, and the highest possible is {MAX_RESTORED_NO}: check the store"
    )]
    NumberTooHigh {
        /// The id.
        id: MinionId,
        /// The number.
        no: MinionNo,
    },
}

impl Inventory {
    /// Puts back a minion that the store kept. Its grains may be refused now (returned, to be logged); it is then
    /// restored without them.
    ///
    /// # Errors
    /// Its number or id is taken, or the number is out of bounds: the inventory is as before.
    pub fn restore(&mut self, record: Record) -> Result<Option<GrainsError>, RestoreError> {
        let Record { no, id, .. } = record;
        if no > MAX_RESTORED_NO {
            return Err(RestoreError::NumberTooHigh { id, no });
        }
        if let Some(other) = self.minions.get(&no) {
            return Err(RestoreError::NumberTaken { id, no, other: other.id.clone() });
        }
        if let Some(first) = self.no_of(id.as_str()) {
            return Err(RestoreError::IdTwice { id, first, second: no });
        }
        let (refused, (digest, grains)) = match self.interner.intern(&record.grains) {
            Ok(found) => (None, found),
            Err(error) => (Some(error), self.interner.nothing()),
        };
        let minion = Minion {
            id,
            region: record.region,
            syndic: record.syndic,
            incarnation: record.incarnation,
            incarnation_seq: record.incarnation_seq,
            grains,
            up: record.up,
            since: record.since,
            digest,
        };
        self.version = self.version.max(record.incarnation_seq) + 1;
        self.put(no, minion);
        Ok(refused)
    }

    /// Makes the version at least `version`. To be called after the last [`Inventory::restore`] with the highest
    /// version that any stored job was frozen at: else an incarnation first seen from now on could get a number that
    /// such a job takes for one it knew.
    pub fn raise_version(&mut self, version: u64) {
        self.version = self.version.max(version);
    }

    /// What the store has to keep of a minion.
    pub fn record(&self, no: MinionNo) -> Option<Record> {
        self.get(no).map(|m| Record {
            no,
            id: m.id.clone(),
            region: m.region.clone(),
            syndic: m.syndic.clone(),
            incarnation: m.incarnation,
            incarnation_seq: m.incarnation_seq,
            grains: m.grains.to_string(),
            up: m.up,
            since: m.since,
        })
    }
}
