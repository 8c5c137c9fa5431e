//! A report for people.

use comfy_table::{CellAlignment, Table, presets};

use super::{Figure, Report, Series};

impl Report {
    /// The figures with their budgets and verdicts, and the notes.
    pub fn to_table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["figure", "must", "aim", "measured", "unit", ""]);
        for figure in &self.figures {
            table.add_row(row(figure));
        }
        for at in [1, 2, 3] {
            if let Some(column) = table.column_mut(at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let Report { scenario, minions, syndics, accounted, rounds, seed, .. } = self;
        let curves: String = self.series.iter().map(curve).collect();
        let notes: String = self.notes.iter().map(|note| format!("\n - {note}")).collect();
        format!(
            "{scenario}: {minions} minions, {syndics} syndics, {rounds} rounds, seed {seed}, {:.0} s\n\
             accounted: {accounted} of {minions} in every round\n\n{table}\n{curves}{notes}",
            self.took_s
        )
    }
}

fn row(figure: &Figure) -> [String; 6] {
    let optional = |n: Option<f64>| n.map_or(String::new(), |n| n.to_string());
    [
        figure.name.clone().into_owned(),
        optional(figure.must),
        optional(figure.aim),
        figure.value.to_string(),
        figure.unit.into(),
        figure.verdict().to_owned(),
    ]
}

/// A curve on one line, the points from left to right.
fn curve(series: &Series) -> String {
    let Series { plot, name, x, y, points } = series;
    let points: Vec<String> = points.iter().map(|(at, value)| format!("{at}: {value:.1}")).collect();
    format!("\n {plot}, {name} [{y}], {x} {}", points.join("; "))
}
