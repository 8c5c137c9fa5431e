//! Where the minions below a syndic belong: passed on as it comes, and remembered for those that attach later.
//!
//! Nothing of it is spooled: whoever is above says it all again over a new link.

use super::*;
use crate::{
    message::{Placed, PlacedSyndic},
    placed::{Told, sendings},
};

/// So many more lists than minions are remembered before those of retired numbers are thrown out.
const RETIRED: usize = 1_024;

/// What the minions below were last told, by roster number. No more than the roster has numbers.
#[derive(Debug, Default)]
pub(super) struct Homes {
    lists: BTreeMap<u32, (u64, Arc<[PlacedSyndic]>)>,
    spread: Millis,
}

impl Relay {
    /// A parent says where minions belong. A word of an older revision than the last one counts for nothing.
    pub(super) fn placed(&mut self, placed: Placed) {
        let Placed { revision, groups, spread } = placed;
        self.homes.spread = spread;
        let mut news = Members::new();
        for group in groups {
            for no in group.members.iter().filter(|no| self.roster.get(*no).is_some()) {
                if self.homes.lists.get(&no).is_none_or(|(known, _)| *known <= revision) {
                    self.homes.lists.insert(no, (revision, group.syndics.clone()));
                    news.insert(no);
                }
            }
        }
        if self.homes.lists.len() > self.roster.len() + RETIRED {
            self.homes.lists.retain(|no, _| self.roster.get(*no).is_some());
        }
        self.tell_homes(&news);
    }

    /// Tells those who are up what is known of them.
    pub(super) fn tell_homes(&mut self, members: &Members) {
        let Relay { homes: Homes { lists, spread }, tier, .. } = self;
        if lists.is_empty() {
            return;
        }
        let told = members.iter().filter_map(|no| {
            let ((revision, syndics), seat) = (lists.get(&no)?, tier.seat_of(no)?);
            Some(Told { seat, direct: tier.is_direct(seat.0), revision: *revision, syndics: syndics.clone() })
        });
        let sendings = sendings(told, *spread);
        sendings.into_iter().for_each(|sending| self.send(sending));
    }
}
