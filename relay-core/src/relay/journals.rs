//! How often a minion may come with another journal.
//!
//! Each journal gets a number that is never given again ([`crate::roster::MAX_ROSTER`] in all), so whoever has one minion's key
//! could use them all up, and keep everybody new out of the region. A machine that begins anew each time it starts (a container)
//! comes far less often than it may.

use std::collections::HashMap;

use crate::{ids::MinionId, time::Millis};

/// Journals that one minion may come with at once: a machine that crashes at each start, and people who repair it.
pub(super) const BURST: u32 = 64;
/// One more after each of these.
pub(super) const EVERY: Millis = 10 * 60 * 1_000;
/// Most that are remembered. Then those are forgotten who have all of their credit again; and if that is nobody, those who have spent
/// least: that these are those who have spent all of it takes more journals than a roster has numbers ([`crate::roster::MAX_ROSTER`]).
const REMEMBERED: usize = 4_096;
/// So many of them at least.
const FORGOTTEN: usize = REMEMBERED / 8;

/// Who has come with how many journals lately.
#[derive(Debug, Default)]
pub(super) struct Journals(HashMap<MinionId, Spent>);

#[derive(Debug, Clone, Copy)]
struct Spent {
    journals: u32,
    since: Millis,
}

impl Spent {
    /// What is left of it by now.
    fn by(self, now: Millis) -> Spent {
        let back = now.saturating_sub(self.since) / EVERY;
        let journals = self.journals.saturating_sub(u32::try_from(back).unwrap_or(u32::MAX));
        Spent { journals, since: self.since + back * EVERY }
    }
}

impl Journals {
    /// Whether a minion may come with one that is new; if so, it has.
    pub(super) fn take(&mut self, now: Millis, id: &MinionId) -> bool {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(id) {
            self.make_room(now);
        }
        let none = Spent { journals: 0, since: now };
        let spent = self.0.get(id).map_or(none, |spent| spent.by(now));
        let spent = if spent.journals == 0 { none } else { spent };
        if spent.journals >= BURST {
            return false;
        }
        self.0.insert(id.clone(), Spent { journals: spent.journals + 1, ..spent });
        true
    }

    fn make_room(&mut self, now: Millis) {
        self.0.retain(|_, spent| spent.by(now).journals > 0);
        if self.0.len() < REMEMBERED {
            return;
        }
        // An eighth of them, so that this is seldom.
        let mut all: Vec<u32> = self.0.values().map(|spent| spent.by(now).journals).collect();
        let (_, &mut least, _) = all.select_nth_unstable(FORGOTTEN);
        self.0.retain(|_, spent| spent.by(now).journals > least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MinionId {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn credit_is_each_minion_s_own_and_comes_back() {
        let mut journals = Journals::default();
        let (mallory, other) = (id("mallory"), id("web01"));
        assert!((0..BURST).all(|_| journals.take(0, &mallory)));
        assert!(!journals.take(EVERY - 1, &mallory));
        assert!(journals.take(EVERY - 1, &other));
        assert!(journals.take(EVERY, &mallory));
        assert!(!journals.take(2 * EVERY - 1, &mallory));
        assert!((0..BURST).all(|_| journals.take(1_000 * EVERY, &mallory)));
        assert!(!journals.take(1_000 * EVERY, &mallory));
    }

    #[test]
    fn a_year_of_trying_takes_a_part_of_the_numbers() {
        let year = 365 * 24 * 3_600 * 1_000 / EVERY + u64::from(BURST);
        assert!(year < u64::from(crate::roster::MAX_ROSTER) / 2);
    }

    #[test]
    fn who_is_back_at_full_credit_is_forgotten() {
        let mut journals = Journals::default();
        (0..3 * REMEMBERED as u64).for_each(|n| assert!(journals.take(n * EVERY, &id(&format!("m{n}")))));
        assert!(journals.0.len() <= REMEMBERED + 1);
    }

    #[test]
    fn who_has_spent_least_makes_room_when_nobody_is_back_at_full_credit() {
        let mut journals = Journals::default();
        let mallory = id("mallory");
        (0..BURST).for_each(|_| assert!(journals.take(0, &mallory)));
        for n in 0..3 * REMEMBERED {
            assert!(journals.take(0, &id(&format!("m{n}"))));
            assert!(journals.0.len() <= REMEMBERED);
        }
        assert!(!journals.take(0, &mallory), "nobody else's names give it credit");
    }

    #[test]
    fn nobody_can_make_all_of_them_forgotten() {
        let spent = (REMEMBERED - FORGOTTEN) as u64 * u64::from(BURST);
        assert!(spent > crate::roster::MAX_ROSTER.into());
    }
}
