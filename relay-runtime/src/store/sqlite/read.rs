//! Jobs as people and watchers see them.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use relay_core::{
    ids::{Epoch, Jid, RequestId},
    job::Job,
    ledger::GroupNo,
    outcome::{Answer, Outcome, Reason},
    owner::JobHead,
};
use relay_proto::envelope;
use rusqlite::{Connection, Row, params};
use sha2::{Digest, Sha256};

use super::{
    super::{GroupView, JobSummary, JobView, MAX_READ_BODY_BYTES, StoreError},
    column::{Columns, bits, jid_column},
};

/// An answer with its number within its job.
pub(super) type Numbered = (GroupNo, Arc<Answer>);

/// What the database says when `doing` failed.
pub(super) fn database(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| StoreError::Database { doing, why: error.to_string() }
}

/// Bodies that may still be read. Once one did not fit, none does: what is left out is then one range of numbers.
struct Budget(usize);

impl Budget {
    fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Works on each row in turn until it returns false.
pub(super) fn each_row(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    mut work: impl FnMut(&Row<'_>) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let failed = database("read");
    let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
    let mut rows = statement.query(values).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        if !work(row)? {
            break;
        }
    }
    Ok(())
}

pub(super) fn job(
    connection: &Connection,
    jid: Jid,
    as_of: Option<u64>,
) -> Result<Option<JobView>, StoreError> {
    // One moment for all its rows, also if another process writes.
    let moment = connection.unchecked_transaction().map_err(database("read a job"))?;
    let mut found = None;
    each_row(&moment, "SELECT * FROM jobs WHERE jid = ?1 AND dropped = 0", [jid_column(jid)], |row| {
        let c = Columns::of(row, "jobs", &jid);
        let closed = c.get::<Option<i64>>("closed")?.map(|at| at as u64);
        found = Some((head(row)?, c.get::<bool>("cancelled")?, closed));
        Ok(true)
    })?;
    let Some((head, cancelled, closed)) = found else { return Ok(None) };
    let groups = groups(&moment, jid)?;
    let counts = count(&groups);
    Ok(Some(JobView { head, cancelled, closed, groups, counts, as_of }))
}

fn count(groups: &[GroupView]) -> BTreeMap<Outcome, u64> {
    let mut counts = BTreeMap::new();
    for group in groups.iter().filter(|g| !g.members.is_empty()) {
        *counts.entry(group.answer.outcome).or_default() += group.members.len();
    }
    counts
}

/// The head in a row of all columns of `jobs`.
pub(super) fn head(row: &Row<'_>) -> Result<JobHead, StoreError> {
    let jid = Jid::from_micros(Columns::of(row, "jobs", &"some jid").bits("jid")?);
    let c = Columns::of(row, "jobs", &jid);
    let job = Job { jid, digest: c.get("digest")?, envelope: c.get::<Vec<u8>>("envelope")?.into() };
    let digest: [u8; 32] = Sha256::digest(&job.envelope).into();
    if digest != job.digest {
        return Err(c.damaged("the envelope does not have its digest"));
    }
    let spec = envelope::open(&job).map_err(|e| c.damaged(e))?;
    if spec.jid != jid {
        return Err(c.damaged(format_args!("the envelope is of job {}", spec.jid)));
    }
    Ok(JobHead {
        job: Arc::new(job),
        spec,
        request_id: RequestId(u128::from_be_bytes(c.get("request_id")?)),
        request_digest: c.get("request_digest")?,
        target: c.get("target")?,
        targets: c.set("targets")?,
        inventory_version: c.bits("inventory_version")?,
        created: c.bits("created")?,
        delivery_limit: c.bits("delivery_limit")?,
        batch: Default::default(),
        epoch: Epoch(c.bits("epoch")?),
    })
}

fn groups(connection: &Connection, jid: Jid) -> Result<Vec<GroupView>, StoreError> {
    let sql =
        "SELECT a.*, m.members FROM answers a JOIN members m USING (jid, no) WHERE a.jid = ?1 ORDER BY a.no";
    let (mut groups, mut budget) = (Vec::new(), Budget(MAX_READ_BODY_BYTES));
    each_row(connection, sql, [jid_column(jid)], |row| {
        let c = Columns::of(row, "members", &jid);
        let with_body = budget.take(body_size(row, jid)?);
        groups.push(GroupView {
            no: c.get("no")?,
            answer: Arc::new(answer(row, jid, with_body)?),
            members: c.set("members")?,
            body_left_out: !with_body,
        });
        Ok(true)
    })?;
    Ok(groups)
}

pub(super) fn answers(connection: &Connection, jid: Jid, from: GroupNo) -> Result<Vec<Numbered>, StoreError> {
    let sql = "SELECT a.* FROM answers a JOIN jobs j USING (jid)
        WHERE a.jid = ?1 AND a.no >= ?2 AND j.dropped = 0 ORDER BY a.no";
    let (mut answers, mut budget) = (Vec::new(), Budget(MAX_READ_BODY_BYTES));
    each_row(connection, sql, params![jid_column(jid), from], |row| {
        if !budget.take(body_size(row, jid)?) && !answers.is_empty() {
            return Ok(false);
        }
        answers.push((Columns::of(row, "answers", &jid).get("no")?, Arc::new(answer(row, jid, true)?)));
        Ok(true)
    })?;
    Ok(answers)
}

fn body_size(row: &Row<'_>, jid: Jid) -> Result<usize, StoreError> {
    let size = Columns::of(row, "answers", &jid).bits("body_size")?;
    Ok(usize::try_from(size).unwrap_or(usize::MAX))
}

fn answer(row: &Row<'_>, jid: Jid, with_body: bool) -> Result<Answer, StoreError> {
    let c = Columns::of(row, "answers", &jid);
    Ok(Answer {
        outcome: c.word("outcome", Outcome::from_word)?,
        reason: c.word("reason", Reason::from_word)?,
        retcode: c.get("retcode")?,
        body: if with_body { c.get::<Vec<u8>>("body")?.into() } else { Bytes::new() },
        truncated: c.get("truncated")?,
        by_tier: c.get("by_tier")?,
    })
}

pub(super) fn jobs(
    connection: &Connection,
    limit: usize,
    before: Option<Jid>,
) -> Result<Vec<JobSummary>, StoreError> {
    let moment = connection.unchecked_transaction().map_err(database("list jobs"))?;
    let sql = "SELECT jid, function, args, target, caller, target_count, created, closed, cancelled, counts
        FROM jobs WHERE jid < ?1 AND dropped = 0 ORDER BY jid DESC LIMIT ?2";
    let mut summaries = Vec::new();
    let before = before.map_or(i64::MAX, jid_column);
    each_row(&moment, sql, params![before, bits(limit as u64)], |row| {
        summaries.push(summary(&moment, row)?);
        Ok(true)
    })?;
    Ok(summaries)
}

fn summary(connection: &Connection, row: &Row<'_>) -> Result<JobSummary, StoreError> {
    let jid = Jid::from_micros(Columns::of(row, "jobs", &"some jid").bits("jid")?);
    let c = Columns::of(row, "jobs", &jid);
    let closed = c.get::<Option<i64>>("closed")?.map(|at| at as u64);
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
