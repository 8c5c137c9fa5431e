//! Range sets: `web[001-120,200]` means web001 to web120, and web200; `db3,web[8-11]` several of them, and ids.
//!
//! Salt knows `[` and `]` as a glob's class of characters, and Salt's lines must keep their meaning: `web[0-4]`,
//! `web[12]` and `web[1-120]` stay globs. A bracket is a range only if it holds nothing but numbers of at least two
//! digits and ranges between two such numbers of the same width, and at least one range or comma. As a class that
//! would be one of `0`, `1` to `2`, `0`, which has shorter spellings. The widths are kept: `[01-10]` does not name `1`.
//!
//! A comma outside of brackets is in no id, so a word with one means nothing as a glob: it is a list, and in it every
//! bracket of numbers is a range. There a range may grow wider: `[8-11]` is 8, 9, 10, 11. What [`crate::compact`] writes
//! of ids is read back as these ids. A pattern in double quotes is a glob, whatever it holds.

use super::error::Problem;

/// A range set, ready to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet {
    text: Box<str>,
    items: Vec<RangeItem>,
}

/// One item of a range set: an id, or ids that differ in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeItem {
    /// At least one; the last has no numbers.
    parts: Vec<Part>,
}

/// A text, and one of these numbers after it; or a text alone, at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    text: String,
    numbers: Vec<Numbers>,
    /// The numbers are all of the same width.
    one_width: bool,
}

/// First and last number as digits. A number in between has at least as many digits as the first, and no more zeros in
/// front than that takes: then, at one width, the order of texts is that of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Numbers(String, String);

/// Which brackets are ranges.
#[derive(Clone, Copy, PartialEq)]
enum Brackets {
    /// Those that no glob would say.
    Sure,
    /// All with numbers in them.
    Any,
}

impl RangeSet {
    /// The range set that a text is; `None` if it is a glob.
    pub(super) fn read(text: &str) -> Option<Result<RangeSet, Problem>> {
        let texts = items(text);
        let items: Vec<RangeItem> = match texts.as_slice() {
            [only] => vec![Some(RangeItem::new(only, Brackets::Sure)).filter(|item| item.parts.len() > 1)?],
            several => several.iter().map(|item| RangeItem::new(item, Brackets::Any)).collect(),
        };
        let checked = items.iter().try_for_each(RangeItem::check);
        Some(checked.map(|()| RangeSet { text: text.into(), items }))
    }

    /// Whether a text is one, right or wrong.
    pub(super) fn is_meant(text: &str) -> bool {
        first_range(text, Brackets::Sure).is_some() || items(text).len() > 1
    }

    /// The range set as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands between its commas.
    pub fn items(&self) -> &[RangeItem] {
        &self.items
    }

    /// Whether it names this id.
    pub fn matches(&self, id: &str) -> bool {
        self.items.iter().any(|item| item.matches(id))
    }
}

impl RangeItem {
    fn new(text: &str, which: Brackets) -> RangeItem {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, numbers, after)) = first_range(rest, which) {
            parts.push(Part::new(before, numbers));
            rest = after;
        }
        parts.push(Part::new(rest, Vec::new()));
        RangeItem { parts }
    }

    fn check(&self) -> Result<(), Problem> {
        if self.literal() == Some("") {
            return Err(Problem::new("a list with nothing between two commas", "an id, or no comma"));
        }
        if self.parts.iter().any(|part| part.text.contains(['*', '?', '['])) {
            let expected = "ids and numbers as in db3,web[001-120,200], or a glob alone: join globs by 'or' \
                            (in double quotes, brackets and commas are a glob's)";
            return Err(Problem::new("a range set and wildcards in one word", expected));
        }
        let mut numbers = self.parts.iter().flat_map(|part| &part.numbers);
        match numbers.find(|numbers| numbers.is_backwards()) {
            Some(Numbers(first, last)) => {
                let found = format!("the range {first}-{last} runs backwards");
                Err(Problem::new(found, format!("{last}-{first}")))
            }
            None => Ok(()),
        }
    }

    /// The id, if it is one without numbers to choose from.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [only] => Some(&only.text),
            _ => None,
        }
    }

    /// What every match begins with; may be empty.
    pub fn literal_prefix(&self) -> &str {
        self.parts.first().map_or("", |part| &part.text)
    }

    /// Whether it names this id. Numbers of different widths leave several places where the next part may begin, and
    /// all are kept, so nothing is ever tried twice. Mostly there is one width, and nothing to keep.
    pub fn matches(&self, id: &str) -> bool {
        if self.parts.iter().all(|part| part.one_width) {
            return self.parts.iter().try_fold(id, |rest, part| part.after(rest).next()) == Some("");
        }
        let mut places = vec![id];
        for part in &self.parts {
            places = places.iter().flat_map(|rest| part.after(rest)).collect();
            places.sort_unstable_by_key(|rest| rest.len());
            places.dedup_by_key(|rest| rest.len());
        }
        places.iter().any(|rest| rest.is_empty())
    }
}

