//! What differs within a group of answers that are alike, below their template: a summary of each column of numbers, and
//! a table with a row for each answer.

use relay_core::compact::compact;
use serde_json::Value;

use super::{
    paint::Paint,
    similar::{Alike, Column, Kind},
    table::aligned,
    view::View,
};

/// Most columns in the table; wider ones cannot be read. The summary and JSON have all.
const MAX_COLUMNS: usize = 12;

/// Summary and table, each line indented.
pub fn text(alike: &Alike<'_>, view: &View, indent: usize, paint: &Paint) -> String {
    let mut lines: Vec<String> = Vec::new();
    let (told, tabled): (Vec<&Column>, Vec<&Column>) =
        alike.columns.iter().partition(|column| name_of(alike, column).is_some());
    lines.extend(told.iter().filter_map(|c| Some(format!("{}: {}", heading(c), name_of(alike, c)?))));
    let numbers = tabled.iter().filter(|c| c.kind == Kind::Number);
    lines.extend(numbers.filter_map(|c| Some(format!("{}: {}", heading(c), summary(alike, c)?))));
    let shown = &tabled[..tabled.len().min(MAX_COLUMNS)];
    for (number, line) in table(alike, shown, view).lines().enumerate() {
        lines.push(if number == 0 { paint.cyan(line) } else { line.to_owned() });
    }
    let more = |n: usize, what: &str| (n > 0).then(|| format!("[{n} more {what}]"));
    lines.extend(more(tabled.len() - shown.len(), "columns: --out json has them"));
    let rows = if shown.is_empty() { 0 } else { alike.groups.len() };
    lines.extend(more(rows - view.rows(rows), "rows: --no-clip shows them"));
    lines.iter().map(|line| format!("{:indent$}{line}\n", "")).collect()
}

fn heading(column: &Column) -> String {
    format!("{{{}}}", column.name)
}

/// What is shown of a cell: without the blanks that lined it up.
fn shown(cell: &Value) -> String {
    cell.as_str().map_or_else(|| cell.to_string(), |text| text.trim_matches(' ').to_owned())
}

/// What a column of names is, if it need not be shown since the ids say it.
fn name_of(alike: &Alike<'_>, column: &Column) -> Option<&'static str> {
    if column.kind != Kind::Host || alike.groups.iter().any(|group| group.minions.len() > 1) {
        return None;
    }
    let all = |name: fn(&str) -> &str| {
        let mut pairs = alike.groups.iter().zip(&column.cells);
        pairs.all(|(group, cell)| shown(cell) == name(group.minions[0]))
    };
    if all(|id| id) {
        return Some("the minion's id");
    }
    all(|id| id.split_once('.').map_or(id, |(short, _)| short))
        .then_some("the minion's id up to the first dot")
}

/// Smallest, middle and largest of the minions' numbers, as they were written.
fn summary(alike: &Alike<'_>, column: &Column) -> Option<String> {
    let number = |cell: &Value| cell.as_f64().or_else(|| shown(cell).parse().ok());
    let mut cells: Vec<(f64, usize, &Value)> = Vec::with_capacity(column.cells.len());
    for (group, cell) in alike.groups.iter().zip(&column.cells) {
        cells.push((number(cell)?, group.minions.len(), cell));
    }
    cells.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = alike.minions().div_ceil(2);
    let mut seen = 0;
    let median = cells.iter().find(|(_, minions, _)| {
        seen += minions;
        seen >= half
    });
    let (first, last) = (cells.first()?, cells.last()?);
    Some(format!("{} to {}, median {}", shown(first.2), shown(last.2), shown(median?.2)))
}

fn table(alike: &Alike<'_>, columns: &[&Column], view: &View) -> String {
    if columns.is_empty() {
        return String::new();
    }
    let title: Vec<String> =
        std::iter::once("MINIONS".into()).chain(columns.iter().map(|c| heading(c))).collect();
    let row = |row: usize| {
        let ids = view.ids(compact(alike.groups[row].minions.iter().copied()));
        std::iter::once(ids).chain(columns.iter().map(|c| shown(&c.cells[row]))).collect()
    };
    let rows: Vec<Vec<String>> = (0..view.rows(alike.groups.len())).map(row).collect();
    aligned(&title, &rows)
}
