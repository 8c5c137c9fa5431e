//! A plan as data.

use relay_core::topology::plan::{Change, Edit, Part, RegionMoves};
use serde_json::{Value, json};

use super::{Counts, Planned};
use crate::topology::{capacity_data, problems};

pub(super) fn plan(planned: &Planned<'_>) -> Value {
    let Planned { args, new, plan, strangers } = planned;
    let counts = Counts::of(plan);
    let ways = plan
        .moves
        .ways
        .iter()
        .map(|way| json!({ "from": way.from.as_str(), "to": way.to.as_str(), "minions": way.minions }));
    json!({
        "changes_found": !plan.is_empty(),
        "from": plan.from,
        "to": plan.to,
        "summary": { "add": counts.add, "change": counts.change, "remove": counts.remove },
        "changes": plan.changes.iter().map(change).collect::<Vec<_>>(),
        "minions": {
            "known": args.minions.is_some(),
            "without_region": strangers,
            "staying": plan.moves.minions(),
            "moved": plan.moves.moved(),
            "ideal": plan.moves.ideal_thousandths() as f64 / 1000.0,
            "regions": plan.moves.regions.iter().map(moves).collect::<Vec<_>>(),
            "ways": ways.collect::<Vec<_>>(),
        },
        "capacity": capacity_data(&plan.capacity),
        "warnings": problems(&args.new, &new.warnings),
    })
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
    let mut data = json!({ "kind": kind, "region": region, "name": name });
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
