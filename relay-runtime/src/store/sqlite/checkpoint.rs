//! Works the write-ahead log into the file when nobody commits, beside the thread that does.
//!
//! SQLite would do it within the commit that makes the log 1,000 pages long, and whoever waits for that commit would wait for it: 10 to
//! 49 ms beside a large job, one commit of twenty. It is the disk that takes so long, so doing it elsewhere at the same time gains
//! nothing; doing it later does. Here it has a thread and a connection of its own, and waits until it is quiet. A passive
//! checkpoint holds up no commit: it takes what is in the log and leaves what comes meanwhile.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, hooks::Wal};
use tracing::warn;

use super::super::StoreError;

/// Pages of 4 KiB from which on the log is worked in when it is quiet, and each time that it has grown by so many: as many as SQLite
/// itself takes.
const WORTH: i32 = 1_000;
/// It is quiet when nobody has committed for so long: a job has its commits within less.
const QUIET: Duration = Duration::from_millis(50);
/// A log of so many pages (48 MiB) is worked in beside commits: it has room for a large job, 4 KiB from each of 5,000 minions.
const LONG: i32 = 12 << 10;
/// The log begins anew when all of it is worked in and nobody commits meanwhile. Where commits follow one another for so long that it
/// reaches so many pages (64 MiB, what [`super::file`] leaves of it on the disk), one of them works in what is left.
const MOST: i32 = 16 << 10;
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// How far the connection that commits has come.
#[derive(Debug, Default)]
struct Log {
    /// Commits so far.
    commits: AtomicU64,
    /// Pages in the log after the newest.
    pages: AtomicI32,
}

/// The thread, and when it is asked.
#[derive(Debug)]
pub(super) struct Checkpointer {
    log: Arc<Log>,
    /// Pages when it was last asked.
    asked: i32,
    most: i32,
    ask: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Takes over from the connection that commits.
    ///
    /// # Errors
    /// The file can't be opened once more, or there is no thread for it: [`StoreError::Open`].
    pub(super) fn start(path: &Path, committing: &mut Connection) -> Result<Checkpointer, StoreError> {
        Checkpointer::begin(path, committing, QUIET)
    }

    fn begin(path: &Path, committing: &mut Connection, quiet: Duration) -> Result<Checkpointer, StoreError> {
        let failed = |why: String| StoreError::Open { path: path.into(), why };
        let own = open(path).map_err(|e| failed(e.to_string()))?;
        let log = Arc::new(Log::default());
        let (seen, looked) = (log.clone(), log.clone());
        // In the place of SQLite's own, which is such a hook, too.
        let hook = move |_: &mut Wal, pages| {
            seen.pages.store(pages, Relaxed);
            seen.commits.fetch_add(1, Relaxed);
            Ok(())
        };
        committing.wal_hook(Some(hook)).map_err(|e| failed(e.to_string()))?;
        // One that waits is enough: it takes all that there is.
        let (ask, asked) = mpsc::sync_channel(1);
        let work = move || {
            while asked.recv().is_ok() && is_time(&looked, &asked, quiet) {
                checkpoint(&own);
            }
        };
        let thread = std::thread::Builder::new().name("store-log".into()).spawn(work);
        let thread = thread.map_err(|e| failed(e.to_string()))?;
        Ok(Checkpointer { log, asked: 0, most: MOST, ask: Some(ask), thread: Some(thread) })
    }

    /// After commits on `committing`: asks for what is due.
    pub(super) fn look(&mut self, committing: &Connection) {
        let pages = self.log.pages.load(Relaxed);
        if pages < self.asked {
            self.asked = 0; // it began anew
        }
        if pages >= self.most {
            checkpoint(committing);
        } else if pages >= self.asked + WORTH {
            self.asked = pages;
            let _ = self.ask.as_ref().map(|ask| ask.try_send(()));
        }
    }
}

