//! Drift for people: three columns, and a last line that says what to do.

use std::{fmt::Write as _, path::Path};

use super::{Changes, Drift, Row};
use crate::{
    output::{Paint, clean, table},
    run::words::{minions, quoted},
};

pub(super) fn text(drift: &Drift, file: Option<&Path>, paint: &Paint) -> String {
    let heading = ["", "WHAT", "FILE", "ACTIVE", "ATTACHED"];
    let parts =
        drift.parts.iter().map(|row| [mark(row), what(row), in_file(row), in_active(row), there(row)]);
    let mut out = match drift.active {
        0 => "no topology is active yet\n".to_owned(),
        n => format!("revision {n} is active\n"),
    };
    out.push_str(&table(heading, parts));
    out.push('\n');
    for line in findings(drift, file) {
        let _ = writeln!(out, "{}", paint.yellow(clean(&line)));
    }
    if !drift.differs {
        out.push_str(&paint.green("no drift"));
    }
    out
}

/// What differs, a line each.
fn findings(drift: &Drift, file: Option<&Path>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(number) = drift.staging {
        lines.push(format!("revision {number} is being applied: look again after it"));
    }
    if let (Some(true), Some(file)) = (drift.file_differs, file) {
        let counts = drift.changes.as_ref().map_or(String::new(), |Changes { add, change, remove }| {
            format!(" ({add} to add, {change} to change, {remove} to remove)")
        });
        let plan = quoted(&file.display().to_string());
        lines.push(format!("the file is not the active topology{counts}: relayctl topology plan {plan}"));
    }
    let missing = drift.parts.iter().filter(|row| row.active && row.attached == Some(false)).count();
    let foreign = drift.parts.iter().filter(|row| !row.active && row.attached == Some(true)).count();
    if missing > 0 {
        lines.push(format!("{missing} of the active topology not attached: relayctl fabric status"));
    }
    if foreign > 0 {
        lines.push(format!("{foreign} attached that the active topology does not have"));
    }
    if drift.misplaced > 0 {
        let whom = minions(drift.misplaced);
        lines.push(format!("{whom} not on the syndic of their own; they move when they run nothing"));
    }
    if drift.strangers > 0 {
        let some = drift.strangers_named.join(", ");
        lines.push(format!("{} in no region of the active topology: {some}", minions(drift.strangers)));
    }
    lines
}

fn mark(row: &Row) -> String {
    if row.differs { "!".into() } else { String::new() }
}

fn what(row: &Row) -> String {
    match (row.id.as_str(), row.region.as_str()) {
        ("", region) => format!("region {region}"),
        // Of a top master that the topology does not have, nobody knows the region.
        (id, "") => format!("{} {id}", row.kind),
        (id, region) => format!("{} {id} ({region})", row.kind),
    }
}

fn in_file(row: &Row) -> String {
    match (row.file, row.file_minions) {
        (None, _) => "?".into(),
        (Some(false), _) => "-".into(),
        (Some(true), Some(n)) => format!("{n} expected"),
        (Some(true), None) => "yes".into(),
    }
}

fn in_active(row: &Row) -> String {
    match (row.active, row.kind, row.active_minions) {
        (false, _, _) => "-".into(),
        (true, "region", Some(n)) => format!("{n} expected"),
        (true, "syndic", Some(n)) => format!("yes, {} of its own", minions(n)),
        (true, _, _) => "yes".into(),
    }
}

fn there(row: &Row) -> String {
    match (row.attached, row.attached_minions) {
        (Some(false), _) => "-".into(),
        (Some(true), Some(n)) => format!("yes, {}", minions(n)),
        (Some(true), None) => "yes".into(),
        (None, n) => minions(n.unwrap_or(0)),
    }
}
