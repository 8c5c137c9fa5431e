//! Three members: one may be lost, two may not.

use super::*;

#[tokio::test]
async fn one_member_may_be_lost_and_two_may_come_back() {
    if !server::is_here() {
        return;
    }
    let servers = Server::cluster(3);
    let running = running(&server::config(&servers, "/quorum")).await;
    let etcd = &running.etcd;
    let lease = etcd.grant(60_000).await.unwrap();
    let (_, mut watch) = etcd.watch(Area::All).await.unwrap();
    // Each in its turn, so that it was the leader, and the one that was connected to, once.
    for (n, server) in servers.iter().enumerate() {
        server.kill();
        answers(etcd).await;
        let key = syndic(&format!("without-{n}"));
        etcd.put(key.clone(), value("v"), Some(lease)).await.unwrap();
        assert_eq!(next_put(&mut watch).await, key);
        server.restart();
        answers(etcd).await;
    }
    servers[0].kill();
    servers[1].kill();
    let refused = etcd.put(syndic("nowhere"), value("v"), None).await;
    assert!(matches!(refused, Err(RegistryError::Unreachable(_))), "{refused:?}");
    assert!(matches!(etcd.list(Area::All).await, Err(RegistryError::Unreachable(_))));
    servers[0].restart();
    answers(etcd).await;
    etcd.keep_alive(lease).await.unwrap();
    let key = syndic("again");
    etcd.put(key.clone(), value("v"), Some(lease)).await.unwrap();
    // The one that had no quorum may have kept what it was sent, and bring it now.
    let seen = next_put(&mut watch).await;
    assert!(seen == key || (seen == syndic("nowhere") && next_put(&mut watch).await == key), "{seen:?}");
}

#[tokio::test]
async fn a_member_that_stands_still_is_left_for_another() {
    if !server::is_here() {
        return;
    }
    let servers = Server::cluster(3);
    let running = running(&server::config(&servers, "/still")).await;
    let etcd = &running.etcd;
    let (_, mut watch) = etcd.watch(Area::All).await.unwrap();
    for (n, server) in servers.iter().enumerate() {
        server.stop();
        answers(etcd).await;
        let key = syndic(&format!("without-{n}"));
        etcd.put(key.clone(), value("v"), None).await.unwrap();
        loop {
            // A put that was asked for twice is seen twice.
            let seen = next_put(&mut watch).await;
            if seen == key {
                break;
            }
        }
        server.go_on();
    }
}
