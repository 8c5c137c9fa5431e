//! Revisions of the topology as rows.

use relay_core::ids::RegionName;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::{
    super::{
        MAX_REVISIONS, NewRevision, Revision, RevisionEnd, RevisionPut, RevisionState, StoreError, Which,
        revision::{regions_from_text, regions_to_text},
        value::{at_most, bits, set_to_blob},
    },
    column::Columns,
    read::each_row,
};

/// All columns but the text, which may be large.
const HEAD: &str = "SELECT number, state, planned_on, digest, caller, applied, commit_id, author, message, \
    rollback_of, max_lost_percent, settle_ms, regions, why, watched, '' AS text FROM topologies \
    WHERE number < ?1 ORDER BY number DESC LIMIT ?2";

pub(super) fn put(connection: &Connection, new: &NewRevision) -> rusqlite::Result<RevisionPut> {
    if let Some(number) = numbered(connection, RevisionState::Staging)? {
        return Ok(RevisionPut::Busy(number));
    }
    let active = numbered(connection, RevisionState::Active)?.unwrap_or(0);
    if active != new.planned_on {
        return Ok(RevisionPut::Moved(active));
    }
    let last = "SELECT coalesce(max(number), 0) FROM topologies";
    let last: i64 = connection.prepare_cached(last)?.query_row([], |row| row.get(0))?;
    let number = (last as u64).saturating_add(1);
    insert(connection, number, new)?;
    let oldest = "DELETE FROM topologies WHERE state IN ('superseded', 'rolled_back') AND number <= ?1";
    connection.prepare_cached(oldest)?.execute([at_most(number.saturating_sub(MAX_REVISIONS as u64))])?;
    Ok(RevisionPut::Staged(number))
}

fn insert(connection: &Connection, number: u64, new: &NewRevision) -> rusqlite::Result<()> {
    let sql = "INSERT INTO topologies (number, state, planned_on, digest, caller, applied, commit_id, author, message,
            rollback_of, max_lost_percent, settle_ms, regions, why, watched, text)
        VALUES (:number, :state, :planned_on, :digest, :caller, :applied, :commit_id, :author, :message,
            :rollback_of, :max_lost_percent, :settle_ms, '[]', '', :watched, :text)";
    let row = named_params! {
        ":number": bits(number),
        ":state": RevisionState::Staging.word(),
        ":planned_on": bits(new.planned_on),
        ":digest": new.digest,
        ":caller": new.caller,
        ":applied": bits(new.applied),
        ":commit_id": new.commit,
        ":author": new.author,
        ":message": new.message,
        ":rollback_of": bits(new.rollback_of),
        ":max_lost_percent": new.max_lost_percent,
        ":settle_ms": bits(new.settle_ms),
        ":watched": set_to_blob(&new.watched),
        ":text": new.text,
    };
    connection.prepare_cached(sql)?.execute(row).map(drop)
}

fn numbered(connection: &Connection, state: RevisionState) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT number FROM topologies WHERE state = ?1";
    let number = |row: &Row<'_>| row.get::<_, i64>(0).map(|n| n as u64);
    connection.prepare_cached(sql)?.query_row([state.word()], number).optional()
}

pub(super) fn one(connection: &Connection, which: Which) -> Result<Option<Revision>, StoreError> {
    let (number, state) = match which {
        Which::Number(number) => (at_most(number), ""),
        Which::Active => (-1, RevisionState::Active.word()),
        Which::Staging => (-1, RevisionState::Staging.word()),
    };
    let mut found = None;
    let sql = "SELECT * FROM topologies WHERE number = ?1 OR state = ?2";
    each_row(connection, sql, params![number, state], |row| {
        found = Some(revision(row)?);
        Ok(true)
    })?;
    Ok(found)
}

pub(super) fn list(
    connection: &Connection,
    limit: usize,
    before: Option<u64>,
) -> Result<Vec<Revision>, StoreError> {
    let mut revisions = Vec::new();
    let values = params![at_most(before.unwrap_or(u64::MAX)), limit as i64];
    each_row(connection, HEAD, values, |row| {
        revisions.push(revision(row)?);
        Ok(true)
    })?;
    Ok(revisions)
}

fn revision(row: &Row<'_>) -> Result<Revision, StoreError> {
    let number = Columns::of(row, "topologies", &"some number").bits("number")?;
    let c = Columns::of(row, "topologies", &number);
    let regions = regions_from_text(&c.get::<String>("regions")?);
    Ok(Revision {
        number,
        new: NewRevision {
            planned_on: c.bits("planned_on")?,
            digest: c.get("digest")?,
            text: c.get("text")?,
            caller: c.get("caller")?,
            applied: c.bits("applied")?,
            commit: c.get("commit_id")?,
            author: c.get("author")?,
            message: c.get("message")?,
            rollback_of: c.bits("rollback_of")?,
            max_lost_percent: c.get("max_lost_percent")?,
            settle_ms: c.bits("settle_ms")?,
            watched: c.set("watched")?,
        },
        regions: regions.map_err(|why| c.damaged(format_args!("regions: {why}")))?,
        state: c.word("state", RevisionState::from_word)?,
        why: c.get("why")?,
    })
}

pub(super) fn regions(
    connection: &Connection,
    number: u64,
    regions: &[RegionName],
) -> rusqlite::Result<bool> {
    let sql = "UPDATE topologies SET regions = ?2 WHERE number = ?1 AND state = 'staging'";
    let values = params![at_most(number), regions_to_text(regions)];
    Ok(connection.prepare_cached(sql)?.execute(values)? > 0)
}

pub(super) fn end(connection: &Connection, number: u64, end: &RevisionEnd) -> rusqlite::Result<bool> {
    if numbered(connection, RevisionState::Staging)? != Some(number) {
        return Ok(false);
    }
    let (state, why) = match end {
        RevisionEnd::Active => (RevisionState::Active, ""),
        RevisionEnd::RolledBack(why) => (RevisionState::RolledBack, why.as_str()),
    };
    if state == RevisionState::Active {
        let former = "UPDATE topologies SET state = 'superseded' WHERE state = 'active'";
        connection.prepare_cached(former)?.execute([])?;
    }
    let sql = "UPDATE topologies SET state = ?2, why = ?3 WHERE number = ?1";
    Ok(connection.prepare_cached(sql)?.execute(params![bits(number), state.word(), why])? > 0)
}
