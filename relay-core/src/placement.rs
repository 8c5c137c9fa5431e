//! Which syndic of its region each minion belongs to, and where it goes when that one is gone.
//!
//! Minions are spread by consistent hashing ([`Ring`]): a syndic more or less moves its own share of the minions and no
//! others. Nobody gets more than [`LOAD_FACTOR_PERCENT`] of its ideal share, nor more than its capacity while the region
//! has room (`quota`). The result follows from the ids, weights and capacities alone: every top master, in every
//! release and on every machine, finds the same.
//!
//! Left to others: telling the minions, and moving them gradually. Regions do not help each other: a syndic speaks for the
//! minions of its own region only.

mod quota;
mod ring;
#[cfg(test)]
mod tests;

pub use quota::{Quota, quotas};
pub use ring::{MAX_POINTS, POINTS_PER_DEFAULT_WEIGHT, Ring};

use std::collections::BTreeMap;

use crate::{
    ids::{MinionId, TierId},
    topology::Syndic,
};

/// No syndic gets more of its ideal share than this, in percent. What is over goes to the next on the ring. Low enough that
/// the fullest syndic is at most a fifth above the others; high enough that a region of some hundred minions rarely
/// reaches it, since what spills may move again with the next syndic.
pub const LOAD_FACTOR_PERCENT: u64 = 120;

/// The minions of one region on its syndics.
#[derive(Debug, Clone)]
pub struct Placement {
    /// Those that take minions, by id. Never standby, unless all are.
    active: Vec<Syndic>,
    /// Those that are kept free, by id.
    standby: Vec<Syndic>,
    ring: Ring,
    spare: Ring,
    quotas: Vec<Quota>,
    loads: Vec<u64>,
    homes: BTreeMap<MinionId, Home>,
}

/// Where one minion belongs, and where it goes first without that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Home {
    primary: usize,
    /// Its primary is not the nearest on the ring: that one was full.
    spilled: bool,
    refuge: Option<Refuge>,
}

/// The first fallback: an active syndic or a standby, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Refuge {
    Standby(usize),
    Active(usize),
}

/// One syndic's minions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load<'a> {
    /// The syndic.
    pub syndic: &'a TierId,
    /// How many minions it has.
    pub minions: u64,
    /// What it should have, and the most that it may have.
    pub quota: Quota,
}

