//! The writes of `relay_core::owner`, as rows: all rows of a write in a few statements, by arrays. Every value is a
//! parameter; no statement is ever made from text.

use std::collections::{BTreeMap, BTreeSet};

use relay_core::{
    Members,
    ids::{Epoch, Jid},
    inventory::Record,
    ledger::{AnswerKey, GroupNo},
    outcome::{Answer, Outcome},
    owner::{GroupRow, Write, WriteError},
    tier::SendMark,
    time::WallMicros,
};

use super::{
    super::{
        StoreError,
        value::{bits, counts_to_text, fence, jid_column, set_to_blob},
    },
    accept,
    column::text_column,
    requests::Batch,
    session::{Session, Trouble},
};

/// Bodies in one statement: the server has them in memory several times over.
const MAX_STATEMENT_BYTES: usize = 16 << 20;

/// Why a batch was not done.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is the batch's own fault: the other batches of its transaction stand.
    Because(WriteError),
    /// The connection is lost, and the transaction with it.
    Lost(String),
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Refused {
        match trouble {
            Trouble::Lost(why) => Refused::Lost(why),
            other => failed(other),
        }
    }
}

pub(super) fn failed(why: impl std::fmt::Display) -> Refused {
    Refused::Because(WriteError::Failed(why.to_string()))
}

/// Applies batches in their order, each in a savepoint. `stored`: the epoch of the owner that began last, which nobody can
/// raise now; `ours`: the epoch under which this process began.
pub(super) async fn together(
    session: &Session,
    stored: Epoch,
    ours: Epoch,
    batches: &[Batch],
) -> Result<Vec<Result<(), WriteError>>, Trouble> {
    let mut results = Vec::with_capacity(batches.len());
    session.run("SAVEPOINT batch").await?;
    for batch in batches {
        let (result, end) = match apply(session, stored, ours, batch).await {
            Ok(()) => (Ok(()), "RELEASE SAVEPOINT batch; SAVEPOINT batch"),
            Err(Refused::Because(error)) => (Err(error), "ROLLBACK TO SAVEPOINT batch"),
            Err(Refused::Lost(why)) => return Err(Trouble::Lost(why)),
        };
        session.run(end).await?;
        results.push(result);
    }
    Ok(results)
}

async fn apply(session: &Session, stored: Epoch, ours: Epoch, batch: &Batch) -> Result<(), Refused> {
    for write in &batch.writes {
        fence(stored, ours, write).map_err(Refused::Because)?;
        match write {
            Write::Minions(records) => minions(session, ours, batch.ticket, records).await?,
            Write::Accept(head) => accept::accept(session, head).await?,
            Write::Sent(mark, _) => sent(session, mark).await?,
            Write::Returns { jid, seq, at, rows, .. } => returns(session, *jid, (*seq, *at), rows).await?,
            Write::Approve(jid, _, stages) => approve(session, *jid, *stages).await?,
            Write::Cancel(jid, _) => {
                let sql = "UPDATE jobs SET cancelled = true WHERE jid = $1";
                session.execute(sql, &[&jid_column(*jid)]).await?;
            }
            Write::Close { jid, at, counts, .. } => close(session, *jid, *at, counts).await?,
        }
    }
    Ok(())
}

async fn close(
    session: &Session,
    jid: Jid,
    at: WallMicros,
    counts: &BTreeMap<Outcome, u64>,
) -> Result<(), Refused> {
    let unresolved = counts.get(&Outcome::Unknown).is_some_and(|n| *n > 0);
    // Who has a final outcome is sent it no more, so the order of the targets is not needed any more.
    let sql = "UPDATE jobs SET closed = coalesce(closed, $2), counts = $3, unresolved = $4,
        leaves = CASE WHEN $4 THEN leaves ELSE ''::bytea END WHERE jid = $1";
    session.execute(sql, &[&jid_column(jid), &bits(at), &counts_to_text(counts), &unresolved]).await?;
    Ok(())
}

