//! The registry in an etcd: for several top masters, which find each other there (docs/adr/0009).
//!
//! Owns what the trait's promises mean in etcd's terms. Leaves to [`session`] the one connection and when to give it up, to
//! [`follow`] the one watch of this process, to [`seen`] that etcd never goes back.
//!
//! Keys are `PREFIX` and the text of a [`Key`]. What else lies there is somebody else's: it is skipped, with a warning.
//! A change that was sent and not answered is asked for again; so it is done once or, after [`RegistryError::Unreachable`],
//! perhaps once. A lease lasts whole seconds, rounded up, and at least what etcd's members grant (2 s as they are shipped).

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use relay_core::time::Millis;
use tokio_util::sync::CancellationToken;

use super::{Area, Key, LeaseId, Listing, Registry, RegistryError, RegistryFuture, Revision, Swap, Watch};

mod calls;
mod config;
mod failure;
mod feeds;
mod follow;
mod names;
mod seen;
mod session;
#[cfg(test)]
pub(in crate::registry) mod tests;

pub use config::{EtcdConfig, EtcdLogin, EtcdTls};

use feeds::Feeds;
use names::Names;
use seen::Seen;
use session::Sessions;

/// How often what was seen is written down: more than this is not lost with the process.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// A registry in an etcd. Clones share it.
#[derive(Clone)]
pub struct Etcd {
    shared: Arc<Shared>,
}

struct Shared {
    sessions: Sessions,
    names: Names,
    feeds: Feeds,
}

impl Etcd {
    /// A registry in this etcd, which need not be there yet: every call tries to reach it, and says so when it can't.
    /// Nothing is watched until [`Etcd::run`] runs.
    ///
    /// # Errors
    /// [`RegistryError::Refused`]: a file that the configuration names can't be used.
    pub fn connect(config: &EtcdConfig) -> Result<Etcd, RegistryError> {
        Etcd::with(config, Seen::new())
    }

    /// Like [`Etcd::connect`], and remembers in a file of this directory how far etcd had come, so that after a restart, too,
    /// an etcd that went back is found.
    ///
    /// # Errors
    /// As there; and the file is not what was written.
    pub fn connect_remembering(config: &EtcdConfig, state_dir: &Path) -> Result<Etcd, RegistryError> {
        Etcd::with(config, Seen::remembered(state_dir)?)
    }

    fn with(config: &EtcdConfig, seen: Seen) -> Result<Etcd, RegistryError> {
        let sessions = Sessions::new(config, seen)?;
        let names = Names::below(&config.prefix);
        Ok(Etcd { shared: Arc::new(Shared { sessions, names, feeds: Feeds::default() }) })
    }

    /// Follows the changes for all watches of this process, over every loss of the connection, and writes down how far etcd
    /// has come. Ends with `token`, and all watches with it.
    pub async fn run(&self, token: CancellationToken) {
        let both = async { tokio::join!(self.shared.follow(), self.remember()) };
        token.run_until_cancelled(both).await;
        self.shared.feeds.close();
        self.save().await;
    }

    async fn remember(&self) {
        loop {
            tokio::time::sleep(SAVE_EVERY).await;
            self.save().await;
        }
    }

    async fn save(&self) {
        let shared = self.shared.clone();
        let saved = tokio::task::spawn_blocking(move || shared.sessions.seen().save()).await;
        if let Ok(Err(why)) = saved {
            tracing::warn!(why, "how far etcd has come is not written down; trying again");
        }
    }
}

impl Registry for Etcd {
    fn grant(&self, ttl: Millis) -> RegistryFuture<LeaseId> {
        let shared = self.shared.clone();
        Box::pin(async move { shared.grant(ttl).await })
    }

    fn keep_alive(&self, lease: LeaseId) -> RegistryFuture<()> {
        let shared = self.shared.clone();
        Box::pin(async move { shared.keep_alive(lease).await })
    }

    fn revoke(&self, lease: LeaseId) -> RegistryFuture<()> {
        let shared = self.shared.clone();
        Box::pin(async move { shared.revoke(lease).await })
    }

    fn put(&self, key: Key, value: Bytes, lease: Option<LeaseId>) -> RegistryFuture<Revision> {
        let shared = self.shared.clone();
        Box::pin(async move { shared.put(key, value, lease).await })
    }

    fn swap(
        &self,
        key: Key,
        expected: Option<Revision>,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> RegistryFuture<Swap> {
        let shared = self.shared.clone();
        Box::pin(async move { shared.swap(key, expected, value, lease).await })
    }

    fn remove(&self, key: Key, expected: Revision) -> RegistryFuture<bool> {
        let shared = self.shared.clone();
        Box::pin(async move { shared.remove(key, expected).await })
    }

    fn list(&self, area: Area) -> RegistryFuture<Listing> {
        let shared = self.shared.clone();
        Box::pin(async move { shared.list(area).await })
    }

    fn watch(&self, area: Area) -> RegistryFuture<(Listing, Watch)> {
        let shared = self.shared.clone();
        Box::pin(async move { shared.watch(area).await })
    }
}
