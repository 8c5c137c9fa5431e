//! Taking the store over: the next epoch, and all that the owners before left.

use relay_core::{
    ids::{Epoch, Incarnation, Jid},
    inventory::Record,
    ledger::{AnswerKey, Group},
    outcome::{Outcome, Reason},
    owner::{MAX_UNRESOLVED, StoredJob},
};
use rusqlite::{Connection, Row, TransactionBehavior};

use super::{
    super::{
        Recovered, StoreError,
        value::{bits, jid_column},
    },
    column::Columns,
    read::{self, database, each_row},
    write::stored_epoch,
};

/// Raises the epoch and reads everything in one transaction: whoever began before can write nothing in between.
pub(super) fn begin(connection: &mut Connection) -> Result<Recovered, StoreError> {
    let failed = database("begin");
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    let epoch = Epoch(stored_epoch(&transaction).map_err(&failed)?.0 + 1);
    let number = [bits(epoch.0)];
    transaction.execute("UPDATE owner SET epoch = ?1", number).map_err(&failed)?;
    let ours = "UPDATE jobs SET epoch = ?1 WHERE closed IS NULL OR unresolved = 1";
    transaction.execute(ours, number).map_err(&failed)?;
    let recovered = Recovered { epoch, minions: minions(&transaction)?, jobs: jobs(&transaction)? };
    transaction.commit().map_err(&failed)?;
    Ok(recovered)
}

fn minions(connection: &Connection) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    each_row(connection, "SELECT * FROM minions ORDER BY no", [], |row| {
        records.push(record(row)?);
        Ok(true)
    })?;
    Ok(records)
}

fn record(row: &Row<'_>) -> Result<Record, StoreError> {
    let no = Columns::of(row, "minions", &"some number").get("no")?;
    let c = Columns::of(row, "minions", &no);
    Ok(Record {
        no,
        id: c.parsed("id")?,
        region: c.parsed("region")?,
        syndic: c.parsed("syndic")?,
        incarnation: Incarnation(c.bits("incarnation")?),
        incarnation_seq: c.bits("incarnation_seq")?,
        grains: c.get("grains")?,
        up: c.get("up")?,
        since: c.bits("since")?,
    })
}

/// Open jobs are bounded where they are accepted; closed ones here.
fn jobs(connection: &Connection) -> Result<Vec<StoredJob>, StoreError> {
    let mut jobs = Vec::new();
    let open = "SELECT * FROM jobs WHERE closed IS NULL AND dropped = 0";
    let unresolved = "SELECT * FROM jobs WHERE unresolved = 1 AND dropped = 0 ORDER BY jid DESC LIMIT ?1";
    let mut take = |row: &Row<'_>| {
        jobs.push(stored(connection, row)?);
        Ok(true)
    };
    each_row(connection, open, [], &mut take)?;
    each_row(connection, unresolved, [MAX_UNRESOLVED as i64], &mut take)?;
    jobs.sort_by_key(|job| job.head.job.jid);
    Ok(jobs)
}

fn stored(connection: &Connection, row: &Row<'_>) -> Result<StoredJob, StoreError> {
    let (head, approved) = read::head(connection, row)?;
    let jid = head.job.jid;
    let c = Columns::of(row, "jobs", &jid);
    let closed = c.get::<Option<i64>>("closed")?.is_some();
    let (sent, groups) = (sent(connection, jid)?, groups(connection, jid)?);
    let (cancelled, seq) = (c.get("cancelled")?, read::last_change(connection, jid)?);
    Ok(StoredJob { sent, groups, closed, cancelled, head, seq, approved })
}

fn sent(connection: &Connection, jid: Jid) -> Result<Vec<(Incarnation, relay_core::Members)>, StoreError> {
    let mut sent = Vec::new();
    let sql = "SELECT via, members FROM sends WHERE jid = ?1 ORDER BY via";
    each_row(connection, sql, [jid_column(jid)], |row| {
        let c = Columns::of(row, "sends", &jid);
        sent.push((Incarnation(c.bits("via")?), c.set("members")?));
        Ok(true)
    })?;
    Ok(sent)
}

/// The groups in order. Their place in the list is their number, so none may be missing.
fn groups(connection: &Connection, jid: Jid) -> Result<Vec<Group>, StoreError> {
    let sql = "SELECT a.no, a.outcome, a.reason, a.retcode, a.by_tier, a.digest, m.members
        FROM answers a JOIN members m USING (jid, no) WHERE a.jid = ?1 ORDER BY a.no";
    let mut groups = Vec::new();
    each_row(connection, sql, [jid_column(jid)], |row| {
        let c = Columns::of(row, "answers", &jid);
        if c.get::<i64>("no")? != groups.len() as i64 {
            return Err(c.damaged(format_args!("number {} is missing", groups.len())));
        }
        let key = AnswerKey {
            outcome: c.word("outcome", Outcome::from_word)?,
            reason: c.word("reason", Reason::from_word)?,
            retcode: c.get("retcode")?,
            by_tier: c.get("by_tier")?,
            body: c.get("digest")?,
        };
        groups.push(Group { key, members: c.set("members")? });
        Ok(true)
    })?;
    Ok(groups)
}
