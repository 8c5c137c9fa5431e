//! Plans as rows.

use super::{
    super::{
        MAX_PLANS, PlanId, StoredPlan,
        value::{Hex, at_most, set_to_blob},
    },
    column::Columns,
    session::{Session, Trouble},
};

pub(super) async fn put(session: &Session, plan: &StoredPlan) -> Result<(), Trouble> {
    let (id, created, expires) = (&plan.id[..], at_most(plan.created), at_most(plan.expires));
    session.execute("DELETE FROM plans WHERE expires <= $1", &[&created]).await?;
    let sql = "INSERT INTO plans (id, created, expires, targets, request) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (id) DO UPDATE SET expires = excluded.expires";
    let targets = set_to_blob(&plan.targets);
    session.execute(sql, &[&id, &created, &expires, &targets, &&plan.request[..]]).await?;
    let too_many = "DELETE FROM plans WHERE id IN
        (SELECT id FROM plans WHERE id <> $1 ORDER BY expires DESC, created DESC OFFSET $2)";
    session.execute(too_many, &[&id, &(MAX_PLANS as i64 - 1)]).await?;
    Ok(())
}

pub(super) async fn plan(session: &Session, id: PlanId) -> Result<Option<StoredPlan>, Trouble> {
    let Some(row) = session.row("SELECT * FROM plans WHERE id = $1", &[&&id[..]]).await? else {
        return Ok(None);
    };
    let name = Hex(&id);
    let c = Columns::of(&row, "plans", &name);
    let (created, expires) = (c.bits("created")?, c.bits("expires")?);
    let request = c.get::<Vec<u8>>("request")?.into();
    Ok(Some(StoredPlan { id, created, expires, request, targets: c.set("targets")? }))
}
