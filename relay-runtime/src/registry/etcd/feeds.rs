//! The watches of this process, which share one of etcd's.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::super::{
    Area, Event, Key, MAX_WATCHES, RegistryError, Revision, Watch,
    watch::{self, Feed},
};

/// Who is told, and from which change on.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    state: Mutex<State>,
    wanted: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: Vec<Open>,
    last_number: u64,
    /// The first change that was told of. None: nobody has wanted to know of any.
    first: Option<u64>,
    /// The first change that nobody was told of.
    next: Option<u64>,
    closed: bool,
}

#[derive(Debug)]
struct Open {
    number: u64,
    area: Area,
    feed: Feed,
}

impl Feeds {
    /// A new watch, which is told everything from now on. It is to be begun with [`Feeds::begin`].
    pub(super) fn open(&self, area: Area) -> Result<(u64, Watch), RegistryError> {
        let mut state = self.state();
        state.open.retain(|open| !open.feed.is_abandoned());
        if state.closed {
            return Err(RegistryError::Unreachable("this process is ending".into()));
        }
        if state.open.len() >= MAX_WATCHES {
            return Err(RegistryError::Full { what: "watches", max: MAX_WATCHES });
        }
        let (feed, watch) = watch::watch();
        state.last_number += 1;
        let number = state.last_number;
        state.open.push(Open { number, area, feed });
        Ok((number, watch))
    }

    /// A watch begins after a listing, which was asked for after it was opened.
    pub(super) fn begin(&self, number: u64, listed: Revision) {
        let mut state = self.state();
        let first = *state.first.get_or_insert(listed.0 + 1);
        state.next.get_or_insert(first);
        if let Some(open) = state.open.iter().find(|open| open.number == number) {
            open.feed.begin_after(listed);
            if first > listed.0 + 1 {
                // Another watch began while this one listed, later, and it was the first: what lies between, nobody heard.
                open.feed.send(Event::Resync);
            }
        }
        self.wanted.notify_one();
    }

    /// The first change that is to be told; waits until there is somebody to tell.
    pub(super) async fn next(&self) -> u64 {
        loop {
            let next = self.state().next;
            match next {
                Some(next) => return next,
                None => self.wanted.notified().await,
            }
        }
    }

    /// Tells all changes of one answer: they are whole revisions, up to this one.
    pub(super) fn tell(&self, changes: Vec<(Key, Event)>, up_to: Revision) {
        let mut state = self.state();
        state.open.retain(|open| !open.feed.is_abandoned());
        for (key, event) in changes {
            let concerned = state.open.iter().filter(|open| open.area.holds(&key));
            concerned.for_each(|open| open.feed.send(event.clone()));
        }
        state.next = state.next.max(Some(up_to.0 + 1));
    }

    /// Tells everybody that changes were lost, up to this one.
    pub(super) fn resync(&self, up_to: Revision) {
        let mut state = self.state();
        state.open.iter().for_each(|open| open.feed.send(Event::Resync));
        state.next = state.next.max(Some(up_to.0 + 1));
    }

    /// Ends all watches; there will be no others.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.open.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(n: u64) -> (Key, Event) {
        (Key::Topology, Event::Gone { key: Key::Topology, revision: Revision(n) })
    }

    #[tokio::test]
    async fn a_watch_that_was_overtaken_by_the_first_is_told_to_list_again() {
        let feeds = Feeds::default();
        let (slow, mut behind) = feeds.open(Area::All).unwrap();
        let (first, mut ahead) = feeds.open(Area::All).unwrap();
        feeds.begin(first, Revision(9));
        feeds.begin(slow, Revision(7));
        assert_eq!(feeds.next().await, 10);
        assert_eq!((behind.try_next(), ahead.try_next()), (Some(Event::Resync), None));
    }

    #[tokio::test]
    async fn a_watch_is_told_what_its_listing_does_not_hold() {
        let feeds = Feeds::default();
        let (first, _kept) = feeds.open(Area::Leaders).unwrap();
        feeds.begin(first, Revision(3));
        let (number, mut watch) = feeds.open(Area::All).unwrap();
        feeds.tell(vec![gone(4), gone(5)], Revision(5));
        feeds.begin(number, Revision(4));
        assert_eq!(watch.try_next(), Some(gone(5).1));
        assert_eq!((watch.try_next(), feeds.next().await), (None, 6));
        feeds.close();
        assert_eq!(watch.next().await, None);
        assert!(feeds.open(Area::All).is_err());
    }
}