async fn minions(session: &Session, epoch: Epoch, ticket: u64, records: &[Record]) -> Result<(), Refused> {
    // One statement changes a row once: of several records of one minion, the last.
    let mut seen = BTreeSet::new();
    let mut records: Vec<&Record> = records.iter().rev().filter(|record| seen.insert(record.no)).collect();
    records.reverse();
    if records.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO minions
            (no, id, region, syndic, incarnation, incarnation_seq, up, since, grains, epoch, ticket)
        SELECT *, $10::bigint, $11::bigint FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[],
            $6::bigint[], $7::boolean[], $8::bigint[], $9::text[])
        ON CONFLICT (no) DO UPDATE SET
            id = excluded.id, region = excluded.region, syndic = excluded.syndic,
            incarnation = excluded.incarnation, incarnation_seq = excluded.incarnation_seq,
            up = excluded.up, since = excluded.since, epoch = excluded.epoch, ticket = excluded.ticket,
            grains = excluded.grains
        WHERE (excluded.epoch, excluded.ticket) >= (minions.epoch, minions.ticket)";
    let numbers = |of: fn(&Record) -> i64| records.iter().map(|r| of(r)).collect::<Vec<i64>>();
    let texts = |of: fn(&Record) -> &str| records.iter().map(|r| text_column(of(r))).collect::<Vec<_>>();
    let up: Vec<bool> = records.iter().map(|r| r.up).collect();
    session
        .execute(
            sql,
            &[
                &numbers(|r| i64::from(r.no)),
                &texts(|r| r.id.as_str()),
                &texts(|r| r.region.as_str()),
                &texts(|r| r.syndic.as_str()),
                &numbers(|r| bits(r.incarnation.0)),
                &numbers(|r| bits(r.incarnation_seq)),
                &up,
                &numbers(|r| bits(r.since)),
                &texts(|r| &r.grains),
                &bits(epoch.0),
                &bits(ticket),
            ],
        )
        .await?;
    Ok(())
}

async fn approve(session: &Session, jid: Jid, stages: u32) -> Result<(), Refused> {
    let sql = "INSERT INTO batches (jid, approved, rule)
        SELECT jid, $2, ''::bytea FROM jobs WHERE jid = $1 AND NOT dropped
        ON CONFLICT (jid) DO UPDATE SET approved = greatest(batches.approved, excluded.approved)";
    session.execute(sql, &[&jid_column(jid), &i64::from(stages)]).await?;
    Ok(())
}

async fn sent(session: &Session, mark: &SendMark) -> Result<(), Refused> {
    let (jid, via) = (jid_column(mark.jid), bits(mark.via.0));
    let before = "SELECT members FROM sends WHERE jid = $1 AND via = $2";
    let mut members = match session.row(before, &[&jid, &via]).await? {
        Some(row) => Members::deserialize_from(row.get::<_, &[u8]>(0)).map_err(|why| {
            failed(StoreError::Damaged { row: format!("sends of {}", mark.jid), why: why.to_string() })
        })?,
        None => Members::new(),
    };
    members |= &mark.members;
    let sql =
        "INSERT INTO sends (jid, via, members) SELECT jid, $2, $3 FROM jobs WHERE jid = $1 AND NOT dropped
        ON CONFLICT (jid, via) DO UPDATE SET members = excluded.members";
    session.execute(sql, &[&jid, &via, &set_to_blob(&members)]).await?;
    Ok(())
}

/// False: it has been pruned (a late return may still come for it), and there is nothing to write to.
async fn exists(session: &Session, jid: Jid) -> Result<bool, Trouble> {
    let sql = "SELECT FROM jobs WHERE jid = $1 AND NOT dropped";
    Ok(session.row(sql, &[&jid_column(jid)]).await?.is_some())
}

async fn returns(
    session: &Session,
    jid: Jid,
    change: (u64, WallMicros),
    rows: &[GroupRow],
) -> Result<(), Refused> {
    if !exists(session, jid).await? {
        return Ok(());
    }
    answers(session, jid, rows).await?;
    // One statement changes a row once: of several rows of one answer, the last.
    let last: BTreeMap<GroupNo, &GroupRow> = rows.iter().map(|row| (row.no, row)).collect();
    members(session, jid, &last).await?;
    changes(session, jid, change, rows).await
}

/// The first write of an answer stands: a repeated commit brings the same again.
async fn answers(session: &Session, jid: Jid, rows: &[GroupRow]) -> Result<(), Refused> {
    let (mut some, mut bytes) = (Vec::new(), 0);
    for (no, answer) in rows.iter().filter_map(|row| Some((row.no, row.answer.as_deref()?))) {
        if bytes + answer.body.len() > MAX_STATEMENT_BYTES {
            insert_answers(session, jid, &some).await?;
            some.clear();
            bytes = 0;
        }
        bytes += answer.body.len();
        some.push((no, answer));
    }
    insert_answers(session, jid, &some).await
}

