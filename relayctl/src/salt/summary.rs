//! `salt --summary`: the counts after the answers.

use std::collections::BTreeSet;

use super::answer::{Missing, Told};

/// The line above and below.
const RULE: &str = "-------------------------------------------";

/// What is counted.
#[derive(Debug, Default)]
pub struct Summary {
    returned: u64,
    failed: BTreeSet<String>,
    not_connected: BTreeSet<String>,
    not_started: BTreeSet<String>,
    cut: BTreeSet<String>,
    not_responding: BTreeSet<String>,
    highest: i32,
}

impl Summary {
    /// Counts a minion.
    pub fn count(&mut self, id: &str, told: &Told) {
        if told.cut {
            self.cut.insert(id.to_owned());
        }
        match told.missing {
            Some(Missing::NotConnected) => drop(self.not_connected.insert(id.to_owned())),
            Some(Missing::NotStarted(_)) => drop(self.not_started.insert(id.to_owned())),
            Some(Missing::NoResponse) => drop(self.not_responding.insert(id.to_owned())),
            None => {
                self.returned += 1;
                self.highest = self.highest.max(told.retcode);
                if told.retcode != 0 {
                    self.failed.insert(id.to_owned());
                }
            }
        }
    }

    /// Whether any minion returned a non-zero retcode.
    pub fn any_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// The highest retcode of those that returned.
    pub fn highest(&self) -> i32 {
        self.highest
    }

    /// Those that did not return.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        // One minion is in one of them.
        let all = [&self.not_connected, &self.not_started, &self.not_responding];
        all.into_iter().flatten().map(String::as_str)
    }

    /// Those whose value is cut off.
    pub fn cut(&self) -> impl Iterator<Item = &str> {
        self.cut.iter().map(String::as_str)
    }

    /// The text. With `verbose` it names those of whom something is to be told.
    pub fn text(&self, verbose: bool) -> String {
        let missing = self.missing().count() as u64;
        let mut out = format!(
            "\n\n{RULE}\nSummary\n{RULE}\n# of minions targeted: {}\n# of minions returned: {}\n\
             # of minions that did not return: {missing}\n# of minions with errors: {}\n",
            self.returned + missing,
            self.returned,
            self.failed.len(),
        );
        let lists = [
            ("Minions not connected", &self.not_connected),
            ("Minions not started", &self.not_started),
            ("Minions not responding", &self.not_responding),
            ("Minions with failures", &self.failed),
        ];
        for (heading, ids) in lists.into_iter().filter(|(_, ids)| verbose && !ids.is_empty()) {
            out.push_str(&format!(
                "{heading}: {}\n",
                ids.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
            ));
        }
        out + RULE + "\n"
    }
}
