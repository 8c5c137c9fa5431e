//! What a scenario found: figures with their budgets, the verdict, and two ways to show it.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// What kind of thing a figure measures: it decides whether a tiny run with any build can judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Time, or a ratio of times: needs a quiet machine, an optimised build and the full size.
    Time,
    /// Memory: needs an optimised build, and per minion the full size.
    Memory,
    /// Counts and bytes: the same on every machine.
    Count,
}

/// One number, lower being better, with what it must not exceed and what is aimed for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    must: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<f64>,
    #[serde(skip)]
    kind: Kind,
    /// Whether `must` decides over the exit code here.
    judged: bool,
}

impl Figure {
    /// A figure without a budget.
    pub fn new(name: &'static str, value: f64, unit: &'static str, kind: Kind) -> Figure {
        // Three places: a thousandth of a millisecond or a ratio says no more than the noise.
        let value = (value * 1000.0).round() / 1000.0;
        Figure { name, value, unit, must: None, aim: None, kind, judged: false }
    }

    /// The same with a budget.
    pub fn budget(self, must: f64, aim: Option<f64>) -> Figure {
        Figure { must: Some(must), aim, judged: true, ..self }
    }

    fn missed(&self) -> bool {
        self.judged && self.must.is_some_and(|must| self.value > must)
    }

    fn verdict(&self) -> &'static str {
        match (self.must, self.aim) {
            (None, _) => "",
            (Some(_), _) if !self.judged => "not judged",
            (Some(_), _) if self.missed() => "MISSED",
            (_, Some(aim)) if self.value <= aim => "aim reached",
            _ => "kept",
        }
    }
}

/// Everything one run of a scenario found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Which scenario.
    pub scenario: &'static str,
    /// Simulated minions.
    pub minions: u32,
    /// Syndics.
    pub syndics: u32,
    /// Targets that answered, in the worst round.
    pub accounted: u64,
    /// Measured rounds.
    pub rounds: u32,
    /// The seed to repeat what the bench drew.
    pub seed: u64,
    /// Whether time and memory are shown without being judged.
    pub tiny: bool,
    /// What one has to know to read the figures.
    pub notes: Vec<String>,
    /// The figures.
    pub figures: Vec<Figure>,
}

impl Report {
    /// Takes the figures; a tiny run judges counts only, and says so.
    pub fn finish(mut self, figures: Vec<Figure>) -> Report {
        self.figures = figures;
        if self.tiny {
            for figure in self.figures.iter_mut().filter(|f| f.kind != Kind::Count) {
                figure.judged = false;
            }
            self.notes.push("tiny: figures of time and memory are not judged".into());
        }
        self
    }

    /// Why the run counts as failed; nothing if it does not.
    pub fn complaints(&self) -> Vec<String> {
        let lost = u64::from(self.minions).saturating_sub(self.accounted);
        let lost = (lost > 0).then(|| {
            format!(
                "{lost} of {} targets did not answer in some round: a fan-out without faults loses none",
                self.minions
            )
        });
        let missed = self.figures.iter().filter(|f| f.missed()).map(|f| {
            format!(
                "{} is {} {}, and must not exceed {}",
                f.name,
                f.value,
                f.unit,
                f.must.unwrap_or_default()
            )
        });
        lost.into_iter().chain(missed).collect()
    }

    /// One JSON object.
    pub fn to_json(&self) -> String {
        // Nothing in it can fail: no map with odd keys, no foreign type.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// For people.
    pub fn to_table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["figure", "measured", "unit", "must", "aim", ""]);
        for figure in &self.figures {
            let optional = |n: Option<f64>| n.map_or(String::new(), |n| n.to_string());
            let row = [
                figure.name.into(),
                figure.value.to_string(),
                figure.unit.into(),
                optional(figure.must),
                optional(figure.aim),
                figure.verdict().to_owned(),
            ];
            table.add_row(row);
        }
        for at in [1, 3, 4] {
            if let Some(column) = table.column_mut(at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let Report { scenario, minions, syndics, accounted, rounds, seed, .. } = self;
        let notes: String = self.notes.iter().map(|note| format!("\n - {note}")).collect();
        format!(
            "{scenario}: {minions} minions, {syndics} syndics, {rounds} rounds, seed {seed}\n\
             accounted: {accounted} of {minions} in every round\n\n{table}\n{notes}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(tiny: bool, accounted: u64) -> Report {
        let empty = Report {
            scenario: "fanout",
            minions: 10,
            syndics: 2,
            accounted,
            rounds: 3,
            seed: 7,
            tiny,
            notes: Vec::new(),
            figures: Vec::new(),
        };
        empty.finish(vec![
            Figure::new("slow", 4.10049, "ratio", Kind::Time).budget(4.0, Some(2.0)),
            Figure::new("bodies", 1.0, "bodies", Kind::Count).budget(1.0, None),
            Figure::new("raw", 3.0, "ms", Kind::Time),
        ])
    }

    #[test]
    fn a_missed_must_or_a_lost_target_fails_the_run() {
        let complaints = report(false, 10).complaints();
        assert_eq!(complaints, ["slow is 4.1 ratio, and must not exceed 4"]);
        assert!(report(false, 9).complaints()[0].starts_with("1 of 10 targets"));
    }

    #[test]
    fn a_tiny_run_judges_counts_and_says_what_it_does_not() {
        assert!(report(true, 10).complaints().is_empty());
        assert_eq!(report(true, 9).complaints().len(), 1);
        let table = report(true, 10).to_table();
        assert!(table.contains("not judged") && table.contains("kept") && table.contains("tiny:"), "{table}");
        let mut more_bodies = report(true, 10);
        more_bodies.figures[1].value = 1.5;
        assert_eq!(more_bodies.complaints().len(), 1);
    }

    #[test]
    fn the_json_has_the_agreed_shape() {
        let json: serde_json::Value = serde_json::from_str(&report(false, 10).to_json()).unwrap();
        assert_eq!(json["accounted"], 10);
        let first = &json["figures"][0];
        assert_eq!(
            (&first["name"], &first["must"], &first["aim"]),
            (&"slow".into(), &4.0.into(), &2.0.into())
        );
        assert!(json["figures"][2].get("must").is_none());
    }
}
