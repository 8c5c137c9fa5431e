//! Every scenario in small, on the binaries of this build: every part is started, nothing is timed.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use loadtests::scenario::{ALL, Scenario};
use serde_json::Value;

/// This build's `loadtests`, with `top-master`, `syndic` and `minion` of the same build beside it.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // All of the workspace: with other packages chosen cargo would unite other features, and build everything anew.
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--workspace", "--bins"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let built = build.output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        PathBuf::from(env!("CARGO_BIN_EXE_loadtests"))
    })
}

fn left_in(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Runs a scenario in small; its report. Nothing may be left of it.
fn tiny(scenario: &Scenario) -> Value {
    let temporary = tempfile::tempdir().unwrap();
    let mut run = Command::new(built());
    run.args([scenario.name, "--tiny", "--json", "--seed", "7"]).env("TMPDIR", temporary.path());
    let Output { status, stdout, stderr } = run.output().unwrap();
    let told = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{}: {status}\n{told}", scenario.name);
    assert_eq!(left_in(temporary.path()), Vec::<PathBuf>::new(), "{}", scenario.name);
    serde_json::from_slice(&stdout).expect(&told)
}

/// What holds for all scenarios, whatever they measure.
fn check(scenario: &Scenario, report: &Value) {
    let expected = [
        ("minions", u64::from(scenario.tiny.minions)),
        ("accounted", scenario.tiny.minions.into()),
        ("syndics", scenario.tiny.syndics.into()),
        ("rounds", scenario.tiny.rounds.into()),
    ];
    for (key, value) in expected {
        assert_eq!(report[key], value, "{key} in {report}");
    }
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0, "{report}");
    let figures = report["figures"].as_array().unwrap();
    assert!(!figures.is_empty(), "{report}");
    for figure in figures {
        assert!(figure["value"].is_number(), "{} of {}: {figure}", figure["name"], scenario.name);
    }
}

#[test]
fn every_scenario_runs_in_small_accounts_for_everybody_and_leaves_nothing_behind() {
    // Two at a time: nothing is timed here, and most of each is waiting.
    const LANES: usize = 2;
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let own = ALL.iter().skip(lane).step_by(LANES);
            scope.spawn(|| own.for_each(|scenario| check(scenario, &tiny(scenario))));
        }
    });
}

#[test]
fn a_size_that_does_not_fit_is_refused_with_the_largest_that_does() {
    let mut run = Command::new(env!("CARGO_BIN_EXE_loadtests"));
    let run = run.args(["fanout", "--minions", "1000000", "--syndics", "1"]).output().unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(3), "{told}");
    assert!(told.contains("the largest number that does is"), "{told}");
}
