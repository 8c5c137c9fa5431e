//! Shell globs with the meaning of Python's `fnmatch`, which Salt uses: `*`, `?`, `[seq]`, `[!seq]`, case-sensitive.
//!
//! Not `globset`: there `{a,b}`, `\` and `**/` mean something, `?` and `[é]` work on bytes and not on characters, and
//! `[z-a]` is an error. The search never goes back over a `*`: time is at most text times pattern, with no pattern that
//! blows up, and nothing has to be compiled or can fail to.

/// A glob, ready to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    text: Box<str>,
    /// The stretches between the stars: one more than there are stars.
    runs: Vec<Vec<Piece>>,
    /// What every match begins with.
    prefix: String,
}

/// What matches one character.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Char(char),
    Any,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Piece::Char(own) => *own == c,
            Piece::Any => true,
            Piece::Class { negated, ranges } => {
                ranges.iter().any(|(a, z)| (*a..=*z).contains(&c)) != *negated
            }
        }
    }
}

impl Glob {
    /// The glob that a text is. Every text is one: a `[` that is not closed stands for itself.
    pub fn new(text: &str) -> Glob {
        let mut runs = vec![Vec::new()];
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match (c, runs.last_mut()) {
                ('*', _) => runs.push(Vec::new()),
                ('?', Some(run)) => run.push(Piece::Any),
                ('[', Some(run)) => {
                    let (piece, after) = class(rest).unwrap_or((Piece::Char('['), rest));
                    run.push(piece);
                    rest = after;
                }
                (c, Some(run)) => run.push(Piece::Char(c)),
                (_, None) => {}
            }
        }
        let prefix =
            runs[0].iter().map_while(|p| if let Piece::Char(c) = p { Some(*c) } else { None }).collect();
        Glob { text: text.into(), runs, prefix }
    }

    /// The glob as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What every match begins with; may be empty.
    pub fn literal_prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether it matches its own text and nothing else.
    pub fn is_literal(&self) -> bool {
        self.runs.len() == 1 && self.prefix.len() == self.text.len()
    }

    /// Whether it matches every text (`*`).
    pub fn is_everything(&self) -> bool {
        self.runs.len() > 1 && self.runs.iter().all(Vec::is_empty)
    }

    /// Whether it matches the whole of `text`.
    pub fn matches(&self, text: &str) -> bool {
        let (Some(first), [.., last]) = (self.runs.first(), &self.runs[1..]) else {
            return self.runs.first().and_then(|only| eat(only, text)) == Some("");
        };
        let middle = &self.runs[1..self.runs.len() - 1];
        let mut left = eat(first, text);
        for run in middle {
            left = left.and_then(|l| find(run, l));
        }
        left.is_some_and(|l| ends_with(last, l))
    }
}

/// Every character that an id may have.
fn id_characters() -> impl Iterator<Item = char> {
    ('a'..='z').chain('A'..='Z').chain('0'..='9').chain(['-', '_', '.'])
}

impl Piece {
    /// Whether some character of ids fits both.
    fn meets(&self, other: &Piece) -> bool {
        id_characters().any(|c| self.takes(c) && other.takes(c))
    }
}

impl Glob {
    /// Whether some text of the characters of ids matches both. It need not be an id in its whole form: labels of a wrong
    /// length count, too. So "no" is certain, and "yes" nearly so. Time is one pattern's length times the other's.
    pub fn overlaps(&self, other: &Glob) -> bool {
        let (a, b) = (self.steps(), other.steps());
        let width = b.len() + 1;
        let mut seen = vec![false; (a.len() + 1) * width];
        let mut todo = vec![(0, 0)];
        while let Some((i, j)) = todo.pop() {
            if std::mem::replace(&mut seen[i * width + j], true) {
                continue;
            }
            match (a.get(i), b.get(j)) {
                (None, None) => return true,
                // A star matches nothing more, or what the other one takes next.
                (Some(None), Some(None)) => todo.extend([(i + 1, j), (i, j + 1)]),
                (Some(None), next) => {
                    todo.push((i + 1, j));
                    todo.extend(
                        next.filter(|piece| piece.is_none_or(|p| p.meets(&Piece::Any))).map(|_| (i, j + 1)),
                    );
                }
                (next, Some(None)) => {
                    todo.push((i, j + 1));
                    todo.extend(
                        next.filter(|piece| piece.is_none_or(|p| p.meets(&Piece::Any))).map(|_| (i + 1, j)),
                    );
                }
                (Some(Some(x)), Some(Some(y))) if x.meets(y) => todo.push((i + 1, j + 1)),
                _ => {}
            }
        }
        false
    }

    /// Its pieces, with nothing for a star.
    fn steps(&self) -> Vec<Option<&Piece>> {
        let mut steps = Vec::new();
        for (no, run) in self.runs.iter().enumerate() {
            steps.extend((no > 0).then_some(None));
            steps.extend(run.iter().map(Some));
        }
        steps
    }
}

/// Reads a class after its `[`: the class and what follows its `]`. A `]` in first place belongs to the class, `-` in
/// first or last place stands for itself, and a range the wrong way round is empty, all as in `fnmatch`.
fn class(text: &str) -> Option<(Piece, &str)> {
    let (negated, body) = text.strip_prefix('!').map_or((false, text), |body| (true, body));
    let first = body.chars().next()?.len_utf8();
    let close = first + body[first..].find(']')?;
    let chars: Vec<char> = body[..close].chars().collect();
    let (mut ranges, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        let range = i + 2 < chars.len() && chars[i + 1] == '-';
        ranges.push((chars[i], chars[if range { i + 2 } else { i }]));
        i += if range { 3 } else { 1 };
    }
    Some((Piece::Class { negated, ranges }, &body[close + 1..]))
}

