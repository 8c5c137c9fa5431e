//! Schedules as rows: how one runs is written apart from what it is.

use relay_core::{ids::Jid, time::WallMicros};
use tokio_postgres::Row;

use super::{
    super::{
        MAX_SCHEDULES, NewSchedule, Put, ScheduleRun, StoredSchedule,
        value::{at_most, bits, jid_column},
    },
    column::{Columns, text_column},
    session::{Session, Trouble},
};

pub(super) async fn put(session: &Session, new: &NewSchedule) -> Result<Put, Trouble> {
    let name = text_column(&new.name);
    if session.row("SELECT FROM schedules WHERE name = $1", &[&name]).await?.is_some() {
        if !new.replace {
            return Ok(Put::Taken);
        }
    } else if count(session).await? >= MAX_SCHEDULES as i64 {
        return Ok(Put::Full);
    }
    let sql = "INSERT INTO schedules (name, paused, passed, definition) VALUES ($1, $2, $3, $4)
        ON CONFLICT (name) DO UPDATE
        SET paused = excluded.paused, passed = excluded.passed, definition = excluded.definition";
    session.execute(sql, &[&name, &new.paused, &at_most(new.passed), &&new.definition[..]]).await?;
    Ok(Put::Kept)
}

async fn count(session: &Session) -> Result<i64, Trouble> {
    Ok(session.row("SELECT count(*) FROM schedules", &[]).await?.map_or(0, |row| row.get(0)))
}

pub(super) async fn all(session: &Session) -> Result<Vec<StoredSchedule>, Trouble> {
    session.rows("SELECT * FROM schedules ORDER BY name", &[]).await?.iter().map(schedule).collect()
}

fn schedule(row: &Row) -> Result<StoredSchedule, Trouble> {
    let name = Columns::of(row, "schedules", &"some name").text("name")?;
    let c = Columns::of(row, "schedules", &name);
    let last = match c.moment("last")? {
        Some(at) => Some(run(&c, at)?),
        None => None,
    };
    Ok(StoredSchedule {
        definition: c.get::<Vec<u8>>("definition")?.into(),
        paused: c.get("paused")?,
        passed: c.bits("passed")?,
        last,
        name: name.clone(),
    })
}

fn run(c: &Columns<'_>, at: WallMicros) -> Result<ScheduleRun, Trouble> {
    let error = match c.get::<Option<String>>("last_error")? {
        Some(_) => Some(c.text("last_error")?),
        None => None,
    };
    Ok(ScheduleRun { at, jid: c.moment("last_jid")?.map(Jid::from_micros), error })
}

pub(super) async fn pause(
    session: &Session,
    name: &str,
    paused: bool,
    passed: WallMicros,
) -> Result<bool, Trouble> {
    let sql = "UPDATE schedules SET paused = $2, passed = greatest(passed, $3) WHERE name = $1";
    Ok(session.execute(sql, &[&text_column(name), &paused, &at_most(passed)]).await? > 0)
}

pub(super) async fn ran(
    session: &Session,
    name: &str,
    run: &ScheduleRun,
    passed: WallMicros,
) -> Result<bool, Trouble> {
    let sql = "UPDATE schedules SET last = $2, last_jid = $3, last_error = $4, passed = greatest(passed, $5)
        WHERE name = $1";
    let (jid, error) = (run.jid.map(jid_column), run.error.as_deref().map(text_column));
    let values: super::session::Values<'_> =
        &[&text_column(name), &bits(run.at), &jid, &error, &at_most(passed)];
    Ok(session.execute(sql, values).await? > 0)
}

pub(super) async fn remove(session: &Session, name: &str) -> Result<bool, Trouble> {
    Ok(session.execute("DELETE FROM schedules WHERE name = $1", &[&text_column(name)]).await? > 0)
}
