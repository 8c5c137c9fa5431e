//! The file: private, recognised, and the same after a crash.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn nobody_else_can_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state/deep/store.db");
    let store = SqliteStore::open(&path).unwrap();
    store.begin().await.unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.with_extension("db-wal")), 0o600);
    store.close().await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(mode(&path), 0o600, "made private again");
    assert_eq!(mode(&path.with_extension("db-wal")), 0o600);
    store.close().await;
}

#[tokio::test]
async fn commits_are_synced_and_references_checked() {
    let bench = Bench::new(Kind::Sqlite).await;
    let settings = bench.on_thread(|c| {
        let number = |name: &str| c.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        let journal: String = c.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        (journal, ["synchronous", "foreign_keys", "auto_vacuum"].map(number))
    });
    assert_eq!(settings.await, ("wal".to_owned(), [2, 1, 2]));
}

/// What a kill -9 leaves: the files as they are while the store is open.
#[tokio::test]
async fn what_was_acknowledged_is_in_the_files() {
    let mut bench = Bench::new(Kind::Sqlite).await;
    let jid = bench.accept(1).await;
    let ok = answer("true");
    bench.commit(vec![bench.returns(jid, vec![row(0, Some(&ok), &[0, 2])])]).await.unwrap();
    let image = tempfile::tempdir().unwrap();
    for name in ["store.db", "store.db-wal"] {
        fs::copy(bench.path().parent().unwrap().join(name), image.path().join(name)).unwrap();
    }
    let after = SqliteStore::open(&image.path().join("store.db")).unwrap();
    let left = after.begin().await.unwrap();
    assert_eq!(left.epoch, Epoch(bench.epoch.0 + 1));
    assert_eq!(left.jobs[0].groups[0].members, set(&[0, 2]));
    assert_eq!(left.jobs[0].head, JobHead { epoch: left.epoch, ..bench.head(1) });
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let bench = Bench::new(Kind::Sqlite).await;
    let path = bench.path();
    bench.on_thread(|c| c.pragma_update(None, "user_version", 99).unwrap()).await;
    let image = tempfile::tempdir().unwrap();
    let (crashed, log) = (image.path().join("store.db"), image.path().join("store.db-wal"));
    fs::copy(&path, &crashed).unwrap();
    fs::copy(path.with_extension("db-wal"), &log).unwrap();
    bench.store.close().await;
    for path in [path, crashed] {
        let before = fs::read(&path).unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        assert_eq!(error, StoreError::Newer { path: path.clone(), found: 99, known: 4 });
        assert_eq!(fs::read(&path).unwrap(), before);
    }
    assert!(fs::metadata(log).unwrap().len() > 0, "what the newer build left is still there");
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    fs::write(&text, "not a database, but long enough to be looked at as one\n".repeat(100)).unwrap();
    let foreign = directory.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    for path in [text, foreign] {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let before = fs::read(&path).unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (before, 0o640));
    }
    let error = SqliteStore::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "a directory: {error}");
}

#[tokio::test]
async fn a_full_disk_fails_what_does_not_fit_and_nothing_else() {
    let mut bench = Bench::new(Kind::Sqlite).await;
    let jid = bench.accept(1).await;
    let limit = |pages: i64| {
        move |c: &rusqlite::Connection| {
            c.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0)).unwrap()
        }
    };
    let used: i64 =
        bench.on_thread(|c| c.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap()).await;
    assert_eq!(bench.on_thread(limit(used + 8)).await, used + 8);
    let held = bench.hold().await;
    let large = answer(&"x".repeat(1 << 20));
    let small = bench.store.commit(2, vec![Write::Sent(mark(jid, 5, &[1]), bench.epoch)]);
    let full = bench.store.commit(3, vec![bench.returns(jid, vec![row(0, Some(&large), &[1])])]);
    let cancel = bench.store.commit(4, vec![Write::Cancel(jid, bench.epoch)]);
    drop(held);
    assert_eq!((small.await, cancel.await), (Ok(()), Ok(())));
    assert!(matches!(full.await, Err(WriteError::Failed(why)) if why.contains("full")));
    assert!(bench.view(jid).await.groups.is_empty());
    bench.on_thread(limit(1 << 30)).await;
    let again = bench.store.commit(3, vec![bench.returns(jid, vec![row(0, Some(&large), &[1])])]);
    assert_eq!(again.await, Ok(()));
    assert_eq!(bench.view(jid).await.groups[0].answer, large);
}
