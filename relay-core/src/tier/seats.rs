//! Who sits where: for each member the link over which it is reached, and its number there.
//!
//! A table in pages, by the member's number: numbers are given out one after the other, so those who are seated stand close
//! together, and whoever goes through a job's members in order finds them in order (`docs/performance.md`, `paper`).

use std::collections::BTreeMap;

use crate::message::LinkId;

/// Members of one page, 4 KiB: small enough that a few scattered members cost little.
const PAGE: u32 = 256;
/// Nobody's seat: no child numbers its minions so high ([`crate::roster::MAX_ROSTER`]).
const EMPTY: Seat = (LinkId(u64::MAX), u32::MAX);

/// A link, and the number in that child's roster.
pub(super) type Seat = (LinkId, u32);

/// One page, and how many sit there.
#[derive(Debug)]
struct Page {
    taken: u32,
    seats: Box<[Seat]>,
}

impl Default for Page {
    fn default() -> Self {
        Page { taken: 0, seats: vec![EMPTY; PAGE as usize].into() }
    }
}

/// The seats of all members.
#[derive(Debug, Default)]
pub(super) struct Seats {
    pages: BTreeMap<u32, Page>,
    moves: u64,
}

impl Seats {
    /// A member's seat.
    pub(super) fn get(&self, member: u32) -> Option<Seat> {
        let page = self.pages.get(&(member / PAGE))?;
        Some(page.seats[(member % PAGE) as usize]).filter(|seat| *seat != EMPTY)
    }

    /// How often somebody took or left a seat.
    pub(super) fn moves(&self) -> u64 {
        self.moves
    }

    /// Seats a member, wherever it sat before.
    pub(super) fn insert(&mut self, member: u32, seat: Seat) {
        let page = self.pages.entry(member / PAGE).or_default();
        let before = std::mem::replace(&mut page.seats[(member % PAGE) as usize], seat);
        page.taken += u32::from(before == EMPTY);
        self.moves += u64::from(before != seat);
    }

    /// Takes a member's seat away.
    pub(super) fn remove(&mut self, member: u32) {
        let Some(page) = self.pages.get_mut(&(member / PAGE)) else { return };
        let before = std::mem::replace(&mut page.seats[(member % PAGE) as usize], EMPTY);
        page.taken -= u32::from(before != EMPTY);
        self.moves += u64::from(before != EMPTY);
        if page.taken == 0 {
            self.pages.remove(&(member / PAGE));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_a_map_and_leave_no_page_behind(steps in prop::collection::vec((0u32..1_000, 0u64..4, any::<bool>()), 0..200)) {
            let (mut seats, mut map) = (Seats::default(), HashMap::new());
            for (member, link, sits) in steps {
                let member = if member > 900 { u32::MAX - member } else { member };
                if sits {
                    seats.insert(member, (LinkId(link), member % 7));
                    map.insert(member, (LinkId(link), member % 7));
                } else {
                    seats.remove(member);
                    map.remove(&member);
                }
                prop_assert_eq!(seats.get(member), map.get(&member).copied());
            }
            for (member, seat) in &map {
                prop_assert_eq!(seats.get(*member), Some(*seat));
            }
            map.keys().for_each(|member| seats.remove(*member));
            prop_assert!(seats.pages.is_empty());
        }
    }
}
