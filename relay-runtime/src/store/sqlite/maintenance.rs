//! The file as a whole: read at one moment, brought up to date alone, or made from an export and then put in its place.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, types::Value, types::ValueRef};

use super::{
    super::{
        StoreError,
        maintenance::{
            MaintenanceError, Migrated, Opening, Reader, SchemaVersion, See, Source, Target, Transferred,
            table::{Cell, Column, Kind, Row, TABLES},
            walk,
        },
        value::bits,
    },
    file::{self, MIGRATIONS},
    read::database,
    write::stored_epoch,
};

/// How long somebody may hold the file. A top master holds it as long as it runs, so there is little to wait for.
const IN_USE_TIMEOUT: Duration = Duration::from_millis(500);
/// Errors that SQLite's own check may tell.
const MAX_INTEGRITY_ERRORS: i64 = 100;
const PRIVATE_FILE: u32 = 0o600;

fn place(path: &Path) -> String {
    path.display().to_string()
}

fn opening(path: &Path) -> impl Fn(rusqlite::Error) -> MaintenanceError {
    move |e| match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => in_use(path),
        _ => StoreError::Open { path: path.into(), why: e.to_string() }.into(),
    }
}

fn in_use(path: &Path) -> MaintenanceError {
    let who = "another process, perhaps its top master".to_owned();
    MaintenanceError::InUse { place: place(path), who }
}

/// Opens a file that is there, if it is a store of ours and not too new.
fn existing(path: &Path, flags: OpenFlags) -> Result<Connection, MaintenanceError> {
    if !path.exists() {
        return Err(MaintenanceError::Absent { place: place(path) });
    }
    let failed = opening(path);
    let connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(&failed)?;
    connection.busy_timeout(IN_USE_TIMEOUT).map_err(&failed)?;
    Ok(connection)
}

fn version(path: &Path, connection: &Connection) -> Result<SchemaVersion, MaintenanceError> {
    file::recognise(path, connection)?;
    let found: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(opening(path))?;
    match found {
        // Not even its tables are made: as good as not there.
        0 => Err(MaintenanceError::Absent { place: place(path) }),
        _ => Ok(SchemaVersion { found, known: MIGRATIONS.len() as i64 }),
    }
}

/// The versions.
pub(in crate::store) fn schema(path: &Path) -> Result<SchemaVersion, MaintenanceError> {
    let connection = existing(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    version(path, &connection)
}

/// Opens the file for nobody but us. Whoever has it open keeps a lock on it, also between transactions.
fn alone(path: &Path) -> Result<Connection, MaintenanceError> {
    let connection = existing(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let failed = opening(path);
    connection
        .pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |row| row.get::<_, String>(0))
        .map_err(&failed)?;
    // The lock is taken by the first transaction, and stays.
    connection.execute_batch("BEGIN EXCLUSIVE; COMMIT").map_err(&failed)?;
    Ok(connection)
}

/// Brings the file up to date.
pub(in crate::store) fn migrate(path: &Path, backup: bool) -> Result<Migrated, MaintenanceError> {
    // Before anything that writes: what is not ours or too new is left alone.
    let schema = schema(path)?;
    if schema.is_current() {
        return Ok(Migrated { schema, backup: None });
    }
    let mut connection = alone(path)?;
    let backup = backup.then(|| back_up(path, &connection, schema.found)).transpose()?;
    let failed = database("migrate");
    connection.pragma_update(None, "foreign_keys", true).map_err(&failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(&failed)?;
    file::migrate(&mut connection).map_err(&failed)?;
    Ok(Migrated { schema, backup })
}

/// Copies the file beside itself, for nobody else to read. A copy that is there already stays.
fn back_up(path: &Path, connection: &Connection, found: i64) -> Result<PathBuf, MaintenanceError> {
    let copy = beside(path, &format!(".schema-{found}.backup"));
    let unwritten = |why: String| MaintenanceError::Write { what: place(&copy), why };
    // Made by us, so that it is private from its first byte; SQLite takes an empty file for a new one.
    let new = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(&copy);
    new.map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => {
            unwritten("there is such a file: move it away, or do without a backup (--no-backup)".into())
        }
        _ => unwritten(e.to_string()),
    })?;
    let text = copy.to_str().ok_or_else(|| unwritten("its name is not UTF-8".into()));
    let done = text.and_then(|text| {
        connection.execute("VACUUM INTO ?1", [text]).map_err(|e| unwritten(e.to_string()))?;
        synced(&copy).map_err(|e| unwritten(e.to_string()))
    });
    if let Err(error) = done {
        let _ = fs::remove_file(&copy);
        return Err(error);
    }
    Ok(copy)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The file, and its entry in its directory.
fn synced(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// Shows everything, at one moment. `fully`: what SQLite itself finds wrong, too.
pub(in crate::store) async fn read(
    path: &Path,
    see: &mut impl See,
    fully: bool,
) -> Result<(), MaintenanceError> {
    let connection = existing(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let schema = version(path, &connection)?;
    schema.need_current(path.display())?;
    let failed = database("read");
    let moment = connection.unchecked_transaction().map_err(&failed)?;
    let epoch = stored_epoch(&moment).map_err(&failed)?.0;
    if fully {
        integrity(&moment, see)?;
    }
    let mut statements: Vec<Statement<'_>> = Vec::new();
    for table in TABLES {
        statements.push(moment.prepare(&table.select()).map_err(&failed)?);
    }
    let rows: Result<_, _> = statements.iter_mut().map(|statement| statement.query([])).collect();
    let opening = Opening { store: "sqlite", schema: schema.found, epoch };
    walk(&mut Cursors { rows: rows.map_err(&failed)? }, opening, see).await
}

/// What SQLite finds: pages and indexes that do not fit together, rows that refer to none.
fn integrity(connection: &Connection, see: &mut impl See) -> Result<(), MaintenanceError> {
    let failed = database("check its integrity");
    let sql = format!("PRAGMA integrity_check({MAX_INTEGRITY_ERRORS})");
    let mut statement = connection.prepare(&sql).map_err(&failed)?;
    let mut rows = statement.query([]).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        let told: String = row.get(0).map_err(&failed)?;
        if told != "ok" {
            see.wrong("the file", &told);
        }
    }
    let mut statement = connection.prepare("PRAGMA foreign_key_check").map_err(&failed)?;
    let mut rows = statement.query([]).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        let (table, parent): (String, String) = (row.get(0).map_err(&failed)?, row.get(2).map_err(&failed)?);
        see.wrong(&table, &format!("a row refers to one in {parent} that is missing"));
    }
    Ok(())
}

struct Cursors<'s> {
    rows: Vec<rusqlite::Rows<'s>>,
}