async fn insert_answers(session: &Session, jid: Jid, rows: &[(GroupNo, &Answer)]) -> Result<(), Refused> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO answers
            (jid, no, outcome, reason, retcode, by_tier, digest, truncated, body_size, body)
        SELECT $1::bigint, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::integer[], $6::boolean[],
            $7::bytea[], $8::bytea[], $9::bigint[], $10::bytea[])
        ON CONFLICT (jid, no) DO NOTHING";
    let numbers: Vec<i64> = rows.iter().map(|(no, _)| i64::from(*no)).collect();
    let outcomes: Vec<&str> = rows.iter().map(|(_, a)| a.outcome.word()).collect();
    let reasons: Vec<&str> = rows.iter().map(|(_, a)| a.reason.word()).collect();
    let codes: Vec<i32> = rows.iter().map(|(_, a)| a.retcode).collect();
    let tiers: Vec<bool> = rows.iter().map(|(_, a)| a.by_tier).collect();
    let digests: Vec<[u8; 32]> = rows.iter().map(|(_, a)| AnswerKey::of(a).body).collect();
    let digests: Vec<&[u8]> = digests.iter().map(|digest| &digest[..]).collect();
    let truncated: Vec<Option<&[u8]>> =
        rows.iter().map(|(_, a)| a.truncated.as_ref().map(|t| &t[..])).collect();
    let sizes: Vec<i64> = rows.iter().map(|(_, a)| a.body.len() as i64).collect();
    let bodies: Vec<&[u8]> = rows.iter().map(|(_, a)| &a.body[..]).collect();
    session
        .execute(
            sql,
            &[
                &jid_column(jid),
                &numbers,
                &outcomes,
                &reasons,
                &codes,
                &tiers,
                &digests,
                &truncated,
                &sizes,
                &bodies,
            ],
        )
        .await?;
    Ok(())
}

async fn members(session: &Session, jid: Jid, rows: &BTreeMap<GroupNo, &GroupRow>) -> Result<(), Refused> {
    let sql = "INSERT INTO members (jid, no, outcome, count, members)
        SELECT a.jid, a.no, a.outcome, new.count, new.members
        FROM unnest($2::bigint[], $3::bigint[], $4::bytea[]) AS new (no, count, members)
        JOIN answers a ON a.jid = $1 AND a.no = new.no
        ON CONFLICT (jid, no) DO UPDATE SET count = excluded.count, members = excluded.members
        RETURNING no";
    let numbers: Vec<i64> = rows.keys().map(|no| i64::from(*no)).collect();
    let counts: Vec<i64> = rows.values().map(|row| bits(row.members.len())).collect();
    let sets: Vec<Vec<u8>> = rows.values().map(|row| set_to_blob(&row.members)).collect();
    let done = session.rows(sql, &[&jid_column(jid), &numbers, &counts, &sets]).await?;
    let done: BTreeSet<i64> = done.iter().map(|row| row.get(0)).collect();
    match numbers.iter().find(|no| !done.contains(no)) {
        Some(no) => Err(failed(format_args!("job {jid} has no answer {no} to add members to"))),
        None => Ok(()),
    }
}

/// The first write of a change stands, too.
async fn changes(
    session: &Session,
    jid: Jid,
    (seq, at): (u64, WallMicros),
    rows: &[GroupRow],
) -> Result<(), Refused> {
    let sql = "INSERT INTO changes (jid, seq, at, no, members)
        SELECT $1::bigint, $2::bigint, $3::bigint, * FROM unnest($4::bigint[], $5::bytea[])
        ON CONFLICT (jid, seq, no) DO NOTHING";
    let numbers: Vec<i64> = rows.iter().map(|row| i64::from(row.no)).collect();
    let sets: Vec<Vec<u8>> = rows.iter().map(|row| set_to_blob(&row.added)).collect();
    session.execute(sql, &[&jid_column(jid), &bits(seq), &bits(at), &numbers, &sets]).await?;
    Ok(())
}
