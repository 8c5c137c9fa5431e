//! Range sets among a region's members: what the key `ranges` takes, and which ids one names.
//!
//! What a range set is and matches is [`RangeSet`]'s; here it is read on its own, counted and written out. Two that name
//! the same minion are found in `rules/overlaps`.

use crate::{
    ids::{IdError, check_id},
    target::{Expr, RangeSet, Target},
};

/// Most ids that all range sets of a file name together: forty times the reference fabric. They are written out one by
/// one to find a minion that is named twice.
pub const MAX_RANGE_IDS: u64 = 200_000;

/// Why a text is no range set of minions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It says something else, or nothing.
    #[error(
        "{0:?} is no range set (write numbers of at least two digits and of one width, as in web[001-120,200], or several \
         items: db3,web[8-11])"
    )]
    Other(String),
    /// It is meant as one, and wrong.
    #[error("{found} in {text:?} (expected is {expected})")]
    Wrong {
        /// The text.
        text: String,
        /// What is there.
        found: String,
        /// What could be there.
        expected: String,
    },
    /// What it names can be no minions' ids.
    #[error("the range set {text:?} names what is no id: {source}")]
    Ids {
        /// The text.
        text: String,
        /// What is wrong with one of them.
        source: IdError,
    },
}

/// The range set that a text is, as a target would read it.
pub(super) fn read(text: &str) -> Result<RangeSet, RangeError> {
    let target = Target::parse(text).map_err(|error| RangeError::Wrong {
        text: clip(text),
        found: error.found,
        expected: error.expected,
    })?;
    let Expr::Range(set) = target.expr() else { return Err(RangeError::Other(clip(text))) };
    match items(set.as_str()).find_map(|item| check_id(&widest(item)).err()) {
        Some(source) => Err(RangeError::Ids { text: clip(text), source }),
        None => Ok(set.clone()),
    }
}

fn clip(text: &str) -> String {
    crate::document::read::clip(text)
}

/// How many ids it names; one that it names twice counts twice.
pub(super) fn count(set: &RangeSet) -> u64 {
    let of_item = |item| pieces(item).map(|piece| piece.count()).fold(1, u64::saturating_mul);
    items(set.as_str()).map(of_item).fold(0, u64::saturating_add)
}

/// The ids that it names, in its order. As many as [`count`] says: ask that first.
pub(super) fn ids(set: &RangeSet) -> impl Iterator<Item = String> {
    items(set.as_str()).flat_map(|item| {
        pieces(item).fold(vec![String::new()], |begun, piece| {
            begun.iter().flat_map(|start| piece.ways().map(move |way| format!("{start}{way}"))).collect()
        })
    })
}

/// The longest id of an item. All of them have the same characters but for digits: if this is an id, all are.
fn widest(item: &str) -> String {
    let of_piece = |piece: Piece<'_>| {
        let number = piece.numbers.iter().map(|(_, last)| *last).max_by_key(|last| last.len());
        format!("{}{}", piece.text, number.unwrap_or_default())
    };
    pieces(item).map(of_piece).collect()
}

/// A text, and the first and last of each of the numbers after it. None at an item's end.
struct Piece<'a> {
    text: &'a str,
    numbers: Vec<(&'a str, &'a str)>,
}

impl Piece<'_> {
    fn count(&self) -> u64 {
        let all = self.numbers.iter().map(|numbers| between(*numbers)).fold(0, u64::saturating_add);
        if self.numbers.is_empty() { 1 } else { all }
    }

    fn ways(&self) -> impl Iterator<Item = String> {
        let alone = self.numbers.is_empty().then(|| self.text.to_owned());
        let numbered = self.numbers.iter().flat_map(move |(first, last)| {
            let width = first.len();
            let one = (first == last).then(|| format!("{}{first}", self.text));
            let (from, to) = if one.is_some() { (1, 0) } else { bounds((first, last)).unwrap_or((1, 0)) };
            one.into_iter().chain((from..=to).map(move |n| format!("{}{n:0width$}", self.text)))
        });
        alone.into_iter().chain(numbered)
    }
}

