//! Lists of jobs, a bounded stretch of them at a time, and how long a function took.

use std::collections::BTreeMap;

use bytes::Bytes;
use relay_core::{ids::Jid, outcome::Outcome};
use tokio_postgres::Row;

use super::{
    super::{
        JobFilter, JobState, JobSummary, Ran,
        stats::duration,
        steps::{MAX_STEP_JOBS, Stretch},
        value::at_most,
    },
    column::{Columns, text_column},
    read,
    session::{Session, Trouble},
};

const NEWEST: &str =
    "SELECT j.jid, j.function, j.args, j.target, j.caller, j.target_count, j.created, j.closed, j.cancelled,
        j.counts, b.approved, b.rule
    FROM jobs j LEFT JOIN batches b USING (jid)
    WHERE j.jid < $1 AND j.jid >= $2 AND NOT j.dropped ORDER BY j.jid DESC LIMIT $3";
const OPEN: &str =
    "SELECT j.jid, j.function, j.args, j.target, j.caller, j.target_count, j.created, j.closed, j.cancelled,
        j.counts, b.approved, b.rule
    FROM jobs j LEFT JOIN batches b USING (jid)
    WHERE j.closed IS NULL AND j.jid < $1 AND j.jid >= $2 AND NOT j.dropped ORDER BY j.jid DESC LIMIT $3";
const COUNTS: &str = "SELECT jid, outcome, sum(count)::bigint AS n FROM members WHERE jid = ANY($1)
    GROUP BY jid, outcome HAVING sum(count) > 0";
const HISTORY: &str = "SELECT j.jid, j.target_count, j.created, j.closed, b.approved, b.rule
    FROM jobs j LEFT JOIN batches b USING (jid)
    WHERE left(j.function, 100) = left($1, 100) AND j.function = $1
        AND j.closed IS NOT NULL AND NOT j.cancelled AND NOT j.dropped
    ORDER BY j.jid DESC LIMIT $2";

type Counts = BTreeMap<Outcome, u64>;

/// The newest jobs older than `before` that a filter takes: at most `limit` of at most [`MAX_STEP_JOBS`].
pub(super) async fn stretch(
    session: &Session,
    filter: &JobFilter,
    limit: usize,
    before: Option<Jid>,
) -> Result<Stretch, Trouble> {
    let sql = if filter.state == Some(JobState::Open) { OPEN } else { NEWEST };
    let below = before.map_or(i64::MAX, |jid| at_most(jid.micros()));
    // What every job gets through needs no more of them than are wanted.
    let most = if *filter == JobFilter::default() { limit.min(MAX_STEP_JOBS) } else { MAX_STEP_JOBS };
    // A jid is no earlier than its job's acceptance, so it ends a search for later ones.
    let since = at_most(filter.since.unwrap_or(0));
    let rows = session.rows(sql, &[&below, &since, &(most as i64)]).await?;
    let mut counts = counts_so_far(session, &rows).await?;
    let mut found = Stretch { jobs: Vec::new(), looked_at: 0, before: None };
    for row in rows.iter() {
        if found.jobs.len() >= limit {
            break;
        }
        let job = summary(row, &mut counts)?;
        found.looked_at += 1;
        found.before = Some(job.jid);
        if filter.takes(&job) {
            found.jobs.push(job);
        }
    }
    if found.looked_at < MAX_STEP_JOBS && found.jobs.len() < limit {
        found.before = None;
    }
    Ok(found)
}

fn jid_of(row: &Row) -> Result<Jid, Trouble> {
    Columns::of(row, "jobs", &"some jid").bits("jid").map(Jid::from_micros)
}

fn summary(row: &Row, counts: &mut BTreeMap<Jid, Counts>) -> Result<JobSummary, Trouble> {
    let jid = jid_of(row)?;
    let c = Columns::of(row, "jobs", &jid);
    let closed = c.moment("closed")?;
    let (batch, approved) = read::batch(row, jid)?;
    Ok(JobSummary {
        jid,
        function: c.text("function")?,
        args: c.get::<Option<Vec<u8>>>("args")?.map(Bytes::from),
        target: c.text("target")?,
        caller: c.text("caller")?,
        targets: c.bits("target_count")?,
        created: c.bits("created")?,
        closed,
        cancelled: c.get("cancelled")?,
        counts: if closed.is_some() { c.counts("counts")? } else { counts.remove(&jid).unwrap_or_default() },
        batch,
        approved,
    })
}

/// Of the open ones.
async fn counts_so_far(session: &Session, rows: &[Row]) -> Result<BTreeMap<Jid, Counts>, Trouble> {
    let mut open: Vec<i64> = Vec::new();
    for row in rows {
        let jid = jid_of(row)?;
        if Columns::of(row, "jobs", &jid).moment("closed")?.is_none() {
            open.push(row.get("jid"));
        }
    }
    let mut all: BTreeMap<Jid, Counts> = BTreeMap::new();
    if open.is_empty() {
        return Ok(all);
    }
    for row in session.rows(COUNTS, &[&open]).await? {
        let jid = jid_of(&row)?;
        let c = Columns::of(&row, "members", &jid);
        all.entry(jid).or_default().insert(c.word("outcome", Outcome::from_word)?, c.bits("n")?);
    }
    Ok(all)
}

/// The newest jobs of a function that went to their end.
pub(super) async fn history(session: &Session, function: &str, limit: usize) -> Result<Vec<Ran>, Trouble> {
    let rows = session.rows(HISTORY, &[&text_column(function), &(limit as i64)]).await?;
    let ran = |row: &Row| {
        let jid = jid_of(row)?;
        let c = Columns::of(row, "jobs", &jid);
        let duration_ms = duration(c.bits("created")?, c.bits("closed")?);
        Ok(Ran { targets: c.bits("target_count")?, duration_ms, batch: read::batch(row, jid)?.0 })
    };
    rows.iter().map(ran).collect()
}
