//! Plans as rows.

use rusqlite::{Connection, params};

use super::{
    super::{
        MAX_PLANS, PlanId, StoreError, StoredPlan,
        value::{Hex, at_most, set_to_blob},
    },
    column::Columns,
    read::each_row,
};

pub(super) fn put(connection: &Connection, plan: &StoredPlan) -> rusqlite::Result<()> {
    let expired = "DELETE FROM plans WHERE expires <= ?1";
    connection.prepare_cached(expired)?.execute([at_most(plan.created)])?;
    let sql = "INSERT INTO plans (id, created, expires, targets, request) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (id) DO UPDATE SET expires = excluded.expires";
    let (created, expires) = (at_most(plan.created), at_most(plan.expires));
    let values = params![plan.id, created, expires, set_to_blob(&plan.targets), &plan.request[..]];
    connection.prepare_cached(sql)?.execute(values)?;
    let too_many = "DELETE FROM plans WHERE id IN
        (SELECT id FROM plans WHERE id <> ?1 ORDER BY expires DESC, created DESC LIMIT -1 OFFSET ?2)";
    connection.prepare_cached(too_many)?.execute(params![plan.id, MAX_PLANS as i64 - 1])?;
    Ok(())
}

pub(super) fn plan(connection: &Connection, id: PlanId) -> Result<Option<StoredPlan>, StoreError> {
    let mut found = None;
    let name = Hex(&id);
    each_row(connection, "SELECT * FROM plans WHERE id = ?1", [id], |row| {
        let c = Columns::of(row, "plans", &name);
        let (created, expires) = (c.bits("created")?, c.bits("expires")?);
        let request = c.get::<Vec<u8>>("request")?.into();
        found = Some(StoredPlan { id, created, expires, request, targets: c.set("targets")? });
        Ok(true)
    })?;
    Ok(found)
}
