//! What `salt` prints of a job: each answer as it comes, or all at the end, in Salt's shape.
//!
//! Pure: what is known of the job goes in, text comes out. Who prints it, and when to stop waiting, is `ask`'s.

use std::collections::{BTreeMap, BTreeSet};

use relay_core::{compact::compact, ids::Jid, outcome::Outcome};
use serde_json::{Map, Value};

use super::{
    answer::{Missing, Told, no_response, nobody, told, why_not},
    code::Code,
    printer::Form,
    summary::Summary,
};
use crate::{
    job::JobResult,
    output::salt::{Kind, render_value},
};

/// How a job is told.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// The outputter.
    pub form: Form,
    /// `--static`: all at the end, as one document.
    pub together: bool,
    /// In the shape of a batch: retcode and jid with each answer.
    pub batch: bool,
    /// `-v`.
    pub verbose: bool,
    /// `--show-jid`.
    pub show_jid: bool,
    /// `--hide-timeout`.
    pub hide_missing: bool,
    /// `--show-timeout`: also among those told together.
    pub show_missing: bool,
    /// `--summary`.
    pub summary: bool,
    /// What functions do, from all minions once.
    pub docs: bool,
    /// The exit code is the highest retcode.
    pub highest: bool,
    /// The exit code if no minion failed and some did not return.
    pub missing_exit: Code,
}

/// What is printed at the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct End {
    /// To standard output.
    pub out: String,
    /// To standard error.
    pub err: String,
}

/// Tells one job.
#[derive(Debug)]
pub struct Teller {
    style: Style,
    jid: Jid,
    told: BTreeSet<String>,
    strangers: Vec<String>,
    kept: BTreeMap<String, Told>,
    summary: Summary,
}

impl Teller {
    /// Nothing is told yet. `strangers` are ids of the command line that no minion has.
    pub fn new(style: Style, jid: Jid, strangers: Vec<String>) -> Teller {
        let (told, kept, summary) = (BTreeSet::new(), BTreeMap::new(), Summary::default());
        Teller { style, jid, told, strangers, kept, summary }
    }

    /// What stands before all answers.
    pub fn begin(&self) -> String {
        let line = format!("Executing job with jid {}", self.jid);
        match () {
            () if self.style.form.is_data() || self.style.form.kind == Kind::Quiet => String::new(),
            () if self.style.verbose => format!("{line}\n{}\n\n", "-".repeat(line.len())),
            () if self.style.show_jid => format!("jid: {}\n", self.jid),
            () => String::new(),
        }
    }

    /// What has come since the last time. Minions that did not return are told at the end: an answer may still come.
    pub fn news(&mut self, result: &JobResult) -> String {
        let mut news = Vec::new();
        for group in result.unfolded() {
            // Nothing is sent to it any more, which a batch says at once; of `unknown` the answer may still come.
            let later = match group.said.outcome {
                Outcome::Unknown => true,
                Outcome::NotStarted => !self.style.batch,
                _ => false,
            };
            for id in group.minions {
                if !later && self.told.insert(id.to_owned()) {
                    news.push((id.to_owned(), told(group.said, self.jid)));
                }
            }
        }
        news.iter().for_each(|(id, told)| self.summary.count(id, told));
        if self.style.together || self.style.docs {
            self.kept.extend(news);
            return String::new();
        }
        if self.style.batch {
            self.batch(&news)
        } else {
            news.iter().map(|(id, told)| self.one(id, told)).collect()
        }
    }

    /// One answer by itself.
    fn one(&self, id: &str, told: &Told) -> String {
        let form = self.style.form;
        let value: Value = Map::from_iter([(id.to_owned(), told.value.clone())]).into();
        match (told.missing, form.kind) {
            // Salt prints those with an outputter of its own, which is coloured otherwise.
            (Some(_), Kind::Nested) => render_value(Kind::NoReturn, &value, &form.look),
            _ => form.text(&value, told.retcode != 0),
        }
    }

