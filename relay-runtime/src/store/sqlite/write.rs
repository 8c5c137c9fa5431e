//! The writes of `relay_core::owner`, as rows. Every value is a parameter; no statement is ever made from text.

use relay_core::{
    Members,
    ids::{Epoch, Jid},
    inventory::Record,
    ledger::AnswerKey,
    outcome::{Answer, Outcome},
    owner::{GroupRow, Write, WriteError},
    tier::SendMark,
    time::WallMicros,
};
use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::{
    super::{
        StoreError,
        value::{bits, counts_to_text, fence, jid_column, set_to_blob},
    },
    accept,
};

/// Why a batch was not done.
pub(super) enum Refused {
    /// It is the batch's own fault: the other batches of its transaction stand.
    Because(WriteError),
    /// The database failed: what else is in the transaction is not safe either.
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Refused {
        Refused::Database(error)
    }
}

pub(super) fn failed(why: impl std::fmt::Display) -> Refused {
    Refused::Because(WriteError::Failed(why.to_string()))
}

/// The epoch of the owner that began last.
pub(super) fn stored_epoch(connection: &Connection) -> rusqlite::Result<Epoch> {
    let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0).map(|n| Epoch(n as u64));
    connection.prepare_cached("SELECT epoch FROM owner")?.query_row([], read)
}

/// Applies one batch. `ours`: the epoch under which this process began.
pub(super) fn apply(
    connection: &Connection,
    ours: Epoch,
    ticket: u64,
    writes: &[Write],
) -> Result<(), Refused> {
    let stored = stored_epoch(connection)?;
    for write in writes {
        fence(stored, ours, write).map_err(Refused::Because)?;
        match write {
            Write::Minions(records) => {
                records.iter().try_for_each(|record| minion(connection, ours, ticket, record))?;
            }
            Write::Accept(head) => accept::accept(connection, head)?,
            Write::Sent(mark, _) => sent(connection, mark)?,
            Write::Returns { jid, seq, at, rows, .. } if exists(connection, *jid)? => {
                for row in rows {
                    returns(connection, *jid, row)?;
                    change(connection, *jid, (*seq, *at), row)?;
                }
            }
            Write::Returns { .. } => {}
            Write::Approve(jid, _, stages) => approve(connection, *jid, *stages)?,
            Write::Cancel(jid, _) => {
                let sql = "UPDATE jobs SET cancelled = 1 WHERE jid = ?1";
                connection.prepare_cached(sql)?.execute([jid_column(*jid)])?;
            }
            Write::Close { jid, at, counts, .. } => {
                let unresolved = counts.get(&Outcome::Unknown).is_some_and(|n| *n > 0);
                // Who has a final outcome is sent it no more, so the order of the targets is not needed any more.
                let sql = "UPDATE jobs SET closed = coalesce(closed, ?2), counts = ?3, unresolved = ?4,
                        leaves = iif(?4, leaves, x'') WHERE jid = ?1";
                let values = params![jid_column(*jid), bits(*at), counts_to_text(counts), unresolved];
                connection.prepare_cached(sql)?.execute(values)?;
            }
        }
    }
    Ok(())
}

/// False: it has been pruned (a late return may still come for it), and there is nothing to write to.
fn exists(connection: &Connection, jid: Jid) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM jobs WHERE jid = ?1 AND dropped = 0")?.exists([jid_column(jid)])
}

fn minion(connection: &Connection, epoch: Epoch, ticket: u64, record: &Record) -> Result<(), Refused> {
    let sql = "INSERT INTO minions
            (no, id, region, syndic, incarnation, incarnation_seq, up, since, epoch, ticket, grains)
        VALUES (:no, :id, :region, :syndic, :incarnation, :incarnation_seq, :up, :since, :epoch, :ticket, :grains)
        ON CONFLICT (no) DO UPDATE SET
            id = excluded.id, region = excluded.region, syndic = excluded.syndic,
            incarnation = excluded.incarnation, incarnation_seq = excluded.incarnation_seq,
            up = excluded.up, since = excluded.since, epoch = excluded.epoch, ticket = excluded.ticket,
            grains = excluded.grains
        WHERE (excluded.epoch, excluded.ticket) >= (minions.epoch, minions.ticket)";
    let done = connection.prepare_cached(sql)?.execute(named_params! {
        ":no": record.no,
        ":id": record.id.as_str(),
        ":region": record.region.as_str(),
        ":syndic": record.syndic.as_str(),
        ":incarnation": bits(record.incarnation.0),
        ":incarnation_seq": bits(record.incarnation_seq),
        ":up": record.up,
        ":since": bits(record.since),
        ":epoch": bits(epoch.0),
        ":ticket": bits(ticket),
        ":grains": record.grains,
    });
    done.map(|_| ()).map_err(Refused::from)
}

