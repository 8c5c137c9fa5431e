//! `--fold=similar`: answers that differ only in names, addresses, numbers, times and ids become one group, as a template
//! and a table of what differs. Nothing is lost: the template, filled with a minion's cells, is the minion's answer.
//!
//! A template is made of the JSON value, not of a printed text, so that structure stays structure: each text within it
//! (keys as well) is cut into pieces, and each number is a piece of its own. Where a text is nothing but a placeholder
//! and the column holds JSON numbers, the number stands there. `{name}` is a placeholder only if a column has that name;
//! a name is never given to a column if a text of the template holds it in braces itself.
//!
//! Cost is linear in the size of the answers. Answers beyond the bounds below are folded exactly.

mod form;
mod shapes;
mod tokens;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use self::form::{Cell, Part, Taken};
pub use self::tokens::Kind;
use self::tokens::Names;
use crate::job::Group;

/// Largest answer that is taken apart, in bytes of JSON: near-equal answers of more than a few pages are files, and their
/// columns nothing that anybody reads.
const MAX_ANSWER: usize = 64 * 1024;
/// Most that is taken apart in one job, in bytes: 5,000 answers of 12 KiB each; bounds memory at a few times of that.
const MAX_TOTAL: usize = 64 * 1024 * 1024;
/// Most slots in one answer.
const MAX_SLOTS: usize = 4096;

/// What differs within a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The placeholder's name: `number2`.
    pub name: String,
    /// What its cells are.
    pub kind: Kind,
    /// One cell for each of the group's answers: a text with the blanks that line it up, or a number.
    pub cells: Vec<Value>,
}

/// Answers that are alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Alike<'a> {
    /// The exact groups it is made of, in the order of the columns' cells: the largest first, then by id. Never empty.
    pub groups: Vec<Group<'a>>,
    /// What they have in common; the answer itself if nothing differs.
    pub template: Value,
    /// What differs; empty if nothing does.
    pub columns: Vec<Column>,
}

impl Alike<'_> {
    /// How many minions it is about.
    pub fn minions(&self) -> usize {
        self.groups.iter().map(|group| group.minions.len()).sum()
    }
}

/// Folds exact groups once more. The largest group is first.
pub fn similar(groups: Vec<Group<'_>>) -> Vec<Alike<'_>> {
    let values: Vec<Value> = groups.iter().map(|group| group.said.value()).collect();
    let mut number: HashMap<Common<'_>, usize> = HashMap::new();
    let mut found: Vec<Vec<Member<'_, '_>>> = Vec::new();
    let mut budget = MAX_TOTAL;
    for (group, value) in groups.into_iter().zip(&values) {
        let cells = match take(&group, value, &mut budget) {
            Some(taken) => {
                let common = (group.said.outcome, group.said.reason, group.said.retcode, taken.form);
                let at = *number.entry(common).or_insert(found.len());
                if at < found.len() {
                    found[at].push(Member { group, value, cells: taken.cells });
                    continue;
                }
                taken.cells
            }
            None => Vec::new(),
        };
        found.push(vec![Member { group, value, cells }]);
    }
    let mut forms: Vec<&[Part<'_>]> = vec![&[]; found.len()];
    number.iter().for_each(|((_, _, _, form), at)| forms[*at] = form);
    let mut alike: Vec<Alike<'_>> =
        found.into_iter().zip(forms).map(|(members, form)| one(members, form)).collect();
    alike.sort_by(|a, b| {
        b.minions().cmp(&a.minions()).then_with(|| a.groups[0].minions.cmp(&b.groups[0].minions))
    });
    alike
}

/// What near-equal answers share.
type Common<'v> = (relay_core::outcome::Outcome, relay_core::outcome::Reason, i32, Vec<Part<'v>>);

struct Member<'a, 'v> {
    group: Group<'a>,
    value: &'v Value,
    cells: Vec<Cell<'v>>,
}

/// Nothing for what is not taken apart: too large, or only the beginning of a value.
fn take<'v>(group: &Group<'_>, value: &'v Value, budget: &mut usize) -> Option<Taken<'v>> {
    let size = group.said.body.len();
    if !group.said.truncated.is_empty() || size > MAX_ANSWER || size > *budget {
        return None;
    }
    *budget -= size;
    let taken = Taken::of(value, &Names::of(&group.minions));
    (taken.cells.len() <= MAX_SLOTS).then_some(taken)
}

fn one<'a>(mut members: Vec<Member<'a, '_>>, form: &[Part<'_>]) -> Alike<'a> {
    members.sort_by(|a, b| {
        let (a, b) = (&a.group.minions, &b.group.minions);
        b.len().cmp(&a.len()).then_with(|| a.cmp(b))
    });
    let (template, columns) = match members.as_slice() {
        [only] => (only.value.clone(), Vec::new()),
        many => template(many, form),
    };
    Alike { groups: members.into_iter().map(|member| member.group).collect(), template, columns }
}

