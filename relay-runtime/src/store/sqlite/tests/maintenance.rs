//! The file brought up to date alone, with a copy of what it was; and what only a file can have wrong.

use std::fs;

use super::{super::super::maintenance::*, *};

fn version(path: &Path) -> i64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn it_is_migrated_with_a_backup() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    migration::schema_1(&path);
    let place = StorePlace::Sqlite(path.clone());
    let known = place.schema().await.unwrap().known;
    assert_eq!(place.schema().await.unwrap(), SchemaVersion { found: 1, known });
    let error = place.check(0).await.unwrap_err();
    assert!(matches!(error, MaintenanceError::Older { found: 1, .. }), "{error}");
    let done = place.migrate(true).await.unwrap();
    assert_eq!((done.schema, version(&path)), (SchemaVersion { found: 1, known }, known));
    let backup = done.backup.unwrap();
    assert_eq!(version(&backup), 1);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(place.migrate(true).await.unwrap().backup, None, "there is nothing more to do");
    assert_eq!(SqliteStore::open(&path).unwrap().begin().await.unwrap().jobs.len(), 3);
    // The copy is a store, too.
    assert_eq!(SqliteStore::open(&backup).unwrap().begin().await.unwrap().jobs.len(), 3);
}

#[tokio::test]
async fn a_backup_that_is_there_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    migration::schema_1(&path);
    let backup = directory.path().join("store.db.schema-1.backup");
    fs::write(&backup, "mine").unwrap();
    let place = StorePlace::Sqlite(path.clone());
    let error = place.migrate(true).await.unwrap_err();
    assert!(error.to_string().contains("--no-backup"), "{error}");
    assert_eq!((version(&path), fs::read(&backup).unwrap()), (1, b"mine".to_vec()));
    place.migrate(false).await.unwrap();
    assert_eq!(place.migrate(false).await.unwrap().schema.found, version(&path));
}

#[tokio::test]
async fn a_file_in_use_is_not_migrated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    migration::schema_1(&path);
    let user = rusqlite::Connection::open(&path).unwrap();
    let jobs = |c: &rusqlite::Connection| -> i64 {
        c.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(jobs(&user), 3);
    let place = StorePlace::Sqlite(path.clone());
    let error = place.migrate(true).await.unwrap_err();
    assert!(matches!(error, MaintenanceError::InUse { .. }), "{error}");
    assert!(!directory.path().join("store.db.schema-1.backup").exists());
    assert_eq!((jobs(&user), place.schema().await.unwrap().found), (3, 1));
    drop(user);
    place.migrate(false).await.unwrap();
}

/// Whoever moves a file away may forget its log, which SQLite would take for the new file's.
#[tokio::test]
async fn the_log_of_a_former_file_is_not_taken_over() {
    let mut bench = Bench::new(Kind::Sqlite).await;
    let place = StorePlace::Sqlite(bench.path());
    let mut export = Vec::new();
    place.export(None, &mut export, &mut |_| {}).await.unwrap();
    bench.accept(1).await;
    let log = fs::read(bench.path().with_extension("db-wal")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (path, left) = (directory.path().join("store.db"), directory.path().join("store.db-wal"));
    fs::write(&left, &log).unwrap();
    let new = StorePlace::Sqlite(path.clone());
    let error = new.import(None, &mut &export[..], &mut |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("store.db-wal"), "{error}");
    assert_eq!((path.exists(), fs::read(&left).unwrap()), (false, log));
    fs::remove_file(&left).unwrap();
    new.import(None, &mut &export[..], &mut |_| {}).await.unwrap();
    assert!(new.check(THEN).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_newer_file_is_refused_and_left_alone() {
    let bench = Bench::new(Kind::Sqlite).await;
    bench.on_thread(|c| c.pragma_update(None, "user_version", 99).unwrap()).await;
    bench.store.close().await;
    let (place, before) = (StorePlace::Sqlite(bench.path()), fs::read(bench.path()).unwrap());
    let newer = |error| {
        assert!(matches!(error, MaintenanceError::Store(StoreError::Newer { found: 99, .. })), "{error}")
    };
    newer(place.schema().await.unwrap_err());
    newer(place.migrate(true).await.unwrap_err());
    newer(place.check(0).await.unwrap_err());
    newer(place.export(None, &mut Vec::new(), &mut |_| {}).await.unwrap_err());
    let export = {
        let empty = Bench::new(Kind::Sqlite).await;
        let mut out = Vec::new();
        StorePlace::Sqlite(empty.path()).export(None, &mut out, &mut |_| {}).await.unwrap();
        out
    };
    newer(place.import(None, &mut &export[..], &mut |_| {}).await.unwrap_err());
    assert_eq!(fs::read(bench.path()).unwrap(), before);
}

/// Bytes that change on the disk are found, wherever a value lies.
#[tokio::test]
async fn flipped_bytes_are_found() {
    let mut bench = Bench::new(Kind::Sqlite).await;
    bench.commit(vec![Write::Minions(vec![super::super::super::tests::record(0, "m0")])]).await.unwrap();
    let jid = bench.accept(1).await;
    let body = answer(&"a body to be found again".repeat(1_000));
    bench.commit(vec![bench.returns(jid, vec![row(0, Some(&body), &[0])])]).await.unwrap();
    bench.store.close().await;
    let place = StorePlace::Sqlite(bench.path());
    let whole = fs::read(bench.path()).unwrap();
    let words = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).position(|w| w == word).unwrap();
    for word in [&b"a body to be found again"[..], b"test.ping", b"{\"os\":\"Debian\"}"] {
        let mut flipped = whole.clone();
        flipped[words(&whole, word)] ^= 0x20;
        fs::write(bench.path(), flipped).unwrap();
        let found = place.check(THEN).await.unwrap();
        let named = |p: &Problem| p.row.contains("jid") || p.row.contains("minions");
        assert!(found.problems.iter().any(named), "{word:?}: {:?}", found.problems);
    }
    // A page of an index or a table that makes no sense any more.
    let mut torn = whole.clone();
    let page = whole.len() / 2 / 4096 * 4096;
    torn[page..page + 4096].fill(0xa5);
    fs::write(bench.path(), torn).unwrap();
    assert!(place.check(THEN).await.map_or(true, |found| !found.is_clean()));
}
