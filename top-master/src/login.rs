//! Operators who log in with a password and get a token for it.
//!
//! Owns logins from the first try to their end: [`opening`] lets somebody in, as often as he may try ([`throttle`]) and if whoever
//! checks the password says so ([`account`]); a [`token`] lasts as long as [`sessions`] says, also beyond this process ([`record`]);
//! [`ending`] ends it, and [`service`] has the calls that people make. Leaves the reading of a call's credentials to
//! [`crate::front`].
//!
//! The logins in memory are those that count, and only an owner of the fabric has them: it reads them when its term begins, and
//! writes what changes before it answers. One that has lost the fabric and does not know it yet may take a token for some seconds
//! that was ended elsewhere; it can't write anything then.

mod account;
mod apart;
mod directory;
mod ending;
mod file;
mod opening;
#[cfg(feature = "pam")]
mod pam;
mod record;
mod service;
mod sessions;
#[cfg(test)]
mod tests;
mod throttle;
mod token;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use relay_runtime::{
    clock::{Clock, wall},
    config::LoginConfig,
    store::{Area, Expect, MAX_RECORD_PAGE, PutRecord, Store, StoreError},
};

pub use account::missing;
pub use opening::Opened;
pub use service::{AccessService, MAX_MESSAGE};
pub use sessions::Session;
pub use token::{PREFIX, bearer, parse};

use crate::audit::Audit;
use account::Accounts;
use opening::Queue;
use sessions::{Limits, Now, Sessions};
use throttle::Throttle;

/// The logins of a fabric. Clones share them.
#[derive(Clone)]
pub struct Logins(Arc<Inner>);

struct Inner {
    accounts: Accounts,
    sessions: Mutex<Sessions>,
    throttle: Mutex<Throttle>,
    /// For the file, and for whoever else may let us wait: neither waits for the other.
    queues: [Queue; 2],
    store: Arc<dyn Store>,
    clock: Clock,
    audit: Audit,
}

impl Logins {
    /// Takes up the logins that the store has.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn restore(
        config: &LoginConfig,
        store: Arc<dyn Store>,
        clock: Clock,
        audit: Audit,
    ) -> Result<Logins, StoreError> {
        let millis = |d: Duration| d.as_millis() as u64;
        let limits = Limits { idle: millis(config.token_idle), most: millis(config.token_max) };
        let logins = Logins(Arc::new(Inner {
            accounts: Accounts::new(config),
            sessions: Mutex::new(Sessions::new(limits, Arc::new(move || clock.now()))),
            throttle: Mutex::default(),
            queues: Queue::both(),
            store,
            clock,
            audit,
        }));
        logins.read().await?;
        Ok(logins)
    }

    async fn read(&self) -> Result<(), StoreError> {
        let mut after = Bytes::new();
        loop {
            let page = self.0.store.records(Area::Login, after.clone(), MAX_RECORD_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.key.clone();
            let mut over = Vec::new();
            for found in page {
                let known = record::read(&found.key, &found.value);
                let held = known.is_some_and(|(digest, login)| {
                    self.0.accounts.has(login.caller.how())
                        && self.sessions().restore(digest, login, self.now())
                });
                if !held {
                    over.push(removed(found.key));
                }
            }
            if !over.is_empty() {
                self.0.store.put_records(over).await?;
            }
        }
        // Before anybody calls: who was removed while nobody was the owner is not let in.
        self.look_at_accounts(Accounts::is_cheap).await;
        Ok(())
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.0.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        Now { clock: self.0.clock.now(), wall: wall() }
    }

    /// Uses a token; nothing if it opens nothing (any more).
    pub fn take(&self, token: &str) -> Option<Session> {
        let digest = parse(token)?;
        self.sessions().take(&digest, self.now())
    }
}

fn removed(key: Bytes) -> PutRecord {
    PutRecord { area: Area::Login, key, expect: Expect::Any, value: None }
}
