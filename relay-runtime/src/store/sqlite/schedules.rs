//! Schedules as rows: how one runs is written apart from what it is.

use relay_core::{ids::Jid, time::WallMicros};
use rusqlite::{Connection, Row, params};

use super::{
    super::{
        MAX_SCHEDULES, NewSchedule, Put, ScheduleRun, StoreError, StoredSchedule,
        value::{at_most, bits, jid_column},
    },
    column::Columns,
    read::each_row,
};

pub(super) fn put(connection: &Connection, new: &NewSchedule) -> rusqlite::Result<Put> {
    let there = "SELECT 1 FROM schedules WHERE name = ?1";
    if connection.prepare_cached(there)?.exists([&new.name])? {
        if !new.replace {
            return Ok(Put::Taken);
        }
    } else if count(connection)? >= MAX_SCHEDULES as i64 {
        return Ok(Put::Full);
    }
    let sql = "INSERT INTO schedules (name, paused, passed, definition) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (name) DO UPDATE
        SET paused = excluded.paused, passed = excluded.passed, definition = excluded.definition";
    let values = params![new.name, new.paused, at_most(new.passed), &new.definition[..]];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(Put::Kept)
}

fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT count(*) FROM schedules")?.query_row([], |row| row.get(0))
}

pub(super) fn all(connection: &Connection) -> Result<Vec<StoredSchedule>, StoreError> {
    let mut schedules = Vec::new();
    each_row(connection, "SELECT * FROM schedules ORDER BY name", [], |row| {
        schedules.push(schedule(row)?);
        Ok(true)
    })?;
    Ok(schedules)
}

fn schedule(row: &Row<'_>) -> Result<StoredSchedule, StoreError> {
    let name: String = Columns::of(row, "schedules", &"some name").get("name")?;
    let c = Columns::of(row, "schedules", &name);
    let last = c.get::<Option<i64>>("last")?.map(|at| {
        let jid = c.get::<Option<i64>>("last_jid")?.map(|jid| Jid::from_micros(jid as u64));
        Ok::<_, StoreError>(ScheduleRun { at: at as u64, jid, error: c.get("last_error")? })
    });
    Ok(StoredSchedule {
        definition: c.get::<Vec<u8>>("definition")?.into(),
        paused: c.get("paused")?,
        passed: c.bits("passed")?,
        last: last.transpose()?,
        name: name.clone(),
    })
}

pub(super) fn pause(
    connection: &Connection,
    name: &str,
    paused: bool,
    passed: WallMicros,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE schedules SET paused = ?2, passed = max(passed, ?3) WHERE name = ?1";
    let changed = connection.prepare_cached(sql)?.execute(params![name, paused, at_most(passed)])?;
    Ok(changed > 0)
}

pub(super) fn ran(
    connection: &Connection,
    name: &str,
    run: &ScheduleRun,
    passed: WallMicros,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE schedules SET last = ?2, last_jid = ?3, last_error = ?4, passed = max(passed, ?5)
        WHERE name = ?1";
    let values = params![name, bits(run.at), run.jid.map(jid_column), run.error, at_most(passed)];
    Ok(connection.prepare_cached(sql)?.execute(values)? > 0)
}

pub(super) fn remove(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    Ok(connection.prepare_cached("DELETE FROM schedules WHERE name = ?1")?.execute([name])? > 0)
}
