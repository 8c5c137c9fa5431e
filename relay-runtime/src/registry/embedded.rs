//! The registry in this process: for a fabric with one top master, and for tests.
//!
//! Owns its keys and leases in memory; they end with the process, which is right, since its leases would too. Time is
//! the monotonic clock it is given: every call first ends what is over by that clock, and [`Embedded::run`] does so when
//! nobody calls.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use relay_core::time::Millis;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Area, Entry, Event, Key, LeaseId, Listing, MAX_KEYS, MAX_TTL, MAX_VALUE_BYTES, MAX_WATCHES, Registry,
    RegistryError, RegistryFuture, Revision, Swap, Watch,
    watch::{self, Feed},
};

#[cfg(test)]
mod tests;

/// Most leases alive at once: one per top master and one per singleton are usual.
pub const MAX_LEASES: usize = 1_000;

/// The local monotonic clock.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// A registry in memory. Clones share it.
#[derive(Clone)]
pub struct Embedded {
    clock: Clock,
    state: Arc<Mutex<State>>,
    /// A lease was granted: the next end may be nearer than it was.
    granted: Arc<Notify>,
}

#[derive(Debug)]
struct Lease {
    ttl: Millis,
    ends: Millis,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    leases: BTreeMap<LeaseId, Lease>,
    feeds: Vec<(Area, Feed)>,
    revision: u64,
    last_lease: u64,
}

impl Embedded {
    /// An empty registry that reads this clock.
    pub fn new(clock: Clock) -> Embedded {
        Embedded { clock, state: Arc::default(), granted: Arc::default() }
    }

    /// Ends leases when their time comes, so that watchers hear of it without anybody calling. Ends with `token`.
    pub async fn run(&self, token: CancellationToken) {
        token.run_until_cancelled(self.end_leases()).await;
    }

    async fn end_leases(&self) {
        loop {
            let due = self.with(|state, now| state.leases.values().map(|l| l.ends - now).min());
            let wait = due.map_or(Duration::from_millis(MAX_TTL), Duration::from_millis);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.granted.notified() => {}
            }
        }
    }

    /// Works on the state as it is now: without leases that are over.
    fn with<T>(&self, work: impl FnOnce(&mut State, Millis) -> T) -> T {
        let now = (self.clock)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.end_leases(now);
        work(&mut state, now)
    }

    fn ready<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State, Millis) -> Result<T, RegistryError>,
    ) -> RegistryFuture<T> {
        let done = self.with(work);
        Box::pin(std::future::ready(done))
    }
}

impl State {
    fn end_leases(&mut self, now: Millis) {
        let over: Vec<LeaseId> =
            self.leases.iter().filter(|(_, l)| l.ends <= now).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.end_lease(id));
    }

    fn end_lease(&mut self, id: LeaseId) {
        self.leases.remove(&id);
        let keys: Vec<Key> =
            self.entries.values().filter(|e| e.lease == Some(id)).map(|e| e.key.clone()).collect();
        keys.iter().for_each(|key| self.remove(key));
    }

    fn next_revision(&mut self) -> Revision {
        self.revision += 1;
        Revision(self.revision)
    }

    fn remove(&mut self, key: &Key) {
        if self.entries.remove(key).is_some() {
            let revision = self.next_revision();
            self.tell(key, Event::Gone { key: key.clone(), revision });
        }
    }

    fn write(&mut self, key: Key, value: Bytes, lease: Option<LeaseId>) -> Result<Revision, RegistryError> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(RegistryError::TooLarge { key, bytes: value.len() });
        }
        if let Some(lease) = lease.filter(|id| !self.leases.contains_key(id)) {
            return Err(RegistryError::LeaseEnded(lease));
        }
        if self.entries.len() >= MAX_KEYS && !self.entries.contains_key(&key) {
            return Err(RegistryError::Full { what: "keys", max: MAX_KEYS });
        }
        let revision = self.next_revision();
        let entry = Entry { key: key.clone(), value, revision, lease };
        self.entries.insert(key.clone(), entry.clone());
        self.tell(&key, Event::Put(entry));
        Ok(revision)
    }

    fn tell(&mut self, key: &Key, event: Event) {
        self.feeds.retain(|(_, feed)| !feed.is_abandoned());
        self.feeds.iter().filter(|(area, _)| area.holds(key)).for_each(|(_, feed)| feed.send(event.clone()));
    }

    fn list(&self, area: Area) -> Listing {
        let entries = self.entries.values().filter(|e| area.holds(&e.key)).cloned().collect();
        Listing { entries, revision: Revision(self.revision) }
    }

    fn grant(&mut self, now: Millis, ttl: Millis) -> Result<LeaseId, RegistryError> {
        if ttl == 0 || ttl > MAX_TTL {
            return Err(RegistryError::Ttl(ttl));
        }
        if self.leases.len() >= MAX_LEASES {
            return Err(RegistryError::Full { what: "leases", max: MAX_LEASES });
        }
        self.last_lease += 1;
        let id = LeaseId(self.last_lease);
        self.leases.insert(id, Lease { ttl, ends: now.saturating_add(ttl) });
        Ok(id)
    }

    fn swap(
        &mut self,
        key: Key,
        expected: Option<Revision>,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> Result<Swap, RegistryError> {
        let found = self.entries.get(&key);
        if found.map(|e| e.revision) != expected {
            return Ok(Swap::Other(found.cloned()));
        }
        self.write(key, value, lease).map(Swap::Done)
    }

    fn watch(&mut self, area: Area) -> Result<(Listing, Watch), RegistryError> {
        self.feeds.retain(|(_, feed)| !feed.is_abandoned());
        if self.feeds.len() >= MAX_WATCHES {
            return Err(RegistryError::Full { what: "watches", max: MAX_WATCHES });
        }
        let (feed, watch) = watch::watch();
        self.feeds.push((area, feed));
        Ok((self.list(area), watch))
    }
}

impl Registry for Embedded {
    fn grant(&self, ttl: Millis) -> RegistryFuture<LeaseId> {
        let granted = self.ready(|state, now| state.grant(now, ttl));
        self.granted.notify_one();
        granted
    }

    fn keep_alive(&self, lease: LeaseId) -> RegistryFuture<()> {
        self.ready(|state, now| {
            let kept = state.leases.get_mut(&lease).ok_or(RegistryError::LeaseEnded(lease))?;
            kept.ends = now.saturating_add(kept.ttl);
            Ok(())
        })
    }

    fn revoke(&self, lease: LeaseId) -> RegistryFuture<()> {
        self.ready(|state, _| {
            state.end_lease(lease);
            Ok(())
        })
    }

    fn put(&self, key: Key, value: Bytes, lease: Option<LeaseId>) -> RegistryFuture<Revision> {
        self.ready(|state, _| state.write(key, value, lease))
    }

    fn swap(
        &self,
        key: Key,
        expected: Option<Revision>,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> RegistryFuture<Swap> {
        self.ready(|state, _| state.swap(key, expected, value, lease))
    }

    fn remove(&self, key: Key, expected: Revision) -> RegistryFuture<bool> {
        self.ready(|state, _| {
            let there = state.entries.get(&key).is_some_and(|e| e.revision == expected);
            if there {
                state.remove(&key);
            }
            Ok(there)
        })
    }

    fn list(&self, area: Area) -> RegistryFuture<Listing> {
        self.ready(|state, _| Ok(state.list(area)))
    }

    fn watch(&self, area: Area) -> RegistryFuture<(Listing, Watch)> {
        self.ready(|state, _| state.watch(area))
    }
}
