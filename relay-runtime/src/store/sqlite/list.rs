//! Lists of jobs, a bounded stretch of them at a time, and how long a function took.

use std::collections::BTreeMap;

use bytes::Bytes;
use relay_core::{ids::Jid, outcome::Outcome};
use rusqlite::{Connection, Row, params};

use super::{
    super::{
        JobFilter, JobState, JobSummary, Ran, StoreError,
        stats::duration,
        steps::{MAX_STEP_JOBS, Stretch},
        value::{at_most, bits, jid_column},
    },
    column::Columns,
    read::{self, database, each_row},
};

/// The newest jobs older than `before` that a filter takes: at most `limit` of at most [`MAX_STEP_JOBS`].
pub(super) fn stretch(
    connection: &Connection,
    filter: &JobFilter,
    limit: usize,
    before: Option<Jid>,
) -> Result<Stretch, StoreError> {
    let moment = connection.unchecked_transaction().map_err(database("list jobs"))?;
    // A jid is no earlier than its job's acceptance, so it ends a search for later ones.
    let newest =
        "SELECT jid, function, args, target, caller, target_count, created, closed, cancelled, counts
        FROM jobs WHERE jid < ?1 AND jid >= ?2 AND dropped = 0 ORDER BY jid DESC LIMIT ?3";
    let open = "SELECT jid, function, args, target, caller, target_count, created, closed, cancelled, counts
        FROM jobs INDEXED BY jobs_open
        WHERE closed IS NULL AND jid < ?1 AND jid >= ?2 AND dropped = 0 ORDER BY jid DESC LIMIT ?3";
    let sql = if filter.state == Some(JobState::Open) { open } else { newest };
    let below = before.map_or(i64::MAX, |jid| at_most(jid.micros()));
    let values = params![below, at_most(filter.since.unwrap_or(0)), MAX_STEP_JOBS as i64];
    let mut found = Stretch { jobs: Vec::new(), looked_at: 0, before: None };
    each_row(&moment, sql, values, |row| {
        if found.jobs.len() >= limit {
            return Ok(false);
        }
        let job = summary(&moment, row)?;
        found.looked_at += 1;
        found.before = Some(job.jid);
        if filter.takes(&job) {
            found.jobs.push(job);
        }
        Ok(true)
    })?;
    if found.looked_at < MAX_STEP_JOBS && found.jobs.len() < limit {
        found.before = None;
    }
    Ok(found)
}

fn summary(connection: &Connection, row: &Row<'_>) -> Result<JobSummary, StoreError> {
    let jid = Jid::from_micros(Columns::of(row, "jobs", &"some jid").bits("jid")?);
    let c = Columns::of(row, "jobs", &jid);
    let closed = c.get::<Option<i64>>("closed")?.map(|at| at as u64);
    let (batch, approved) = read::batch(connection, jid)?;
    Ok(JobSummary {
        jid,
        function: c.get("function")?,
        args: c.get::<Option<Vec<u8>>>("args")?.map(Bytes::from),
        target: c.get("target")?,
        caller: c.get("caller")?,
        targets: c.bits("target_count")?,
        created: c.bits("created")?,
        closed,
        cancelled: c.get("cancelled")?,
        counts: if closed.is_some() { c.counts("counts")? } else { counts_so_far(connection, jid)? },
        batch,
        approved,
    })
}

fn counts_so_far(connection: &Connection, jid: Jid) -> Result<BTreeMap<Outcome, u64>, StoreError> {
    let sql =
        "SELECT outcome, sum(count) AS n FROM members WHERE jid = ?1 GROUP BY outcome HAVING sum(count) > 0";
    let mut counts = BTreeMap::new();
    each_row(connection, sql, [jid_column(jid)], |row| {
        let c = Columns::of(row, "members", &jid);
        counts.insert(c.word("outcome", Outcome::from_word)?, c.bits("n")?);
        Ok(true)
    })?;
    Ok(counts)
}

/// The newest jobs of a function that went to their end.
pub(super) fn history(connection: &Connection, function: &str, limit: usize) -> Result<Vec<Ran>, StoreError> {
    let moment = connection.unchecked_transaction().map_err(database("read the history"))?;
    let sql = "SELECT jid, target_count, created, closed FROM jobs INDEXED BY jobs_function
        WHERE function = ?1 AND closed IS NOT NULL AND cancelled = 0 AND dropped = 0 ORDER BY jid DESC LIMIT ?2";
    let mut ran = Vec::new();
    each_row(&moment, sql, params![function, bits(limit as u64)], |row| {
        let jid = Jid::from_micros(Columns::of(row, "jobs", &"some jid").bits("jid")?);
        let c = Columns::of(row, "jobs", &jid);
        let (batch, _) = read::batch(&moment, jid)?;
        let duration_ms = duration(c.bits("created")?, c.bits("closed")?);
        ran.push(Ran { targets: c.bits("target_count")?, duration_ms, batch });
        Ok(true)
    })?;
    Ok(ran)
}
