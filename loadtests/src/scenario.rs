//! What a scenario is: a name, a size, what it needs of the machine, and a function that measures.
//!
//! [`ALL`] is the list: the command line, the tiny runs of the tests and the help are made from it, so that a scenario
//! is added by one file and one entry. What a scenario measures, what it leaves out and its budgets stand in its own file.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use tempfile::TempDir;

use crate::{
    machine::{Limits, TooLarge},
    report::Report,
    swarm::Shape,
};

pub use self::list::{ALL, named};

mod list;

/// One scenario.
#[derive(Debug)]
pub struct Scenario {
    /// What it is called on the command line, and its results' file.
    pub name: &'static str,
    /// One line for the list of scenarios.
    pub about: &'static str,
    /// Its size when nothing else is asked for: the one that its budgets are about.
    pub usual: Size,
    /// Its size in the tests of every build, where nothing of time is judged.
    pub tiny: Size,
    /// Fewest minions that it makes sense with.
    pub least: u32,
    /// Numbers that it takes besides its size.
    pub options: &'static [Number],
    /// Whether a size fits the machine; asked before anything is started. [`Limits::swarm`] and [`Limits::memory`] are
    /// there for it.
    pub fits: fn(&Limits, &Run) -> Result<(), TooLarge>,
    /// Measures.
    pub run: fn(Run) -> Running,
}

/// A scenario that runs. Dropping it ends everything that it started.
pub type Running = Pin<Box<dyn Future<Output = anyhow::Result<Report>>>>;

/// How large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Minions in all.
    pub minions: u32,
    /// Syndics between them and the top master.
    pub syndics: u32,
    /// Measured rounds.
    pub rounds: u32,
}

/// A number that a scenario takes.
#[derive(Debug)]
pub struct Number {
    /// `--NAME`.
    pub name: &'static str,
    /// What it is, and in which unit.
    pub about: &'static str,
    /// What it is when nothing else is asked for.
    pub usual: u64,
    /// The same in a tiny run.
    pub tiny: u64,
    /// Smallest and largest.
    pub range: (u64, u64),
}

/// What one run is to be.
#[derive(Debug, Clone)]
pub struct Run {
    /// The scenario's name.
    pub scenario: &'static str,
    /// Minions in all.
    pub minions: u32,
    /// Syndics between them and the top master.
    pub syndics: u32,
    /// Measured rounds.
    pub rounds: u32,
    /// Seed of what the bench itself draws: incarnations, request ids, texts.
    pub seed: u64,
    /// A small run with any build: figures of time and memory are shown and not judged.
    pub tiny: bool,
    /// Runtime threads of each daemon, if it is not to choose them itself.
    pub threads: Option<u32>,
    /// What simulated minions are like.
    pub shape: Shape,
    /// What the machine gives.
    pub limits: Limits,
    /// The scenario's own numbers.
    pub numbers: BTreeMap<&'static str, u64>,
}

impl Run {
    /// One of the scenario's own [`Number`]s; 0 if it declares none of that name.
    pub fn number(&self, name: &str) -> u64 {
        self.numbers.get(name).copied().unwrap_or(0)
    }

    /// A line of progress, on standard error.
    pub fn tell(&self, line: &str) {
        eprintln!("{}: {line}", self.scenario);
    }

    /// A directory for everything that is written; gone with its value.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn directory(&self) -> anyhow::Result<TempDir> {
        Ok(tempfile::Builder::new().prefix("relay-bench-").tempdir()?)
    }

    /// What was asked for besides the size, as on a command line.
    pub fn arguments(&self) -> Vec<String> {
        let numbers = self.numbers.iter().map(|(name, n)| (*name, *n));
        let threads = self.threads.map(|n| ("daemon-threads", u64::from(n)));
        let words = numbers.chain(threads).flat_map(|(name, n)| [format!("--{name}"), n.to_string()]);
        let flags = [(self.shape.journals, "--journals"), (self.shape.each_alone, "--each-alone")];
        words.chain(flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.to_owned())).collect()
    }

    /// The same run in another size.
    pub fn sized(&self, minions: u32, syndics: u32) -> Run {
        Run { minions, syndics, ..self.clone() }
    }
}
