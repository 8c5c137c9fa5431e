//! What is of etcd alone: see [`super::super::tests`] for what is promised of every registry.

use std::{sync::OnceLock, time::Duration};

use relay_core::ids::TierId;
use tokio_util::sync::DropGuard;

use super::*;
use crate::registry::{Event, Swap};

mod access;
mod faults;
mod older;
mod quorum;
pub(in crate::registry) mod server;
mod wire;

use server::Server;

/// What can't take longer on the busiest machine; only a test that fails waits for it.
const FOREVER: Duration = Duration::from_secs(60);

/// A registry that runs, until it is dropped.
pub(in crate::registry) struct Running {
    pub(in crate::registry) etcd: Etcd,
    _running: DropGuard,
}

/// On an etcd that answers already.
pub(in crate::registry) async fn running(config: &EtcdConfig) -> Running {
    let etcd = Etcd::connect(config).unwrap();
    answers(&etcd).await;
    run(etcd)
}

fn run(etcd: Etcd) -> Running {
    let token = CancellationToken::new();
    let (runs, until) = (etcd.clone(), token.clone());
    tokio::spawn(async move { runs.run(until).await });
    Running { etcd, _running: token.drop_guard() }
}

/// A prefix of a test's own in an etcd that tests share. None, and a loud line: there is no etcd here.
pub(in crate::registry) fn shared(prefix: &str) -> Option<EtcdConfig> {
    static SHARED: OnceLock<Server> = OnceLock::new();
    server::is_here().then(|| SHARED.get_or_init(Server::start).config(prefix))
}

/// Until it answers.
async fn answers(etcd: &Etcd) {
    let asking = async {
        while let Err(error) = etcd.list(Area::All).await {
            assert!(matches!(error, RegistryError::Unreachable(_)), "{error}");
        }
    };
    tokio::time::timeout(FOREVER, asking).await.expect("etcd answers");
}

async fn next(watch: &mut Watch) -> Event {
    tokio::time::timeout(FOREVER, watch.next()).await.expect("an event").expect("the watch goes on")
}

/// The next event's key; it is a put.
async fn next_put(watch: &mut Watch) -> Key {
    match next(watch).await {
        Event::Put(entry) => entry.key,
        other => panic!("{other:?}"),
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
async fn a_lease_that_is_not_kept_ends_by_itself() {
    let Some(config) = shared("/lease") else { return };
    let running = running(&config).await;
    let lease = running.etcd.grant(1).await.unwrap();
    let (_, mut watch) = running.etcd.watch(Area::All).await.unwrap();
    running.etcd.put(syndic("a"), value(""), Some(lease)).await.unwrap();
    assert_eq!(next_put(&mut watch).await, syndic("a"));
    assert!(matches!(next(&mut watch).await, Event::Gone { key, .. } if key == syndic("a")));
    assert_eq!(running.etcd.keep_alive(lease).await, Err(RegistryError::LeaseEnded(lease)));
}

#[tokio::test]
async fn what_others_write_below_our_prefix_is_left_alone() {
    if !server::is_here() {
        return;
    }
    let server = Server::start();
    let running = running(&server.config("/ours")).await;
    let (_, mut watch) = running.etcd.watch(Area::All).await.unwrap();
    let mut other = server.client().await;
    for key in ["/ours/minions/m1", "/ours/", "/oursnot/topology/active", "/ours/syndics/a"] {
        other.put(key, "x", None).await.unwrap();
    }
    other.put("/ours/topology/active", "y", None).await.unwrap();
    assert_eq!(next_put(&mut watch).await, Key::Topology);
    let listing = running.etcd.list(Area::All).await.unwrap();
    assert_eq!(listing.entries.iter().map(|e| &e.key).collect::<Vec<_>>(), [&Key::Topology]);
    assert_eq!(other.get("/ours/minions/m1", None).await.unwrap().kvs().len(), 1);
}

/// Who watches first decides where etcd's watch begins; nobody else may miss something for it.
#[tokio::test]
async fn watches_that_begin_at_once_miss_nothing() {
    let Some(config) = shared("/at-once") else { return };
    let running = running(&config).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20 {
        let etcd = running.etcd.clone();
        tasks.spawn(async move {
            let (listing, mut watch) = etcd.watch(Area::Syndics).await.unwrap();
            etcd.put(syndic(&format!("s{n}")), value("v"), None).await.unwrap();
            let mut known: std::collections::BTreeSet<Key> =
                listing.entries.into_iter().map(|entry| entry.key).collect();
            while known.len() < 20 {
                match next(&mut watch).await {
                    Event::Put(entry) => drop(known.insert(entry.key)),
                    Event::Resync => {
                        known.extend(
                            etcd.list(Area::Syndics).await.unwrap().entries.into_iter().map(|e| e.key),
                        );
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn the_end_of_running_ends_the_watches() {
    let Some(config) = shared("/end") else { return };
    let running = running(&config).await;
    let (_, mut watch) = running.etcd.watch(Area::All).await.unwrap();
    let etcd = running.etcd.clone();
    drop(running);
    assert_eq!(watch.next().await, None);
    assert!(matches!(etcd.watch(Area::All).await, Err(RegistryError::Unreachable(_))));
}
