//! Revisions of the topology as rows.

use relay_core::ids::RegionName;
use tokio_postgres::Row;

use super::{
    super::{
        MAX_REVISIONS, NewRevision, Revision, RevisionEnd, RevisionPut, RevisionState, Which,
        revision::{regions_from_text, regions_to_text},
        value::{at_most, bits, set_to_blob},
    },
    column::{Columns, text_column},
    session::{Session, Trouble, Values},
};

/// All columns but the text, which may be large.
const HEAD: &str = "SELECT number, state, planned_on, digest, caller, applied, commit_id, author, message, \
    rollback_of, max_lost_percent, settle_ms, regions, why, watched, '' AS text FROM topologies \
    WHERE number < $1 ORDER BY number DESC LIMIT $2";

pub(super) async fn put(session: &Session, new: &NewRevision) -> Result<RevisionPut, Trouble> {
    if let Some(number) = numbered(session, RevisionState::Staging).await? {
        return Ok(RevisionPut::Busy(number));
    }
    let active = numbered(session, RevisionState::Active).await?.unwrap_or(0);
    if active != new.planned_on {
        return Ok(RevisionPut::Moved(active));
    }
    let last = session.row("SELECT coalesce(max(number), 0) FROM topologies", &[]).await?;
    let number = (last.map_or(0, |row| row.get::<_, i64>(0)) as u64).saturating_add(1);
    insert(session, number, new).await?;
    let oldest = "DELETE FROM topologies WHERE state IN ('superseded', 'rolled_back') AND number <= $1";
    session.execute(oldest, &[&at_most(number.saturating_sub(MAX_REVISIONS as u64))]).await?;
    Ok(RevisionPut::Staged(number))
}

async fn insert(session: &Session, number: u64, new: &NewRevision) -> Result<(), Trouble> {
    let sql = "INSERT INTO topologies (number, state, planned_on, digest, caller, applied, commit_id, author, message,
            rollback_of, max_lost_percent, settle_ms, regions, why, watched, text)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, '[]', '', $13, $14)";
    let values: Values<'_> = &[
        &bits(number),
        &RevisionState::Staging.word(),
        &bits(new.planned_on),
        &text_column(&new.digest),
        &text_column(&new.caller),
        &bits(new.applied),
        &text_column(&new.commit),
        &text_column(&new.author),
        &text_column(&new.message),
        &bits(new.rollback_of),
        &i64::from(new.max_lost_percent),
        &bits(new.settle_ms),
        &set_to_blob(&new.watched),
        &text_column(&new.text),
    ];
    session.execute(sql, values).await.map(drop)
}

async fn numbered(session: &Session, state: RevisionState) -> Result<Option<u64>, Trouble> {
    let row = session.row("SELECT number FROM topologies WHERE state = $1", &[&state.word()]).await?;
    Ok(row.map(|row| row.get::<_, i64>(0) as u64))
}

pub(super) async fn one(session: &Session, which: Which) -> Result<Option<Revision>, Trouble> {
    let (number, state) = match which {
        Which::Number(number) => (at_most(number), ""),
        Which::Active => (-1, RevisionState::Active.word()),
        Which::Staging => (-1, RevisionState::Staging.word()),
    };
    let sql = "SELECT * FROM topologies WHERE number = $1 OR state = $2";
    session.row(sql, &[&number, &state]).await?.as_ref().map(revision).transpose()
}

pub(super) async fn list(
    session: &Session,
    limit: usize,
    before: Option<u64>,
) -> Result<Vec<Revision>, Trouble> {
    let before = at_most(before.unwrap_or(u64::MAX));
    session.rows(HEAD, &[&before, &(limit as i64)]).await?.iter().map(revision).collect()
}

fn revision(row: &Row) -> Result<Revision, Trouble> {
    let number = Columns::of(row, "topologies", &"some number").bits("number")?;
    let c = Columns::of(row, "topologies", &number);
    let regions = regions_from_text(&c.get::<String>("regions")?);
    Ok(Revision {
        number,
        new: NewRevision {
            planned_on: c.bits("planned_on")?,
            digest: c.text("digest")?,
            text: c.text("text")?,
            caller: c.text("caller")?,
            applied: c.bits("applied")?,
            commit: c.text("commit_id")?,
            author: c.text("author")?,
            message: c.text("message")?,
            rollback_of: c.bits("rollback_of")?,
            max_lost_percent: c.small("max_lost_percent")?,
            settle_ms: c.bits("settle_ms")?,
            watched: c.set("watched")?,
        },
        regions: regions.map_err(|why| c.damaged(format_args!("regions: {why}")))?,
        state: c.word("state", RevisionState::from_word)?,
        why: c.text("why")?,
    })
}

pub(super) async fn regions(session: &Session, number: u64, regions: &[RegionName]) -> Result<bool, Trouble> {
    let sql = "UPDATE topologies SET regions = $2 WHERE number = $1 AND state = 'staging'";
    Ok(session.execute(sql, &[&at_most(number), &regions_to_text(regions)]).await? > 0)
}

pub(super) async fn end(session: &Session, number: u64, end: &RevisionEnd) -> Result<bool, Trouble> {
    if numbered(session, RevisionState::Staging).await? != Some(number) {
        return Ok(false);
    }
    let (state, why) = match end {
        RevisionEnd::Active => (RevisionState::Active, ""),
        RevisionEnd::RolledBack(why) => (RevisionState::RolledBack, why.as_str()),
    };
    if state == RevisionState::Active {
        session.execute("UPDATE topologies SET state = 'superseded' WHERE state = 'active'", &[]).await?;
    }
    let sql = "UPDATE topologies SET state = $2, why = $3 WHERE number = $1";
    Ok(session.execute(sql, &[&bits(number), &state.word(), &text_column(why)]).await? > 0)
}
