//! Keeps the registry told: this top master, and the syndics attached to it, under one lease.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use relay_core::ids::TierId;
use relay_runtime::registry::{Key, LeaseId, Registry, RegistryError, SharedRegistry};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Life of the lease in milliseconds: how long the others take to learn of a death.
const TTL: u64 = 10_000;

/// The attached syndics and what is registered of each.
pub type Syndics = BTreeMap<TierId, Bytes>;

/// Registers, and registers again whenever the syndics change or the lease was lost, until stopped.
pub async fn run(
    registry: SharedRegistry,
    own: TierId,
    address: String,
    mut syndics: watch::Receiver<Syndics>,
    token: CancellationToken,
) {
    let mut registered: Option<(LeaseId, Syndics)> = None;
    loop {
        let wanted = syndics.borrow_and_update().clone();
        match register(&*registry, &own, &address, registered.take(), wanted).await {
            Ok(now) => registered = Some(now),
            Err(error) => warn!(%error, "registering failed; trying on"),
        }
        tokio::select! {
            () = token.cancelled() => break,
            changed = syndics.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(Duration::from_millis(TTL / 3)) => {}
        }
    }
    if let Some((lease, _)) = registered {
        let _ = registry.revoke(lease).await;
    }
}

async fn register(
    registry: &dyn Registry,
    own: &TierId,
    address: &str,
    before: Option<(LeaseId, Syndics)>,
    wanted: Syndics,
) -> Result<(LeaseId, Syndics), RegistryError> {
    let (lease, mut there) = match before {
        Some((lease, there)) => match registry.keep_alive(lease).await {
            Ok(()) => (lease, there),
            Err(RegistryError::LeaseEnded(_)) => fresh(registry, own, address).await?,
            Err(error) => return Err(error),
        },
        None => fresh(registry, own, address).await?,
    };
    let key = |syndic: &TierId| Key::Syndic { top_master: own.clone(), syndic: syndic.clone() };
    for (syndic, value) in wanted.iter().filter(|(syndic, value)| there.get(syndic) != Some(value)) {
        registry.put(key(syndic), value.clone(), Some(lease)).await?;
    }
    there.retain(|syndic, _| !wanted.contains_key(syndic));
    for syndic in there.keys() {
        let listing = registry.list(key(syndic).area()).await?;
        if let Some(entry) = listing.entries.into_iter().find(|e| e.key == key(syndic)) {
            registry.remove(entry.key, entry.revision).await?;
        }
    }
    Ok((lease, wanted))
}

async fn fresh(
    registry: &dyn Registry,
    own: &TierId,
    address: &str,
) -> Result<(LeaseId, Syndics), RegistryError> {
    let lease = registry.grant(TTL).await?;
    let value = Bytes::from(address.to_owned());
    registry.put(Key::TopMaster(own.clone()), value, Some(lease)).await?;
    Ok((lease, Syndics::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_runtime::registry::{Area, Embedded};
    use std::sync::Arc;

    #[tokio::test]
    async fn syndics_come_and_go_with_the_lease() {
        let registry = Embedded::new(Arc::new(|| 0));
        let own: TierId = "top-1".parse().unwrap();
        let syndics =
            |ids: &[&str]| ids.iter().map(|id| (id.parse().unwrap(), Bytes::new())).collect::<Syndics>();
        let first = register(&registry, &own, "a:1", None, syndics(&["aws-1", "aws-2"])).await.unwrap();
        assert_eq!(registry.list(Area::All).await.unwrap().entries.len(), 3);
        let second = register(&registry, &own, "a:1", Some(first), syndics(&["aws-2"])).await.unwrap();
        assert_eq!(registry.list(Area::Syndics).await.unwrap().entries.len(), 1);
        registry.revoke(second.0).await.unwrap();
        let third = register(&registry, &own, "a:1", Some(second), syndics(&["aws-2"])).await.unwrap();
        assert_eq!(registry.list(Area::All).await.unwrap().entries.len(), 2);
        assert_eq!(third.1.len(), 1);
    }
}
