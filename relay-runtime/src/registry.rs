//! The registry: who is there, which topology is active, who does what only one may do.
//!
//! Owns the [`Registry`] trait and the rules every implementation shares: keys under leases, revisions that rise with
//! each change, watches that say [`Event::Resync`] rather than lose something. Leaves to [`embedded`] (and to [`etcd`],
//! for several top masters) where the keys lie. There are keys for top masters and syndics, never for minions, and
//! nothing of a job ever goes through here.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use relay_core::time::Millis;

pub mod embedded;
pub mod etcd;
mod key;
pub mod leadership;
#[cfg(test)]
mod tests;
pub mod topology;
mod watch;

pub use embedded::Embedded;
pub use etcd::{Etcd, EtcdConfig};
pub use key::{Area, Key, KeyError};
pub use watch::{MAX_BUFFERED_EVENTS, Watch};

/// Largest value. What is registered is an address and a few words; anything larger belongs into the store.
pub const MAX_VALUE_BYTES: usize = 4 << 10;

/// Most keys: 8 syndics at each of 2 top masters are usual, so this is only reached by something that runs wild.
pub const MAX_KEYS: usize = 10_000;
/// Most watches at once in a process, which needs a few.
pub const MAX_WATCHES: usize = 100;
/// Longest lease: what is not missed within a day needs no lease.
const MAX_TTL: Millis = 24 * 3_600 * 1_000;

/// A future of the registry.
pub type RegistryFuture<T> = BoxFuture<'static, Result<T, RegistryError>>;

/// A registry shared by all parts of a process.
pub type SharedRegistry = Arc<dyn Registry>;

/// The number of a change: rises with each, over all keys. Zero: before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A promise to call again within a time. Keys under it vanish when it is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Bytes,
    /// The change that wrote it last: what [`Registry::swap`] compares.
    pub revision: Revision,
    /// The lease it lives under, if any.
    pub lease: Option<LeaseId>,
}

/// The keys of an area at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The entries, by key.
    pub entries: Vec<Entry>,
    /// The last change that is in it.
    pub revision: Revision,
}

/// What a [`Registry::swap`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swap {
    /// Written.
    Done(Revision),
    /// The key was not as expected: this is there (`None`: nothing).
    Other(Option<Entry>),
}

/// What a watch sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A key was written.
    Put(Entry),
    /// A key was removed, or its lease ended.
    Gone {
        /// The key.
        key: Key,
        /// The change that removed it.
        revision: Revision,
    },
    /// Changes were lost on the way here. List the area anew, and skip what is at most the listing's revision: the watch
    /// goes on.
    Resync,
}

impl Event {
    /// The change it tells of.
    pub fn revision(&self) -> Option<Revision> {
        match self {
            Event::Put(entry) => Some(entry.revision),
            Event::Gone { revision, .. } => Some(*revision),
            Event::Resync => None,
        }
    }
}

/// Why the registry did not do what was asked. Nothing was changed then, but after [`RegistryError::Unreachable`] it may have
/// been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The lease has ended. Grant a new one and write its keys again.
    #[error("lease {0} has ended: grant a new one and register again")]
    LeaseEnded(LeaseId),
    /// A value above [`MAX_VALUE_BYTES`].
    #[error("{key}: a value has at most {MAX_VALUE_BYTES} bytes, this one has {bytes}")]
    TooLarge {
        /// The key.
        key: Key,
        /// The value's length.
        bytes: usize,
    },
    /// A lease of no time, or of more than a day.
    #[error("a lease lasts from 1 ms to a day, not {0} ms")]
    Ttl(Millis),
    /// There are as many as there may be.
    #[error("the registry has {max} {what} already; something registers without end")]
    Full {
        /// Keys, leases or watches.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// A value can't be understood.
    #[error("{key} holds what is not understood: {why}")]
    Value {
        /// The key.
        key: Key,
        /// What is wrong with it.
        why: String,
    },
    /// The registry can't be reached. What was asked may still have been done.
    #[error("the registry can't be reached: {0}; running jobs go on")]
    Unreachable(String),
    /// The registry does not let us, or what the configuration names can't be used: trying again does not help.
    #[error("the registry refuses: {0}; check the key \"registry\" of the configuration")]
    Refused(String),
    /// The registry answers with less than it had before.
    #[error(
        "the registry is at revision {found} and was at {seen} before: it was restored from an old backup, or it is \
         another one. It is not used. If newer data can be had, bring it back. To go on with this: {remedy}"
    )]
    Older {
        /// The highest revision it has answered with.
        seen: Revision,
        /// What it answers with now.
        found: Revision,
        /// What an operator has to do.
        remedy: String,
    },
    /// Another registry answers than before.
    #[error(
        "the registry is the cluster {found:016x} and was {seen:016x} before: it was made anew, or it is another one. It is \
         not used. Correct the endpoints; or, to go on with this: {remedy}"
    )]
    OtherCluster {
        /// The cluster that has answered until now.
        seen: u64,
        /// The one that answers now.
        found: u64,
        /// What an operator has to do.
        remedy: String,
    },
}

/// Where top masters find each other.
pub trait Registry: Send + Sync {
    /// A lease that ends `ttl` milliseconds after the last [`Registry::keep_alive`], by the registry's own clock. It may last
    /// longer there (etcd counts in seconds, and from 2 up), never shorter. The holder counts for itself (`relay_core::tenure`).
    fn grant(&self, ttl: Millis) -> RegistryFuture<LeaseId>;
    /// Keeps a lease for another `ttl`. To be called every third of it.
    ///
    /// # Errors
    /// [`RegistryError::LeaseEnded`]: its keys are gone, and somebody else may have taken them.
    fn keep_alive(&self, lease: LeaseId) -> RegistryFuture<()>;
    /// Ends a lease and removes its keys at once. No error if it has ended already.
    fn revoke(&self, lease: LeaseId) -> RegistryFuture<()>;
    /// Writes a key, whatever was there, under a lease or for good.
    fn put(&self, key: Key, value: Bytes, lease: Option<LeaseId>) -> RegistryFuture<Revision>;
    /// Writes a key if its last change is `expected`; with `None`: if it does not exist (create-if-absent).
    fn swap(
        &self,
        key: Key,
        expected: Option<Revision>,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> RegistryFuture<Swap>;
    /// Removes a key if its last change is `expected`. False: it is not, and nothing was removed.
    fn remove(&self, key: Key, expected: Revision) -> RegistryFuture<bool>;
    /// The keys of an area.
    fn list(&self, area: Area) -> RegistryFuture<Listing>;
    /// The keys of an area, and from that moment on every change of them.
    fn watch(&self, area: Area) -> RegistryFuture<(Listing, Watch)>;
}
