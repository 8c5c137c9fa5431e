//! A plan as data.

use relay_core::topology::plan::{Change, Edit, Part, Plan, RegionMoves};
use serde_json::{Value, json};

use super::{Counted, Counts, Live, Planned, jobs::TouchedJob};
use crate::topology::{capacity_data, problems};

pub(super) fn plan(planned: &Planned<'_>) -> Value {
    let Planned { file, new, plan, counted, strangers, live } = planned;
    let counts = Counts::of(&plan.changes);
    let ways = plan
        .moves
        .ways
        .iter()
        .map(|way| json!({ "from": way.from.as_str(), "to": way.to.as_str(), "minions": way.minions }));
    json!({
        "changes_found": !planned.is_empty(),
        "from": plan.from,
        "to": plan.to,
        "summary": { "add": counts.add, "change": counts.change, "remove": counts.remove },
        "changes": changes(plan),
        "minions": {
            "known": !matches!(counted, Counted::Expected),
            "without_region": strangers,
            "staying": plan.moves.minions(),
            "moved": plan.moves.moved(),
            "ideal": plan.moves.ideal_thousandths() as f64 / 1000.0,
            "regions": plan.moves.regions.iter().map(moves).collect::<Vec<_>>(),
            "ways": ways.collect::<Vec<_>>(),
        },
        "capacity": capacity_data(&plan.capacity),
        "warnings": problems(file, &new.warnings),
        "planned_on": live.as_ref().map(|live| live.on),
        "staging": live.as_ref().and_then(|live| live.staging),
        "jobs": live.iter().flat_map(|live| &live.jobs.jobs).map(job).collect::<Vec<_>>(),
        "jobs_not_looked_at": live.as_ref().is_some_and(|live| live.jobs.more),
        "apply": apply(planned, live.as_ref()),
    })
}

/// What to type; nothing where there is nothing to apply.
fn apply<'a>(planned: &Planned<'_>, live: Option<&'a Live>) -> Option<&'a str> {
    live.filter(|_| !planned.is_empty()).map(|live| live.apply.as_str())
}

fn job(job: &TouchedJob) -> Value {
    json!({
        "jid": job.jid.to_string(),
        "function": job.function,
        "target": job.target,
        "outstanding": job.outstanding,
        "moving": job.moving,
        "in_changed_regions": job.in_changed,
    })
}

/// The changes alone, each with the same fields.
pub(super) fn changes(plan: &Plan) -> Vec<Value> {
    plan.changes.iter().map(change).collect()
}

fn change(change: &Change) -> Value {
    let (kind, region, name) = match &change.part {
        Part::Fabric => ("fabric", None, None),
        Part::TopMaster(id) => ("top_master", None, Some(id.as_str())),
        Part::Region(name) => ("region", None, Some(name.as_str())),
        Part::Syndic(region, id) => ("syndic", Some(region.as_str()), Some(id.as_str())),
        Part::NodeGroup(name) => ("node_group", None, Some(name.as_str())),
        Part::Label(name) => ("label", None, Some(name.as_str())),
    };
    let mut data = json!({
        "kind": kind, "region": region, "name": name,
        "action": null, "field": null, "before": null, "after": null, "fields": null,
    });
    let edit = match &change.edit {
        Edit::Added(fields) => json!({ "action": "add", "fields": fields }),
        Edit::Removed(fields) => json!({ "action": "remove", "fields": fields }),
        Edit::Field { name, before, after } => {
            json!({ "action": "change", "field": name, "before": before, "after": after })
        }
    };
    if let (Value::Object(data), Value::Object(edit)) = (&mut data, edit) {
        data.extend(edit);
    }
    data
}

fn moves(region: &RegionMoves) -> Value {
    let share = |part: f64| if region.minions == 0 { 0.0 } else { part / region.minions as f64 };
    let ideal = region.ideal_thousandths as f64 / 1000.0;
    json!({
        "region": region.region.as_str(),
        "staying": region.minions,
        "moved": region.moved,
        "share": share(region.moved as f64),
        "ideal": ideal,
        "ideal_share": share(ideal),
        "from_elsewhere": region.from_elsewhere,
        "joined": region.joined,
        "left": region.left,
    })
}
