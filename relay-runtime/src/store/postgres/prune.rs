//! Forgetting: old jobs and old request ids, a little at a time, so that commits need not wait. The space is given back by
//! the database's own vacuum.

use relay_core::time::WallMicros;

use super::{
    super::{
        StoreError,
        steps::{Cutoffs, MAX_STEP_ROWS, Step},
        value::at_most,
    },
    server::Server,
    session::{Session, Trouble},
};

pub(super) async fn step(server: &mut Server, cutoffs: Cutoffs) -> Result<Step, StoreError> {
    server.change("prune", &async |session: &Session| remove(session, cutoffs).await).await
}

async fn remove(session: &Session, cutoffs: Cutoffs) -> Result<Step, Trouble> {
    let mut step = Step::default();
    let mut rows = 0;
    while rows < MAX_STEP_ROWS {
        let Some(jid) = next_job(session, cutoffs.closed).await? else {
            step.requests = requests(session, cutoffs.requested).await?;
            step.more = step.requests as i64 == MAX_STEP_ROWS;
            return Ok(step);
        };
        let (removed, whole) = job(session, jid, MAX_STEP_ROWS - rows).await?;
        rows += removed + 1;
        step.jobs += u64::from(whole);
    }
    step.more = true;
    Ok(step)
}

/// One that a step before began with, else the one that closed first.
async fn next_job(session: &Session, closed_before: WallMicros) -> Result<Option<i64>, Trouble> {
    let begun = session.row("SELECT jid FROM jobs WHERE dropped LIMIT 1", &[]).await?;
    if let Some(row) = begun {
        return Ok(Some(row.get(0)));
    }
    let old = "SELECT jid FROM jobs WHERE closed IS NOT NULL AND closed < $1 ORDER BY closed LIMIT 1";
    Ok(session.row(old, &[&at_most(closed_before)]).await?.map(|row| row.get(0)))
}

/// Removes up to `most` changes and answers of a job, and the job with the last of them. From its first row on, nobody
/// sees it.
async fn job(session: &Session, jid: i64, most: i64) -> Result<(i64, bool), Trouble> {
    let changes = "DELETE FROM changes WHERE jid = $1
        AND (seq, no) IN (SELECT seq, no FROM changes WHERE jid = $1 ORDER BY seq, no LIMIT $2)";
    let changes = session.execute(changes, &[&jid, &most]).await? as i64;
    let (answers, left) = answers(session, jid, most - changes).await?;
    if left || changes == most {
        session.execute("UPDATE jobs SET dropped = true WHERE jid = $1", &[&jid]).await?;
        return Ok((changes + answers, false));
    }
    for sql in [
        "DELETE FROM sends WHERE jid = $1",
        "DELETE FROM batches WHERE jid = $1",
        "DELETE FROM jobs WHERE jid = $1",
    ] {
        session.execute(sql, &[&jid]).await?;
    }
    Ok((changes + answers, true))
}

/// Removes up to `most` answers of a job, the last ones first: how many, and whether some are left.
async fn answers(session: &Session, jid: i64, most: i64) -> Result<(i64, bool), Trouble> {
    let last = session.row("SELECT max(no) FROM answers WHERE jid = $1", &[&jid]).await?;
    let Some(last) = last.and_then(|row| row.get::<_, Option<i64>>(0)) else { return Ok((0, false)) };
    let from = (last + 1 - most).max(0);
    for sql in
        ["DELETE FROM members WHERE jid = $1 AND no >= $2", "DELETE FROM answers WHERE jid = $1 AND no >= $2"]
    {
        session.execute(sql, &[&jid, &from]).await?;
    }
    Ok((last + 1 - from, from > 0))
}

async fn requests(session: &Session, created_before: WallMicros) -> Result<u64, Trouble> {
    let sql = "DELETE FROM requests WHERE id IN (
            SELECT id FROM requests r WHERE created < $1 AND NOT EXISTS (SELECT FROM jobs WHERE jid = r.jid)
            ORDER BY created LIMIT $2)";
    session.execute(sql, &[&at_most(created_before), &MAX_STEP_ROWS]).await
}
