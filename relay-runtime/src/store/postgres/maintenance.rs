//! The database as a whole: read at one moment by cursors, brought up to date, or filled from an export in one transaction.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tokio_postgres::types::ToSql;

use super::{
    super::{
        StoreError,
        maintenance::{
            MaintenanceError, Migrated, Opening, Reader, SchemaVersion, See, Source, Target, Transferred,
            table::{Cell, Column, Kind, Row, TABLES, Table},
            walk,
        },
        value::bits,
    },
    column::{text_back, text_column},
    config::PostgresConfig,
    connect::{APPLICATION, Settings},
    schema::{LOCK, MIGRATIONS, migrate as make, version},
    session::{Session, Trouble, Value},
};

/// How long the export's reader or the import's writer (a pipe, a person) may keep our transaction waiting.
const SLOW_PIPE: Duration = Duration::from_secs(600);
/// How long a top master that was stopped may take to be gone from the server's list.
const LEAVING: Duration = Duration::from_secs(2);
/// So often it is looked whether it is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Rows that are fetched at once where one may have a body of 1 MiB.
const LARGE_ROWS: usize = 16;
/// Rows that are fetched or inserted at once otherwise.
const SMALL_ROWS: usize = 500;
/// Bytes that are inserted at once: the server has them in memory several times over.
const MAX_STATEMENT_BYTES: usize = 8 << 20;
/// Top masters that are named when the store is in use.
const MAX_NAMED: i64 = 10;

/// We are no top master, and not taken for one.
async fn connect(config: &PostgresConfig) -> Result<Session, MaintenanceError> {
    let mut settings = Settings::new(config)?;
    settings.abandoned = SLOW_PIPE;
    let unreachable = |why| StoreError::Connect { server: config.to_string(), why };
    let session = settings.connect().await.map_err(unreachable)?;
    session.run("SET application_name = 'relayctl'").await.map_err(failed("begin"))?;
    Ok(session)
}

fn failed(doing: &'static str) -> impl Fn(Trouble) -> MaintenanceError {
    move |trouble| match trouble {
        Trouble::Store(error) => error.into(),
        other => StoreError::Database { doing, why: other.to_string() }.into(),
    }
}

async fn found(session: &Session, config: &PostgresConfig) -> Result<SchemaVersion, MaintenanceError> {
    let (server, known) = (config.to_string(), MIGRATIONS.len());
    let version = version(session, &server, known).await.map_err(failed("read its version"))?;
    match version {
        None | Some(0) => Err(MaintenanceError::Absent { place: server }),
        Some(found) => Ok(SchemaVersion { found: found as i64, known: known as i64 }),
    }
}

/// The versions.
pub(in crate::store) async fn schema(config: &PostgresConfig) -> Result<SchemaVersion, MaintenanceError> {
    found(&connect(config).await?, config).await
}

/// Refuses if a top master is connected. One that has just gone may be seen for a moment still.
async fn left(session: &Session, config: &PostgresConfig) -> Result<(), MaintenanceError> {
    let since = Instant::now();
    while alone(session, config).await.is_err() && since.elapsed() < LEAVING {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    alone(session, config).await
}

/// Refuses if a top master is connected now. One that connects later waits for the lock that we hold.
async fn alone(session: &Session, config: &PostgresConfig) -> Result<(), MaintenanceError> {
    let sql = "SELECT coalesce(host(client_addr), 'this machine'), pid FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = $1 ORDER BY pid LIMIT $2";
    let others =
        session.rows(sql, &[&APPLICATION, &MAX_NAMED]).await.map_err(failed("see who else uses it"))?;
    let name = |row: &tokio_postgres::Row| {
        format!("a top master on {} (server process {})", row.get::<_, String>(0), row.get::<_, i32>(1))
    };
    let names: Vec<String> = others.iter().map(name).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(MaintenanceError::InUse { place: config.to_string(), who: names.join(", ") }),
    }
}

/// Brings the tables up to date.
pub(in crate::store) async fn migrate(config: &PostgresConfig) -> Result<Migrated, MaintenanceError> {
    let session = connect(config).await?;
    let schema = found(&session, config).await?;
    if !schema.is_current() {
        left(&session, config).await?;
        make(&session, &config.to_string(), MIGRATIONS).await?;
    }
    Ok(Migrated { schema, backup: None })
}

