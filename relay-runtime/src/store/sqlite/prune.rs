//! Forgetting: old jobs and old request ids, a little at a time, so that commits need not wait.

use relay_core::{ids::Epoch, time::WallMicros};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{
    super::{KEEP_REQUESTS_HOURS, StoreError},
    column::bits,
    read::database,
    write::stored_epoch,
};

/// Rows that one step removes: a few milliseconds' work, as long as their bodies are of the usual size.
pub(super) const MAX_STEP_ROWS: i64 = 256;
/// Free pages that one step gives back to the file system.
const STEP_PAGES: &str = "PRAGMA incremental_vacuum(1024)";

const HOUR: WallMicros = 3_600 * 1_000_000;

/// What is older than these goes.
#[derive(Clone, Copy)]
pub(super) struct Cutoffs {
    closed: WallMicros,
    requested: WallMicros,
}

impl Cutoffs {
    pub(super) fn at(keep_hours: u64, now: WallMicros) -> Cutoffs {
        let before = |hours: u64| now.saturating_sub(hours.saturating_mul(HOUR));
        Cutoffs { closed: before(keep_hours), requested: before(KEEP_REQUESTS_HOURS) }
    }
}

/// What one step removed.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) jobs: u64,
    pub(super) requests: u64,
    /// There may be more to do.
    pub(super) more: bool,
}

pub(super) fn step(connection: &mut Connection, ours: Epoch, cutoffs: Cutoffs) -> Result<Step, StoreError> {
    let failed = database("prune");
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    if stored_epoch(&transaction).map_err(&failed)? > ours {
        return Err(StoreError::Fenced);
    }
    let done = remove(&transaction, cutoffs).map_err(&failed)?;
    transaction.commit().map_err(&failed)?;
    let mut vacuum = connection.prepare_cached(STEP_PAGES).map_err(&failed)?;
    let mut freed = vacuum.query([]).map_err(&failed)?;
    while freed.next().map_err(&failed)?.is_some() {}
    Ok(done)
}

fn remove(transaction: &Transaction<'_>, cutoffs: Cutoffs) -> rusqlite::Result<Step> {
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
fn next_job(transaction: &Transaction<'_>, closed_before: WallMicros) -> rusqlite::Result<Option<i64>> {
    let begun = "SELECT jid FROM jobs WHERE dropped = 1 LIMIT 1";
    let begun = transaction.prepare_cached(begun)?.query_row([], |row| row.get(0)).optional()?;
    if begun.is_some() {
        return Ok(begun);
    }
    let old = "SELECT jid FROM jobs WHERE closed IS NOT NULL AND closed < ?1 ORDER BY closed LIMIT 1";
    transaction.prepare_cached(old)?.query_row([bits(closed_before)], |row| row.get(0)).optional()
}

/// Removes up to `most` answers of a job, and the job with the last of them. From its first row on, nobody sees it.
fn job(transaction: &Transaction<'_>, jid: i64, most: i64) -> rusqlite::Result<(i64, bool)> {
    let last = "SELECT max(no) FROM answers WHERE jid = ?1";
    let last: Option<i64> = transaction.prepare_cached(last)?.query_row([jid], |row| row.get(0))?;
    let from = last.map_or(0, |no| (no + 1 - most).max(0));
    for sql in
        ["DELETE FROM members WHERE jid = ?1 AND no >= ?2", "DELETE FROM answers WHERE jid = ?1 AND no >= ?2"]
    {
        transaction.prepare_cached(sql)?.execute([jid, from])?;
    }
    let removed = last.map_or(0, |no| no + 1 - from);
    if from > 0 {
        transaction.prepare_cached("UPDATE jobs SET dropped = 1 WHERE jid = ?1")?.execute([jid])?;
        return Ok((removed, false));
    }
    for sql in ["DELETE FROM sends WHERE jid = ?1", "DELETE FROM jobs WHERE jid = ?1"] {
        transaction.prepare_cached(sql)?.execute([jid])?;
    }
    Ok((removed, true))
}

fn requests(transaction: &Transaction<'_>, created_before: WallMicros) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM requests WHERE id IN (
            SELECT id FROM requests r WHERE created < ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jid = r.jid)
            ORDER BY created LIMIT ?2)";
    let removed = transaction.prepare_cached(sql)?.execute(params![bits(created_before), MAX_STEP_ROWS])?;
    Ok(removed as u64)
}
