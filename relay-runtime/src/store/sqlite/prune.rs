//! Forgetting: old jobs and old request ids, a little at a time, so that commits need not wait.

use relay_core::time::WallMicros;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    super::{
        StoreError,
        steps::{Cutoffs, MAX_STEP_ROWS, Step},
        value::at_most,
    },
    read::database,
    thread::Server,
};

/// Free pages that one step gives back to the file system.
const STEP_PAGES: &str = "PRAGMA incremental_vacuum(1024)";

pub(super) fn step(server: &mut Server, cutoffs: Cutoffs) -> Result<Step, StoreError> {
    let done = server.change("prune", |transaction| remove(transaction, cutoffs))?;
    let failed = database("give space back");
    let mut vacuum = server.connection.prepare_cached(STEP_PAGES).map_err(&failed)?;
    let mut freed = vacuum.query([]).map_err(&failed)?;
    while freed.next().map_err(&failed)?.is_some() {}
    Ok(done)
}

fn remove(transaction: &Connection, cutoffs: Cutoffs) -> rusqlite::Result<Step> {
    let mut step = Step::default();
    let mut rows = 0;
    while rows < MAX_STEP_ROWS {
        let Some(jid) = next_job(transaction, cutoffs.closed)? else {
            step.requests = requests(transaction, cutoffs.requested)?;
            step.more = step.requests as i64 == MAX_STEP_ROWS;
            return Ok(step);
        };
        let (removed, whole) = job(transaction, jid, MAX_STEP_ROWS - rows)?;
        rows += removed + 1;
        step.jobs += u64::from(whole);
    }
    step.more = true;
    Ok(step)
}

/// One that a step before began with, else the one that closed first.
fn next_job(transaction: &Connection, closed_before: WallMicros) -> rusqlite::Result<Option<i64>> {
    let begun = "SELECT jid FROM jobs WHERE dropped = 1 LIMIT 1";
    let begun = transaction.prepare_cached(begun)?.query_row([], |row| row.get(0)).optional()?;
    if begun.is_some() {
        return Ok(begun);
    }
    let old = "SELECT jid FROM jobs WHERE closed IS NOT NULL AND closed < ?1 ORDER BY closed LIMIT 1";
    transaction.prepare_cached(old)?.query_row([at_most(closed_before)], |row| row.get(0)).optional()
}

/// Removes up to `most` changes and answers of a job, and the job with the last of them. From its first row on, nobody
/// sees it.
fn job(transaction: &Connection, jid: i64, most: i64) -> rusqlite::Result<(i64, bool)> {
    let changes = "DELETE FROM changes WHERE jid = ?1
        AND (seq, no) IN (SELECT seq, no FROM changes WHERE jid = ?1 ORDER BY seq, no LIMIT ?2)";
    let changes = transaction.prepare_cached(changes)?.execute([jid, most])? as i64;
    let (answers, left) = answers(transaction, jid, most - changes)?;
    if left || changes == most {
        transaction.prepare_cached("UPDATE jobs SET dropped = 1 WHERE jid = ?1")?.execute([jid])?;
        return Ok((changes + answers, false));
    }
    for sql in [
        "DELETE FROM sends WHERE jid = ?1",
        "DELETE FROM batches WHERE jid = ?1",
        "DELETE FROM jobs WHERE jid = ?1",
    ] {
        transaction.prepare_cached(sql)?.execute([jid])?;
    }
    Ok((changes + answers, true))
}

/// Removes up to `most` answers of a job, the last ones first: how many, and whether some are left.
fn answers(transaction: &Connection, jid: i64, most: i64) -> rusqlite::Result<(i64, bool)> {
    let last = "SELECT max(no) FROM answers WHERE jid = ?1";
    let last: Option<i64> = transaction.prepare_cached(last)?.query_row([jid], |row| row.get(0))?;
    let Some(last) = last else { return Ok((0, false)) };
    let from = (last + 1 - most).max(0);
    for sql in
        ["DELETE FROM members WHERE jid = ?1 AND no >= ?2", "DELETE FROM answers WHERE jid = ?1 AND no >= ?2"]
    {
        transaction.prepare_cached(sql)?.execute([jid, from])?;
    }
    Ok((last + 1 - from, from > 0))
}

fn requests(transaction: &Connection, created_before: WallMicros) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM requests WHERE id IN (
            SELECT id FROM requests r WHERE created < ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jid = r.jid)
            ORDER BY created LIMIT ?2)";
    let removed =
        transaction.prepare_cached(sql)?.execute(params![at_most(created_before), MAX_STEP_ROWS])?;
    Ok(removed as u64)
}
