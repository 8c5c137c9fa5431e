//! `targets`: compounds of five terms evaluated on the inventory of a large fleet, in this process: no network, no store.
//!
//! Each expression's result is compared with a predicate on the fleet's numbers before anything is measured.

mod fleet;

use std::{hint::black_box, time::Instant};

use anyhow::Context as _;
use fleet::{Fleet, Machine};
use relay_core::target::Target;

use crate::{
    report::{Figure, Kind::Time, Report},
    scenario::{Run, Scenario, Size},
    statistics::median,
};

/// The budget for one evaluation on 100,000 minions, in milliseconds, and what is aimed for.
const MUST_MS: f64 = 10.0;
const AIM_MS: f64 = 5.0;
/// Rounds before the first measured one: the index of ids made, the engines of regular expressions warm.
const WARM_UP: u32 = 3;

/// A compound, and who is meant by it.
struct Case {
    name: &'static str,
    text: &'static str,
    means: fn(&Machine) -> bool,
}

/// From what indexes answer to what has to look at every id, term by term.
const CASES: [Case; 5] = [
    Case {
        name: "grains, glob, grain regex, region and subnet",
        text: "G@os:Ubuntu and web* and not P@num_cpus:[1-3] and region:aws and S@10.0.0.0/16",
        means: |m| {
            let cpus = m.cpus.to_string().starts_with(['1', '2', '3']);
            m.os == "Ubuntu" && m.kind == "web" && !cpus && m.region == "aws" && m.address[1] == 0
        },
    },
    Case {
        name: "regex, grain regex, subnet, suffix glob and range set",
        text: r"E@(web|db)\d+5$ and P@os:(ub|deb) and S@10.0.0.0/9 and not *7 and not app[000000-050000]",
        means: |m| m.kind != "app" && m.n % 10 == 5 && matches!(m.os, "Ubuntu" | "Debian"),
    },
    Case {
        name: "or: suffix glob, regex, unique grain, range set, subnet",
        text: r"*1 or E@.*[02]4$ or G@fqdn:*5.example.com or web[000000-030000] or S@10.1.0.0/16",
        means: |m| {
            let regex = m.n % 10 == 4 && matches!(m.n / 10 % 10, 0 | 2);
            let range = m.kind == "web" && m.n <= 30_000;
            m.n % 10 == 1 || regex || m.n % 10 == 5 || range || m.address[1] == 1
        },
    },
    Case {
        name: "or: five regexes that look at every id",
        text: r"E@.*0.*1 or E@.*2.*3 or E@.*4.*5 or E@.*6.*7 or E@.*8.*9",
        means: |m| {
            let digits = format!("{:06}", m.n);
            ["01", "23", "45", "67", "89"].iter().any(|pair| {
                let (first, last) = pair.split_at(1);
                digits.find(first).is_some_and(|at| digits[at..].contains(last))
            })
        },
    },
    Case {
        name: "and: five regexes that look at every id",
        text: r"E@.*[0-7]$ and E@[a-w].*[0-8] and E@.*\d{6} and not E@.*999 and E@(?i)(WEB|DB)",
        means: |m| m.n % 10 < 8 && !format!("{:06}", m.n).contains("999") && m.kind != "app",
    },
];

/// KiB of memory for one minion of the inventory, indexes included: measured 1.4.
const MINION_KIB: u64 = 2;

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "targets",
    about: "Compounds of five terms on the inventory of a large fleet: how long one evaluation takes",
    usual: Size { minions: 100_000, syndics: fleet::PLACES.len() as u32, rounds: 21 },
    tiny: Size { minions: LEAST, syndics: fleet::PLACES.len() as u32, rounds: 1 },
    least: LEAST,
    options: &[],
    fits: |limits, run| limits.memory(run.minions, "minions in one inventory", MINION_KIB),
    run: |run| Box::pin(measure(run)),
};
/// The expressions mean somebody from here on.
const LEAST: u32 = 65_537;

async fn measure(run: Run) -> anyhow::Result<Report> {
    let fleet = Fleet::new(run.minions)?;
    let mut figures = Vec::new();
    for case in &CASES {
        let target = Target::parse(case.text).context(case.name)?;
        fleet.check(&target, case.means)?;
        let spent = measured(&run, || drop(black_box(fleet.inventory.evaluate(&target))));
        figures.push(Figure::new(case.name, spent, "ms", Time).at_most(MUST_MS, AIM_MS));
        // A signal that asks to stop is heard between two expressions.
        tokio::task::yield_now().await;
    }
    let parsed = measured(&run, || drop(black_box(Target::parse(CASES[1].text))));
    figures.push(Figure::new("reading the second of these, regexes compiled", parsed, "ms", Time));
    let mut report = Report::new(&run, u64::from(run.minions))
        .note("no processes: one inventory in memory; a figure is the median of all rounds");
    // Nothing is drawn: the fleet is a function of its numbers.
    report.seed = 0;
    report.notes.extend(CASES.iter().map(|case| format!("{}: {}", case.name, case.text)));
    Ok(report.finish(figures))
}

/// The median time of one call, in milliseconds. A tiny run, whose times are not judged, is not warmed up.
fn measured(run: &Run, mut call: impl FnMut()) -> f64 {
    (0..if run.tiny { 0 } else { WARM_UP }).for_each(|_| call());
    let mut one = || {
        let start = Instant::now();
        call();
        start.elapsed().as_secs_f64() * 1000.0
    };
    median(&(0..run.rounds).map(|_| one()).collect::<Vec<f64>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_finds_whom_it_means_and_has_five_terms() {
        let fleet = Fleet::new(70_000).expect("a fleet");
        for case in &CASES {
            let target = Target::parse(case.text).expect(case.text);
            fleet.check(&target, case.means).expect(case.name);
            let mut terms = 0;
            target.expr().each_term(&mut |_| terms += 1);
            assert_eq!(terms, 5, "{}", case.name);
        }
        assert!(fleet.check(&Target::parse("web*").expect("parses"), |m| m.kind == "db").is_err());
    }
}