    /// Answers of a batch: who ran, then each with retcode and jid.
    fn batch(&self, news: &[(String, Told)]) -> String {
        let mut out = String::new();
        let quiet = self.style.form.kind == Kind::Quiet;
        let (missing, ran): (Vec<_>, Vec<_>) = news.iter().partition(|(_, told)| told.missing.is_some());
        for (id, told) in missing.into_iter().filter(|_| !quiet) {
            out.push_str(&format!("{}\n", never(id, told.missing)));
        }
        if !ran.is_empty() && !quiet {
            let ids: Vec<String> = ran.iter().map(|(id, _)| format!("'{id}'")).collect();
            out.push_str(&format!("\nExecuting run on [{}]\n\n", ids.join(", ")));
        }
        for (id, told) in ran {
            let value = Map::from_iter([
                ("retcode".to_owned(), told.retcode.into()),
                ("jid".to_owned(), self.jid.to_string().into()),
                (id.clone(), told.value.clone()),
            ]);
            out.push_str(&self.style.form.text(&value.into(), told.retcode != 0));
        }
        out
    }

    /// What stands after all answers: who did not return (`silent` are those of whom nothing is known at all), the
    /// counts, and why the exit code is what it is.
    pub fn end(&mut self, result: &JobResult, silent: &[String]) -> End {
        let mut end = End { out: self.news(result), err: String::new() };
        let mut missing: BTreeMap<String, Told> =
            silent.iter().map(|id| (id.clone(), no_response(self.jid))).collect();
        missing.extend(self.strangers.iter().map(|id| (id.clone(), nobody())));
        for group in result.unfolded() {
            missing.extend(group.minions.iter().map(|id| ((*id).to_owned(), told(group.said, self.jid))));
        }
        missing.retain(|id, _| !self.told.contains(id));
        missing.iter().for_each(|(id, told)| self.summary.count(id, told));
        self.told.extend(missing.keys().cloned());
        let shown = match self.style.together {
            true => self.style.show_missing && !self.style.hide_missing,
            false => !self.style.hide_missing,
        };
        if self.style.docs {
            end.out.push_str(&self.docs());
        } else if self.style.together {
            self.kept.extend(missing.into_iter().filter(|_| shown));
            end.out.push_str(&self.all());
        } else if shown {
            missing.iter().for_each(|(id, told)| end.out.push_str(&self.one(id, told)));
        }
        if self.style.summary && !self.style.form.is_data() {
            end.out.push_str(&self.summary.text(self.style.verbose));
        }
        end.err = self.complaint(shown);
        end
    }

    fn all(&self) -> String {
        let all: Map<String, Value> =
            self.kept.iter().map(|(id, told)| (id.clone(), told.value.clone())).collect();
        self.style.form.text(&all.into(), self.summary.any_failed())
    }

    /// What each function does, from whichever minion says it first.
    fn docs(&self) -> String {
        let mut docs: BTreeMap<&String, &Value> = BTreeMap::new();
        let maps = self
            .kept
            .values()
            .filter(|told| told.missing.is_none())
            .filter_map(|told| told.value.as_object());
        for (function, text) in maps.flatten() {
            docs.entry(function).or_insert(text);
        }
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        docs.iter().map(|(function, doc)| format!("{function}:\n\n{}\n\n", text(doc).trim_end())).collect()
    }

    fn complaint(&self, missing_shown: bool) -> String {
        let missing: Vec<&str> = self.summary.missing().collect();
        let mut out = String::new();
        let cut: Vec<&str> = self.summary.cut().collect();
        if !cut.is_empty() {
            let n = cut.len();
            out.push_str(&format!("WARNING: what {n} minions returned is cut off: {}\n", compact(cut)));
        }
        if self.summary.any_failed() || (!missing.is_empty() && missing_shown) {
            out.push_str("ERROR: Minions returned with non-zero exit code\n");
        }
        if !missing.is_empty() && !missing_shown {
            let n = missing.len();
            out.push_str(&format!("ERROR: {n} minions did not return: {}\n", compact(missing)));
        }
        out
    }

    /// The exit code of what was told.
    pub fn code(&self) -> Code {
        match () {
            () if self.summary.any_failed() && self.style.highest => {
                Code(u8::try_from(self.summary.highest()).unwrap_or(u8::MAX).max(1))
            }
            () if self.summary.any_failed() => Code::ERRORS,
            () if self.summary.missing().next().is_some() => self.style.missing_exit,
            () => Code::OK,
        }
    }
}

/// What a batch says of a minion on which nothing was started. Only the first of these is Salt's.
fn never(id: &str, missing: Option<Missing>) -> String {
    match missing {
        Some(Missing::NotStarted(reason)) => match why_not(reason) {
            "" => format!("Minion {id} was not started."),
            why => format!("Minion {id} was not started: {why}."),
        },
        _ => format!("Minion {id} did not respond. No job will be sent."),
    }
}

#[cfg(test)]
mod tests;
