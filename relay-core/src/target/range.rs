//! Range sets: `web[001-120,200]` means web001 to web120, and web200.
//!
//! Salt knows `[` and `]` as a glob's class of characters, and Salt's lines must keep their meaning: `web[0-4]`,
//! `web[12]` and `web[1-120]` stay globs. A bracket is a range only if it holds nothing but numbers of at least two
//! digits and ranges between two such numbers of the same width, and at least one range or comma. As a class that
//! would be one of `0`, `1` to `2`, `0`, which has shorter spellings. The widths are kept: `[01-10]` does not name `1`.
//! A pattern in double quotes is a glob, whatever its brackets hold.

use super::error::Problem;

/// A range set, ready to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet {
    text: Box<str>,
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

/// First and last number as digits, of the same width: then the order of texts is that of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Numbers(String, String);

impl RangeSet {
    /// The range set that a text is; `None` if no bracket of it is a range, and it is a glob.
    pub(super) fn read(text: &str) -> Option<Result<RangeSet, Problem>> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, numbers, after)) = first_range(rest) {
            parts.push(Part::new(before, numbers));
            rest = after;
        }
        if parts.is_empty() {
            return None;
        }
        parts.push(Part::new(rest, Vec::new()));
        let set = RangeSet { text: text.into(), parts };
        Some(set.check().map(|()| set))
    }

    /// Whether a text is one, right or wrong.
    pub(super) fn is_meant(text: &str) -> bool {
        first_range(text).is_some()
    }

    fn check(&self) -> Result<(), Problem> {
        if self.parts.iter().any(|part| part.text.contains(['*', '?', '['])) {
            let expected =
                "numbers as in web[001-120,200], or a glob alone (in double quotes, brackets are a glob's)";
            return Err(Problem::new("a range set and wildcards in one word", expected));
        }
        let mut numbers = self.parts.iter().flat_map(|part| &part.numbers);
        match numbers.find(|Numbers(first, last)| first > last) {
            Some(Numbers(first, last)) => {
                let found = format!("the range {first}-{last} runs backwards");
                Err(Problem::new(found, format!("{last}-{first}")))
            }
            None => Ok(()),
        }
    }

    /// The range set as written.
    pub fn as_str(&self) -> &str {
        &self.text
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
        let one_width = numbers.windows(2).all(|two| two[0].0.len() == two[1].0.len());
        Part { text: text.into(), numbers, one_width }
    }

    /// What can be left of a text after this part.
    fn after<'a>(&self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let rest = text.strip_prefix(self.text.as_str());
        let numbered = rest.into_iter().flat_map(|rest| self.numbers.iter().filter_map(|n| n.after(rest)));
        rest.filter(|_| self.numbers.is_empty()).into_iter().chain(numbered)
    }
}

impl Numbers {
    fn after<'a>(&self, text: &'a str) -> Option<&'a str> {
        let Numbers(first, last) = self;
        let (number, rest) = text.split_at_checked(first.len())?;
        (digits(number) && first.as_str() <= number && number <= last.as_str()).then_some(rest)
    }
}

/// The first bracket that is a range: what is before, its numbers, and what is after.
fn first_range(text: &str) -> Option<(&str, Vec<Numbers>, &str)> {
    text.match_indices('[').find_map(|(open, _)| {
        let (inside, after) = text[open + 1..].split_once(']')?;
        Some((&text[..open], numbers(inside)?, after))
    })
}

fn numbers(inside: &str) -> Option<Vec<Numbers>> {
    let several = inside.contains([',', '-']);
    inside.split(',').map(item).collect::<Option<Vec<_>>>().filter(|_| several)
}

fn item(text: &str) -> Option<Numbers> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let fits = first.len() >= 2 && first.len() == last.len() && digits(first) && digits(last);
    fits.then(|| Numbers(first.into(), last.into()))
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
        for text in
            ["[0-4]", "[12]", "[012]", "[1-120]", "[01-120]", "[1,2]", "[01-20,5]", "[0-9][0-9]", "[!01-20]"]
        {
            assert!(!RangeSet::is_meant(text) && RangeSet::read(text).is_none(), "{text}");
        }
        for text in ["[01-20]", "[10,20]", "[001-120,200]", "[a]", "[01-"] {
            assert_eq!(RangeSet::is_meant(text), text.len() > 4, "{text}");
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