/// Shows everything, at one moment. `fully`: what the database itself knows to be wrong, too.
pub(in crate::store) async fn read(
    config: &PostgresConfig,
    see: &mut impl See,
    fully: bool,
) -> Result<(), MaintenanceError> {
    let session = connect(config).await?;
    let schema = found(&session, config).await?;
    schema.need_current(config)?;
    let failed = failed("read");
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(&failed)?;
    // Every table has an index in our order. To sort a large one would take longer than a statement may.
    session.run("SET LOCAL enable_sort = off").await.map_err(&failed)?;
    if fully {
        validity(&session, see).await.map_err(&failed)?;
    }
    let epoch = epoch(&session, "SELECT epoch FROM owner").await?;
    for table in TABLES {
        let declare = format!("DECLARE read_{} NO SCROLL CURSOR FOR {}", table.name, table.select());
        session.run(&declare).await.map_err(&failed)?;
    }
    let ahead = TABLES.iter().map(|_| VecDeque::new()).collect();
    let opening = Opening { store: "postgres", schema: schema.found, epoch };
    walk(&mut Cursors { session: &session, ahead }, opening, see).await
}

async fn epoch(session: &Session, sql: &'static str) -> Result<u64, MaintenanceError> {
    match session.row(sql, &[]).await.map_err(failed("read the epoch"))? {
        Some(row) => Ok(row.get::<_, i64>(0) as u64),
        None => Err(StoreError::Damaged { row: "owner".into(), why: "it has no row".into() }.into()),
    }
}

/// References and indexes that the database does not vouch for. What is in pages that can't be read is told when they are.
async fn validity(session: &Session, see: &mut impl See) -> Result<(), Trouble> {
    let sql = "SELECT c.relname::text, 'the index is not valid: REINDEX it' FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            WHERE c.relnamespace = 'relay'::regnamespace AND NOT (i.indisvalid AND i.indisready)
        UNION ALL SELECT conname::text, 'the constraint was never validated' FROM pg_constraint
            WHERE connamespace = 'relay'::regnamespace AND NOT convalidated";
    for row in session.rows(sql, &[]).await? {
        see.wrong(row.get(0), row.get(1));
    }
    Ok(())
}

struct Cursors<'s> {
    session: &'s Session,
    ahead: Vec<VecDeque<tokio_postgres::Row>>,
}

impl Source for Cursors<'_> {
    async fn next(&mut self, place: usize) -> Result<Option<Row>, StoreError> {
        let (table, ahead) = (&TABLES[place], &mut self.ahead[place]);
        if ahead.is_empty() {
            let many = if table.large { LARGE_ROWS } else { SMALL_ROWS };
            let sql = format!("FETCH {many} FROM read_{}", table.name);
            let rows = self.session.once(&sql, &[]).await;
            *ahead = rows.map_err(|trouble| unreadable(table, &trouble))?.into();
        }
        Ok(ahead.pop_front().map(|row| {
            let columns = table.columns.iter().enumerate();
            Row { table, cells: columns.map(|(i, column)| cell(column, &row, i)).collect() }
        }))
    }
}

fn unreadable(table: &Table, trouble: &Trouble) -> StoreError {
    StoreError::Database { doing: "read", why: format!("{}: {trouble}", table.name) }
}

fn cell(column: &Column, row: &tokio_postgres::Row, i: usize) -> Cell {
    let read = match column.kind {
        Kind::Number => row.try_get::<_, Option<i64>>(i).map(|number| number.map(Cell::Int)),
        Kind::Signed => row.try_get::<_, Option<i32>>(i).map(|number| number.map(|n| Cell::Int(n.into()))),
        Kind::Flag => row.try_get::<_, Option<bool>>(i).map(|flag| flag.map(Cell::Flag)),
        Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(i).map(|bytes| bytes.map(Cell::Bytes)),
        Kind::Text => row.try_get::<_, Option<String>>(i).map(|text| text.map(text_cell)),
    };
    match read {
        Ok(Some(cell)) => cell,
        Ok(None) if column.optional => Cell::Null,
        Ok(None) => Cell::Damaged("there is nothing".into()),
        Err(error) => Cell::Damaged(error.to_string()),
    }
}

fn text_cell(stored: String) -> Cell {
    text_back(stored).map_or_else(|why| Cell::Damaged(why.into()), Cell::Text)
}

/// Fills an empty store in one transaction.
pub(in crate::store) async fn import(
    config: &PostgresConfig,
    reader: Reader<'_>,
) -> Result<Transferred, MaintenanceError> {
    let session = connect(config).await?;
    // Before its tables are made or brought up to date under its hands.
    left(&session, config).await?;
    make(&session, &config.to_string(), MIGRATIONS).await?;
    let failed = failed("import");
    session.run("BEGIN").await.map_err(&failed)?;
    // Whoever opens the store now waits for us, and whoever begins.
    session.run(LOCK).await.map_err(&failed)?;
    let there = epoch(&session, "SELECT epoch FROM owner FOR UPDATE").await?;
    alone(&session, config).await?;
    empty(&session, config).await?;
    let next = reader.header.next_epoch(there);
    let mut inserts = Inserts { session: &session, waiting: Inserts::none(), bytes: 0 };
    let done = reader.pour(&mut inserts).await?;
    inserts.flush().await?;
    // Rows that bring their revisions along do not count it up.
    let revisions =
        "SELECT setval(pg_get_serial_sequence('relay.records', 'revision'), max(revision)) FROM records
        HAVING max(revision) > 0";
    session.rows(revisions, &[]).await.map_err(&failed)?;
    session.execute("UPDATE owner SET epoch = $1", &[&bits(next)]).await.map_err(&failed)?;
    session.run("COMMIT").await.map_err(&failed)?;
    Ok(done)
}