fn approve(connection: &Connection, jid: Jid, stages: u32) -> Result<(), Refused> {
    if !exists(connection, jid)? {
        return Ok(());
    }
    let sql = "INSERT INTO batches (jid, approved, rule) VALUES (?1, ?2, x'')
        ON CONFLICT (jid) DO UPDATE SET approved = max(approved, excluded.approved)";
    connection.prepare_cached(sql)?.execute(params![jid_column(jid), stages])?;
    Ok(())
}

fn sent(connection: &Connection, mark: &SendMark) -> Result<(), Refused> {
    if !exists(connection, mark.jid)? {
        return Ok(());
    }
    let (jid, via) = (jid_column(mark.jid), bits(mark.via.0));
    let sql = "SELECT members FROM sends WHERE jid = ?1 AND via = ?2";
    let before: Option<Vec<u8>> =
        connection.prepare_cached(sql)?.query_row([jid, via], |row| row.get(0)).optional()?;
    let mut members = match before {
        Some(blob) => Members::deserialize_from(&blob[..]).map_err(|why| {
            failed(StoreError::Damaged { row: format!("sends of {}", mark.jid), why: why.to_string() })
        })?,
        None => Members::new(),
    };
    members |= &mark.members;
    let sql = "INSERT INTO sends (jid, via, members) VALUES (?1, ?2, ?3)
        ON CONFLICT (jid, via) DO UPDATE SET members = excluded.members";
    connection.prepare_cached(sql)?.execute(params![jid, via, set_to_blob(&members)])?;
    Ok(())
}

fn returns(connection: &Connection, jid: Jid, row: &GroupRow) -> Result<(), Refused> {
    if let Some(answer) = &row.answer {
        insert_answer(connection, jid, row, answer)?;
    }
    let sql = "INSERT INTO members (jid, no, outcome, count, members)
        SELECT jid, no, outcome, ?3, ?4 FROM answers WHERE jid = ?1 AND no = ?2
        ON CONFLICT (jid, no) DO UPDATE SET count = excluded.count, members = excluded.members";
    let values = params![jid_column(jid), row.no, bits(row.members.len()), set_to_blob(&row.members)];
    match connection.prepare_cached(sql)?.execute(values)? {
        0 => Err(failed(format_args!("job {jid} has no answer {} to add members to", row.no))),
        _ => Ok(()),
    }
}

/// The first write of an answer stands: a repeated commit brings the same again.
fn insert_answer(connection: &Connection, jid: Jid, row: &GroupRow, answer: &Answer) -> rusqlite::Result<()> {
    let sql = "INSERT INTO answers
            (jid, no, outcome, reason, retcode, by_tier, digest, truncated, body_size, body)
        VALUES (:jid, :no, :outcome, :reason, :retcode, :by_tier, :digest, :truncated, :body_size, :body)
        ON CONFLICT (jid, no) DO NOTHING";
    let inserted = connection.prepare_cached(sql)?.execute(named_params! {
        ":jid": jid_column(jid),
        ":no": row.no,
        ":outcome": answer.outcome.word(),
        ":reason": answer.reason.word(),
        ":retcode": answer.retcode,
        ":by_tier": answer.by_tier,
        ":digest": AnswerKey::of(answer).body,
        ":truncated": answer.truncated,
        ":body_size": answer.body.len() as i64,
        ":body": &answer.body[..],
    });
    inserted.map(|_| ())
}

/// The first write of a change stands, too.
fn change(
    connection: &Connection,
    jid: Jid,
    (seq, at): (u64, WallMicros),
    row: &GroupRow,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO changes (jid, seq, no, at, members) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (jid, seq, no) DO NOTHING";
    let values = params![jid_column(jid), bits(seq), row.no, bits(at), set_to_blob(&row.added)];
    connection.prepare_cached(sql)?.execute(values).map(|_| ())
}
