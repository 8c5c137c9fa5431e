//! Many ids in few characters: `db3,web[001-120,200]`. For people, logs and JSON that should stay readable at 5,000.
//!
//! Lossless: [`expand`] gives back the same ids, whatever characters they hold. Ids are grouped by what stands around
//! their last run of digits. A number is written with at least as many digits as the first of its range, so `[08-11]`
//! is 08, 09, 10, 11 and `[8-11]` is 8, 9, 10, 11. `\` stands before a `[`, `]`, `,` or `\` that belongs to an id, and
//! `[]` is an id without any character.
//!
//! As a target, the text names exactly these minions (ids of minions hold nothing that needs a `\`). One group alone
//! with numbers of several widths would be read as a glob there, so it stands in a piece for each width:
//! `web[8-9],web[10-11]`.

use std::{collections::BTreeMap, fmt::Write as _};

mod expand;

pub use expand::{ExpandError, MAX_EXPANDED_BYTES, MAX_EXPANDED_IDS, expand};

/// Longest digit run that is taken for a number: what fits 64 bits. A longer one is plain text.
const MAX_DIGITS: usize = 18;

/// What stands before and after the number. Ordered by the text before, then by the one after.
type Around<'a> = (&'a str, &'a str);

/// A number as written: its value, and how many digits it has.
type Number = (u64, usize);

/// Ids in compact form, groups and numbers in order. An id that comes twice stands there once.
pub fn compact<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    let mut plain: Vec<&str> = Vec::new();
    let mut groups: BTreeMap<Around, Vec<Number>> = BTreeMap::new();
    for id in ids {
        match split(id) {
            Some((around, number)) => groups.entry(around).or_default().push(number),
            None => plain.push(id),
        }
    }
    let plain_is_empty = plain.is_empty();
    plain.sort_unstable();
    plain.dedup();
    let mut pieces: Vec<(NaturalKey, String)> =
        plain.into_iter().map(|id| (natural(id), escaped_whole(id))).collect();
    let alone = plain_is_empty && groups.len() == 1;
    for ((before, after), mut numbers) in groups {
        numbers.sort_unstable();
        numbers.dedup();
        for numbers in if alone { by_width(numbers) } else { vec![numbers] } {
            let first = numbers.first().map_or(String::new(), |n| digits(*n));
            let key = natural(&format!("{before}{first}{after}"));
            pieces.push((key, group(before, &numbers, after)));
        }
    }
    pieces.sort();
    pieces.into_iter().map(|(_, piece)| piece).collect::<Vec<_>>().join(",")
}

/// An id around its last run of digits. `None` if there is none, or it is too long for a number.
fn split(id: &str) -> Option<(Around<'_>, Number)> {
    let end = id.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = id[..end]
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |i| i + id[i..].chars().next().map_or(1, char::len_utf8));
    let width = end - start;
    let value = (width <= MAX_DIGITS).then(|| id[start..end].parse().ok())??;
    Some(((&id[..start], &id[end..]), (value, width)))
}

/// The numbers of each width, unless one bracket of them all is a range set to a target too: nothing of one digit only.
fn by_width(numbers: Vec<Number>) -> Vec<Vec<Number>> {
    let mut widths: BTreeMap<usize, Vec<Number>> = BTreeMap::new();
    let wider = |two: &[Number]| two[1].0 == two[0].0 + 1 && two[1].1 > two[0].1;
    let grows = numbers.windows(2).any(|two| wider(two) && two[1].1 == digit_count(two[1].0));
    let short = numbers.iter().any(|(_, width)| *width == 1);
    for number in &numbers {
        widths.entry(number.1).or_default().push(*number);
    }
    if widths.len() > 1 && (short || grows) { widths.into_values().collect() } else { vec![numbers] }
}

fn group(before: &str, numbers: &[Number], after: &str) -> String {
    let mut out = escaped(before);
    match numbers {
        [only] => out.push_str(&digits(*only)),
        _ => {
            out.push('[');
            ranges(numbers, &mut out);
            out.push(']');
        }
    }
    out + &escaped(after)
}

/// `001-120,200`. Two numbers are neighbours if the second is the first plus one, printed in the width of the range.
fn ranges(numbers: &[Number], out: &mut String) {
    let mut rest = numbers;
    while let Some((&first, _)) = rest.split_first() {
        let together = rest
            .iter()
            .zip(first.0..)
            .take_while(|(number, value)| **number == (*value, first.1.max(digit_count(*value))))
            .count();
        let last = rest[together - 1];
        let comma = if out.ends_with('[') { "" } else { "," };
        let _ = match together {
            1 => write!(out, "{comma}{}", digits(first)),
            _ => write!(out, "{comma}{}-{}", digits(first), digits(last)),
        };
        rest = &rest[together..];
    }
}

fn digits((value, width): Number) -> String {
    format!("{value:0width$}")
}

fn digit_count(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '[' | ']' | ',' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn escaped_whole(id: &str) -> String {
    if id.is_empty() { "[]".into() } else { escaped(id) }
}

/// Sorts as people count: `web9` before `web10`, and letters as they stand.
type NaturalKey = Vec<NaturalPart>;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum NaturalPart {
    /// Length without leading zeros, those digits, and the length with them: any size compares as a number would.
    Digits(usize, String, usize),
    Text(String),
}

fn natural(text: &str) -> NaturalKey {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let is_digit = c.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        parts.push(if is_digit {
            let value = run.trim_start_matches('0');
            NaturalPart::Digits(value.len(), value.into(), run.len())
        } else {
            NaturalPart::Text(run.into())
        });
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests;
