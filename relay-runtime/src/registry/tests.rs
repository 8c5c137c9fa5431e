//! What every registry promises: each test runs on the one in this process and on a real etcd.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use relay_core::ids::TierId;

use super::{
    leadership::{Leadership, resign, stand},
    topology::{ActiveTopology, activate, active},
    *,
};

/// Runs each of these functions as a test of either registry.
macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        mod in_this_process {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::Embedded::new(super::Arc::new(|| 0))).await;
            })*
        }
        mod in_an_etcd {
            $(#[tokio::test]
            async fn $name() {
                let prefix = concat!("/promises/", stringify!($name));
                let Some(config) = crate::registry::etcd::tests::shared(prefix) else { return };
                super::$name(&crate::registry::etcd::tests::running(&config).await.etcd).await;
            })*
        }
    };
}

promises!(
    revoking_ends_keys_at_once_and_twice_is_no_error,
    an_ended_lease_takes_no_keys_and_cannot_be_kept,
    a_key_put_under_another_lease_outlives_the_first,
    swap_writes_only_over_what_was_expected,
    values_are_bytes,
    a_watch_begins_where_its_listing_ends_and_sees_its_area_only,
    a_watch_sees_the_end_of_a_lease,
    too_much_and_too_long_are_refused,
    one_leads_and_the_next_after_it,
    only_what_was_planned_on_the_active_topology_is_applied,
    abandoned_watches_make_room,
);

fn id(text: &str) -> TierId {
    text.parse().unwrap()
}

fn syndic(name: &str) -> Key {
    Key::Syndic { top_master: id("top-1"), syndic: id(name) }
}

