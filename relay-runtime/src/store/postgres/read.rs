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
use sha2::{Digest, Sha256};
use tokio_postgres::Row;

use super::{
    super::{
        ChangeView, GroupView, JobView, StoreError,
        value::{Budget, at_most, jid_column},
    },
    column::Columns,
    session::{Session, Trouble, Value},
};

/// A job by its jid, with the columns that [`head`] reads.
const JOB: &str = "SELECT j.*, b.approved, b.rule FROM jobs j LEFT JOIN batches b USING (jid)
    WHERE j.jid = $1 AND NOT j.dropped";
const CHANGES: &str = "SELECT seq, at, no, members FROM changes WHERE jid = $1 AND seq > $2 ORDER BY seq, no";
const LAST_CHANGE: &str = "SELECT coalesce(max(seq), 0) AS seq FROM changes WHERE jid = $1";
/// Without the bodies: which of them are wanted is known when all rows are.
const GROUPS: &str =
    "SELECT a.no, a.outcome, a.reason, a.retcode, a.by_tier, a.truncated, a.body_size, m.members
    FROM answers a JOIN members m USING (jid, no) WHERE a.jid = $1 ORDER BY a.no";
const ANSWERS: &str = "SELECT a.no, a.outcome, a.reason, a.retcode, a.by_tier, a.truncated, a.body_size
    FROM answers a JOIN jobs j USING (jid) WHERE a.jid = $1 AND a.no >= $2 AND NOT j.dropped ORDER BY a.no";
const BODIES: &str = "SELECT no, body FROM answers WHERE jid = $1 AND no = ANY($2)";

/// The bodies that were read, by answer.
type Bodies = BTreeMap<GroupNo, Bytes>;

pub(super) async fn job(session: &Session, jid: Jid, after: u64) -> Result<Option<JobView>, Trouble> {
    let (key, after) = (jid_column(jid), at_most(after));
    let (of_job, newer): ([Value<'_>; 1], [Value<'_>; 2]) = ([&key], [&key, &after]);
    session.ready(&[JOB, CHANGES, LAST_CHANGE, GROUPS]).await?;
    let (found, changed, last, grouped) = tokio::try_join!(
        biased;
        session.row(JOB, &of_job),
        session.rows(CHANGES, &newer),
        session.row(LAST_CHANGE, &of_job),
        session.rows(GROUPS, &of_job)
    )?;
    let Some(row) = found else { return Ok(None) };
    let (head, approved) = head(&row)?;
    let c = Columns::of(&row, "jobs", &jid);
    let (cancelled, closed) = (c.get("cancelled")?, c.moment("closed")?);
    let changes = changes(jid, &changed)?;
    let needed: BTreeSet<GroupNo> = changes.iter().map(|change| change.no).collect();
    let groups = groups(session, jid, &grouped, &needed).await?;
    if let Some(no) = needed.iter().find(|no| groups.binary_search_by_key(*no, |g| g.no).is_err()) {
        let (row, why) = (format!("changes of {jid}"), format!("answer {no} is missing"));
        return Err(StoreError::Damaged { row, why }.into());
    }
    let seq = last.map_or(Ok(0), |row| Columns::of(&row, "changes", &jid).bits("seq"))?;
    Ok(Some(JobView { head, cancelled, closed, counts: count(&groups), groups, seq, changes, approved }))
}

/// The changes that gave somebody an answer.
fn changes(jid: Jid, rows: &[Row]) -> Result<Vec<ChangeView>, Trouble> {
    let mut changes = Vec::new();
    for row in rows {
        let c = Columns::of(row, "changes", &jid);
        let members = c.set("members")?;
        if !members.is_empty() {
            changes.push(ChangeView { seq: c.bits("seq")?, at: c.bits("at")?, no: c.small("no")?, members });
        }
    }
    Ok(changes)
}

fn count(groups: &[GroupView]) -> BTreeMap<Outcome, u64> {
    let mut counts = BTreeMap::new();
    for group in groups.iter().filter(|g| !g.members.is_empty()) {
        *counts.entry(group.answer.outcome).or_default() += group.members.len();
    }
    counts
}

