//! Leadership: one top master at a time does what only one may do (the scheduler, pruning, following git).
//!
//! The leader is who created the key of the task, under its own lease. It leads while it keeps the lease; by its own
//! clock it must stop when a lease's time has passed since the last [`Registry::keep_alive`] that was answered.

use bytes::Bytes;
use relay_core::ids::TierId;

use super::{Key, LeaseId, Registry, RegistryError, Revision, Swap};

/// Who leads a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// We do, from this change on: rises with each leader, so it orders what leaders write elsewhere.
    Ours(Revision),
    /// Somebody else; `None` if that one was gone before we saw who it was. Watch [`super::Area::Leaders`] for the key's
    /// end, then stand again.
    Other(Option<TierId>),
}

/// Stands for a task. Who leads it already under the same lease stays leader.
///
/// # Errors
/// The lease has ended, or the registry can't be reached: then we do not lead.
pub async fn stand(
    registry: &dyn Registry,
    task: &TierId,
    candidate: &TierId,
    lease: LeaseId,
) -> Result<Leadership, RegistryError> {
    let value = Bytes::copy_from_slice(candidate.as_str().as_bytes());
    match registry.swap(Key::Leader(task.clone()), None, value, Some(lease)).await? {
        Swap::Done(revision) => Ok(Leadership::Ours(revision)),
        Swap::Other(Some(entry)) if entry.lease == Some(lease) => Ok(Leadership::Ours(entry.revision)),
        Swap::Other(Some(entry)) => Ok(Leadership::Other(Some(leader(&entry.key, &entry.value)?))),
        Swap::Other(None) => Ok(Leadership::Other(None)),
    }
}

/// Gives a task back, so that others need not wait for the lease to end. False: we did not lead any more.
///
/// # Errors
/// The registry can't be reached; the lease's end does the same later.
pub async fn resign(registry: &dyn Registry, task: &TierId, ours: Revision) -> Result<bool, RegistryError> {
    registry.remove(Key::Leader(task.clone()), ours).await
}

fn leader(key: &Key, value: &[u8]) -> Result<TierId, RegistryError> {
    let bad = |why: String| RegistryError::Value { key: key.clone(), why };
    let text = std::str::from_utf8(value).map_err(|e| bad(e.to_string()))?;
    text.parse().map_err(|e: relay_core::ids::IdError| bad(e.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;
    use crate::registry::{Area, Embedded, Event};

    fn id(text: &str) -> TierId {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn one_leads_and_the_next_after_its_lease() {
        let now = Arc::new(AtomicU64::new(0));
        let clock = now.clone();
        let registry = Embedded::new(Arc::new(move || clock.load(Ordering::Relaxed)));
        let (task, one, two) = (id("prune"), id("top-1"), id("top-2"));
        let (lease_one, lease_two) =
            (registry.grant(1_000).await.unwrap(), registry.grant(5_000).await.unwrap());
        let Leadership::Ours(first) = stand(&registry, &task, &one, lease_one).await.unwrap() else {
            panic!()
        };
        assert_eq!(stand(&registry, &task, &one, lease_one).await.unwrap(), Leadership::Ours(first));
        assert_eq!(
            stand(&registry, &task, &two, lease_two).await.unwrap(),
            Leadership::Other(Some(one.clone()))
        );
        let (_, mut watch) = registry.watch(Area::Leaders).await.unwrap();
        now.store(1_000, Ordering::Relaxed);
        let Leadership::Ours(second) = stand(&registry, &task, &two, lease_two).await.unwrap() else {
            panic!()
        };
        assert!(second > first);
        assert!(matches!(watch.next().await, Some(Event::Gone { .. })));
        assert_eq!(
            stand(&registry, &task, &one, lease_one).await.unwrap(),
            Leadership::Other(Some(two)),
            "a former leader learns who leads"
        );
        assert!(!resign(&registry, &task, first).await.unwrap(), "it can't resign for another");
        assert!(resign(&registry, &task, second).await.unwrap());
    }
}
