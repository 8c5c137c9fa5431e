//! The form of a JSON value, with a slot for each part that may differ: what minions that say the same have in common.

use std::slice::Iter;

use serde_json::{Map, Value};

use super::tokens::{Kind, Names, Piece, pieces};

/// A value in the order in which it is written. Lengths stand first, so that no two values have the same parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part<'v> {
    Null,
    Bool(bool),
    /// A JSON number; always a slot.
    Number,
    /// So many items follow.
    List(usize),
    /// So many entries follow: a text, then a value, each.
    Map(usize),
    /// So many literals and slots follow.
    Text(usize),
    Literal(&'v str),
    Slot(Kind),
}

/// What one minion has in a slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'v> {
    /// A part of a text.
    Text(&'v str),
    /// A JSON number.
    Number(&'v Value),
}

impl Cell<'_> {
    /// As JSON.
    pub fn to_value(self) -> Value {
        match self {
            Cell::Text(text) => Value::from(text),
            Cell::Number(number) => number.clone(),
        }
    }
}

/// A value, taken apart: its form, and what it has in the form's slots.
#[derive(Debug, Default)]
pub struct Taken<'v> {
    /// What it has in common with others.
    pub form: Vec<Part<'v>>,
    /// What it has of its own; kinds are in the form.
    pub cells: Vec<Cell<'v>>,
}

impl<'v> Taken<'v> {
    /// Takes a value apart that a minion of these names said.
    pub fn of(value: &'v Value, names: &Names<'_>) -> Taken<'v> {
        let mut taken = Taken::default();
        taken.value(value, names);
        taken
    }

    fn value(&mut self, value: &'v Value, names: &Names<'_>) {
        match value {
            Value::Null => self.form.push(Part::Null),
            Value::Bool(b) => self.form.push(Part::Bool(*b)),
            Value::Number(_) => {
                self.form.push(Part::Number);
                self.cells.push(Cell::Number(value));
            }
            Value::String(text) => self.text(text, names),
            Value::Array(items) => {
                self.form.push(Part::List(items.len()));
                items.iter().for_each(|item| self.value(item, names));
            }
            Value::Object(entries) => {
                self.form.push(Part::Map(entries.len()));
                for (key, value) in entries {
                    self.text(key, names);
                    self.value(value, names);
                }
            }
        }
    }

    fn text(&mut self, text: &'v str, names: &Names<'_>) {
        let pieces = pieces(text, names);
        self.form.push(Part::Text(pieces.len()));
        for piece in pieces {
            match piece {
                Piece::Literal(text) => self.form.push(Part::Literal(text)),
                Piece::Token(kind, text) => {
                    self.form.push(Part::Slot(kind));
                    self.cells.push(Cell::Text(text));
                }
            }
        }
    }
}

/// Makes a value of a form: `fill` says what stands in each slot, in order.
pub fn fill(form: &[Part<'_>], mut fill: impl FnMut(usize) -> Value) -> Value {
    let mut slot = 0;
    let mut next = || {
        slot += 1;
        fill(slot - 1)
    };
    value(&mut form.iter(), &mut next)
}

fn value(parts: &mut Iter<'_, Part<'_>>, next: &mut impl FnMut() -> Value) -> Value {
    match parts.next() {
        Some(Part::Bool(b)) => Value::Bool(*b),
        Some(Part::Number) => next(),
        Some(Part::Text(n)) => Value::String(text(*n, parts, next)),
        Some(Part::List(n)) => (0..*n).map(|_| value(parts, next)).collect(),
        Some(Part::Map(n)) => {
            let entry = |_| match parts.next() {
                Some(Part::Text(n)) => (text(*n, parts, next), value(parts, next)),
                _ => (String::new(), Value::Null),
            };
            Value::Object((0..*n).map(entry).collect::<Map<_, _>>())
        }
        // The others stand below a text only.
        Some(Part::Null | Part::Literal(_) | Part::Slot(_)) | None => Value::Null,
    }
}

fn text(n: usize, parts: &mut Iter<'_, Part<'_>>, next: &mut impl FnMut() -> Value) -> String {
    let mut out = String::new();
    for part in parts.by_ref().take(n) {
        match part {
            Part::Literal(text) => out.push_str(text),
            _ => out.push_str(next().as_str().unwrap_or_default()),
        }
    }
    out
}
