//! Records as rows. A row that is put anew is another row: its number is the record's revision.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    super::{
        Area, PutRecord, Record, StoreError,
        value::{Budget, Hex},
    },
    column::Columns,
    read::each_row,
};

pub(super) fn one(connection: &Connection, area: Area, key: &[u8]) -> Result<Option<Record>, StoreError> {
    let mut found = None;
    let sql = "SELECT revision, key, value FROM records WHERE area = ?1 AND key = ?2";
    each_row(connection, sql, params![area.word(), key], |row| {
        found = Some(record(row)?);
        Ok(true)
    })?;
    Ok(found)
}

pub(super) fn page(
    connection: &Connection,
    area: Area,
    after: &[u8],
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let (mut records, mut budget) = (Vec::new(), Budget::of_a_read());
    let sql = "SELECT revision, key, value FROM records WHERE area = ?1 AND key > ?2 ORDER BY key LIMIT ?3";
    each_row(connection, sql, params![area.word(), after, limit as i64], |row| {
        let record = record(row)?;
        let fits = budget.take(record.value.len()) || records.is_empty();
        if fits {
            records.push(record);
        }
        Ok(fits)
    })?;
    Ok(records)
}

fn record(row: &Row<'_>) -> Result<Record, StoreError> {
    let key: Vec<u8> = Columns::of(row, "records", &"some key").get("key")?;
    let name = Hex(&key);
    let c = Columns::of(row, "records", &name);
    let (revision, value) = (c.bits("revision")?, c.get::<Vec<u8>>("value")?.into());
    Ok(Record { revision, value, key: key.into() })
}

/// All of them, if each is as it is expected.
pub(super) fn put(connection: &Connection, puts: &[PutRecord]) -> rusqlite::Result<bool> {
    let found = "SELECT revision FROM records WHERE area = ?1 AND key = ?2";
    let mut found = connection.prepare_cached(found)?;
    for put in puts {
        let values = params![put.area.word(), &put.key[..]];
        let revision = found.query_row(values, |row| row.get::<_, i64>(0)).optional()?;
        if !put.expect.holds(revision.map(|n| n as u64)) {
            return Ok(false);
        }
    }
    let put_one = "INSERT OR REPLACE INTO records (area, key, value) VALUES (?1, ?2, ?3)";
    let mut put_one = connection.prepare_cached(put_one)?;
    let mut remove = connection.prepare_cached("DELETE FROM records WHERE area = ?1 AND key = ?2")?;
    for put in puts {
        match &put.value {
            Some(value) => put_one.execute(params![put.area.word(), &put.key[..], &value[..]])?,
            None => remove.execute(params![put.area.word(), &put.key[..]])?,
        };
    }
    Ok(true)
}
