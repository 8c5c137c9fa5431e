//! A small run of the load harness in a test build: everybody answers, in every round. Its times mean nothing.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::{
    process::{self, Group, typed},
    tally::Tally,
};

/// Enough that every syndic has some, few enough for a test build.
const MINIONS: u64 = 160;
const SYNDICS: &str = "4";
const ROUNDS: &str = "3";
const LIMIT: Duration = Duration::from_secs(5 * 60);

/// Runs it with the programs in `bin`.
///
/// # Errors
/// A minion is unaccounted for, or the harness did not get as far as counting.
pub fn check(bin: &Path) -> anyhow::Result<Tally> {
    let mut harness = Command::new(bin.join("loadtests"));
    harness.args([
        "fanout",
        "--minions",
        &MINIONS.to_string(),
        "--syndics",
        SYNDICS,
        "--rounds",
        ROUNDS,
        "--json",
    ]);
    println!("$ {}", typed(&harness));
    let mut json = String::new();
    let ended = process::run(&mut harness, Group::Own, LIMIT, |line| {
        json.push_str(line);
        json.push('\n');
    })?;
    let report: Value = serde_json::from_str(&json)
        .with_context(|| format!("exit code {}, and its output is no JSON:\n{json}", ended.code))?;
    judge(&report)?;
    println!("{}", summary(&report));
    Ok(Tally::PASSED)
}

/// Exit code 1 is not looked at: in a test build a figure may miss what it must reach in a release build.
fn judge(report: &Value) -> anyhow::Result<()> {
    let (minions, accounted) = (report["minions"].as_u64(), report["accounted"].as_u64());
    if minions != Some(MINIONS) || accounted != minions {
        bail!("{} of {MINIONS} minions are accounted for, in\n{report:#}", report["accounted"]);
    }
    Ok(())
}

fn summary(report: &Value) -> String {
    let figure = |f: &Value| format!("{} {} {}", text(&f["name"]), f["value"], text(&f["unit"]));
    let figures =
        report["figures"].as_array().into_iter().flatten().map(figure).collect::<Vec<_>>().join(", ");
    let counted = format!(
        "{} of {} accounted in each of {} rounds",
        report["accounted"], report["minions"], report["rounds"]
    );
    format!("{counted}\nnot judged, this is a test build: {figures}")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_minion_missing_is_an_error() {
        assert!(judge(&json!({"minions": MINIONS, "accounted": MINIONS})).is_ok());
        assert!(judge(&json!({"minions": MINIONS, "accounted": MINIONS - 1})).is_err());
        assert!(judge(&json!({"minions": 1, "accounted": 1})).is_err());
        assert!(judge(&json!({})).is_err());
    }
}