impl Source for Cursors<'_> {
    async fn next(&mut self, table: usize) -> Result<Option<Row>, StoreError> {
        let failed = database("read");
        let row = self.rows[table].next().map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        let columns = TABLES[table].columns.iter().enumerate();
        let cells: rusqlite::Result<_> =
            columns.map(|(i, column)| Ok(cell(column, row.get_ref(i)?))).collect();
        Ok(Some(Row { table: &TABLES[table], cells: cells.map_err(&failed)? }))
    }
}

fn cell(column: &Column, value: ValueRef<'_>) -> Cell {
    match (column.kind, value) {
        (_, ValueRef::Null) if column.optional => Cell::Null,
        (Kind::Number | Kind::Signed, ValueRef::Integer(number)) => Cell::Int(number),
        (Kind::Flag, ValueRef::Integer(flag @ 0..=1)) => Cell::Flag(flag == 1),
        (Kind::Text, ValueRef::Text(text)) => match std::str::from_utf8(text) {
            Ok(text) => Cell::Text(text.to_owned()),
            Err(error) => Cell::Damaged(format!("the text is not UTF-8: {error}")),
        },
        (Kind::Bytes, ValueRef::Blob(bytes)) => Cell::Bytes(bytes.to_owned()),
        (kind, other) => Cell::Damaged(format!("{} where a {kind:?} belongs", other.data_type())),
    }
}

/// Fills a file beside the store's, and puts it in its place once all is there.
pub(in crate::store) async fn import(
    path: &Path,
    reader: Reader<'_>,
) -> Result<Transferred, MaintenanceError> {
    // An early word, before much work is done; looked at again at the end.
    let there = if path.exists() { empty(path)?.1 } else { orphans(path).map(|()| 0)? };
    let epoch = reader.header.next_epoch(there);
    let draft = Draft(beside(path, &format!(".import-{}", std::process::id())));
    let done = draft.fill(epoch, reader).await?;
    draft.publish(path)?;
    Ok(done)
}

