//! The way of events to one watcher: a bounded buffer that never makes the registry wait and never loses silently.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{Event, Revision};

/// Events one watcher may be behind. All syndics of a large fabric re-attaching at once fit several times over; who is
/// further behind lists anew.
pub const MAX_BUFFERED_EVENTS: usize = 1_024;

#[derive(Debug, Default)]
struct Buffer {
    events: VecDeque<Event>,
    /// The registry is gone: what is buffered is all there will be.
    ended: bool,
    /// The watcher knows everything up to here already.
    after: Option<Revision>,
}

impl Buffer {
    fn is_news(&self, event: &Event) -> bool {
        event.revision().is_none_or(|revision| Some(revision) > self.after)
    }
}

#[derive(Debug, Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    changed: Notify,
}

impl Shared {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registry's end of a watch.
#[derive(Debug)]
pub(super) struct Feed(Arc<Shared>);

/// A watcher's end. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch(Arc<Shared>);

/// Both ends of a new watch.
pub(super) fn watch() -> (Feed, Watch) {
    let shared = Arc::new(Shared::default());
    (Feed(shared.clone()), Watch(shared))
}

impl Feed {
    /// Hands an event on. A full buffer is emptied: what was in it is known again from a listing.
    pub(super) fn send(&self, event: Event) {
        let mut buffer = self.0.buffer();
        if !buffer.is_news(&event) {
            return;
        }
        if buffer.events.len() >= MAX_BUFFERED_EVENTS {
            buffer.events.clear();
            buffer.events.push_back(Event::Resync);
        }
        buffer.events.push_back(event);
        drop(buffer);
        self.0.changed.notify_one();
    }

    /// The watcher has a listing that holds everything up to this change: what it tells again is left out.
    pub(super) fn begin_after(&self, known: Revision) {
        let mut buffer = self.0.buffer();
        buffer.after = Some(known);
        let mut events = std::mem::take(&mut buffer.events);
        events.retain(|event| buffer.is_news(event));
        buffer.events = events;
    }

    /// Nobody listens any more.
    pub(super) fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.buffer().ended = true;
        self.0.changed.notify_one();
    }
}

impl Watch {
    /// The next event; `None` when the registry is gone. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            {
                let mut buffer = self.0.buffer();
                if let Some(event) = buffer.events.pop_front() {
                    return Some(event);
                }
                if buffer.ended {
                    return None;
                }
            }
            self.0.changed.notified().await;
        }
    }

    /// The next event, if it is here already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.buffer().events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Key, Revision};

    fn gone(n: u64) -> Event {
        Event::Gone { key: Key::Topology, revision: Revision(n) }
    }

    #[tokio::test]
    async fn an_overflow_says_resync_and_goes_on() {
        let (feed, mut watch) = watch();
        for n in 0..=MAX_BUFFERED_EVENTS as u64 {
            feed.send(gone(n));
        }
        assert_eq!(watch.next().await, Some(Event::Resync));
        assert_eq!(watch.next().await, Some(gone(MAX_BUFFERED_EVENTS as u64)));
        assert_eq!(watch.try_next(), None);
        feed.send(gone(9_999));
        assert_eq!(watch.next().await, Some(gone(9_999)));
    }

    #[tokio::test]
    async fn what_the_listing_holds_is_not_told_again() {
        let (feed, mut watch) = watch();
        feed.send(Event::Resync);
        (1..=3).for_each(|n| feed.send(gone(n)));
        feed.begin_after(Revision(2));
        (1..=4).for_each(|n| feed.send(gone(n)));
        for expected in [Event::Resync, gone(3), gone(3), gone(4)] {
            assert_eq!(watch.try_next(), Some(expected));
        }
        assert_eq!(watch.try_next(), None);
    }

    #[tokio::test]
    async fn a_full_buffer_is_still_complete() {
        let (feed, mut watch) = watch();
        (0..MAX_BUFFERED_EVENTS as u64).for_each(|n| feed.send(gone(n)));
        for n in 0..MAX_BUFFERED_EVENTS as u64 {
            assert_eq!(watch.next().await, Some(gone(n)));
        }
    }

    #[tokio::test]
    async fn the_end_comes_after_what_is_buffered() {
        let (feed, mut watch) = watch();
        feed.send(gone(1));
        drop(feed);
        assert_eq!(watch.next().await, Some(gone(1)));
        assert_eq!(watch.next().await, None);
    }

    #[tokio::test]
    async fn an_event_wakes_who_waits() {
        let (feed, mut watch) = watch();
        let waiting = tokio::spawn(async move { watch.next().await });
        tokio::task::yield_now().await;
        feed.send(gone(1));
        assert_eq!(waiting.await.unwrap(), Some(gone(1)));
    }
}
