//! One job as people and watchers see it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use prost::Message;
use relay_core::{
    batch::BatchRule,
    ids::{Epoch, Jid, RequestId},
    ledger::GroupNo,
    outcome::{Answer, Outcome, Reason},
    owner::JobHead,
};
use relay_proto::{envelope, operator as wire};
use rusqlite::{Connection, Row, params};
use sha2::{Digest, Sha256};

use super::{
    super::{
        ChangeView, GroupView, JobView, StoreError,
        value::{Budget, at_most, jid_column},
    },
    column::Columns,
};

/// An answer with its number within its job.
pub(super) type Numbered = (GroupNo, Arc<Answer>);

/// What the database says when `doing` failed.
pub(super) fn database(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| StoreError::Database { doing, why: error.to_string() }
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

pub(super) fn job(connection: &Connection, jid: Jid, after: u64) -> Result<Option<JobView>, StoreError> {
    // One moment for all its rows, also if another process writes.
    let moment = connection.unchecked_transaction().map_err(database("read a job"))?;
    let mut found = None;
    each_row(&moment, "SELECT * FROM jobs WHERE jid = ?1 AND dropped = 0", [jid_column(jid)], |row| {
        let c = Columns::of(row, "jobs", &jid);
        let closed = c.get::<Option<i64>>("closed")?.map(|at| at as u64);
        found = Some((head(&moment, row)?, c.get::<bool>("cancelled")?, closed));
        Ok(true)
    })?;
    let Some(((head, approved), cancelled, closed)) = found else { return Ok(None) };
    let changes = changes(&moment, jid, after)?;
    let needed: BTreeSet<GroupNo> = changes.iter().map(|change| change.no).collect();
    let groups = groups(&moment, jid, &needed)?;
    if let Some(no) = needed.iter().find(|no| groups.binary_search_by_key(*no, |g| g.no).is_err()) {
        let (row, why) = (format!("changes of {jid}"), format!("answer {no} is missing"));
        return Err(StoreError::Damaged { row, why });
    }
    let (counts, seq) = (count(&groups), last_change(&moment, jid)?);
    Ok(Some(JobView { head, cancelled, closed, groups, counts, seq, changes, approved }))
}

/// The changes numbered above `after` that gave somebody an answer.
fn changes(connection: &Connection, jid: Jid, after: u64) -> Result<Vec<ChangeView>, StoreError> {
    let sql = "SELECT seq, at, no, members FROM changes WHERE jid = ?1 AND seq > ?2 ORDER BY seq, no";
    let mut changes = Vec::new();
    each_row(connection, sql, [jid_column(jid), at_most(after)], |row| {
        let c = Columns::of(row, "changes", &jid);
        let members = c.set("members")?;
        if !members.is_empty() {
            changes.push(ChangeView { seq: c.bits("seq")?, at: c.bits("at")?, no: c.get("no")?, members });
        }
        Ok(true)
    })?;
    Ok(changes)
}

/// The number of a job's newest change; 0: none yet.
pub(super) fn last_change(connection: &Connection, jid: Jid) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(seq), 0) AS seq FROM changes WHERE jid = ?1";
    let mut last = 0;
    each_row(connection, sql, [jid_column(jid)], |row| {
        last = Columns::of(row, "changes", &jid).bits("seq")?;
        Ok(true)
    })?;
    Ok(last)
}

fn count(groups: &[GroupView]) -> BTreeMap<Outcome, u64> {
    let mut counts = BTreeMap::new();
    for group in groups.iter().filter(|g| !g.members.is_empty()) {
        *counts.entry(group.answer.outcome).or_default() += group.members.len();
    }
    counts
}

/// The head in a row of all columns of `jobs`, and how many stages were approved.
pub(super) fn head(connection: &Connection, row: &Row<'_>) -> Result<(JobHead, u32), StoreError> {
    let jid = Jid::from_micros(Columns::of(row, "jobs", &"some jid").bits("jid")?);
    let c = Columns::of(row, "jobs", &jid);
    let job = envelope::job(jid, c.get("digest")?, c.get::<Vec<u8>>("envelope")?.into());
    let digest: [u8; 32] = Sha256::digest(&job.envelope).into();
    if digest != job.digest {
        return Err(c.damaged("the envelope does not have its digest"));
    }
    let spec = envelope::open(&job).map_err(|e| c.damaged(e))?;
    if spec.jid != jid {
        return Err(c.damaged(format_args!("the envelope is of job {}", spec.jid)));
    }
    let (batch, approved) = batch(connection, jid)?;
    let head = JobHead {
        job: Arc::new(job),
        spec,
        request_id: RequestId(u128::from_be_bytes(c.get("request_id")?)),
        request_digest: c.get("request_digest")?,
        target: c.get("target")?,
        targets: c.set("targets")?,
        leaves: c.get::<Vec<u8>>("leaves")?.into(),
        inventory_version: c.bits("inventory_version")?,
        created: c.bits("created")?,
        delivery_limit: c.bits("delivery_limit")?,
        batch,
        epoch: Epoch(c.bits("epoch")?),
    };
    Ok((head, approved))
}

/// A job's batch, and how many of its stages were approved.
pub(super) fn batch(connection: &Connection, jid: Jid) -> Result<(BatchRule, u32), StoreError> {
    let mut found = (BatchRule::default(), 0);
    each_row(connection, "SELECT approved, rule FROM batches WHERE jid = ?1", [jid_column(jid)], |row| {
        let c = Columns::of(row, "batches", &jid);
        let rule: Vec<u8> = c.get("rule")?;
        let rule = wire::Batch::decode(&rule[..]).map_err(|e| c.damaged(e))?;
        found = (relay_proto::batch::decode(rule).map_err(|e| c.damaged(e))?, c.get("approved")?);
        Ok(true)
    })?;
    Ok(found)
}

/// The answers, with those bodies that are needed and fit.
fn groups(
    connection: &Connection,
    jid: Jid,
    needed: &BTreeSet<GroupNo>,
) -> Result<Vec<GroupView>, StoreError> {
    let sql =
        "SELECT a.*, m.members FROM answers a JOIN members m USING (jid, no) WHERE a.jid = ?1 ORDER BY a.no";
    let (mut groups, mut budget) = (Vec::new(), Budget::of_a_read());
    each_row(connection, sql, [jid_column(jid)], |row| {
        let c = Columns::of(row, "members", &jid);
        let (no, size) = (c.get("no")?, body_size(row, jid)?);
        let with_body = size == 0 || needed.contains(&no) && budget.take(size);
        groups.push(GroupView {
            no,
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
    let (mut answers, mut budget) = (Vec::new(), Budget::of_a_read());
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
