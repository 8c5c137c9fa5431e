//! Where results are kept: a file for each scenario, a line for each run, never rewritten.
//!
//! `cargo xtask bench` names the directory and the commit; a run without it keeps nothing. Tiny runs and unoptimised
//! builds are never kept: they measure something else.

use std::{
    fs::{OpenOptions, create_dir_all},
    io::Write,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;

use crate::report::Report;

/// Names the directory.
pub const DIR_VARIABLE: &str = "RELAY_BENCH_RESULTS";
/// Names the commit that is measured.
pub const COMMIT_VARIABLE: &str = "RELAY_BENCH_COMMIT";

/// The commit that this run measures, as far as anybody told.
pub fn commit() -> String {
    std::env::var(COMMIT_VARIABLE).unwrap_or_else(|_| "unknown".into())
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Keeps a report, if a directory is named and it is worth keeping; says where.
///
/// # Errors
/// The file cannot be written.
pub fn keep(report: &Report) -> anyhow::Result<Option<PathBuf>> {
    match std::env::var_os(DIR_VARIABLE) {
        Some(dir) if is_worth_keeping(report) => append(Path::new(&dir), report).map(Some),
        _ => Ok(None),
    }
}

fn is_worth_keeping(report: &Report) -> bool {
    !report.tiny && report.build == "release"
}

fn append(dir: &Path, report: &Report) -> anyhow::Result<PathBuf> {
    let path = dir.join(format!("{}.jsonl", report.scenario));
    let write = || {
        create_dir_all(dir)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        // One write: a second run beside this one cannot come between.
        file.write_all(format!("{}\n", report.to_json()).as_bytes())
    };
    write().with_context(|| format!("{}: cannot keep the result", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::run;

    #[test]
    fn each_run_is_a_line_and_tiny_ones_are_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("results");
        let report = Report::new(&run(false), 10);
        append(&kept, &report).unwrap();
        let path = append(&kept, &report).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((&line["scenario"], &line["seed"]), (&"fanout".into(), &7.into()));
        }
        assert!(!is_worth_keeping(&Report::new(&run(true), 10)));
        assert!(is_worth_keeping(&Report { build: "release", ..report }));
    }
}
