//! The store's file: made private, recognised, brought to this build's schema, set to what durability needs.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};

use super::super::StoreError;

/// Marks the file as ours, in SQLite's own header ("rely").
const APPLICATION_ID: i32 = 0x7265_6c79;
/// One per schema version, in order; the first makes version 1. Never changed once released.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
];
/// How long another process (a backup, a person with `sqlite3`) may hold the file before a write fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements that are kept compiled. There are some 50, and a small job needs 20 of them: with the 16 that are usual, each is compiled
/// anew for every job.
const KEPT_STATEMENTS: usize = 64;
/// The write-ahead log is cut back to this when it begins anew.
const MAX_IDLE_WAL_BYTES: i64 = 64 << 20;

const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_DIRECTORY: u32 = 0o700;

/// Opens or makes the store. An existing file is written to only once it is known to be ours and not too new.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let refused = |e: io::Error| StoreError::Open { path: path.into(), why: e.to_string() };
    create(path).map_err(refused)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sql = |e: rusqlite::Error| StoreError::Open { path: path.into(), why: e.to_string() };
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sql)?;
    connection.set_prepared_statement_cache_capacity(KEPT_STATEMENTS);
    // Or a refused file's log would be worked into it when we close it again.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sql)?;
    recognise(path, &connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(sql)?;
    make_private(path).map_err(refused)?;
    configure(&connection).and_then(|()| migrate(&mut connection)).map_err(sql)?;
    Ok(connection)
}

/// Makes the file and its directory, if they are not there.
fn create(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(PRIVATE_DIRECTORY).create(directory)?;
    match OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(path) {
        Ok(_) => File::open(directory)?.sync_all(),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

/// The file and what SQLite keeps beside it. What it makes later has the permissions of the file.
fn make_private(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::set_permissions(name, Permissions::from_mode(PRIVATE_FILE)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn recognise(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let sql = |e: rusqlite::Error| match e.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => StoreError::NotAStore { path: path.into() },
        _ => StoreError::Open { path: path.into(), why: e.to_string() },
    };
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, found) = (number("application_id").map_err(sql)?, number("user_version").map_err(sql)?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sql)?;
    let (empty, known) = (tables == 0, MIGRATIONS.len() as i64);
    if application != i64::from(APPLICATION_ID) && !(empty && application == 0 && found == 0) {
        return Err(StoreError::NotAStore { path: path.into() });
    }
    if found > known {
        return Err(StoreError::Newer { path: path.into(), found, known });
    }
    Ok(())
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // Before the first table: freed pages can be given back in steps.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // NORMAL may lose the last commits when the power goes; what was acknowledged would be gone.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", MAX_IDLE_WAL_BYTES, |_| Ok(()))
}

pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let missing = MIGRATIONS.get(usize::try_from(found).unwrap_or(usize::MAX)..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    for step in missing {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    transaction.commit()
}
