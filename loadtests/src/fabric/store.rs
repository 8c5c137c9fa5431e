//! A look into a top master's store while it runs.

use std::path::Path;

use anyhow::Context as _;
use rusqlite::{Connection, OpenFlags};

/// Rows in all tables together.
///
/// # Errors
/// It cannot be read.
pub(super) fn rows(file: &Path) -> anyhow::Result<u64> {
    let count = || {
        let store = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut tables = store
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?;
        let tables = tables.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        let rows = |table: &String| {
            store.query_row(&format!("SELECT count(*) FROM \"{table}\""), [], |row| row.get::<_, i64>(0))
        };
        tables.iter().map(rows).sum::<rusqlite::Result<i64>>()
    };
    let rows = count().with_context(|| format!("{}: cannot count its rows", file.display()))?;
    Ok(rows.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_all_tables_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.sqlite");
        assert!(rows(&file).is_err());
        let store = Connection::open(&file).unwrap();
        store.execute_batch("CREATE TABLE a (x); CREATE TABLE b (x); INSERT INTO a VALUES (1), (2)").unwrap();
        assert_eq!(rows(&file).unwrap(), 2);
        store.execute_batch("INSERT INTO b VALUES (3)").unwrap();
        assert_eq!(rows(&file).unwrap(), 3);
    }
}