impl Part {
    fn new(text: &str, numbers: Vec<Numbers>) -> Part {
        let width = numbers.first().map_or(0, |Numbers(first, _)| first.len());
        let one_width =
            numbers.iter().all(|Numbers(first, last)| first.len() == width && last.len() == width);
        Part { text: text.into(), numbers, one_width }
    }

    /// What can be left of a text after this part.
    fn after<'a>(&self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let rest = text.strip_prefix(self.text.as_str());
        let numbered = rest.into_iter().flat_map(|rest| self.numbers.iter().flat_map(|n| n.after(rest)));
        rest.filter(|_| self.numbers.is_empty()).into_iter().chain(numbered)
    }
}

impl Numbers {
    fn is_backwards(&self) -> bool {
        (self.0.len(), &self.0) > (self.1.len(), &self.1)
    }

    /// What can be left of a text after a number of each width.
    fn after<'a>(&self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let widths = self.0.len()..=self.1.len();
        widths.filter_map(|width| {
            let (number, rest) = text.split_at_checked(width)?;
            (digits(number) && self.holds(number)).then_some(rest)
        })
    }

    fn holds(&self, number: &str) -> bool {
        let Numbers(first, last) = self;
        let from = if number.len() == first.len() { first.as_str() } else { "1" };
        from <= number && (number.len() < last.len() || number <= last.as_str())
    }
}

/// What stands between the commas that are in no bracket.
fn items(text: &str) -> Vec<&str> {
    let (mut items, mut start, mut at) = (Vec::new(), 0, 0);
    while let Some(found) = text[at..].find(['[', ',']) {
        let here = at + found;
        let close = text[here..].find(']').filter(|_| text[here..].starts_with('['));
        at = here + close.unwrap_or(0) + 1;
        if text[here..].starts_with(',') {
            items.push(&text[start..here]);
            start = at;
        }
    }
    items.push(&text[start..]);
    items
}

/// The first bracket that is a range: what is before, its numbers, and what is after.
fn first_range(text: &str, which: Brackets) -> Option<(&str, Vec<Numbers>, &str)> {
    text.match_indices('[').find_map(|(open, _)| {
        let (inside, after) = text[open + 1..].split_once(']')?;
        Some((&text[..open], numbers(inside, which)?, after))
    })
}

fn numbers(inside: &str, which: Brackets) -> Option<Vec<Numbers>> {
    let several = which == Brackets::Any || inside.contains([',', '-']);
    inside.split(',').map(|text| item(text, which)).collect::<Option<Vec<_>>>().filter(|_| several)
}

fn item(text: &str, which: Brackets) -> Option<Numbers> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let fits = match which {
        Brackets::Sure => first.len() >= 2 && first.len() == last.len(),
        // Of two widths, the larger has no zeros to be that wide.
        Brackets::Any => !first.is_empty() && (first.len() == last.len() || !last.starts_with('0')),
    };
    (fits && digits(first) && digits(last) && !last.is_empty()).then(|| Numbers(first.into(), last.into()))
}

