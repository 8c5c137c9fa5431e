//! Taking the store over: the next epoch, and all that the owners before left. Each table is read once, for all jobs.

use std::collections::BTreeMap;

use relay_core::{
    Members,
    ids::{Epoch, Incarnation, Jid},
    inventory::Record,
    ledger::{AnswerKey, Group},
    outcome::{Outcome, Reason},
    owner::{MAX_UNRESOLVED, StoredJob},
};
use tokio_postgres::Row;

use super::{
    super::{Recovered, value::bits},
    column::Columns,
    read,
    session::{Session, Trouble},
};

/// Open jobs are bounded where they are accepted; closed ones here.
const JOBS: &str = "SELECT j.*, b.approved, b.rule FROM jobs j LEFT JOIN batches b USING (jid)
    WHERE NOT j.dropped AND (j.closed IS NULL OR j.jid IN (
        SELECT jid FROM jobs WHERE unresolved AND NOT dropped ORDER BY jid DESC LIMIT $1))
    ORDER BY j.jid";
const SENDS: &str = "SELECT jid, via, members FROM sends WHERE jid = ANY($1) ORDER BY jid, via";
const CHANGES: &str = "SELECT jid, max(seq) AS seq FROM changes WHERE jid = ANY($1) GROUP BY jid";
const GROUPS: &str = "SELECT a.jid, a.no, a.outcome, a.reason, a.retcode, a.by_tier, a.digest, m.members
    FROM answers a JOIN members m USING (jid, no) WHERE a.jid = ANY($1) ORDER BY a.jid, a.no";

/// Raises the epoch and reads everything. Whoever began before can write nothing in between: the owner's row is locked.
pub(super) async fn begin(session: &Session, stored: Epoch) -> Result<Recovered, Trouble> {
    let epoch = Epoch(stored.0 + 1);
    let number = bits(epoch.0);
    session.execute("UPDATE owner SET epoch = $1", &[&number]).await?;
    let ours = "UPDATE jobs SET epoch = $1 WHERE closed IS NULL OR unresolved";
    session.execute(ours, &[&number]).await?;
    Ok(Recovered { epoch, minions: minions(session).await?, jobs: jobs(session).await? })
}

async fn minions(session: &Session) -> Result<Vec<Record>, Trouble> {
    session.rows("SELECT * FROM minions ORDER BY no", &[]).await?.iter().map(record).collect()
}

fn record(row: &Row) -> Result<Record, Trouble> {
    let no = Columns::of(row, "minions", &"some number").small("no")?;
    let c = Columns::of(row, "minions", &no);
    Ok(Record {
        no,
        id: c.parsed("id")?,
        region: c.parsed("region")?,
        syndic: c.parsed("syndic")?,
        incarnation: Incarnation(c.bits("incarnation")?),
        incarnation_seq: c.bits("incarnation_seq")?,
        grains: c.text("grains")?,
        up: c.get("up")?,
        since: c.bits("since")?,
    })
}

async fn jobs(session: &Session) -> Result<Vec<StoredJob>, Trouble> {
    let rows = session.rows(JOBS, &[&(MAX_UNRESOLVED as i64)]).await?;
    let jids: Vec<i64> = rows.iter().map(|row| row.get("jid")).collect();
    let (mut sent, mut groups) = (sent(session, &jids).await?, groups(session, &jids).await?);
    let changes = changes(session, &jids).await?;
    let stored = |row: &Row| {
        let (head, approved) = read::head(row)?;
        let jid = head.job.jid;
        let c = Columns::of(row, "jobs", &jid);
        let (closed, cancelled) = (c.moment("closed")?.is_some(), c.get("cancelled")?);
        let (sent, groups) = (sent.remove(&jid).unwrap_or_default(), groups.remove(&jid).unwrap_or_default());
        let seq = changes.get(&jid).copied().unwrap_or(0);
        Ok(StoredJob { sent, groups, closed, cancelled, head, seq, approved })
    };
    rows.iter().map(stored).collect()
}

fn jid_of(row: &Row) -> Jid {
    Jid::from_micros(row.get::<_, i64>("jid") as u64)
}

type Sent = Vec<(Incarnation, Members)>;

async fn sent(session: &Session, jids: &[i64]) -> Result<BTreeMap<Jid, Sent>, Trouble> {
    let mut sent: BTreeMap<Jid, Sent> = BTreeMap::new();
    for row in session.rows(SENDS, &[&jids]).await? {
        let jid = jid_of(&row);
        let c = Columns::of(&row, "sends", &jid);
        sent.entry(jid).or_default().push((Incarnation(c.bits("via")?), c.set("members")?));
    }
    Ok(sent)
}

async fn changes(session: &Session, jids: &[i64]) -> Result<BTreeMap<Jid, u64>, Trouble> {
    let rows = session.rows(CHANGES, &[&jids]).await?;
    rows.iter().map(|row| Ok((jid_of(row), Columns::of(row, "changes", &jid_of(row)).bits("seq")?))).collect()
}

/// The groups in order. Their place in the list is their number, so none may be missing.
async fn groups(session: &Session, jids: &[i64]) -> Result<BTreeMap<Jid, Vec<Group>>, Trouble> {
    let mut all: BTreeMap<Jid, Vec<Group>> = BTreeMap::new();
    for row in session.rows(GROUPS, &[&jids]).await? {
        let jid = jid_of(&row);
        let groups = all.entry(jid).or_default();
        let c = Columns::of(&row, "answers", &jid);
        if c.get::<i64>("no")? != groups.len() as i64 {
            return Err(c.damaged(format_args!("number {} is missing", groups.len())));
        }
        let key = AnswerKey {
            outcome: c.word("outcome", Outcome::from_word)?,
            reason: c.word("reason", Reason::from_word)?,
            retcode: c.get("retcode")?,
            by_tier: c.get("by_tier")?,
            body: c.bytes("digest")?,
        };
        groups.push(Group { key, members: c.set("members")? });
    }
    Ok(all)
}