fn bounds((first, last): (&str, &str)) -> Option<(u128, u128)> {
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// How many numbers there are from the first to the last. More digits than can be counted are too many.
fn between(numbers: (&str, &str)) -> u64 {
    if numbers.0 == numbers.1 {
        return 1;
    }
    let many = bounds(numbers).map(|(from, to)| to.saturating_sub(from).saturating_add(1));
    many.and_then(|many| u64::try_from(many).ok()).unwrap_or(u64::MAX)
}

/// What stands between the commas outside of brackets. A bracket in a range set always holds numbers.
fn items(set: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    set.split(move |c| {
        inside = if inside { c != ']' } else { c == '[' };
        c == ',' && !inside
    })
}

fn pieces(item: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = Some(item);
    std::iter::from_fn(move || {
        let now = rest.take()?;
        let Some((text, (inside, after))) =
            now.split_once('[').and_then(|(text, more)| Some((text, more.split_once(']')?)))
        else {
            return Some(Piece { text: now, numbers: Vec::new() });
        };
        rest = Some(after);
        let numbers = inside.split(',').map(|text| text.split_once('-').unwrap_or((text, text))).collect();
        Some(Piece { text, numbers })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(text: &str) -> Vec<String> {
        ids(&read(text).expect(text)).collect()
    }

    #[test]
    fn its_ids_are_written_out() {
        for (text, expected) in [
            ("web[01-03,20]", "web01 web02 web03 web20"),
            ("r[01-02]-n[10,30].x", "r01-n10.x r01-n30.x r02-n10.x r02-n30.x"),
            ("db3,web[8-11]", "db3 web8 web9 web10 web11"),
            ("a,b", "a b"),
            ("[098-101]", "098 099 100 101"),
            ("a,[098-1001]", ""),
        ] {
            let set = read(text).expect(text);
            let ids: Vec<String> = ids(&set).collect();
            assert_eq!(ids.len() as u64, count(&set), "{text}");
            assert!(expected.is_empty() || ids.join(" ") == expected, "{text}: {ids:?}");
            assert!(ids.iter().all(|id| set.matches(id)), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_told() {
        for (text, said) in [
            ("web*", "\"web*\" is no range set"),
            ("web[1-12]", "numbers of at least two digits"),
            ("web1", "is no range set"),
            ("L@a,b", "is no range set"),
            ("web[01-02] or db[01-02]", "is no range set"),
            ("region:web[01-02]", "is no range set"),
            ("", "nothing"),
            ("web[20-01]", "the range 20-01 runs backwards in \"web[20-01]\""),
            ("web[01-20]*", "wildcards"),
            ("a,,b", "between two commas"),
            ("web/[01-02]", "names what is no id: "),
            ("web..[01-02]", "names what is no id: "),
            ("a],b", "names what is no id: "),
        ] {
            let told = read(text).map(|set| set.as_str().to_owned()).expect_err(text).to_string();
            assert!(told.contains(said), "{text:?}: {told}");
        }
        let long = format!("{}[01-02]", "a".repeat(62));
        assert!(matches!(read(&long), Err(RangeError::Ids { .. })), "a part of 64 characters");
        assert_eq!(named(&long[1..]).len(), 2);
    }

    #[test]
    fn more_than_can_be_written_out_is_counted_all_the_same() {
        let nines = "9".repeat(45);
        for (text, expected) in [
            ("w[000000-999999]".to_owned(), 1_000_000),
            ("w[0000-9999]x[0000-9999]y[0000-9999]z[0000-9999]q[0000-9999]".to_owned(), u64::MAX),
            (format!("w[{}-{nines}]", "0".repeat(45)), u64::MAX),
            (format!("w[{nines},{nines}]"), 2),
        ] {
            assert_eq!(count(&read(&text).expect(&text)), expected, "{text}");
        }
        assert_eq!(named(&format!("w[{nines},01]")).len(), 2);
    }

    proptest! {
        /// What is written out is what the range set matches.
        #[test]
        fn writing_out_agrees_with_matching(
            a in 0..30u32, b in 0..30u32, wide in 7..12u32, c in 0..10u32, list in any::<bool>(),
        ) {
            let (a, b) = (a.min(b), a.max(b));
            let text = if list { format!("x{c},w[7-{wide}]") } else { format!("w[{a:02}-{b:02}]n[{c:02},77]") };
            let set = read(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let all: Vec<String> = ids(&set).collect();
            prop_assert_eq!(all.len() as u64, count(&set));
            let two = (0..32).flat_map(|i| (0..80).map(move |j| format!("w{i:02}n{j:02}")));
            let one = (0..13).flat_map(|i| [format!("w{i}"), format!("w{i:02}"), format!("x{i}")]);
            for id in two.chain(one) {
                prop_assert_eq!(set.matches(&id), all.contains(&id), "{} on {}", text, id);
            }
        }
    }
}