async fn empty(session: &Session, config: &PostgresConfig) -> Result<(), MaintenanceError> {
    for table in TABLES {
        let any = format!("SELECT FROM {} LIMIT 1", table.name);
        let rows = session.once(&any, &[]).await.map_err(failed("look whether it is empty"))?;
        if !rows.is_empty() {
            let (place, what) = (config.to_string(), table.name.into());
            return Err(MaintenanceError::NotEmpty { place, what });
        }
    }
    Ok(())
}

/// Rows that wait to be inserted together, by table.
struct Inserts<'s> {
    session: &'s Session,
    waiting: Vec<Vec<Vec<Cell>>>,
    bytes: usize,
}

impl Target for Inserts<'_> {
    async fn put(&mut self, row: Row) -> Result<(), StoreError> {
        let unknown = || StoreError::Database { doing: "import", why: format!("{row}: no such table") };
        let place = row.place().ok_or_else(unknown)?;
        self.bytes += row.cells.iter().map(Cell::size).sum::<usize>();
        self.waiting[place].push(row.cells);
        if self.bytes > MAX_STATEMENT_BYTES || self.waiting[place].len() >= SMALL_ROWS {
            self.flush().await?;
        }
        Ok(())
    }
}

impl Inserts<'_> {
    fn none() -> Vec<Vec<Vec<Cell>>> {
        TABLES.iter().map(|_| Vec::new()).collect()
    }

    /// All tables in their order: rows come after those that they refer to.
    async fn flush(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        for (table, rows) in TABLES.iter().zip(std::mem::replace(&mut self.waiting, Inserts::none())) {
            if !rows.is_empty() {
                insert(self.session, table, rows).await.map_err(|trouble| StoreError::Database {
                    doing: "import",
                    why: format!("{}: {trouble}", table.name),
                })?;
            }
        }
        Ok(())
    }
}

async fn insert(session: &Session, table: &Table, rows: Vec<Vec<Cell>>) -> Result<(), Trouble> {
    let types = table.columns.iter().enumerate();
    let types: Vec<String> = types.map(|(i, column)| format!("${}::{}[]", i + 1, sql_type(column))).collect();
    let (name, columns) = (table.name, table.names());
    let sql = format!("INSERT INTO {name} ({columns}) SELECT * FROM unnest({})", types.join(", "));
    let mut by_column: Vec<Vec<Cell>> =
        table.columns.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        by_column.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
    }
    let values = table.columns.iter().zip(by_column).map(|(column, cells)| array(column, cells));
    let values: Vec<Box<dyn ToSql + Sync>> = values.collect();
    let values: Vec<Value<'_>> = values.iter().map(|value| &**value).collect();
    session.once(&sql, &values).await.map(drop)
}

fn sql_type(column: &Column) -> &'static str {
    match column.kind {
        Kind::Number => "bigint",
        Kind::Signed => "integer",
        Kind::Flag => "boolean",
        Kind::Text => "text",
        Kind::Bytes => "bytea",
    }
}

/// A column of many rows as one value. A cell is of its column's kind, or there is none.
fn array(column: &Column, cells: Vec<Cell>) -> Box<dyn ToSql + Sync> {
    let cells = cells.into_iter();
    match column.kind {
        Kind::Number => Box::new(cells.map(int).collect::<Vec<_>>()),
        Kind::Signed => {
            Box::new(cells.map(|c| int(c).and_then(|n| i32::try_from(n).ok())).collect::<Vec<_>>())
        }
        Kind::Flag => {
            let flag = |cell| if let Cell::Flag(flag) = cell { Some(flag) } else { None };
            Box::new(cells.map(flag).collect::<Vec<_>>())
        }
        Kind::Text => {
            let text = |cell| if let Cell::Text(text) = cell { Some(stored(text)) } else { None };
            Box::new(cells.map(text).collect::<Vec<_>>())
        }
        Kind::Bytes => {
            let bytes = |cell| if let Cell::Bytes(bytes) = cell { Some(bytes) } else { None };
            Box::new(cells.map(bytes).collect::<Vec<_>>())
        }
    }
}

fn int(cell: Cell) -> Option<i64> {
    if let Cell::Int(number) = cell { Some(number) } else { None }
}

fn stored(text: String) -> String {
    text_column(&text).into_owned()
}