/// Opens a store for us alone, if nothing is in it; with the epoch of the owner that began last.
fn empty(path: &Path) -> Result<(Connection, u64), MaintenanceError> {
    // Not ours, too new: refused before anything writes. An empty file is as good as none.
    let connection = existing(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let there = version(path, &connection);
    drop(connection);
    let connection = alone(path)?;
    match there {
        Err(MaintenanceError::Absent { .. }) => return Ok((connection, 0)),
        other => other?.need_current(path.display())?,
    }
    let failed = database("look whether it is empty");
    for table in TABLES {
        let any = format!("SELECT 1 FROM {} LIMIT 1", table.name);
        if connection.prepare(&any).and_then(|mut s| s.exists([])).map_err(&failed)? {
            return Err(MaintenanceError::NotEmpty { place: place(path), what: table.name.into() });
        }
    }
    let epoch = stored_epoch(&connection).map_err(&failed)?.0;
    Ok((connection, epoch))
}

/// Refuses if there is the log of a file that is gone: SQLite would work it into the new one.
fn orphans(path: &Path) -> Result<(), MaintenanceError> {
    for suffix in ["-wal", "-journal"] {
        let log = beside(path, suffix);
        if fs::metadata(&log).is_ok_and(|found| found.len() > 0) {
            let what = format!("the log of a former file beside it ({}: move it away)", log.display());
            return Err(MaintenanceError::NotEmpty { place: place(path), what });
        }
    }
    Ok(())
}

/// A file that becomes a store. It goes unless it has become one.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(beside(&self.0, suffix));
        }
    }
}

impl Draft {
    async fn fill(&self, epoch: u64, reader: Reader<'_>) -> Result<Transferred, MaintenanceError> {
        let connection = file::open(&self.0)?;
        let failed = database("import");
        // Nobody else sees the file before it is whole and synced: there is nothing to go back to.
        for (name, value) in [("journal_mode", "OFF"), ("synchronous", "OFF")] {
            connection
                .pragma_update_and_check(None, name, value, |_| Ok(()))
                .or_else(no_row)
                .map_err(&failed)?;
        }
        let inserts = TABLES.iter().map(|table| {
            let values: Vec<String> = (1..=table.columns.len()).map(|i| format!("?{i}")).collect();
            let (name, columns) = (table.name, table.names());
            connection.prepare(&format!("INSERT INTO {name} ({columns}) VALUES ({})", values.join(", ")))
        });
        let inserts = inserts.collect::<Result<_, _>>().map_err(&failed)?;
        connection.execute_batch("BEGIN").map_err(&failed)?;
        let done = reader.pour(&mut Inserts(inserts)).await?;
        connection.execute("UPDATE owner SET epoch = ?1", [bits(epoch)]).map_err(&failed)?;
        connection.execute_batch("COMMIT").map_err(&failed)?;
        connection.close().map_err(|(_, e)| failed(e))?;
        synced(&self.0).map_err(|e| unwritten(&self.0, &e))?;
        Ok(done)
    }

    /// Puts it where the store belongs, if that is still free or empty.
    fn publish(&self, path: &Path) -> Result<(), MaintenanceError> {
        let failed = |e: io::Error| unwritten(path, &e);
        if path.exists() {
            let (held, _) = empty(path)?;
            // Its log would otherwise be taken for the new file's.
            let mode = held.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0));
            let mode: String = mode.map_err(opening(path))?;
            if mode != "delete" {
                return Err(in_use(path));
            }
            fs::rename(&self.0, path).map_err(failed)?;
        } else {
            orphans(path)?;
            // Unlike a rename, this fails if a top master has made one meanwhile.
            fs::hard_link(&self.0, path).map_err(failed)?;
        }
        synced(path).map_err(failed)
    }
}

fn unwritten(path: &Path, error: &io::Error) -> MaintenanceError {
    MaintenanceError::Write { what: place(path), why: error.to_string() }
}

/// Some settings answer with their new value and some with nothing.
fn no_row(error: rusqlite::Error) -> rusqlite::Result<()> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}

struct Inserts<'c>(Vec<Statement<'c>>);

impl Target for Inserts<'_> {
    async fn put(&mut self, row: Row) -> Result<(), StoreError> {
        let name = row.to_string();
        let refused =
            |e: rusqlite::Error| StoreError::Database { doing: "import", why: format!("{name}: {e}") };
        let insert = row.place().and_then(|place| self.0.get_mut(place));
        let insert = insert.ok_or(rusqlite::Error::InvalidQuery).map_err(&refused)?;
        let values = row.cells.into_iter().map(|cell| match cell {
            Cell::Int(number) => Value::Integer(number),
            Cell::Flag(flag) => Value::Integer(flag.into()),
            Cell::Text(text) => Value::Text(text),
            Cell::Bytes(bytes) => Value::Blob(bytes),
            Cell::Null | Cell::Damaged(_) => Value::Null,
        });
        insert.execute(rusqlite::params_from_iter(values)).map_err(&refused).map(drop)
    }
}