/// The head in a row of all columns of `jobs` with those of `batches`, and how many stages were approved.
pub(super) fn head(row: &Row) -> Result<(JobHead, u32), Trouble> {
    let jid = Jid::from_micros(Columns::of(row, "jobs", &"some jid").bits("jid")?);
    let c = Columns::of(row, "jobs", &jid);
    let job = envelope::job(jid, c.bytes("digest")?, c.get::<Vec<u8>>("envelope")?.into());
    let digest: [u8; 32] = Sha256::digest(&job.envelope).into();
    if digest != job.digest {
        return Err(c.damaged("the envelope does not have its digest"));
    }
    let spec = envelope::open(&job).map_err(|e| c.damaged(e))?;
    if spec.jid != jid {
        return Err(c.damaged(format_args!("the envelope is of job {}", spec.jid)));
    }
    let (batch, approved) = batch(row, jid)?;
    let head = JobHead {
        job: Arc::new(job),
        spec,
        request_id: RequestId(u128::from_be_bytes(c.bytes("request_id")?)),
        request_digest: c.bytes("request_digest")?,
        target: c.text("target")?,
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

/// A job's batch, and how many of its stages were approved, in a row that has `batches`' columns.
pub(super) fn batch(row: &Row, jid: Jid) -> Result<(BatchRule, u32), Trouble> {
    let c = Columns::of(row, "batches", &jid);
    let Some(rule) = c.get::<Option<Vec<u8>>>("rule")? else { return Ok((BatchRule::default(), 0)) };
    let rule = wire::Batch::decode(&rule[..]).map_err(|e| c.damaged(e))?;
    Ok((relay_proto::batch::decode(rule).map_err(|e| c.damaged(e))?, c.small("approved")?))
}

/// The answers, with those bodies that are needed and fit.
async fn groups(
    session: &Session,
    jid: Jid,
    rows: &[Row],
    needed: &BTreeSet<GroupNo>,
) -> Result<Vec<GroupView>, Trouble> {
    let (mut groups, mut wanted, mut budget) = (Vec::new(), Vec::new(), Budget::of_a_read());
    for row in rows {
        let c = Columns::of(row, "members", &jid);
        let (no, size) = (c.small("no")?, body_size(row, jid)?);
        let with_body = size == 0 || needed.contains(&no) && budget.take(size);
        if with_body && size > 0 {
            wanted.push(no);
        }
        groups.push((no, c.set("members")?, !with_body));
    }
    let mut bodies = bodies(session, jid, &wanted).await?;
    let view = |(row, (no, members, body_left_out)): (&Row, (GroupNo, _, bool))| {
        let answer = Arc::new(answer(row, jid, bodies.remove(&no).unwrap_or_default())?);
        Ok(GroupView { no, answer, members, body_left_out })
    };
    rows.iter().zip(groups).map(view).collect()
}

/// Answers until the budget is used up, but at least one.
pub(super) async fn answers(
    session: &Session,
    jid: Jid,
    from: GroupNo,
) -> Result<Vec<(GroupNo, Arc<Answer>)>, Trouble> {
    let rows = session.rows(ANSWERS, &[&jid_column(jid), &i64::from(from)]).await?;
    let (mut wanted, mut budget) = (Vec::new(), Budget::of_a_read());
    for row in &rows {
        if !budget.take(body_size(row, jid)?) && !wanted.is_empty() {
            break;
        }
        wanted.push(Columns::of(row, "answers", &jid).small("no")?);
    }
    let mut bodies = bodies(session, jid, &wanted).await?;
    let numbered = |(row, no): (&Row, GroupNo)| {
        Ok((no, Arc::new(answer(row, jid, bodies.remove(&no).unwrap_or_default())?)))
    };
    rows.iter().zip(wanted).map(numbered).collect()
}

async fn bodies(session: &Session, jid: Jid, wanted: &[GroupNo]) -> Result<Bodies, Trouble> {
    if wanted.is_empty() {
        return Ok(Bodies::new());
    }
    let numbers: Vec<i64> = wanted.iter().map(|no| i64::from(*no)).collect();
    let mut bodies = Bodies::new();
    for row in session.rows(BODIES, &[&jid_column(jid), &numbers]).await? {
        let c = Columns::of(&row, "answers", &jid);
        bodies.insert(c.small("no")?, c.get::<Vec<u8>>("body")?.into());
    }
    Ok(bodies)
}

fn body_size(row: &Row, jid: Jid) -> Result<usize, Trouble> {
    let size = Columns::of(row, "answers", &jid).bits("body_size")?;
    Ok(usize::try_from(size).unwrap_or(usize::MAX))
}

fn answer(row: &Row, jid: Jid, body: Bytes) -> Result<Answer, Trouble> {
    let c = Columns::of(row, "answers", &jid);
    let truncated = match c.get::<Option<Vec<u8>>>("truncated")? {
        Some(_) => Some(c.bytes("truncated")?),
        None => None,
    };
    Ok(Answer {
        outcome: c.word("outcome", Outcome::from_word)?,
        reason: c.word("reason", Reason::from_word)?,
        retcode: c.get("retcode")?,
        body,
        truncated,
        by_tier: c.get("by_tier")?,
    })
}
