//! What a minion tells its parent of itself: a roster of one, whole at the begin of a link and whenever the parent asks,
//! and as the next version of it when the grains change.

use std::sync::Arc;

use relay_core::{
    ids::{Incarnation, MinionId},
    message::{RosterChange, RosterEntry, RosterUpdate},
    roster::roster_of_one,
};

use crate::grains::GrainBook;

/// A minion's roster, at the version that its parent has on the present link.
pub(super) struct OwnRoster {
    id: MinionId,
    incarnation: Incarnation,
    grains: Arc<GrainBook>,
    version: u64,
}

impl OwnRoster {
    pub fn new(id: MinionId, incarnation: Incarnation, grains: Arc<GrainBook>) -> OwnRoster {
        OwnRoster { id, incarnation, grains, version: 0 }
    }

    /// All of it, with the grains of now. From here on versions count anew.
    pub fn whole(&mut self) -> RosterUpdate {
        // What was news is in it.
        self.grains.take_news();
        let roster = roster_of_one(&self.id, self.incarnation, self.grains.text());
        if let RosterUpdate::Full { version, .. } = &roster {
            self.version = *version;
        }
        roster
    }

    /// The step to the grains of now, if they have changed. Only for a parent that has the whole.
    pub fn change(&mut self) -> Option<RosterUpdate> {
        if !self.grains.take_news() {
            return None;
        }
        let from = self.version;
        self.version += 1;
        let entry = RosterEntry {
            no: 0,
            id: self.id.clone(),
            incarnation: self.incarnation,
            up: true,
            since: 0,
            grains: self.grains.text(),
        };
        Some(RosterUpdate::Delta { from, to: self.version, changes: vec![RosterChange::Put(entry)] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::{message::LinkId, tier::Tier};
    use serde_json::json;

    /// What a parent keeps of it: the grains that came last, unless it saw a gap.
    fn heard(tier: &mut Tier, update: &RosterUpdate) -> Option<String> {
        let mut last = None;
        let mut number = |entry: &RosterEntry| {
            last = Some(entry.grains.to_string());
            Some(4)
        };
        tier.roster(LinkId(1), update, &mut number).ok()?;
        last
    }

    #[test]
    fn a_parent_follows_every_change_and_can_ask_for_the_whole() {
        let dir = tempfile::tempdir().unwrap();
        let id: MinionId = "web01".parse().unwrap();
        let book = GrainBook::open(id.clone(), Default::default(), dir.path().join("grains.yaml")).unwrap();
        let book = Arc::new(book);
        let mut own = OwnRoster::new(id, Incarnation(9), book.clone());
        let mut tier = Tier::default();
        tier.attach(LinkId(1), Incarnation(9), 0);
        // Before the link: part of the whole, and no change any more.
        book.store("rack", Some(json!(1))).unwrap();
        let whole = own.whole();
        assert!(heard(&mut tier, &whole).unwrap().contains("\"rack\":1"));
        assert_eq!(own.change(), None);
        for rack in 2..5 {
            book.store("rack", Some(json!(rack))).unwrap();
            let change = own.change().unwrap();
            assert!(heard(&mut tier, &change).unwrap().contains(&format!("\"rack\":{rack}")));
            assert_eq!(own.change(), None);
        }
        // A parent that missed one asks for the whole, and follows again.
        book.store("rack", Some(json!(5))).unwrap();
        own.change().unwrap();
        book.store("rack", Some(json!(6))).unwrap();
        let gap = own.change().unwrap();
        assert_eq!(heard(&mut tier, &gap), None);
        let whole = own.whole();
        assert!(heard(&mut tier, &whole).unwrap().contains("\"rack\":6"));
        book.store("rack", None).unwrap();
        let change = own.change().unwrap();
        assert!(!heard(&mut tier, &change).unwrap().contains("rack"));
    }
}
