//! What an attack leaves in the audit log: every test that owes a record looks for it here, as an operator would, with
//! `relayctl audit tail`, `export` and `verify`.

use std::path::PathBuf;

use fabric_tests::{Fabric, TOP, until};
use serde_json::Value;

use crate::console::Console;

/// Records that are looked through: more than any attack leaves within the bounds of the log.
const MOST: &str = "5000";

/// The audit log of a fabric.
pub struct Trail {
    console: Console,
    dir: PathBuf,
    key: String,
}

impl Trail {
    /// Read with an operator's certificate; once for each fabric.
    ///
    /// # Panics
    /// As [`Console::of`].
    pub fn of(fabric: &Fabric) -> Trail {
        let key = fabric.dir().join(TOP).join("state/audit/key.vkey").display().to_string();
        Trail { console: Console::of(fabric, "auditor"), dir: fabric.dir().join("auditor"), key }
    }

    /// All records, the oldest first.
    ///
    /// # Panics
    /// The log cannot be read.
    pub fn records(&self) -> Vec<Value> {
        let told = self.console.run(&["audit", "tail", "-n", MOST, "--out", "jsonl"]);
        assert_eq!(told.code, 0, "{}", told.said);
        told.said.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }

    /// So many records, at least, have this kind, are about somebody whose name is (or begins with) `who`, and have these texts in
    /// these fields: `how`, `subject`, or any detail. Gives them. A refusal is written a moment after the answer, so it is waited for.
    ///
    /// # Panics
    /// They do not come.
    pub async fn shows(&self, least: usize, kind: &str, who: &str, fields: &[(&str, &str)]) -> Vec<Value> {
        let what = format!("{least} records of kind {kind} about {who:?} with {fields:?}");
        until(&what, async || {
            let found = self.records().into_iter().filter(|record| fits(record, kind, who, fields));
            Some(found.collect::<Vec<_>>()).filter(|found| found.len() >= least)
        })
        .await
    }

    /// No record is about somebody of this name: the attacker did not get into the log as somebody else.
    ///
    /// # Panics
    /// One is.
    pub fn never_names(&self, who: &str) {
        let named = self.records().into_iter().find(|record| record["who"] == who);
        assert_eq!(named, None, "a record in {who}'s name");
    }

    /// Every record is there as it was written, and signed: whatever the attacker made go into it. Gives the log's text.
    ///
    /// # Panics
    /// It is not so.
    pub fn is_whole(&self) -> String {
        let file = self.dir.join(format!("export-{:08x}.jsonl", rand::random::<u32>()));
        let path = file.display().to_string();
        let exported = self.console.run(&["audit", "export", &path]);
        assert_eq!(exported.code, 0, "{}", exported.said);
        let verified = self.console.run(&["audit", "verify", &path, "--key", &self.key]);
        assert_eq!(verified.code, 0, "{}", verified.said);
        let text = std::fs::read_to_string(&file).expect("the log");
        std::fs::remove_file(file).expect("a file of ours");
        text
    }
}

fn fits(record: &Value, kind: &str, who: &str, fields: &[(&str, &str)]) -> bool {
    let text = |key: &str| match key {
        "how" | "subject" => record[key].as_str(),
        detail => record["details"][detail].as_str(),
    };
    let named = record["who"].as_str().is_some_and(|name| name.starts_with(who));
    record["kind"] == kind
        && named
        && fields.iter().all(|(key, part)| text(key).is_some_and(|t| t.contains(part)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn only_what_was_asked_for_fits() {
        let record = json!({"kind": "deny", "who": "mallory.minion", "how": "certificate", "subject": "call",
                            "details": {"path": "/a.B/C"}});
        let fits = |kind, who, fields: &[(&str, &str)]| super::fits(&record, kind, who, fields);
        assert!(fits("deny", "mallory", &[("how", "certificate"), ("path", "/C")]) && fits("deny", "", &[]));
        assert!(!fits("accept", "mallory", &[]) && !fits("deny", "allory", &[]));
        assert!(!fits("deny", "mallory", &[("path", "/D")]) && !fits("deny", "mallory", &[("why", "")]));
    }
}
