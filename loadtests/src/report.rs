//! What a scenario found: figures with their budgets, the verdict, and what has to be known to read them.
//!
//! [`table`] shows it to people; `results` keeps it.

use serde::Serialize;

use crate::{machine::Machine, scenario::Run};

pub mod figure;
mod table;

pub use figure::{Better, Figure, Kind, Series};

/// Version of the form of a kept result. Fields may be added within one.
pub const FORMAT: u32 = 1;

/// Everything one run of a scenario found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Which scenario.
    pub scenario: &'static str,
    /// On what.
    pub machine: Machine,
    /// The commit that was measured, `-dirty` behind it if files differed; `unknown` where nobody told.
    pub commit: String,
    /// `release` or `debug`.
    pub build: &'static str,
    /// When it ended: seconds since 1970.
    pub ended: u64,
    /// How long all of it took, setting up included, in seconds.
    pub took_s: f64,
    /// Minions.
    pub minions: u32,
    /// Syndics.
    pub syndics: u32,
    /// Targets that answered, in the worst round.
    pub accounted: u64,
    /// Measured rounds.
    pub rounds: u32,
    /// The seed to repeat what the bench drew.
    pub seed: u64,
    /// What was asked for besides the size, as on a command line.
    pub arguments: Vec<String>,
    /// Whether time and memory are shown without being judged.
    pub tiny: bool,
    /// What one has to know to read the figures.
    pub notes: Vec<String>,
    /// The figures.
    pub figures: Vec<Figure>,
    /// Curves for the plots.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Series>,
}

impl Report {
    /// A report without figures. `accounted`: targets that answered in the worst round; [`Run::minions`] if all did.
    pub fn new(run: &Run, accounted: u64) -> Report {
        Report {
            format: FORMAT,
            scenario: run.scenario,
            machine: Machine::default(),
            commit: String::new(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            ended: 0,
            took_s: 0.0,
            minions: run.minions,
            syndics: run.syndics,
            accounted,
            rounds: run.rounds,
            seed: run.seed,
            arguments: run.arguments(),
            tiny: run.tiny,
            notes: Vec::new(),
            figures: Vec::new(),
            series: Vec::new(),
        }
    }

    /// Adds what one has to know: how it was measured, and what was left out.
    pub fn note(mut self, note: impl Into<String>) -> Report {
        self.notes.push(note.into());
        self
    }

    /// Adds a curve.
    pub fn curve(mut self, series: Series) -> Report {
        self.series.push(series);
        self
    }

    /// Takes the figures; a tiny run judges counts only, and says so.
    pub fn finish(mut self, figures: Vec<Figure>) -> Report {
        self.figures = figures;
        if self.tiny {
            self.figures.iter_mut().for_each(Figure::judge_counts_only);
            self.notes.push("tiny: figures of time and memory are not judged".into());
        }
        self
    }

    /// Why the run counts as failed; nothing if it does not.
    pub fn complaints(&self) -> Vec<String> {
        let lost = u64::from(self.minions).saturating_sub(self.accounted);
        let lost = (lost > 0).then(|| {
            format!(
                "{lost} of {} targets did not answer in some round: a run without faults loses none",
                self.minions
            )
        });
        lost.into_iter().chain(self.figures.iter().filter_map(Figure::complaint)).collect()
    }

    /// One JSON object, on one line.
    pub fn to_json(&self) -> String {
        // Nothing in it can fail: no map with odd keys, no foreign type.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{machine::Limits, swarm::Shape};

    /// A run of ten minions, for tests.
    pub(crate) fn run(tiny: bool) -> Run {
        Run {
            scenario: "fanout",
            minions: 10,
            syndics: 2,
            rounds: 3,
            seed: 7,
            tiny,
            threads: None,
            shape: Shape::default(),
            limits: Limits { descriptors: 20_000, memory_kib: 1 << 24, ports: 28_000 },
            numbers: BTreeMap::new(),
        }
    }

    fn report(tiny: bool, accounted: u64) -> Report {
        Report::new(&run(tiny), accounted).finish(vec![
            Figure::new("slow", 4.10049, "ratio", Kind::Time).at_most(4.0, 2.0),
            Figure::new("bodies", 1.0, "bodies", Kind::Count).at_most(1.0, None),
            Figure::new("raw", 3.0, "ms", Kind::Time),
        ])
    }

    #[test]
    fn a_missed_must_or_a_lost_target_fails_the_run() {
        let complaints = report(false, 10).complaints();
        assert_eq!(complaints, ["slow is 4.1 ratio, and must be at most 4"]);
        assert!(report(false, 9).complaints()[0].starts_with("1 of 10 targets"));
    }

    #[test]
    fn a_tiny_run_judges_counts_and_says_what_it_does_not() {
        assert!(report(true, 10).complaints().is_empty());
        assert_eq!(report(true, 9).complaints().len(), 1);
        let table = report(true, 10).to_table();
        assert!(table.contains("not judged") && table.contains("kept") && table.contains("tiny:"), "{table}");
        let more_bodies = Figure::new("bodies", 1.5, "bodies", Kind::Count).at_most(1.0, None);
        assert_eq!(Report::new(&run(true), 10).finish(vec![more_bodies]).complaints().len(), 1);
    }

    #[test]
    fn the_json_has_the_agreed_shape() {
        let json: serde_json::Value = serde_json::from_str(&report(false, 10).to_json()).unwrap();
        assert_eq!((&json["accounted"], &json["format"]), (&10.into(), &1.into()));
        let first = &json["figures"][0];
        assert_eq!(
            (&first["name"], &first["must"], &first["aim"], &first["better"]),
            (&"slow".into(), &4.0.into(), &2.0.into(), &"lower".into())
        );
        assert!(json["figures"][2].get("must").is_none());
    }
}