fn digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(text: &str) -> RangeSet {
        RangeSet::read(text).expect("is a range").expect(text)
    }

    #[test]
    fn only_what_no_glob_would_say_is_a_range() {
        for text in [
            "[0-4]",
            "[12]",
            "[012]",
            "[1-120]",
            "[01-120]",
            "[1,2]",
            "[01-20,5]",
            "[0-9][0-9]",
            "[!01-20]",
            "a[x,y]",
        ] {
            assert!(!RangeSet::is_meant(text) && RangeSet::read(text).is_none(), "{text}");
        }
        for text in ["[01-20]", "[10,20]", "[001-120,200]", "[a]", "[01-"] {
            assert_eq!(RangeSet::is_meant(text), text.len() > 4, "{text}");
        }
        for text in ["a,b", "web[8-11],db3", "a,", ",", "a[1", "web[1,x", "a*,b"] {
            assert_eq!(RangeSet::is_meant(text), text != "a[1", "{text}");
            assert_eq!(RangeSet::read(text).is_some(), text != "a[1", "{text}");
        }
    }

    #[test]
    fn names_its_numbers_in_their_width_and_nothing_else() {
        for (range, id, yes) in [
            ("web[001-120,200]", "web001", true),
            ("web[001-120,200]", "web120", true),
            ("web[001-120,200]", "web200", true),
            ("web[001-120,200]", "web121", false),
            ("web[001-120,200]", "web000", false),
            ("web[001-120,200]", "web01", false),
            ("web[001-120,200]", "web0010", false),
            ("web[001-120,200]", "aweb001", false),
            ("web[01-20].x", "web09.x", true),
            ("web[01-20].x", "web0é.x", false),
            ("r[01-02]-n[10,30]", "r02-n30", true),
            ("r[01-02]-n[10,30]", "r02-n20", false),
            ("[10,101]1", "101", true),
            ("[10,101]1", "1011", true),
            ("[10,101][11,15]", "10115", true),
            ("[10-10]", "10", true),
            ("db3,web1", "web1", true),
            ("db3,web1", "db3,web1", false),
            ("db3,web[8-11]", "db3", true),
            ("db3,web[8-11]", "web8", true),
            ("db3,web[8-11]", "web11", true),
            ("db3,web[8-11]", "web08", false),
            ("db3,web[8-11]", "web12", false),
            ("db3,web[8-11]", "web7", false),
            ("a,web[098-1001].x", "web0099.x", false),
            ("a,web[098-1001].x", "web099.x", true),
            ("a,web[098-1001].x", "web999.x", true),
            ("a,web[098-1001].x", "web1001.x", true),
            ("a,web[098-1001].x", "web1002.x", false),
            ("a,w[1-12]3", "w13", true),
            ("a,w[1-12]3", "w123", true),
            ("a,w[7]", "w7", true),
        ] {
            assert_eq!(set(range).matches(id), yes, "{range} on {id}");
        }
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        for (text, found) in [
            ("web[20-01]", "20-01 runs backwards"),
            ("web[01-20]*", "wildcards"),
            ("?web[01-20]", "wildcards"),
            ("[01-20][0-9]", "wildcards"),
            ("a,web*", "wildcards"),
            ("a,web[x]", "wildcards"),
            ("a,web[8-011]", "wildcards"),
            ("a,web[11-8]", "11-8 runs backwards"),
            ("a,,b", "between two commas"),
            ("a,", "between two commas"),
        ] {
            let problem = RangeSet::read(text).expect("is meant").expect_err(text);
            assert!(problem.found.contains(found), "{problem:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_list_of_its_ids(a in 0..100u32, b in 0..100u32, c in 0..1000u32, id in 0..1000u32) {
            let (a, b) = (a.min(b), a.max(b));
            let names: Vec<String> =
                (a..=b).map(|n| format!("w{n:02}")).chain([format!("w{c:03}")]).collect();
            let set = set(&format!("w[{a:02}-{b:02},{c:03}]"));
            for id in [format!("w{id:02}"), format!("w{id:03}"), format!("w{c:03}"), format!("w{id}")] {
                prop_assert_eq!(set.matches(&id), names.contains(&id), "{} on {}", set.as_str(), id);
            }
        }
    }
}
