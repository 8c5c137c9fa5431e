//! How many wait for an operator, in all and from each address.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use relay_core::enrol::{Enrolled, MAX_PENDING, MAX_PENDING_PER_ADDRESS, State};

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
            && counts.get(from).is_none_or(|own| *own < MAX_PENDING_PER_ADDRESS)
    }

    /// One more waits.
    pub fn enter(&self, from: &str) {
        *self.lock().entry(from.to_owned()).or_default() += 1;
    }

    /// One waits no more.
    pub fn leave(&self, from: &str) {
        let mut counts = self.lock();
        if let Some(own) = counts.get_mut(from) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                counts.remove(from);
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
