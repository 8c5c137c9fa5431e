//! An etcd that went back.

use super::*;

async fn remembering(server: &Server, dir: &Path) -> Running {
    let etcd = Etcd::connect_remembering(&server.config("/older"), dir).unwrap();
    run(etcd)
}

/// Until it answers, rightly or not.
async fn verdict(etcd: &Etcd) -> Result<Listing, RegistryError> {
    let asking = async {
        loop {
            match etcd.list(Area::All).await {
                Err(RegistryError::Unreachable(_)) => {}
                other => return other,
            }
        }
    };
    tokio::time::timeout(FOREVER, asking).await.expect("etcd answers")
}

#[tokio::test]
async fn an_etcd_restored_from_a_backup_is_refused_until_an_operator_decides() {
    if !server::is_here() {
        return;
    }
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let first = remembering(&server, dir.path()).await;
    answers(&first.etcd).await;
    first.etcd.put(syndic("old"), value("v"), None).await.unwrap();
    server.kill();
    server.back_up("older");
    server.restart();
    answers(&first.etcd).await;
    first.etcd.put(syndic("new"), value("v"), None).await.unwrap();
    server.kill();
    server.back_up("newer");
    server.restore("older");
    server.restart();
    let refused = verdict(&first.etcd).await.unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, RegistryError::Older { .. }), "{said}");
    assert!(said.contains("registry-seen.json") && said.contains("stop all top masters"), "{said}");
    let put = first.etcd.put(syndic("not"), value("v"), None).await;
    assert!(matches!(put, Err(RegistryError::Older { .. })), "{put:?}");
    assert!(matches!(first.etcd.watch(Area::All).await, Err(RegistryError::Older { .. })));
    let mut other = server.client().await;
    assert!(
        other.get("/older/syndics/top-1/not", None).await.unwrap().kvs().is_empty(),
        "nothing is written"
    );

    // A restart remembers; and newer data is taken without another word.
    first.etcd.save().await;
    drop(first);
    let second = remembering(&server, dir.path()).await;
    assert!(matches!(verdict(&second.etcd).await, Err(RegistryError::Older { .. })));
    server.kill();
    server.restore("newer");
    server.restart();
    assert_eq!(verdict(&second.etcd).await.unwrap().entries.len(), 2);

    // Or the operator does as he was told.
    server.kill();
    server.restore("older");
    server.restart();
    drop(second);
    std::fs::remove_file(dir.path().join("registry-seen.json")).unwrap();
    let third = remembering(&server, dir.path()).await;
    assert_eq!(verdict(&third.etcd).await.unwrap().entries.len(), 1);
}

#[tokio::test]
async fn another_etcd_in_its_place_is_refused() {
    if !server::is_here() {
        return;
    }
    let (one, two, dir) = (Server::start(), Server::start(), tempfile::tempdir().unwrap());
    let first = remembering(&one, dir.path()).await;
    answers(&first.etcd).await;
    first.etcd.save().await;
    drop(first);
    let second = remembering(&two, dir.path()).await;
    assert!(matches!(verdict(&second.etcd).await, Err(RegistryError::OtherCluster { .. })));
}