/// What is left of `text` after a run at its beginning.
fn eat<'a>(run: &[Piece], text: &'a str) -> Option<&'a str> {
    let mut chars = text.chars();
    run.iter().all(|piece| chars.next().is_some_and(|c| piece.takes(c))).then_some(chars.as_str())
}

/// What is left of `text` after the first place where a run fits. The first is enough: a later one leaves less.
fn find<'a>(run: &[Piece], text: &'a str) -> Option<&'a str> {
    let places = text.char_indices().map(|(i, _)| i).chain([text.len()]);
    places.into_iter().find_map(|i| eat(run, &text[i..]))
}

fn ends_with(run: &[Piece], text: &str) -> bool {
    let mut chars = text.chars().rev();
    run.iter().rev().all(|piece| chars.next().is_some_and(|c| piece.takes(c)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matches_as_fnmatch_does() {
        for (glob, text, yes) in [
            ("*", "", true),
            ("*", "web01", true),
            ("", "", true),
            ("", "a", false),
            ("web*", "web01", true),
            ("web*", "Web01", false),
            ("web*", "aweb01", false),
            ("*01", "web01", true),
            ("*01", "web011", false),
            ("w*b*1", "web01", true),
            ("a*a", "a", false),
            ("*ab*ab*", "ab", false),
            ("web?", "web1", true),
            ("web?", "web", false),
            ("?", "é", true),
            ("[é]", "é", true),
            ("web[12]", "web2", true),
            ("web[!12]", "web2", false),
            ("web[0-3]x", "web3x", true),
            ("[]]", "]", true),
            ("[!]]", "]", false),
            ("[a-]", "-", true),
            ("[-a]", "-", true),
            ("[^a]", "b", false),
            ("[z-a]", "m", false),
            ("[!z-a]", "m", true),
            ("[ab", "[ab", true),
            ("[!", "[!", true),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
            ("\\*", "\\x", true),
            ("**", "a/b", true),
            ("a.c", "abc", false),
        ] {
            assert_eq!(Glob::new(glob).matches(text), yes, "{glob} on {text}");
        }
    }

    #[test]
    fn patterns_overlap_where_an_id_could_match_both() {
        for (a, b, yes) in [
            ("aws-*", "azure-*", false),
            ("aws-*", "*-web", true),
            ("aws-*", "aws-db-*", true),
            ("a*b", "a*c", false),
            ("*", "x", true),
            ("web-[0-4]*", "web-[5-9]*", false),
            ("web-[0-4]*", "web-[4-9]*", true),
            ("web-[!a-z]", "web-[a-z]", false),
            ("web-?", "web-??", false),
            ("{a,b}*", "*", false),
            ("é*", "é*", false),
            ("*-prod", "*-test", false),
            ("*a*a*a*a*a*a*a*a*a*x", "*a*a*a*a*a*a*a*a*a*y", false),
        ] {
            assert_eq!(Glob::new(a).overlaps(&Glob::new(b)), yes, "{a} and {b}");
            assert_eq!(Glob::new(b).overlaps(&Glob::new(a)), yes, "{b} and {a}");
        }
    }

    #[test]
    fn knows_what_it_needs_no_search_for() {
        assert!(Glob::new("web01").is_literal() && Glob::new("[ab").is_literal());
        assert!(
            !Glob::new("web?").is_literal() && !Glob::new("[a]").is_literal() && !Glob::new("*").is_literal()
        );
        assert!(Glob::new("*").is_everything() && Glob::new("**").is_everything());
        assert!(!Glob::new("").is_everything() && !Glob::new("?*").is_everything());
        assert_eq!(Glob::new("web-[01]*").literal_prefix(), "web-");
    }

    /// The definition, with all its going back. Exponential, for short texts only.
    fn plain(glob: &[char], text: &[char]) -> bool {
        match (glob.split_first(), text.split_first()) {
            (None, _) => text.is_empty(),
            (Some(('*', rest)), _) => (0..=text.len()).any(|i| plain(rest, &text[i..])),
            (Some((g, rest)), Some((t, more))) => (*g == '?' || g == t) && plain(rest, more),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(glob in "[ab?*é]{0,8}", text in "[abé]{0,8}") {
            let (g, t): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
            prop_assert_eq!(Glob::new(&glob).matches(&text), plain(&g, &t));
        }
        /// A text that both match is no longer than what they name of it, and has no other characters than they.
        #[test]
        fn overlaps_if_some_text_matches_both(a in "[ab?*]{0,4}", b in "[ab?*]{0,4}") {
            let texts = (0..=8u32).flat_map(|n| (0..1u32 << n).map(move |bits| {
                (0..n).map(|i| if bits >> i & 1 == 0 { 'a' } else { 'b' }).collect::<String>()
            }));
            let (a, b) = (Glob::new(&a), Glob::new(&b));
            let both = texts.into_iter().any(|text| a.matches(&text) && b.matches(&text));
            prop_assert_eq!(a.overlaps(&b), both);
            prop_assert_eq!(b.overlaps(&a), both);
        }
        #[test]
        fn every_match_begins_with_the_prefix(glob in "[ab?*\\[\\]!-]{0,8}", text in "[ab\\[\\]!-]{0,8}") {
            let glob = Glob::new(&glob);
            prop_assert!(!glob.matches(&text) || text.starts_with(glob.literal_prefix()));
            prop_assert!(!glob.is_literal() || glob.matches(glob.as_str()));
        }
    }
}