impl Placement {
    /// Places minions on the syndics of their region. The order of either does not matter; ids are taken once.
    pub fn new<'m>(syndics: &[Syndic], minions: impl IntoIterator<Item = &'m MinionId>) -> Placement {
        let (active, standby) = parted(syndics);
        let mut queue: Vec<(u64, &MinionId)> = minions.into_iter().map(|id| (ring::point(id), id)).collect();
        queue.sort_unstable();
        queue.dedup();
        let wants: Vec<(u32, u32)> = active.iter().map(|s| (s.weight, s.capacity)).collect();
        let mut placement = Placement {
            ring: Ring::new(active.iter().map(|s| (&s.id, s.weight))),
            spare: Ring::new(standby.iter().map(|s| (&s.id, s.weight))),
            quotas: quotas(queue.len() as u64, &wants),
            loads: vec![0; active.len()],
            homes: BTreeMap::new(),
            active,
            standby,
        };
        placement.settle(&queue);
        placement.give_refuge(&queue);
        placement
    }

    /// In the order of their points each takes the nearest syndic with room. That order makes it independent of who came
    /// first, and lets a minion only gain when a syndic is added.
    fn settle(&mut self, queue: &[(u64, &MinionId)]) {
        for (_, id) in queue {
            let Some((primary, spilled)) = self.nearest_with_room(id) else { return };
            self.loads[primary] += 1;
            self.homes.insert((*id).clone(), Home { primary, spilled, refuge: None });
        }
    }

    /// The nearest syndic below its bound, and whether a nearer one was full. If all are full (a newcomer in a full region)
    /// the nearest of all.
    fn nearest_with_room(&self, id: &MinionId) -> Option<(usize, bool)> {
        let mut order = self.ring.order(id).enumerate();
        let room = order.find(|(_, i)| self.loads[*i] < self.quotas[*i].bound);
        match room {
            Some((passed, i)) => Some((i, passed > 0)),
            None => self.ring.order(id).next().map(|i| (i, false)),
        }
    }

    /// Finds each minion's first fallback: for every syndic, where its minions go if it alone is lost.
    fn give_refuge(&mut self, queue: &[(u64, &MinionId)]) {
        let mut taken = vec![BTreeMap::new(); self.active.len()];
        for (_, id) in queue {
            let Some(lost) = self.homes.get(*id).map(|home| home.primary) else { continue };
            let refuge = self.refuge(id, lost, &taken[lost]);
            if let Some(refuge) = refuge {
                *taken[lost].entry(refuge).or_default() += 1;
            }
            if let Some(home) = self.homes.get_mut(*id) {
                home.refuge = refuge;
            }
        }
    }

    /// The first with capacity left, given who fled there already; if nobody has any, the first.
    fn refuge(&self, id: &MinionId, lost: usize, taken: &BTreeMap<Refuge, u64>) -> Option<Refuge> {
        let room = |refuge: &Refuge| {
            let (syndic, load) = match *refuge {
                Refuge::Standby(i) => (&self.standby[i], 0),
                Refuge::Active(i) => (&self.active[i], self.loads[i]),
            };
            load + taken.get(refuge).copied().unwrap_or(0) < u64::from(syndic.capacity)
        };
        self.refuges(id, lost).find(room).or_else(|| self.refuges(id, lost).next())
    }

    /// Everybody but the lost one: standby syndics first, they are kept free for this; then the others. Both as the ring has
    /// them.
    fn refuges(&self, id: &MinionId, lost: usize) -> impl Iterator<Item = Refuge> {
        let others = self.ring.order(id).filter(move |i| *i != lost).map(Refuge::Active);
        self.spare.order(id).map(Refuge::Standby).chain(others)
    }

    /// Where a minion belongs. Of one that was not placed: where it would come to as a newcomer. Nothing only in a region
    /// without syndics.
    pub fn primary(&self, id: &MinionId) -> Option<&TierId> {
        self.home(id).map(|home| &self.active[home.primary].id)
    }

    /// Whom a minion dials, in order: its primary, then its fallbacks. Every syndic of the region once.
    pub fn parents(&self, id: &MinionId) -> Vec<&TierId> {
        let Some(home) = self.home(id) else { return Vec::new() };
        let rest = self.refuges(id, home.primary).filter(|r| Some(*r) != home.refuge);
        let fallbacks = home.refuge.into_iter().chain(rest).map(|refuge| self.id_of(refuge));
        std::iter::once(&self.active[home.primary].id).chain(fallbacks).collect()
    }

    fn home(&self, id: &MinionId) -> Option<Home> {
        self.homes.get(id).copied().or_else(|| {
            let (primary, spilled) = self.nearest_with_room(id)?;
            Some(Home { primary, spilled, refuge: self.refuge(id, primary, &BTreeMap::new()) })
        })
    }

    fn id_of(&self, refuge: Refuge) -> &TierId {
        match refuge {
            Refuge::Standby(i) => &self.standby[i].id,
            Refuge::Active(i) => &self.active[i].id,
        }
    }

    /// What each active syndic carries, by id.
    pub fn loads(&self) -> impl Iterator<Item = Load<'_>> {
        let each = self.active.iter().zip(&self.loads).zip(&self.quotas);
        each.map(|((syndic, minions), quota)| Load { syndic: &syndic.id, minions: *minions, quota: *quota })
    }

    /// How many minions are not on the nearest syndic, since that one is full. Only these may move without need when the
    /// syndics change.
    pub fn spilled(&self) -> u64 {
        self.homes.values().filter(|home| home.spilled).count() as u64
    }

    /// How many minions are placed.
    pub fn minions(&self) -> u64 {
        self.homes.len() as u64
    }
}

/// The syndics that take minions and those kept free, by id. A region of standby syndics only (no checked topology has
/// one) uses them all.
fn parted(syndics: &[Syndic]) -> (Vec<Syndic>, Vec<Syndic>) {
    let mut sorted = syndics.to_vec();
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    let (standby, active): (Vec<Syndic>, Vec<Syndic>) = sorted.into_iter().partition(|s| s.standby);
    if active.is_empty() { (standby, Vec::new()) } else { (active, standby) }
}