/// Slots in which all have the same become what all have; slots that are the same in each become one column.
fn template(members: &[Member<'_, '_>], form: &[Part<'_>]) -> (Value, Vec<Column>) {
    let kinds: Vec<Kind> = form.iter().filter_map(slot_kind).collect();
    let slots: Vec<Vec<Key<'_>>> = (0..kinds.len())
        .map(|slot| members.iter().map(|member| Key::of(member.cells[slot])).collect())
        .collect();
    let constant = |slot: usize| {
        let keys = &slots[slot];
        keys.iter().all(|key| *key == keys[0]).then(|| members[0].cells[slot].to_value())
    };
    let mut names = Free::new(&form::fill(form, |slot| constant(slot).unwrap_or_else(|| unnamed(slot))));
    let mut known: HashMap<(Kind, &[Key<'_>]), usize> = HashMap::new();
    let mut columns: Vec<Column> = Vec::new();
    let template = form::fill(form, |slot| {
        if let Some(value) = constant(slot) {
            return value;
        }
        let at = *known.entry((kinds[slot], &slots[slot])).or_insert_with(|| {
            let cells = members.iter().map(|member| member.cells[slot].to_value()).collect();
            columns.push(Column { name: names.next(kinds[slot]), kind: kinds[slot], cells });
            columns.len() - 1
        });
        Value::String(format!("{{{}}}", columns[at].name))
    });
    (template, columns)
}

fn slot_kind(part: &Part<'_>) -> Option<Kind> {
    match part {
        Part::Number => Some(Kind::Number),
        Part::Slot(kind) => Some(*kind),
        _ => None,
    }
}

/// A cell by what is written: 0.0 and -0.0 are equal, and are not the same.
#[derive(PartialEq, Eq, Hash)]
enum Key<'v> {
    Text(&'v str),
    Number(String),
}

impl<'v> Key<'v> {
    fn of(cell: Cell<'v>) -> Key<'v> {
        match cell {
            Cell::Text(text) => Key::Text(text),
            Cell::Number(number) => Key::Number(number.to_string()),
        }
    }
}

/// What holds a placeholder's place until it has a name: two are never equal (or two keys of a map could be), and no name
/// in braces reaches over a line end.
fn unnamed(slot: usize) -> Value {
    Value::String(format!("\n{slot}\n"))
}

/// Names for columns that no text of the template holds in braces.
struct Free {
    taken: HashSet<String>,
    last: HashMap<Kind, usize>,
}

impl Free {
    fn new(template: &Value) -> Free {
        let mut taken = HashSet::new();
        in_braces(template, &mut taken);
        Free { taken, last: HashMap::new() }
    }

    fn next(&mut self, kind: Kind) -> String {
        loop {
            let number = self.last.entry(kind).or_default();
            *number += 1;
            let name = match *number {
                1 => kind.word().to_owned(),
                n => format!("{}{n}", kind.word()),
            };
            if !self.taken.contains(&name) {
                return name;
            }
        }
    }
}

fn in_braces(value: &Value, found: &mut HashSet<String>) {
    let mut text = |text: &str| {
        let inner = text.split('{').skip(1).filter_map(|after| after.split_once('}'));
        found.extend(inner.map(|(name, _)| name.to_owned()));
    };
    match value {
        Value::String(s) => text(s),
        Value::Array(items) => items.iter().for_each(|item| in_braces(item, found)),
        Value::Object(entries) => {
            entries.keys().for_each(|key| text(key));
            entries.values().for_each(|value| in_braces(value, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests;
