//! All that a top master knows of what is below it: every minion, where it was last seen, its grains, whether it is up.
//!
//! Minions have numbers that are never used again, so that sets of them are bitmaps, in memory and in the store. The
//! store persists the records; rosters (numbered per link) and liveness belong to the tiers; this is only their sum.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use serde_json::Value;

use crate::{
    Members,
    ids::{Incarnation, MinionId, RegionName, TierId},
    time::WallMicros,
};

mod evaluate;
mod grains;
mod index;
mod nearest;
mod record;
mod sorted;

pub use grains::{GrainsError, MAX_GRAIN_DEPTH, MAX_GRAIN_LEAVES, MAX_GRAIN_VALUE_BYTES, MAX_GRAINS_BYTES};
pub use record::{MAX_RESTORED_NO, Record, RestoreError};

/// Most minions of one region, everybody counted whom it ever had. Far above what a region is built for (20,000), so that a fleet whose
/// machines come and go under new names does not reach it in years; and a bound on what a stolen syndic, which can name minions
/// as it likes, makes the top master remember.
pub const MAX_REGION_MINIONS: u64 = 200_000;

/// A minion's number: its place in the inventory's bitmaps. Never given to another minion.
pub type MinionNo = u32;

/// What is known of one minion.
#[derive(Debug, Clone, PartialEq)]
pub struct Minion {
    /// Its id.
    pub id: MinionId,
    /// The region it belongs to.
    pub region: RegionName,
    /// The syndic it was last seen through.
    pub syndic: TierId,
    /// Its journal's incarnation.
    pub incarnation: Incarnation,
    /// What [`Inventory::version`] became when this incarnation was first seen. A job frozen at version V may be
    /// offered to the incarnations with a number of at most V.
    pub incarnation_seq: u64,
    /// Its grains, a JSON object. Minions with equal grains share one.
    pub grains: Arc<Value>,
    /// Whether it is attached.
    pub up: bool,
    /// When `up` last changed.
    pub since: WallMicros,
    digest: grains::Digest,
}

/// What an upsert did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upsert {
    /// The minion's number.
    pub no: MinionNo,
    /// It was not known before.
    pub created: bool,
    /// Its incarnation is not the one that was known. Also true of a new minion.
    pub incarnation_changed: bool,
    /// Its grains are not the ones that were known.
    pub grains_changed: bool,
    /// Its grains were refused, and those known before (none, for a new minion) stay. For the caller to log.
    pub grains_refused: Option<GrainsError>,
}

/// Everything below a top master.
#[derive(Debug, Default)]
pub struct Inventory {
    minions: BTreeMap<MinionNo, Minion>,
    next: MinionNo,
    version: u64,
    ids: BTreeMap<IdKey, MinionNo>,
    all: Members,
    up: Members,
    regions: BTreeMap<RegionName, Members>,
    syndics: BTreeMap<TierId, Members>,
    /// The ids again, for patterns. Made by the first one that asks after a minion was added.
    sorted: OnceLock<sorted::SortedIds>,
    grains: index::GrainIndex,
    interner: grains::Interner,
}

/// An id that can be looked up by plain text, which need not be an id (`web.` is the beginning of some).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct IdKey(MinionId);

impl Borrow<str> for IdKey {
    fn borrow(&self) -> &str {
        self.0.as_str()
    }
}

impl Inventory {
    /// An empty inventory.
    pub fn new() -> Inventory {
        Inventory::default()
    }

    /// Notes what a roster says of one minion. `grains` is JSON text, or `None` if the roster says nothing new of them.
    /// Grains past a bound are refused, not the minion.
    pub fn upsert(
        &mut self,
        id: &MinionId,
        region: &RegionName,
        syndic: &TierId,
        incarnation: Incarnation,
        grains: Option<&str>,
        up: bool,
        wall: WallMicros,
    ) -> Upsert {
        let (no, old) = match self.no_of(id.as_str()) {
            Some(no) => (no, self.get(no).cloned()),
            None => (self.next, None),
        };
        let (digest, blob, grains_refused) = self.received(grains, old.as_ref());
        let mut minion = Minion {
            id: id.clone(),
            region: region.clone(),
            syndic: syndic.clone(),
            incarnation,
            incarnation_seq: old.as_ref().map_or(0, |old| old.incarnation_seq),
            grains: blob,
            up,
            since: old.as_ref().filter(|old| old.up == up).map_or(wall, |old| old.since),
            digest,
        };
        let incarnation_changed = old.as_ref().is_none_or(|old| old.incarnation != incarnation);
        let before = old.as_ref().map_or_else(|| self.interner.nothing().0, |old| old.digest);
        if old.as_ref() != Some(&minion) {
            self.version += 1;
            if incarnation_changed {
                minion.incarnation_seq = self.version;
            }
            self.put(no, minion);
        }
        Upsert {
            no,
            created: old.is_none(),
            incarnation_changed,
            grains_changed: before != digest,
            grains_refused,
        }
    }

