//! A job's result for people: each answer under the ids that gave it, then one line that accounts for all.

use relay_core::{
    compact::compact,
    outcome::{Outcome, Reason},
};

use super::{
    columns,
    diff::Differ,
    nested::nested,
    paint::{Paint, clean},
    similar::{Alike, similar},
    view::{Fold, View},
};
use crate::job::{Group, JobResult};

/// Where a value starts, in columns: below the ids.
const INDENT: usize = 4;

/// The result, laid out as asked for.
pub fn text(result: &JobResult, view: impl Into<View>, paint: &Paint) -> String {
    let view = view.into();
    let answers = match view.fold {
        Fold::Exact => result.folded().into_iter().map(alone).collect(),
        Fold::None => result.unfolded().into_iter().map(alone).collect(),
        Fold::Similar => similar(result.folded()),
    };
    let compared = if view.diff { answers.iter().find(|answer| is_comparable(answer)) } else { None };
    let majority = compared.map(plain).unwrap_or_default();
    let mut writer = Writer { view, paint, differ: Differ::new(&majority), out: String::new() };
    for answer in &answers {
        let differs = compared.is_some_and(|first| !std::ptr::eq(first, answer) && is_comparable(answer));
        writer.answer(answer, differs);
    }
    writer.out + &last_line(result, paint)
}

fn alone(group: Group<'_>) -> Alike<'_> {
    Alike { template: group.said.value(), columns: Vec::new(), groups: vec![group] }
}

/// Whether there is a whole value.
fn is_comparable(answer: &Alike<'_>) -> bool {
    let said = answer.groups[0].said;
    !said.body.is_empty() && said.truncated.is_empty()
}

fn plain(answer: &Alike<'_>) -> String {
    nested(&answer.template, 0, &Paint::PLAIN)
}

struct Writer<'a> {
    view: View,
    paint: &'a Paint,
    differ: Differ<'a>,
    out: String,
}

impl Writer<'_> {
    fn answer(&mut self, answer: &Alike<'_>, differs: bool) {
        let said = answer.groups[0].said;
        self.heading(answer);
        if said.reason != Reason::None {
            self.line(said.reason.explain());
        }
        match differs.then(|| self.differ.against(&plain(answer), INDENT, self.paint)) {
            _ if said.body.is_empty() => {}
            Some(Some(none)) if none.is_empty() => self.line("[the value is that of the largest group]"),
            Some(Some(difference)) => self.out.push_str(&difference),
            Some(None) => {
                self.line("[too long to be compared; shown whole]");
                self.value(answer);
            }
            None => self.value(answer),
        }
        if !said.truncated.is_empty() {
            self.line("[cut off here: the value is too long to be carried]");
        }
        if !answer.columns.is_empty() {
            self.out.push_str(&columns::text(answer, &self.view, INDENT, self.paint));
        }
    }

    fn heading(&mut self, answer: &Alike<'_>) {
        let (said, paint) = (answer.groups[0].said, self.paint);
        let minions = answer.groups.iter().flat_map(|group| group.minions.iter().copied());
        let ids = clean(&self.view.ids(compact(minions)));
        let alike = if answer.columns.is_empty() { "" } else { ", alike" };
        let how_many = match answer.minions() {
            0 | 1 => String::new(),
            n => format!(" ({n} minions{alike})"),
        };
        let line = match said.outcome {
            Outcome::Ok => format!("{}{how_many}:\n", paint.green(ids)),
            outcome => {
                let retcode =
                    if said.retcode != 0 { format!(", retcode {}", said.retcode) } else { String::new() };
                let words = coloured(outcome, &said.words(), paint);
                format!("{}{how_many}: {words}{retcode}\n", coloured(outcome, &ids, paint))
            }
        };
        self.out.push_str(&line);
    }

    fn value(&mut self, answer: &Alike<'_>) {
        self.out.push_str(&nested(&answer.template, INDENT, self.paint));
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(&format!("{:INDENT$}{text}\n", ""));
    }
}

fn coloured(outcome: Outcome, text: &str, paint: &Paint) -> String {
    match outcome {
        Outcome::Ok => paint.green(text),
        Outcome::Failed | Outcome::TimedOut | Outcome::Interrupted | Outcome::Cancelled => paint.red(text),
        Outcome::Refused | Outcome::NotStarted | Outcome::Unknown => paint.yellow(text),
    }
}

/// `200 of 200 accounted: 198 ok, 2 not_started (unreachable) in 0.43 s  jid 2026…`
fn last_line(result: &JobResult, paint: &Paint) -> String {
    let (accounted, targets) = (result.accounted(), result.targets());
    let counts = match result.count_words() {
        none if none.is_empty() => none,
        some => format!(": {some}"),
    };
    let line = format!("{accounted} of {targets} accounted{counts}");
    let all_ok = result.outcomes().all(|o| o == Outcome::Ok) && accounted == targets;
    let line = if all_ok { paint.green(line) } else { paint.yellow(line) };
    let time = match result.is_closed() {
        true => format!(" in {:.2} s", result.elapsed_ms() as f64 / 1000.0),
        false => ", still running".to_owned(),
    };
    format!("{line}{time}  jid {}", result.jid)
}

#[cfg(test)]
mod tests;
