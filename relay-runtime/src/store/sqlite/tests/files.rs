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
    let bench = Bench::new().await;
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
    let mut bench = Bench::new().await;
    let jid = bench.accept(1).await;
    let ok = answer("true");
    bench.commit(vec![bench.returns(jid, vec![row(0, Some(&ok), &[0, 2])])]).await.unwrap();
    let image = tempfile::tempdir().unwrap();
    for name in ["store.db", "store.db-wal"] {
        fs::copy(bench.directory.path().join(name), image.path().join(name)).unwrap();
    }
    let after = SqliteStore::open(&image.path().join("store.db")).unwrap();
    let left = after.begin().await.unwrap();
    assert_eq!(left.epoch, Epoch(bench.epoch.0 + 1));
    assert_eq!(left.jobs[0].groups[0].members, set(&[0, 2]));
    assert_eq!(left.jobs[0].head, JobHead { epoch: left.epoch, ..bench.head(1) });
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let bench = Bench::new().await;
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
        assert_eq!(error, StoreError::Newer { path: path.clone(), found: 99, known: 2 });
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
async fn damage_is_named_and_changes_nothing() {
    let damages = [
        ("DELETE FROM members WHERE no = 0", "number 0 is missing"),
        ("UPDATE members SET members = x'00ff'", "members"),
        ("UPDATE answers SET outcome = 'fine'", "fine"),
        ("UPDATE jobs SET digest = zeroblob(32)", "digest"),
        ("UPDATE jobs SET envelope = x'ff'", "digest"),
        ("INSERT INTO batches VALUES ((SELECT jid FROM jobs), 0, x'ff')", "decode"),
        ("INSERT INTO batches VALUES ((SELECT jid FROM jobs), -1, x'')", "out of range"),
        // Approval without stages.
        ("INSERT INTO batches VALUES ((SELECT jid FROM jobs), 0, x'4001')", "canary"),
    ];
    for (sql, word) in damages {
        let mut bench = Bench::new().await;
        let jid = bench.accept(1).await;
        let (one, two) = (answer("1"), answer("2"));
        let rows = vec![row(0, Some(&one), &[0]), row(1, Some(&two), &[1])];
        bench.commit(vec![bench.returns(jid, rows)]).await.unwrap();
        bench.on_thread(move |c| c.execute_batch(sql).unwrap()).await;
        let error = bench.store.begin().await.unwrap_err();
        let StoreError::Damaged { row, why } = &error else { panic!("{error}") };
        assert!(row.contains(&jid.to_string()) && why.contains(word), "{error}");
        let epoch = bench.on_thread(|c| write::stored_epoch(c).unwrap()).await;
        assert_eq!(epoch, bench.epoch, "the epoch was not raised");
    }
}
