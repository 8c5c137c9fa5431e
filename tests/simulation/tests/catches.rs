//! The checker catches: with a rule broken on purpose, the invariant that the rule is for trips.

use relay_core::invariants::Violation;
use simulation::{run, sabotage::Sabotage};

/// A broken rule must show within so many seeds.
const SEEDS: u64 = 400;

#[test]
fn each_broken_rule_trips_its_invariant() {
    for (sabotage, invariant, words) in Sabotage::ALL {
        let named = |v: &Violation| v.invariant == invariant && v.what.contains(words);
        let trips = |seed: &u64| run(*seed, sabotage, false).violations.iter().any(named);
        let noticed = (0..SEEDS).find(trips);
        assert!(noticed.is_some(), "{sabotage:?} went unnoticed: {invariant} held in {SEEDS} seeds");
        println!("{sabotage:?}: {invariant} trips at seed {noticed:?}");
    }
}