fn value(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn next(watch: &mut Watch) -> Event {
    tokio::time::timeout(Duration::from_secs(60), watch.next()).await.expect("an event").expect("a watch")
}

async fn revoking_ends_keys_at_once_and_twice_is_no_error(registry: &dyn Registry) {
    let (one, two) = (registry.grant(60_000).await.unwrap(), registry.grant(60_000).await.unwrap());
    registry.put(syndic("a"), value(""), Some(one)).await.unwrap();
    registry.put(syndic("b"), value(""), Some(two)).await.unwrap();
    registry.revoke(one).await.unwrap();
    registry.revoke(one).await.unwrap();
    let left = registry.list(Area::Syndics).await.unwrap().entries;
    assert_eq!(left.iter().map(|entry| &entry.key).collect::<Vec<_>>(), [&syndic("b")]);
    registry.revoke(LeaseId(99)).await.unwrap();
}

async fn an_ended_lease_takes_no_keys_and_cannot_be_kept(registry: &dyn Registry) {
    let lease = registry.grant(60_000).await.unwrap();
    registry.keep_alive(lease).await.unwrap();
    registry.revoke(lease).await.unwrap();
    let ended = RegistryError::LeaseEnded(lease);
    assert_eq!(registry.keep_alive(lease).await, Err(ended.clone()));
    assert_eq!(registry.put(syndic("a"), value(""), Some(lease)).await, Err(ended.clone()));
    assert_eq!(registry.swap(syndic("a"), None, value(""), Some(lease)).await, Err(ended));
    assert_eq!(registry.list(Area::All).await.unwrap().entries, []);
}

async fn a_key_put_under_another_lease_outlives_the_first(registry: &dyn Registry) {
    let (old, new) = (registry.grant(60_000).await.unwrap(), registry.grant(60_000).await.unwrap());
    registry.put(syndic("a"), value("1"), Some(old)).await.unwrap();
    let revision = registry.put(syndic("a"), value("2"), Some(new)).await.unwrap();
    registry.revoke(old).await.unwrap();
    let entry = Entry { key: syndic("a"), value: value("2"), revision, lease: Some(new) };
    assert_eq!(registry.list(Area::Syndics).await.unwrap().entries, [entry]);
}

async fn swap_writes_only_over_what_was_expected(registry: &dyn Registry) {
    let Swap::Done(first) = registry.swap(Key::Topology, None, value("1"), None).await.unwrap() else {
        panic!()
    };
    let Swap::Other(Some(there)) = registry.swap(Key::Topology, None, value("2"), None).await.unwrap() else {
        panic!()
    };
    assert_eq!((there.value, there.revision), (value("1"), first));
    let Swap::Done(second) = registry.swap(Key::Topology, Some(first), value("2"), None).await.unwrap()
    else {
        panic!()
    };
    assert!(second > first);
    assert!(!registry.remove(Key::Topology, first).await.unwrap());
    assert!(registry.remove(Key::Topology, second).await.unwrap());
    assert!(!registry.remove(Key::Topology, second).await.unwrap());
    let gone = registry.swap(Key::Topology, Some(second), value("3"), None).await.unwrap();
    assert_eq!(gone, Swap::Other(None));
}

async fn values_are_bytes(registry: &dyn Registry) {
    for bytes in [vec![], vec![0, 255, 10, 0], vec![b'x'; MAX_VALUE_BYTES]] {
        let value = Bytes::from(bytes);
        registry.put(Key::Topology, value.clone(), None).await.unwrap();
        assert_eq!(registry.list(Area::All).await.unwrap().entries[0].value, value);
    }
}

async fn a_watch_begins_where_its_listing_ends_and_sees_its_area_only(registry: &dyn Registry) {
    registry.put(syndic("a"), value("1"), None).await.unwrap();
    let (listing, mut watch) = registry.watch(Area::Syndics).await.unwrap();
    assert_eq!(listing.entries.len(), 1);
    registry.put(Key::Topology, value("x"), None).await.unwrap();
    let revision = registry.put(syndic("b"), value("2"), None).await.unwrap();
    assert!(revision > listing.revision);
    let entry = Entry { key: syndic("b"), value: value("2"), revision, lease: None };
    assert_eq!(next(&mut watch).await, Event::Put(entry));
    registry.remove(syndic("b"), revision).await.unwrap();
    let gone = next(&mut watch).await;
    assert!(matches!(gone, Event::Gone { key, revision: r } if key == syndic("b") && r > revision));
    assert_eq!(watch.try_next(), None);
}

async fn a_watch_sees_the_end_of_a_lease(registry: &dyn Registry) {
    let lease = registry.grant(60_000).await.unwrap();
    let (_, mut watch) = registry.watch(Area::All).await.unwrap();
    let keys = [Key::TopMaster(id("top-1")), syndic("a")];
    for key in &keys {
        let revision = registry.put(key.clone(), value("v"), Some(lease)).await.unwrap();
        let entry = Entry { key: key.clone(), value: value("v"), revision, lease: Some(lease) };
        assert_eq!(next(&mut watch).await, Event::Put(entry));
    }
    registry.revoke(lease).await.unwrap();
    let mut gone = Vec::new();
    for _ in &keys {
        match next(&mut watch).await {
            Event::Gone { key, .. } => gone.push(key),
            other => panic!("{other:?}"),
        }
    }
    gone.sort();
    assert_eq!(gone, keys);
}

async fn too_much_and_too_long_are_refused(registry: &dyn Registry) {
    let large = Bytes::from(vec![0; MAX_VALUE_BYTES + 1]);
    let put = registry.put(Key::Topology, large.clone(), None).await;
    assert!(matches!(put, Err(RegistryError::TooLarge { .. })));
    let swap = registry.swap(Key::Topology, None, large, None).await;
    assert!(matches!(swap, Err(RegistryError::TooLarge { .. })));
    for ttl in [0, MAX_TTL + 1] {
        assert_eq!(registry.grant(ttl).await, Err(RegistryError::Ttl(ttl)));
    }
}

async fn one_leads_and_the_next_after_it(registry: &dyn Registry) {
    let (task, one, two) = (id("owner"), id("top-1"), id("top-2"));
    let (lease_one, lease_two) =
        (registry.grant(60_000).await.unwrap(), registry.grant(60_000).await.unwrap());
    let Leadership::Ours(first) = stand(registry, &task, &one, lease_one).await.unwrap() else { panic!() };
    assert_eq!(stand(registry, &task, &one, lease_one).await.unwrap(), Leadership::Ours(first));
    let other = stand(registry, &task, &two, lease_two).await.unwrap();
    assert_eq!(other, Leadership::Other(Some(one.clone())));
    let (_, mut watch) = registry.watch(Area::Leaders).await.unwrap();
    registry.revoke(lease_one).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Gone { .. }));
    let Leadership::Ours(second) = stand(registry, &task, &two, lease_two).await.unwrap() else { panic!() };
    assert!(second > first);
    assert!(!resign(registry, &task, first).await.unwrap());
    assert!(resign(registry, &task, second).await.unwrap());
}

async fn only_what_was_planned_on_the_active_topology_is_applied(registry: &dyn Registry) {
    let numbered = |number| ActiveTopology { number, digest: "00ff".into() };
    assert_eq!(active(registry).await.unwrap(), None);
    assert!(activate(registry, None, &numbered(1)).await.unwrap());
    assert!(!activate(registry, None, &numbered(2)).await.unwrap());
    let (_, revision) = active(registry).await.unwrap().unwrap();
    assert!(activate(registry, Some(revision), &numbered(2)).await.unwrap());
    assert!(!activate(registry, Some(revision), &numbered(3)).await.unwrap());
    assert_eq!(active(registry).await.unwrap().unwrap().0, numbered(2));
}

async fn abandoned_watches_make_room(registry: &dyn Registry) {
    let mut watches = Vec::new();
    for _ in 0..MAX_WATCHES {
        watches.push(registry.watch(Area::All).await.unwrap());
    }
    let full = registry.watch(Area::All).await;
    assert!(matches!(full, Err(RegistryError::Full { what: "watches", .. })));
    watches.pop();
    assert!(registry.watch(Area::All).await.is_ok());
}
