//! The scenarios, in the order in which they are shown.

use super::Scenario;
use crate::{batch, fanout, fold, growth, idle, jobs, paper, peers, soak, storm, targets};

/// All of them.
pub const ALL: &[&Scenario] = &[
    &fanout::SCENARIO,
    &growth::SCENARIO,
    &fold::SCENARIO,
    &storm::SCENARIO,
    &idle::SCENARIO,
    &jobs::SCENARIO,
    &batch::SCENARIO,
    &soak::SCENARIO,
    &targets::SCENARIO,
    &paper::SCENARIO,
    &peers::SCENARIO,
];

/// The scenario of that name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().copied().find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Size;

    #[test]
    fn names_are_distinct_and_tiny_runs_are_tiny() {
        let mut names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for scenario in ALL {
            let Size { minions, syndics, rounds } = scenario.tiny;
            assert!(rounds <= 3 && syndics <= 4, "{}", scenario.name);
            assert!(minions >= scenario.least && minions <= scenario.usual.minions, "{}", scenario.name);
            for number in scenario.options {
                let (low, high) = number.range;
                let fits = (low..=high).contains(&number.usual) && (low..=high).contains(&number.tiny);
                assert!(fits, "{} --{}", scenario.name, number.name);
            }
        }
    }
}
