//! What the registry shows, as the one watch of this process brings it: who is there, and who owns the fabric.

use std::collections::BTreeMap;

use relay_core::{ids::TierId, tenure::Leader};
use relay_runtime::registry::{Entry, Event, Key, LeaseId, Listing, Revision};
use tracing::warn;

use crate::register::Presence;

/// The leadership that this is all about.
pub const OWNER: &str = "owner";

/// What is known of the registry.
#[derive(Debug)]
pub(super) struct Picture {
    own: TierId,
    /// The key of the leadership.
    pub(super) key: Key,
    /// The last listing: older ones come late.
    seen: Revision,
    /// Our last election that is over: who is elected under a lower number, or that one, was before.
    over: Revision,
    leader: Option<Entry>,
    present: BTreeMap<TierId, Presence>,
}

impl Picture {
    pub(super) fn new(own: TierId, task: TierId) -> Picture {
        let (seen, over) = (Revision::default(), Revision::default());
        Picture { own, key: Key::Leader(task), seen, over, leader: None, present: BTreeMap::new() }
    }

    /// Takes in all there is. What we know to be newer (our own election) stays.
    pub(super) fn list(&mut self, listing: Listing) {
        if listing.revision < self.seen {
            return;
        }
        self.seen = listing.revision;
        (self.leader, self.present) = (None, BTreeMap::new());
        listing.entries.into_iter().for_each(|entry| self.put(entry));
    }

    /// Takes in a change. False: list anew.
    pub(super) fn event(&mut self, event: Event) -> bool {
        match event {
            Event::Put(entry) => self.put(entry),
            Event::Gone { key, revision } => self.gone(&key, revision),
            Event::Resync => return false,
        }
        true
    }

    fn put(&mut self, entry: Entry) {
        match &entry.key {
            key if *key == self.key => {
                let known = self.leader.as_ref().map(|known| known.revision);
                if entry.revision > self.over && known <= Some(entry.revision) {
                    self.leader = Some(entry);
                }
            }
            Key::TopMaster(id) => match Presence::parse(&entry.value) {
                Ok(presence) => drop(self.present.insert(id.clone(), presence)),
                Err(error) => warn!(top_master = %id, %error, "what it registered is not understood"),
            },
            _ => {}
        }
    }

    fn gone(&mut self, key: &Key, revision: Revision) {
        if *key == self.key {
            self.leader.take_if(|known| known.revision <= revision);
        }
        if let Key::TopMaster(id) = key {
            self.present.remove(id);
        }
    }

    /// An election, which the watch will bring later.
    pub(super) fn elected(&mut self, entry: Entry) {
        self.put(entry);
    }

    /// We lead no more; the watch may bring our election yet.
    pub(super) fn resigned(&mut self) {
        self.over = self.leader.take().map_or(self.over, |entry| entry.revision);
    }

    /// Who leads, seen by who has this lease.
    pub(super) fn leader(&self, lease: Option<LeaseId>) -> Leader {
        let Some(entry) = &self.leader else { return Leader::Nobody };
        if lease.is_some() && entry.lease == lease {
            return Leader::Ours;
        }
        let id = self.owner();
        let leaving = id.as_ref().and_then(|id| self.present.get(id)).is_some_and(|p| p.leaving);
        Leader::Other { ourselves: id.as_ref() == Some(&self.own), leaving }
    }

    /// The change that made us leader.
    pub(super) fn ours(&self, lease: Option<LeaseId>) -> Option<Revision> {
        self.leader.as_ref().filter(|entry| lease.is_some() && entry.lease == lease).map(|e| e.revision)
    }

    /// Who owns the fabric.
    pub(super) fn owner(&self) -> Option<TierId> {
        std::str::from_utf8(&self.leader.as_ref()?.value).ok()?.parse().ok()
    }

    /// The top masters that are there.
    pub(super) fn present(&self) -> &BTreeMap<TierId, Presence> {
        &self.present
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> TierId {
        text.parse().unwrap()
    }

    fn leader(who: &str, lease: u64, revision: u64) -> Entry {
        Entry {
            key: Key::Leader(id(OWNER)),
            value: who.to_owned().into(),
            revision: Revision(revision),
            lease: Some(LeaseId(lease)),
        }
    }

    fn presence(who: &str, leaving: bool) -> Entry {
        let presence =
            Presence { listen: "a:1".into(), operators: "a:2".into(), version: "1".into(), leaving };
        let value = serde_json::to_vec(&presence).unwrap().into();
        Entry { key: Key::TopMaster(id(who)), value, revision: Revision(1), lease: Some(LeaseId(7)) }
    }

    fn gone(revision: u64) -> Event {
        Event::Gone { key: Key::Leader(id(OWNER)), revision: Revision(revision) }
    }

    fn picture() -> Picture {
        Picture::new(id("top-1"), id(OWNER))
    }

    #[test]
    fn who_leads_depends_on_whose_lease_it_is() {
        let mut picture = picture();
        assert_eq!(picture.leader(Some(LeaseId(1))), Leader::Nobody);
        picture.event(Event::Put(leader("top-2", 2, 5)));
        let other = |ourselves, leaving| Leader::Other { ourselves, leaving };
        assert_eq!(picture.leader(Some(LeaseId(1))), other(false, false));
        picture.event(Event::Put(presence("top-2", true)));
        assert_eq!(picture.leader(Some(LeaseId(1))), other(false, true));
        assert_eq!(picture.owner(), Some(id("top-2")));
        picture.event(gone(6));
        picture.event(Event::Put(leader("top-1", 1, 7)));
        assert_eq!(picture.leader(Some(LeaseId(1))), Leader::Ours);
        assert_eq!(picture.leader(Some(LeaseId(3))), other(true, false), "a former life of ours");
        assert_eq!((picture.ours(Some(LeaseId(1))), picture.ours(None)), (Some(Revision(7)), None));
    }

    #[test]
    fn a_late_event_does_not_undo_our_election() {
        let mut picture = picture();
        picture.elected(leader("top-1", 1, 9));
        picture.event(Event::Put(leader("top-2", 2, 5)));
        picture.event(gone(6));
        assert_eq!(picture.leader(Some(LeaseId(1))), Leader::Ours);
        picture.event(gone(10));
        assert_eq!(picture.leader(Some(LeaseId(1))), Leader::Nobody);
        picture.elected(leader("top-1", 1, 11));
        picture.resigned();
        picture.event(Event::Put(leader("top-1", 1, 11)));
        assert_eq!(picture.leader(Some(LeaseId(1))), Leader::Nobody, "nor our resignation");
        picture.event(Event::Put(leader("top-2", 2, 13)));
        assert_eq!(picture.owner(), Some(id("top-2")));
    }

    #[test]
    fn a_listing_replaces_everything_unless_it_is_older() {
        let mut picture = picture();
        let entries = vec![leader("top-2", 2, 5), presence("top-2", false)];
        picture.list(Listing { entries, revision: Revision(8) });
        assert_eq!(picture.present().len(), 1);
        picture.list(Listing { entries: vec![], revision: Revision(7) });
        assert_eq!(picture.owner(), Some(id("top-2")));
        assert!(!picture.event(Event::Resync));
        picture.list(Listing { entries: vec![], revision: Revision(9) });
        assert!(picture.present().is_empty() && picture.owner().is_none());
    }
}
