//! What is of the registry in this process alone: see [`super::super::tests`] for what is promised of every registry.

use std::sync::atomic::{AtomicU64, Ordering};

use relay_core::ids::TierId;

use super::*;

#[derive(Clone)]
struct Bench {
    now: Arc<AtomicU64>,
    registry: Embedded,
}

impl Bench {
    fn new() -> Bench {
        let now = Arc::new(AtomicU64::new(0));
        let clock = now.clone();
        Bench { now, registry: Embedded::new(Arc::new(move || clock.load(Ordering::Relaxed))) }
    }

    fn at(&self, now: Millis) -> &Embedded {
        self.now.store(now, Ordering::Relaxed);
        &self.registry
    }
}

fn id(text: &str) -> TierId {
    text.parse().unwrap()
}

fn syndic(name: &str) -> Key {
    Key::Syndic { top_master: id("top-1"), syndic: id(name) }
}

fn value(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn keys_live_as_long_as_their_lease_is_kept() {
    let bench = Bench::new();
    let lease = bench.at(0).grant(300).await.unwrap();
    bench.at(0).put(Key::TopMaster(id("top-1")), value("a"), Some(lease)).await.unwrap();
    bench.at(0).put(syndic("aws-1"), value("b"), Some(lease)).await.unwrap();
    bench.at(0).put(Key::Topology, value("c"), None).await.unwrap();
    bench.at(299).keep_alive(lease).await.unwrap();
    assert_eq!(bench.at(598).list(Area::All).await.unwrap().entries.len(), 3);
    let left = bench.at(599).list(Area::All).await.unwrap();
    assert_eq!(left.entries.iter().map(|e| &e.key).collect::<Vec<_>>(), [&Key::Topology]);
    assert_eq!(bench.at(599).keep_alive(lease).await, Err(RegistryError::LeaseEnded(lease)));
    let late = bench.at(599).put(syndic("aws-1"), value("b"), Some(lease)).await;
    assert_eq!(late, Err(RegistryError::LeaseEnded(lease)));
}

#[tokio::test]
async fn who_falls_behind_can_list_and_skip_to_be_right_again() {
    let bench = Bench::new();
    let registry = bench.at(0);
    let (_, mut watch) = registry.watch(Area::Syndics).await.unwrap();
    for n in 0..=watch::MAX_BUFFERED_EVENTS {
        registry.put(syndic(if n % 2 == 0 { "even" } else { "odd" }), value("v"), None).await.unwrap();
    }
    assert_eq!(watch.try_next(), Some(Event::Resync));
    let listing = registry.list(Area::Syndics).await.unwrap();
    registry.put(syndic("new"), value("v"), None).await.unwrap();
    let mut seen = Vec::new();
    while let Some(event) = watch.try_next() {
        match event {
            Event::Put(entry) if entry.revision > listing.revision => seen.push(entry.key),
            Event::Put(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((listing.entries.len(), seen), (2, vec![syndic("new")]));
}

#[tokio::test]
async fn run_ends_leases_that_nobody_asks_about() {
    let bench = Bench::new();
    let (_, mut watch) = bench.registry.watch(Area::Syndics).await.unwrap();
    let token = CancellationToken::new();
    let running = tokio::spawn({
        let (registry, token) = (bench.registry.clone(), token.clone());
        async move { registry.run(token).await }
    });
    tokio::task::yield_now().await;
    // The real timer is set for 1 ms; the bench's clock says that the time has come.
    let lease = bench.at(0).grant(1).await.unwrap();
    bench.at(0).put(syndic("a"), value(""), Some(lease)).await.unwrap();
    assert!(matches!(watch.next().await, Some(Event::Put(_))));
    bench.now.store(1, Ordering::Relaxed);
    assert!(matches!(watch.next().await, Some(Event::Gone { .. })));
    token.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn what_runs_wild_is_refused() {
    let bench = Bench::new();
    let registry = bench.at(0);
    let large = Bytes::from(vec![0; MAX_VALUE_BYTES + 1]);
    assert!(matches!(registry.put(Key::Topology, large, None).await, Err(RegistryError::TooLarge { .. })));
    for ttl in [0, MAX_TTL + 1] {
        assert_eq!(registry.grant(ttl).await, Err(RegistryError::Ttl(ttl)));
    }
    for _ in 0..MAX_LEASES {
        registry.grant(10).await.unwrap();
    }
    assert!(matches!(registry.grant(10).await, Err(RegistryError::Full { what: "leases", .. })));
    let mut watches = Vec::new();
    for _ in 0..MAX_WATCHES {
        watches.push(registry.watch(Area::All).await.unwrap());
    }
    assert!(matches!(registry.watch(Area::All).await, Err(RegistryError::Full { what: "watches", .. })));
    watches.pop();
    assert!(registry.watch(Area::All).await.is_ok(), "an abandoned watch makes room");
    for n in 0..MAX_KEYS {
        registry.put(syndic(&format!("s{n}")), Bytes::new(), None).await.unwrap();
    }
    assert!(matches!(
        registry.put(syndic("one-more"), Bytes::new(), None).await,
        Err(RegistryError::Full { .. })
    ));
    assert!(registry.put(syndic("s0"), value("again"), None).await.is_ok());
}