impl Drop for Checkpointer {
    /// Its connection goes before the one that commits: the last one works in what is left.
    fn drop(&mut self) {
        self.ask = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // What is worked in is synced before the log is written over.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Waits until it is quiet, or the log is long. False if it is to end.
fn is_time(log: &Log, asked: &Receiver<()>, quiet: Duration) -> bool {
    loop {
        let before = log.commits.load(Relaxed);
        if asked.recv_timeout(quiet) == Err(RecvTimeoutError::Disconnected) {
            return false;
        }
        if due(log.commits.load(Relaxed) - before, log.pages.load(Relaxed)) {
            return true;
        }
    }
}

/// Whether to begin, after so many commits within [`QUIET`].
fn due(commits: u64, pages: i32) -> bool {
    commits == 0 || pages >= LONG
}

/// As far as nobody is in the way. What fails, a later one does: the log has it all.
fn checkpoint(connection: &Connection) {
    let done = connection.prepare_cached(PASSIVE).and_then(|mut passive| passive.query_row([], |_| Ok(())));
    if let Err(error) = done {
        warn!(%error, "the store's log was not worked into its file; a later commit tries again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ROW: &str = "INSERT INTO t (body) VALUES (zeroblob(100000))";
    /// Longer than any test.
    const NEVER: Duration = Duration::from_secs(3_600);

    fn store(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
        connection.execute_batch("CREATE TABLE t (body BLOB)").unwrap();
        connection
    }

    /// Rows of 25 pages each.
    fn commit(connection: &Connection, checkpointer: &mut Checkpointer, rows: usize) {
        for _ in 0..rows {
            connection.execute_batch(ROW).unwrap();
            checkpointer.look(connection);
        }
    }

    fn size(path: &Path) -> u64 {
        fs::metadata(path).unwrap().len()
    }

    #[test]
    fn the_file_takes_what_the_log_has_once_it_is_quiet() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let mut connection = store(&path);
        let mut checkpointer = Checkpointer::begin(&path, &mut connection, Duration::ZERO).unwrap();
        commit(&connection, &mut checkpointer, 30);
        assert!(size(&path) < 1_000_000, "nothing was due");
        commit(&connection, &mut checkpointer, 60);
        while size(&path) < 4_000_000 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn while_others_commit_it_waits_and_at_the_end_the_last_connection_does_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let mut connection = store(&path);
        let mut checkpointer = Checkpointer::begin(&path, &mut connection, NEVER).unwrap();
        commit(&connection, &mut checkpointer, 120);
        drop(checkpointer); // at once, however long it would have waited
        assert!(size(&path) < 1_000_000, "it was never quiet");
        drop(connection);
        assert!(size(&path) > 12_000_000);
    }

    #[test]
    fn only_a_long_log_is_worked_in_beside_commits() {
        assert!(due(0, WORTH) && due(0, LONG) && due(9, LONG));
        assert!(!due(1, WORTH) && !due(9, LONG - 1));
    }

    #[test]
    fn where_its_thread_does_not_get_there_a_commit_bounds_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let mut connection = store(&path);
        let mut checkpointer = Checkpointer::begin(&path, &mut connection, NEVER).unwrap();
        checkpointer.most = 200;
        commit(&connection, &mut checkpointer, 100);
        let log = size(&directory.path().join("store-wal"));
        assert!(log < 300 * 4_200, "{log}");
    }

    #[test]
    fn a_reader_in_the_way_holds_up_no_commit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let mut connection = store(&path);
        let mut checkpointer = Checkpointer::begin(&path, &mut connection, NEVER).unwrap();
        let reader = Connection::open(&path).unwrap();
        // It holds its moment, so the log can't begin anew.
        reader.execute_batch("BEGIN; SELECT count(*) FROM t;").unwrap();
        checkpointer.most = 100;
        commit(&connection, &mut checkpointer, 40);
        drop(reader);
        let rows: i64 = connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 40);
    }
}
