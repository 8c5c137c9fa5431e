//! The whole fan-out scenario in small, on the binaries of this build: every part is started, nothing is timed.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// This build's `loadtests`, with `top-master`, `syndic` and `minion` of the same build beside it.
fn built() -> PathBuf {
    let loadtests = PathBuf::from(env!("CARGO_BIN_EXE_loadtests"));
    // All of the workspace: with other packages chosen cargo would unite other features, and build everything anew.
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--workspace", "--bins"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let built = build.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    loadtests
}

fn left_in(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_small_fanout_accounts_for_everybody_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut run = Command::new(built());
    run.args([
        "fanout",
        "--minions",
        "40",
        "--syndics",
        "2",
        "--rounds",
        "2",
        "--seed",
        "7",
        "--tiny",
        "--json",
    ]);
    let run = run.env("TMPDIR", temporary.path()).output().unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}\n{told}", run.status);
    let report: serde_json::Value = serde_json::from_slice(&run.stdout).expect(&told);
    for (key, value) in [("minions", 40), ("accounted", 40), ("syndics", 2), ("rounds", 2), ("seed", 7)] {
        assert_eq!(report[key], value, "{key} in {report}");
    }
    let figures = report["figures"].as_array().unwrap();
    let value = |name: &str| {
        let figure = figures.iter().find(|f| f["name"] == name);
        figure.unwrap_or_else(|| panic!("no {name} in {report}"))["value"].as_f64().unwrap()
    };
    for measured in
        ["fabric_ms", "floor_ms", "fanout_vs_floor", "attach_ms", "minion_rss_mib", "uplink_bytes_per_job"]
    {
        assert!(value(measured) > 0.0, "{measured} in {report}");
    }
    assert!(value("bodies_per_return_batch") <= 1.0, "{report}");
    assert_eq!(left_in(temporary.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_size_that_does_not_fit_is_refused_with_the_largest_that_does() {
    let mut run = Command::new(env!("CARGO_BIN_EXE_loadtests"));
    let run = run.args(["fanout", "--minions", "1000000", "--syndics", "1"]).output().unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(3), "{told}");
    assert!(told.contains("the largest number that does is"), "{told}");
}

#[test]
fn a_small_batch_is_never_faster_than_its_window_and_accounts_for_everybody() {
    let temporary = tempfile::tempdir().unwrap();
    let mut run = Command::new(built());
    run.args(["batch", "--minions", "40", "--syndics", "2", "--window", "10", "--sleep-ms", "200"]);
    let run = run.args(["--rounds", "1", "--seed", "7", "--tiny", "--json"]).env("TMPDIR", temporary.path());
    let run = run.output().unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}\n{told}", run.status);
    let report: serde_json::Value = serde_json::from_slice(&run.stdout).expect(&told);
    assert_eq!((&report["accounted"], &report["minions"]), (&40.into(), &40.into()), "{report}");
    assert!(report["figures"][0]["value"].as_f64().unwrap() >= 1.0, "{report}");
    assert_eq!(left_in(temporary.path()), Vec::<PathBuf>::new());
}
