//! The calls of the trait, each as one request to etcd that may be sent again.

use bytes::Bytes;
use etcd_client::{
    Compare, CompareOp, GetOptions, KeyValue, LeaseGrantOptions, PutOptions, Txn, TxnOp, TxnOpResponse,
};
use relay_core::time::Millis;

use super::{
    super::{
        Area, Entry, Key, LeaseId, Listing, MAX_KEYS, MAX_TTL, MAX_VALUE_BYTES, RegistryError, Revision,
        Swap, Watch,
    },
    Shared,
    failure::is_granted_already,
    session::Attempt,
};

impl Shared {
    pub(super) async fn grant(&self, ttl: Millis) -> Result<LeaseId, RegistryError> {
        if ttl == 0 || ttl > MAX_TTL {
            return Err(RegistryError::Ttl(ttl));
        }
        let seconds = i64::try_from(ttl.div_ceil(1_000)).unwrap_or(i64::MAX);
        // A number of our own: who asks again for it is told that it is there.
        let id = LeaseId((rand::random::<u64>() >> 1).max(1));
        let granted = self.sessions.ask(None, |attempt: Attempt| async move {
            let options = LeaseGrantOptions::new().with_id(number(id));
            match attempt.client().lease_client().grant(seconds, Some(options)).await {
                Ok(granted) => attempt.saw(granted.header()).map(drop),
                Err(error) if attempt.after_doubt() && is_granted_already(&error) => Ok(()),
                Err(error) => Err(error.into()),
            }
        });
        granted.await.map(|()| id)
    }

    pub(super) async fn keep_alive(&self, id: LeaseId) -> Result<(), RegistryError> {
        let kept = self.sessions.ask(Some(id), |attempt: Attempt| async move {
            attempt.client().lease_client().keep_alive(number(id)).await?;
            Ok(())
        });
        kept.await
    }

    pub(super) async fn revoke(&self, id: LeaseId) -> Result<(), RegistryError> {
        let revoked = self.sessions.ask(Some(id), |attempt: Attempt| async move {
            let revoked = attempt.client().lease_client().revoke(number(id)).await?;
            attempt.saw(revoked.header())
        });
        match revoked.await {
            Ok(_) | Err(RegistryError::LeaseEnded(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn put(
        &self,
        key: Key,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> Result<Revision, RegistryError> {
        small_enough(&key, &value)?;
        let name = self.names.of(&key);
        let put = self.sessions.ask(lease, |attempt: Attempt| {
            let (name, value) = (name.clone(), value.to_vec());
            async move {
                let put = attempt.client().kv_client().put(name, value, under(lease)).await?;
                attempt.saw(put.header())
            }
        });
        put.await
    }

    pub(super) async fn swap(
        &self,
        key: Key,
        expected: Option<Revision>,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> Result<Swap, RegistryError> {
        small_enough(&key, &value)?;
        let name = self.names.of(&key);
        let (changed, asked_again) = self
            .change(&name, expected, lease, |name| TxnOp::put(name, value.to_vec(), under(lease)))
            .await?;
        Ok(match changed {
            Changed::Done(revision) => Swap::Done(revision),
            // What an earlier try of this call has written, whose answer was lost.
            Changed::Other(Some(entry))
                if asked_again
                    && entry.value == value
                    && entry.lease == lease
                    && Some(entry.revision) > expected =>
            {
                Swap::Done(entry.revision)
            }
            Changed::Other(entry) => Swap::Other(entry),
        })
    }

    pub(super) async fn remove(&self, key: Key, expected: Revision) -> Result<bool, RegistryError> {
        let name = self.names.of(&key);
        let delete = |name| TxnOp::delete(name, None);
        let (changed, asked_again) = self.change(&name, Some(expected), None, delete).await?;
        // Gone after a try whose answer was lost: that try did it.
        Ok(matches!(changed, Changed::Done(_)) || (asked_again && matches!(changed, Changed::Other(None))))
    }

    /// Does something to a key if its last change is `expected`. Also: whether an earlier try may have done so.
    async fn change(
        &self,
        name: &str,
        expected: Option<Revision>,
        lease: Option<LeaseId>,
        change: impl Fn(String) -> TxnOp,
    ) -> Result<(Changed, bool), RegistryError> {
        let expected = expected.map_or(0, |revision| i64::try_from(revision.0).unwrap_or(i64::MAX));
        let asked = self.sessions.ask(lease, |attempt: Attempt| {
            let txn = Txn::new()
                .when([Compare::mod_revision(name, CompareOp::Equal, expected)])
                .and_then([change(name.to_owned())])
                .or_else([TxnOp::get(name, None)]);
            async move {
                let done = attempt.client().kv_client().txn(txn).await?;
                let revision = attempt.saw(done.header())?;
                let found = (!done.succeeded()).then(|| found(done.op_responses()));
                Ok((found, revision, attempt.after_doubt()))
            }
        });
        let (found, revision, asked_again) = asked.await?;
        let changed = match found {
            None => Changed::Done(revision),
            Some(found) => Changed::Other(found.iter().find_map(|kv| self.names.entry(kv))),
        };
        Ok((changed, asked_again))
    }

    pub(super) async fn list(&self, area: Area) -> Result<Listing, RegistryError> {
        let (from, most) = (self.names.start(area), MAX_KEYS + 1);
        let listed = self.sessions.ask(None, |attempt: Attempt| {
            let from = from.clone();
            async move {
                let options = GetOptions::new().with_prefix().with_limit(most as i64);
                let mut listed = attempt.client().kv_client().get(from, Some(options)).await?;
                Ok((attempt.saw(listed.header())?, listed.take_kvs()))
            }
        });
        let (revision, found) = listed.await?;
        if found.len() > MAX_KEYS {
            return Err(RegistryError::Full { what: "keys", max: MAX_KEYS });
        }
        let mut entries: Vec<Entry> = found.iter().filter_map(|kv| self.names.entry(kv)).collect();
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Listing { entries, revision })
    }

    pub(super) async fn watch(&self, area: Area) -> Result<(Listing, Watch), RegistryError> {
        // First, so that no change falls between the listing and the watch.
        let (number, watch) = self.feeds.open(area)?;
        let listing = match self.list(area).await {
            Ok(listing) => listing,
            Err(error) => {
                drop(watch);
                return Err(error);
            }
        };
        self.feeds.begin(number, listing.revision);
        Ok((listing, watch))
    }
}

/// What became of a change under a condition.
enum Changed {
    Done(Revision),
    Other(Option<Entry>),
}

fn small_enough(key: &Key, value: &Bytes) -> Result<(), RegistryError> {
    match value.len() <= MAX_VALUE_BYTES {
        true => Ok(()),
        false => Err(RegistryError::TooLarge { key: key.clone(), bytes: value.len() }),
    }
}

fn under(lease: Option<LeaseId>) -> Option<PutOptions> {
    lease.map(|id| PutOptions::new().with_lease(number(id)))
}

/// As etcd counts leases. Those we make are never negative; a foreign one is no number of ours anyway.
fn number(lease: LeaseId) -> i64 {
    lease.0 as i64
}

/// What a transaction has read.
fn found(answers: Vec<TxnOpResponse>) -> Vec<KeyValue> {
    let read = |answer| match answer {
        TxnOpResponse::Get(mut got) => got.take_kvs(),
        _ => Vec::new(),
    };
    answers.into_iter().flat_map(read).collect()
}
