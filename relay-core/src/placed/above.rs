//! Who stands above whom, and with that: whether a minion is where it belongs, as far as a top master can see.
//!
//! A top master knows each minion by the link it comes through. Of a syndic below a syndic that is the upper one's.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ids::TierId, topology::Topology};

/// Every syndic with all those above it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Above(BTreeMap<TierId, BTreeSet<TierId>>);

impl Above {
    /// As a topology says.
    pub fn of(topology: &Topology) -> Above {
        let mut above: BTreeMap<TierId, BTreeSet<TierId>> = BTreeMap::new();
        // Parents come first, so theirs are known.
        for (_, syndic) in topology.top_down() {
            let own = syndic
                .parents
                .iter()
                .flat_map(|parent| above.get(parent).into_iter().flatten().cloned().chain([parent.clone()]));
            let own = own.collect();
            above.insert(syndic.id.clone(), own);
        }
        Above(above)
    }

    /// Whether a minion that belongs to `primary` and is seen through `link` may be where it belongs: nothing else can be
    /// seen from here.
    pub fn stands(&self, primary: &TierId, link: &TierId) -> bool {
        primary == link || self.has(primary, |above| above.contains(link))
    }

    /// Whether one of these is above a syndic.
    pub fn any(&self, syndic: &TierId, of: &BTreeSet<TierId>) -> bool {
        self.has(syndic, |above| !above.is_disjoint(of))
    }

    fn has(&self, syndic: &TierId, what: impl FnOnce(&BTreeSet<TierId>) -> bool) -> bool {
        self.0.get(syndic).is_some_and(what)
    }
}
