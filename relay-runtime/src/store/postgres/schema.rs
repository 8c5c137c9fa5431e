//! The tables: recognised, made, brought to this build's version. Whoever is here first does it; the others wait.

use super::{
    super::StoreError,
    session::{Session, Trouble},
};

/// One per schema version, in order; the first makes version 1. Never changed once released.
pub(super) const MIGRATIONS: &[&str] =
    &[include_str!("schema_1.sql"), include_str!("schema_2.sql"), include_str!("schema_3.sql")];
/// "rely": of all that lock something by number in this database, us.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(1919249529)";
/// The version's table. Not there: everything is to be made.
const VERSION: &str = "CREATE SCHEMA IF NOT EXISTS relay;
    CREATE TABLE relay.store (
        one     boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
        version bigint  NOT NULL
    );
    INSERT INTO relay.store (version) VALUES (0);";

/// Makes what is not there, in one transaction.
pub(super) async fn migrate(session: &Session, server: &str, steps: &[&str]) -> Result<(), StoreError> {
    let done = async {
        session.run("BEGIN").await?;
        session.run(LOCK).await?;
        update(session, server, steps).await?;
        session.run("COMMIT").await
    };
    let trouble = match done.await {
        Ok(()) => return Ok(()),
        Err(trouble) => trouble,
    };
    // If this is refused, the connection is lost, and the transaction with it.
    let _ = session.run("ROLLBACK").await;
    Err(match trouble {
        Trouble::Store(error) => error,
        other => StoreError::Database { doing: "make its tables", why: other.to_string() },
    })
}

async fn update(session: &Session, server: &str, steps: &[&str]) -> Result<(), Trouble> {
    let encoding = "SELECT current_setting('server_encoding')";
    let encoding: String = session.row(encoding, &[]).await?.map(|row| row.get(0)).unwrap_or_default();
    if encoding != "UTF8" {
        let why = format!("the database's encoding is {encoding}, it must be UTF8: create it anew");
        return Err(StoreError::Setting { server: server.into(), why }.into());
    }
    let found = version(session, server, steps.len()).await?;
    if found.is_none() {
        session.run(VERSION).await?;
    }
    let missing = steps.get(found.unwrap_or(0)..).unwrap_or_default();
    for step in missing {
        session.run(step).await?;
    }
    if !missing.is_empty() {
        session.run(&format!("UPDATE relay.store SET version = {}", steps.len())).await?;
    }
    Ok(())
}

/// The version that is there, if any; refused if it is newer, or if the schema's name is another's.
pub(super) async fn version(session: &Session, server: &str, known: usize) -> Result<Option<usize>, Trouble> {
    let ours = "SELECT to_regclass('relay.store') IS NOT NULL, EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'relay')";
    let found = session.row(ours, &[]).await?.map(|row| (row.get(0), row.get(1)));
    match found {
        Some((true, _)) => {}
        Some((false, false)) => return Ok(None),
        _ => return Err(StoreError::NotOurs { server: server.into() }.into()),
    }
    let not_ours = |_| Trouble::Store(StoreError::NotOurs { server: server.into() });
    let row = session.row("SELECT version FROM relay.store", &[]).await?;
    let version: i64 = row.map_or(Ok(0), |row| row.try_get(0)).map_err(not_ours)?;
    if version > known as i64 {
        return Err(StoreError::Newer { path: server.into(), found: version, known: known as i64 }.into());
    }
    Ok(Some(usize::try_from(version).unwrap_or(0)))
}

/// The tables are still those of this build.
pub(super) async fn check(session: &Session, server: &str) -> Result<(), Trouble> {
    match version(session, server, MIGRATIONS.len()).await? {
        Some(version) if version == MIGRATIONS.len() => Ok(()),
        _ => Err(Trouble::Refused("its tables are gone: was another database put in its place?".into())),
    }
}

/// Gives this process its row in `marks`, and forgets those of processes that are long gone.
pub(super) async fn introduce(session: &Session, process: i64) -> Result<(), Trouble> {
    let old = "DELETE FROM marks WHERE process IN (
        SELECT process FROM marks WHERE seen < now() - interval '30 days' FOR UPDATE SKIP LOCKED)";
    session.execute(old, &[]).await?;
    session.execute("INSERT INTO marks (process, number) VALUES ($1, 0)", &[&process]).await?;
    Ok(())
}
