//! Records as rows, many in one statement.

use tokio_postgres::Row;

use super::{
    super::{Area, MAX_READ_BODY_BYTES, PutRecord, Record, value::Hex},
    column::Columns,
    session::{Session, Trouble},
};

pub(super) async fn one(session: &Session, area: Area, key: &[u8]) -> Result<Option<Record>, Trouble> {
    let sql = "SELECT revision, key, value FROM records WHERE area = $1 AND key = $2";
    session.row(sql, &[&area.word(), &key]).await?.as_ref().map(record).transpose()
}

/// The values that do not fit stay in the database.
pub(super) async fn page(
    session: &Session,
    area: Area,
    after: &[u8],
    limit: usize,
) -> Result<Vec<Record>, Trouble> {
    let sql = "SELECT revision, key, value FROM (
            SELECT *, sum(octet_length(value)) OVER (ORDER BY key) AS total FROM (
                SELECT revision, key, value FROM records WHERE area = $1 AND key > $2 ORDER BY key LIMIT $3) page) sums
        WHERE total <= $4 OR total = octet_length(value) ORDER BY key";
    let (limit, most) = (limit as i64, MAX_READ_BODY_BYTES as i64);
    let rows = session.rows(sql, &[&area.word(), &after, &limit, &most]).await?;
    rows.iter().map(record).collect()
}

fn record(row: &Row) -> Result<Record, Trouble> {
    let key: Vec<u8> = Columns::of(row, "records", &"some key").get("key")?;
    let name = Hex(&key);
    let c = Columns::of(row, "records", &name);
    let (revision, value) = (c.bits("revision")?, c.get::<Vec<u8>>("value")?.into());
    Ok(Record { revision, value, key: key.into() })
}

/// All of them, if each is as it is expected.
pub(super) async fn put(session: &Session, puts: &[PutRecord]) -> Result<bool, Trouble> {
    let (areas, keys) = names(puts.iter());
    let found = "SELECT r.revision FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY i (area, key, place)
        LEFT JOIN records r ON r.area = i.area AND r.key = i.key ORDER BY i.place";
    let found = session.rows(found, &[&areas, &keys]).await?;
    let as_expected = |(put, row): (&PutRecord, &Row)| {
        put.expect.holds(row.get::<_, Option<i64>>(0).map(|revision| revision as u64))
    };
    if !puts.iter().zip(&found).all(as_expected) {
        return Ok(false);
    }
    remove(session, puts).await?;
    write(session, puts).await?;
    Ok(true)
}

async fn remove(session: &Session, puts: &[PutRecord]) -> Result<(), Trouble> {
    let (areas, keys) = names(puts.iter().filter(|put| put.value.is_none()));
    if keys.is_empty() {
        return Ok(());
    }
    let sql = "DELETE FROM records r USING unnest($1::text[], $2::bytea[]) i (area, key)
        WHERE r.area = i.area AND r.key = i.key";
    session.execute(sql, &[&areas, &keys]).await.map(drop)
}

async fn write(session: &Session, puts: &[PutRecord]) -> Result<(), Trouble> {
    let (areas, keys) = names(puts.iter().filter(|put| put.value.is_some()));
    if keys.is_empty() {
        return Ok(());
    }
    let values: Vec<&[u8]> = puts.iter().filter_map(|put| put.value.as_deref()).collect();
    let sql =
        "INSERT INTO records (area, key, value) SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[])
        ON CONFLICT (area, key) DO UPDATE SET value = excluded.value, revision = excluded.revision";
    session.execute(sql, &[&areas, &keys, &values]).await.map(drop)
}

fn names<'p>(puts: impl Iterator<Item = &'p PutRecord>) -> (Vec<&'static str>, Vec<&'p [u8]>) {
    puts.map(|put| (put.area.word(), &put.key[..])).unzip()
}
