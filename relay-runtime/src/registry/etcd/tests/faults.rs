//! What is promised when etcd, or the way to it, goes away and comes back.

use super::{wire::Wire, *};

#[tokio::test]
async fn a_killed_etcd_that_comes_back_has_lost_nothing() {
    if !server::is_here() {
        return;
    }
    let server = Server::start();
    let running = running(&server.config("/kill")).await;
    let etcd = &running.etcd;
    let lease = etcd.grant(60_000).await.unwrap();
    let (_, mut watch) = etcd.watch(Area::All).await.unwrap();
    for n in 0..2 {
        etcd.put(syndic(&format!("before-{n}")), value("v"), Some(lease)).await.unwrap();
        assert_eq!(next_put(&mut watch).await, syndic(&format!("before-{n}")));
        server.kill();
        let refused = etcd.put(syndic("while"), value("v"), None).await;
        assert!(matches!(refused, Err(RegistryError::Unreachable(_))), "{refused:?}");
        server.restart();
        answers(etcd).await;
        etcd.keep_alive(lease).await.unwrap();
        etcd.put(syndic(&format!("after-{n}")), value("v"), Some(lease)).await.unwrap();
        assert_eq!(next_put(&mut watch).await, syndic(&format!("after-{n}")));
    }
    etcd.revoke(lease).await.unwrap();
    for _ in 0..4 {
        assert!(matches!(next(&mut watch).await, Event::Gone { .. }));
    }
}

#[tokio::test]
async fn an_etcd_that_stands_still_is_found_silent_and_followed_again() {
    if !server::is_here() {
        return;
    }
    let server = Server::start();
    let running = running(&server.config("/stop")).await;
    let etcd = &running.etcd;
    let (_, mut watch) = etcd.watch(Area::All).await.unwrap();
    let before = etcd.put(Key::Topology, value("1"), None).await.unwrap();
    assert_eq!(next_put(&mut watch).await, Key::Topology);
    server.stop();
    let refused = etcd.swap(Key::Topology, Some(before), value("2"), None).await;
    assert!(matches!(refused, Err(RegistryError::Unreachable(_))), "{refused:?}");
    server.go_on();
    answers(etcd).await;
    let active = etcd.list(Area::Topology).await.unwrap().entries.pop().unwrap();
    // It may have been done after all, and then it is seen, too.
    if active.revision > before {
        assert_eq!((active.value, next_put(&mut watch).await), (value("2"), Key::Topology));
    }
    etcd.put(syndic("a"), value("v"), None).await.unwrap();
    assert_eq!(next_put(&mut watch).await, syndic("a"));
}

#[tokio::test]
async fn what_the_history_holds_no_more_is_listed_anew() {
    if !server::is_here() {
        return;
    }
    let server = Server::start();
    let etcd = Etcd::connect(&server.config("/compact")).unwrap();
    answers(&etcd).await;
    let (_, mut watch) = etcd.watch(Area::All).await.unwrap();
    let mut last = Revision::default();
    for n in 0..3 {
        last = etcd.put(syndic(&format!("s{n}")), value("v"), None).await.unwrap();
    }
    server.client().await.compact(last.0 as i64, None).await.unwrap();
    let running = run(etcd);
    assert_eq!(next(&mut watch).await, Event::Resync);
    assert_eq!(running.etcd.list(Area::All).await.unwrap().entries.len(), 3);
    running.etcd.put(syndic("after"), value("v"), None).await.unwrap();
    assert_eq!(next_put(&mut watch).await, syndic("after"));
}

/// The connection stays and brings nothing: nobody but the watch itself can find out.
#[tokio::test]
async fn a_watch_that_dies_without_a_sign_is_made_anew() {
    if !server::is_here() {
        return;
    }
    let server = Server::start();
    let wire = Wire::to(server.place()).await;
    let config = EtcdConfig { endpoints: vec![wire.place()], ..server.config("/silent") };
    let running = running(&config).await;
    let (_, mut watch) = running.etcd.watch(Area::All).await.unwrap();
    running.etcd.put(syndic("a"), value("v"), None).await.unwrap();
    assert_eq!(next_put(&mut watch).await, syndic("a"));
    wire.muffle();
    server.client().await.put("/silent/syndics/top-1/b", "v", None).await.unwrap();
    assert_eq!(next_put(&mut watch).await, syndic("b"));
}

/// The change is done, and its answer is lost: asked again, etcd says that the key is no longer as expected.
#[tokio::test]
async fn a_change_whose_answer_is_lost_is_done_once_and_known() {
    if !server::is_here() {
        return;
    }
    let server = Server::start();
    let wire = Wire::to(server.place()).await;
    let etcd =
        Etcd::connect(&EtcdConfig { endpoints: vec![wire.place()], ..server.config("/lost") }).unwrap();
    answers(&etcd).await;
    let lease = {
        wire.muffle();
        etcd.grant(60_000).await.unwrap()
    };
    wire.muffle();
    let Swap::Done(first) = etcd.swap(Key::Topology, None, value("1"), Some(lease)).await.unwrap() else {
        panic!("it was we who wrote it")
    };
    wire.muffle();
    let second = etcd.put(Key::Topology, value("2"), Some(lease)).await.unwrap();
    assert!(second > first);
    let found = etcd.list(Area::Topology).await.unwrap().entries;
    assert_eq!((found[0].revision, found[0].lease), (second, Some(lease)));
    wire.muffle();
    assert!(etcd.remove(Key::Topology, second).await.unwrap());
    wire.muffle();
    etcd.revoke(lease).await.unwrap();
    // What somebody else wrote is not taken for ours, however often it is asked.
    server.client().await.put("/lost/topology/active", "2", None).await.unwrap();
    wire.muffle();
    let swapped = etcd.swap(Key::Topology, None, value("3"), None).await.unwrap();
    assert!(matches!(swapped, Swap::Other(Some(entry)) if entry.value == value("2")));
}
