//! A plan for people: the changes, the minions that move, what regions carry then, a last line.

use std::fmt::Write as _;

use relay_core::topology::plan::{Change, Edit, Plan, RegionMoves};
use serde_json::Value;

use super::{Counted, Counts, Live, Planned, jobs::Touched};
use crate::{
    output::{Paint, clean, table},
    topology::{api::OPEN_JOBS, capacity_table, warnings},
};

/// Most ways (from one syndic to another) that people are shown; programs get all.
const WAYS_SHOWN: usize = 12;

pub(super) fn plan(planned: &Planned<'_>, paint: &Paint) -> String {
    let Planned { file, new, plan, live, .. } = planned;
    let mut warnings = warnings(file, new);
    if let Some((n, on)) = live.as_ref().and_then(|live| Some((live.staging?, live.on))) {
        warnings.push_str(&format!(
            "revision {n} is being applied; this is planned on {on}: plan again after it\n"
        ));
    }
    if planned.is_empty() {
        let same =
            live.as_ref().map_or(String::new(), |live| format!(": revision {} means the same", live.on));
        return warnings + &paint.green(format!("nothing changes{same}"));
    }
    let mut out = changes(&plan.changes, paint);
    if planned.is_first() {
        out.push_str(&paint.green("no topology is active yet: this is the first one"));
        out.push('\n');
    } else {
        let heading = paint.cyan(clean(&format!("minions ({})", source(planned))));
        let _ = writeln!(out, "\n{heading}\n{}", moves(plan));
    }
    let _ = writeln!(out, "{}\n{}", paint.cyan("capacity after it"), capacity_table(&plan.capacity));
    if let Some(live) = live {
        out.push_str(&jobs(&live.jobs, paint));
    }
    out.push_str(&warnings);
    if !planned.is_first() {
        out.push_str(&paint.yellow(last_line(plan)));
    }
    out + &apply(live.as_ref())
}

/// Which minions were counted.
fn source(planned: &Planned<'_>) -> String {
    let known = match planned.counted {
        Counted::Expected => {
            return "as many as the files expect, under made-up ids; --minions LIST counts real ones".into();
        }
        Counted::List(file) => format!("those of {}", file.display()),
        Counted::Inventory => "those that the top master knows".into(),
    };
    match planned.strangers {
        0 => known,
        n => format!("{known}; {n} of them belong to no region of the new file"),
    }
}

/// The jobs that are touched, if there are any.
fn jobs(touched: &Touched, paint: &Paint) -> String {
    let mut out = String::new();
    if !touched.jobs.is_empty() {
        let row = |job: &super::jobs::TouchedJob| {
            let counts = [job.outstanding, job.moving, job.in_changed].map(|n| n.to_string());
            let [outstanding, moving, changed] = counts;
            [job.jid.to_string(), job.function.clone(), outstanding, moving, changed]
        };
        let heading = ["JID", "FUNCTION", "WITHOUT OUTCOME", "OF THEM MOVE", "IN CHANGED REGIONS"];
        let title = "running jobs touched (a minion moves when it runs nothing)";
        let rows = table(heading, touched.jobs.iter().map(row));
        let _ = writeln!(out, "{}\n{rows}", paint.cyan(title));
    }
    if touched.more {
        let _ = writeln!(out, "only the newest {OPEN_JOBS} open jobs were looked at\n");
    }
    out
}

fn apply(live: Option<&Live>) -> String {
    live.map_or(String::new(), |live| format!("\napply it: {}", live.apply))
}

/// A line for each part, its fields below it.
fn changes(changes: &[Change], paint: &Paint) -> String {
    let mut out = String::new();
    let mut last = None;
    for change in changes {
        let part = clean(&change.part.to_string());
        let head = match &change.edit {
            Edit::Added(_) => Some(paint.green(format!("+ {part}"))),
            Edit::Removed(_) => Some(paint.red(format!("- {part}"))),
            Edit::Field { .. } if last != Some(&change.part) => Some(paint.yellow(format!("~ {part}"))),
            Edit::Field { .. } => None,
        };
        last = Some(&change.part);
        head.into_iter().for_each(|head| out.push_str(&format!("{head}\n")));
        match &change.edit {
            Edit::Removed(_) => {}
            Edit::Added(fields) => {
                fields.iter().for_each(|(name, value)| out.push_str(&field(name, &shown(value))))
            }
            Edit::Field { name, before, after } => {
                let [before, after] = [before, after].map(|v| v.as_ref().map_or("(not set)".into(), shown));
                out.push_str(&field(name, &format!("{before} -> {after}")));
            }
        }
    }
    out
}

fn field(name: &str, value: &str) -> String {
    clean(&format!("    {name}: {value}\n"))
}

/// A text without quotes, a list in one line.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace('\n', " "),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn moves(plan: &Plan) -> String {
    let row = |r: &RegionMoves| {
        [
            r.region.to_string(),
            r.minions.to_string(),
            r.moved.to_string(),
            percent(r.moved * 1000, r.minions),
            percent(r.ideal_thousandths, r.minions),
            r.joined.to_string(),
            r.left.to_string(),
            if r.from_elsewhere == 0 { "-".into() } else { r.from_elsewhere.to_string() },
        ]
    };
    let heading = ["REGION", "STAYING", "MOVE", "SHARE", "IDEAL", "JOIN", "LEAVE", "FROM OTHER REGIONS"];
    let mut out = table(heading, plan.moves.regions.iter().map(row));
    for way in plan.moves.ways.iter().take(WAYS_SHOWN) {
        let _ = writeln!(out, "   {} -> {}: {}", way.from, way.to, way.minions);
    }
    let more = plan.moves.ways.len().saturating_sub(WAYS_SHOWN);
    if more > 0 {
        let _ = writeln!(out, "   [{more} more ways: --out json has them]");
    }
    out
}

/// A part in thousandths, of whole ones: 25.3 %.
fn percent(thousandths: u64, of: u64) -> String {
    match of {
        0 => "-".into(),
        of => format!("{:.1} %", thousandths as f64 / 10.0 / of as f64),
    }
}

fn last_line(plan: &Plan) -> String {
    let Counts { add, change, remove } = Counts::of(&plan.changes);
    let (moved, minions) = (plan.moves.moved(), plan.moves.minions());
    format!(
        "{add} to add, {change} to change, {remove} to remove; {moved} of {minions} minions move ({}, ideal {})",
        percent(moved * 1000, minions),
        percent(plan.moves.ideal_thousandths(), minions)
    )
}
