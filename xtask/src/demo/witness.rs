//! A file outside the fabric, to which each body of a job appends a line when it starts: nobody can forget there what ran.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// What the body does; `DIR` is replaced. It knows its minion by its parent, the runner, whose path is
/// `…/MINION/runs/RUN`.
const BODY: &str = r#"id=$(tr '\0' '\n' </proc/$PPID/cmdline | sed -n 's|.*/\([^/]*\)/runs/.*|\1|p')
echo "$RELAY_JID $id" >> DIR/witness
sleep SECONDS
echo "done"
"#;

/// The files.
pub struct Witness(PathBuf);

impl Witness {
    /// In this directory, which is there; bodies take so many seconds.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn new(dir: &Path, seconds: u32) -> anyhow::Result<Witness> {
        let body = BODY.replace("DIR", &dir.display().to_string()).replace("SECONDS", &seconds.to_string());
        let path = dir.join("body.sh");
        fs::write(&path, body).with_context(|| path.display().to_string())?;
        Ok(Witness(dir.to_owned()))
    }

    /// The command whose starts are seen, for `cmd.run`.
    pub fn command(&self) -> String {
        // Read by the shell that the runner starts, whose parent is thus the runner.
        format!(". {}/body.sh", self.0.display())
    }

    /// How often a job was started on each minion.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn starts(&self, jid: &str) -> anyhow::Result<BTreeMap<String, usize>> {
        let path = self.0.join("witness");
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.with_context(|| path.display().to_string())?,
        };
        let mut starts = BTreeMap::new();
        for (_, id) in text.lines().filter_map(|line| line.split_once(' ')).filter(|(of, _)| *of == jid) {
            *starts.entry(id.to_owned()).or_default() += 1;
        }
        Ok(starts)
    }
}

/// Holds what a job's last word is (`jobs show --out json`) against what was seen: each of `targets` minions has exactly one
/// outcome, none ran twice, who is `ok` ran, and who is `not_started` did not. Returns what to say about it.
///
/// # Errors
/// It is not so, and with whom.
pub fn compare(job: &Value, starts: &BTreeMap<String, usize>, targets: u64) -> anyhow::Result<String> {
    let mut outcomes: BTreeMap<&str, &str> = BTreeMap::new();
    for group in job["returns"].as_array().context("the job has no returns")? {
        let outcome = group["outcome"].as_str().context("a return without outcome")?;
        for id in group["minions"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let before = outcomes.insert(id, outcome);
            ensure!(before.is_none(), "{id} has two outcomes: {} and {outcome}", before.unwrap_or_default());
        }
    }
    ensure!(outcomes.len() as u64 == targets, "{} of {targets} minions have an outcome", outcomes.len());
    for (id, times) in starts {
        ensure!(*times == 1, "{id} ran {times} times");
        ensure!(outcomes.get(id.as_str()) != Some(&"not_started"), "{id} is not_started, but it ran");
    }
    let unseen = outcomes.iter().find(|(id, outcome)| **outcome == "ok" && !starts.contains_key(**id));
    ensure!(unseen.is_none(), "{unseen:?} is ok, but it never ran");
    Ok(format!("{targets} minions, one outcome each; {} ran, none twice", starts.len()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(job: &Value, starts: &[(&str, usize)], targets: u64) -> String {
        let starts = starts.iter().map(|(id, n)| ((*id).to_owned(), *n)).collect();
        compare(job, &starts, targets).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_found() {
        let job = json!({"returns": [
            {"outcome": "ok", "minions": ["a", "b"]},
            {"outcome": "not_started", "minions": ["c"]},
        ]});
        assert_eq!(told(&job, &[("a", 1), ("b", 1)], 3), "3 minions, one outcome each; 2 ran, none twice");
        assert_eq!(told(&job, &[("a", 1), ("b", 1)], 4), "3 of 4 minions have an outcome");
        assert_eq!(told(&job, &[("a", 2), ("b", 1)], 3), "a ran 2 times");
        assert_eq!(told(&job, &[("a", 1), ("b", 1), ("c", 1)], 3), "c is not_started, but it ran");
        assert!(told(&job, &[("a", 1)], 3).contains("never ran"));
        let twice = json!({"returns": [
            {"outcome": "ok", "minions": ["a"]}, {"outcome": "unknown", "minions": ["a"]},
        ]});
        assert_eq!(told(&twice, &[("a", 1)], 1), "a has two outcomes: ok and unknown");
    }

    #[test]
    fn the_body_says_who_ran_it() {
        let dir = tempfile::tempdir().unwrap();
        let witness = Witness::new(dir.path(), 0).unwrap();
        assert!(witness.starts("7").unwrap().is_empty());
        // A stand-in for the runner: its path names the minion.
        let runner = dir.path().join("aws-001/runs");
        fs::create_dir_all(&runner).unwrap();
        // Two commands: the shell stays, and is the parent of the one that reads the body.
        fs::write(runner.join("1"), format!("sh -c '{}'; :", witness.command())).unwrap();
        let mut run = std::process::Command::new("sh");
        let ran = run.arg(runner.join("1")).env("RELAY_JID", "7").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "done\n", "{ran:?}");
        assert_eq!(witness.starts("7").unwrap(), BTreeMap::from([("aws-001".to_owned(), 1)]));
        assert!(witness.starts("8").unwrap().is_empty());
    }
}