    /// The grains to keep: those received if they pass, else those known, else none.
    fn received(
        &mut self,
        text: Option<&str>,
        old: Option<&Minion>,
    ) -> (grains::Digest, Arc<Value>, Option<GrainsError>) {
        let refused = match text.map(|text| self.interner.intern(text)) {
            Some(Ok((digest, blob))) => return (digest, blob, None),
            Some(Err(error)) => Some(error),
            None => None,
        };
        let (digest, blob) = match old {
            Some(old) => (old.digest, old.grains.clone()),
            None => self.interner.nothing(),
        };
        (digest, blob, refused)
    }

    /// Notes that minions came up or went down. Unknown numbers are ignored. Returns those for which it is news.
    pub fn set_up(&mut self, members: &Members, up: bool, wall: WallMicros) -> Members {
        let changed = if up { (members & &self.all) - &self.up } else { members & &self.up };
        if changed.is_empty() {
            return changed;
        }
        self.version += 1;
        if up {
            self.up |= &changed;
        } else {
            self.up -= &changed;
        }
        for no in &changed {
            if let Some(minion) = self.minions.get_mut(&no) {
                (minion.up, minion.since) = (up, wall);
            }
        }
        changed
    }

    /// Rises with each change, and never falls.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// A minion by number.
    pub fn get(&self, no: MinionNo) -> Option<&Minion> {
        self.minions.get(&no)
    }

    /// The number of an id. Any text may be asked for.
    pub fn no_of(&self, id: &str) -> Option<MinionNo> {
        self.ids.get(id).copied()
    }

    /// Every minion, by number.
    pub fn iter(&self) -> impl Iterator<Item = (MinionNo, &Minion)> {
        self.minions.iter().map(|(no, minion)| (*no, minion))
    }

    /// The minions that are up.
    pub fn up(&self) -> &Members {
        &self.up
    }

    /// All minions.
    pub fn all(&self) -> &Members {
        &self.all
    }

    /// Whether one more may be noted in a region. Who is known there already always may.
    pub fn has_room(&self, region: &RegionName) -> bool {
        self.regions.get(region).is_none_or(|minions| minions.len() < MAX_REGION_MINIONS)
    }

    /// The minions of each region that has any, by name.
    pub fn by_region(&self) -> impl Iterator<Item = (&RegionName, &Members)> {
        self.regions.iter()
    }

    /// The minions last seen through each syndic, by its id.
    pub fn by_syndic(&self) -> impl Iterator<Item = (&TierId, &Members)> {
        self.syndics.iter()
    }

    /// Puts a minion in the place of what stood there, in all indexes.
    fn put(&mut self, no: MinionNo, minion: Minion) {
        let old = self.minions.remove(&no);
        if old.as_ref().map(|o| &o.region) != Some(&minion.region) {
            refile(&mut self.regions, old.as_ref().map(|o| &o.region), &minion.region, no);
        }
        if old.as_ref().map(|o| &o.syndic) != Some(&minion.syndic) {
            refile(&mut self.syndics, old.as_ref().map(|o| &o.syndic), &minion.syndic, no);
        }
        if old.as_ref().map(|o| o.digest) != Some(minion.digest) {
            if let Some(old) = &old {
                self.grains.remove(&old.grains, no);
            }
            self.grains.add(&minion.grains, no);
        }
        if old.is_none() {
            self.sorted.take();
            self.ids.insert(IdKey(minion.id.clone()), no);
            self.all.insert(no);
            self.next = self.next.max(no + 1);
        }
        if minion.up {
            self.up.insert(no);
        } else {
            self.up.remove(no);
        }
        self.minions.insert(no, minion);
    }
}

/// Moves a minion from one set to another, leaving no empty set behind.
fn refile<K: Ord + Clone>(sets: &mut BTreeMap<K, Members>, from: Option<&K>, to: &K, no: MinionNo) {
    if let Some(set) = from.and_then(|from| sets.get_mut(from)) {
        set.remove(no);
    }
    if let Some(from) = from.filter(|from| sets.get(from).is_some_and(Members::is_empty)) {
        sets.remove(from);
    }
    sets.entry(to.clone()).or_default().insert(no);
}

#[cfg(test)]
mod tests;
