//! How many wait for an operator, in all and from each address (of IPv6, from each network).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use relay_core::enrol::{Enrolled, MAX_PENDING, MAX_PENDING_PER_ADDRESS, State};
use relay_runtime::source::network_of;

/// The counts. Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Arc<Mutex<HashMap<String, usize>>>);

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    pub fn all(&self) -> usize {
        self.lock().values().sum()
    }

    /// Whether one more from this address may.
    pub fn has_room(&self, from: &str) -> bool {
        let counts = self.lock();
        counts.values().sum::<usize>() < MAX_PENDING
            && counts.get(&network_of(from)).is_none_or(|own| *own < MAX_PENDING_PER_ADDRESS)
    }

    /// One more waits.
    pub fn enter(&self, from: &str) {
        *self.lock().entry(network_of(from)).or_default() += 1;
    }

    /// One waits no more.
    pub fn leave(&self, from: &str) {
        let (mut counts, from) = (self.lock(), network_of(from));
        if let Some(own) = counts.get_mut(&from) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                counts.remove(&from);
            }
        }
    }

    /// A record was changed.
    pub fn moved(&self, before: Option<&Enrolled>, now: &Enrolled) {
        if let Some(before) = before.filter(|record| record.state == State::Pending) {
            self.leave(&before.from);
        }
        if now.state == State::Pending {
            self.enter(&now.from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_waits_as_one_address() {
        let waiting = Waiting::default();
        let host = |n: usize| format!("2001:db8:0:1::{n:x}");
        (0..MAX_PENDING_PER_ADDRESS).for_each(|n| waiting.enter(&host(n)));
        assert!(!waiting.has_room(&host(MAX_PENDING_PER_ADDRESS)), "another address of the same network");
        assert!(waiting.has_room("2001:db8:0:2::1") && waiting.has_room("192.0.2.1"));
        waiting.leave(&host(0));
        assert!(waiting.has_room(&host(0)));
        (1..MAX_PENDING_PER_ADDRESS).for_each(|n| waiting.leave(&host(n)));
        assert!(waiting.all() == 0 && waiting.lock().is_empty());
    }
}
