//! What differs from minion to minion within texts that say the same: names, addresses, numbers, times, ids. A text is
//! cut into pieces, and the pieces in order are the text: nothing is dropped, and nothing is understood beyond its kind.

use super::shapes;

/// What a piece that may differ is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The minion's own id, or its id up to the first dot.
    Host,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A number.
    Number,
    /// A date, a time of day, or both; also a span of time as 2:04.
    Time,
    /// A UUID, a MAC address, a fingerprint, a hash.
    Hex,
}

impl Kind {
    /// What stands in a template: `{host}`.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Host => "host",
            Kind::Ip => "ip",
            Kind::Number => "number",
            Kind::Time => "time",
            Kind::Hex => "hex",
        }
    }
}

/// The names by which a text may mean the minion that said it, longest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names<'a>(Vec<&'a str>);

impl<'a> Names<'a> {
    /// Those that all of the minions have: of one minion, its id and its short name; of several, a short name that they
    /// share. A name without a letter is an address or a number, and is found as such.
    pub fn of(minions: &[&'a str]) -> Names<'a> {
        let Some((first, others)) = minions.split_first() else { return Names::default() };
        let mut names = vec![*first];
        if first.parse::<std::net::IpAddr>().is_err() {
            names.extend(first.split_once('.').map(|(short, _)| short));
        }
        names.retain(|name| name.contains(|c: char| c.is_ascii_alphabetic()));
        names.retain(|name| {
            others.iter().all(|id| id == name || id.split_once('.').is_some_and(|(s, _)| s == *name))
        });
        Names(names)
    }

    fn at(&self, text: &str) -> Option<usize> {
        let fits = |name: &&&str| {
            let there = text.as_bytes().get(..name.len());
            there.is_some_and(|there| there.eq_ignore_ascii_case(name.as_bytes()))
                && !shapes::continues(text.as_bytes(), name.len())
        };
        self.0.iter().find(fits).map(|name| name.len())
    }
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Piece<'t> {
    /// The same for all who say the same.
    Literal(&'t str),
    /// What may differ, with the blanks that line it up: all but one on either side, since a longer name or number stands
    /// in their place.
    Token(Kind, &'t str),
}

/// Cuts a text into pieces, in time linear in its length: each byte is looked at once for each kind, and at most
/// [`shapes::LONGEST`] bytes ahead of a word's beginning.
pub fn pieces<'t>(text: &'t str, names: &Names<'_>) -> Vec<Piece<'t>> {
    let bytes = text.as_bytes();
    let (mut found, mut literal, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let Some((kind, length)) = token(text, at, names) else {
            at += 1;
            continue;
        };
        let from = literal + without_blanks(&bytes[literal..at]);
        let end = at + length + blanks(&bytes[at + length..]);
        if from > literal {
            found.push(Piece::Literal(&text[literal..from]));
        }
        found.push(Piece::Token(kind, &text[from..end]));
        (literal, at) = (end, end);
    }
    if literal < text.len() {
        found.push(Piece::Literal(&text[literal..]));
    }
    found
}

/// The token that begins here, and its length in bytes; tokens are ASCII, but for names.
fn token(text: &str, at: usize, names: &Names<'_>) -> Option<(Kind, usize)> {
    let bytes = text.as_bytes();
    if !text.is_char_boundary(at) {
        return None;
    }
    let rest = &bytes[at..];
    let begins = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if begins && !rest[0].is_ascii_whitespace() {
        let word = names
            .at(&text[at..])
            .map(|n| (Kind::Host, n))
            .or_else(|| shapes::time(rest).map(|n| (Kind::Time, n)))
            .or_else(|| shapes::hex(rest).map(|n| (Kind::Hex, n)))
            .or_else(|| shapes::ip(rest).map(|n| (Kind::Ip, n)));
        if word.is_some() {
            return word;
        }
    }
    shapes::number(rest, begins && !is_sign_of_range(bytes, at)).map(|n| (Kind::Number, n))
}

/// Whether a dash here would stand between two things (`a -5` holds a sign, `) -` and `3-5` do not).
fn is_sign_of_range(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_some_and(|before| {
        !matches!(bytes[before], b' ' | b'\n' | b'\t' | b'=' | b':' | b'(' | b'[' | b',')
    })
}

/// How long the text before a token is without the blanks that belong to the token.
fn without_blanks(before: &[u8]) -> usize {
    let blanks = before.iter().rev().take_while(|b| **b == b' ').count();
    before.len() - blanks.saturating_sub(1)
}

/// How many of the blanks behind a token belong to it.
fn blanks(after: &[u8]) -> usize {
    after.iter().take_while(|b| **b == b' ').count().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text with each token as `{kind:text}`.
    fn cut(text: &str, ids: &[&str]) -> String {
        let one = |piece: Piece<'_>| match piece {
            Piece::Literal(text) => text.to_owned(),
            Piece::Token(kind, text) => format!("{{{}:{text}}}", kind.word()),
        };
        pieces(text, &Names::of(ids)).into_iter().map(one).collect()
    }

    #[test]
    fn kinds() {
        let table = [
            (
                "web01 and WEB01.aws.example: web012 xweb01",
                "{host:web01} and {host:WEB01.aws.example}: web{number:012} xweb{number:01}",
            ),
            (
                "10.0.0.1:80 10.0.0.256 fe80::1%eth0 ::1",
                "{ip:10.0.0.1}:{number:80} {number:10.0}.{number:0.256} {ip:fe80::1}%eth{number:0} {ip:::1}",
            ),
            (
                "-5 3-5 1.5% v1.2.3 x=-0.25",
                "{number:-5} {number:3}-{number:5} {number:1.5}% v{number:1.2}.{number:3} x={number:-0.25}",
            ),
            ("2026-11-21T10:51:08.123Z up 2:04", "{time:2026-11-21T10:51:08.123Z} up {time:2:04}"),
            (
                "Sat Nov 21 10:51:08 UTC 2026|Nov  1 09:00:00|Sat, 21 Nov 2026 10:51:08 +0000",
                "{time:Sat Nov 21 10:51:08 UTC 2026}|{time:Nov  1 09:00:00}|{time:Sat, 21 Nov 2026 10:51:08 +0000}",
            ),
            ("2026-11-21 10:51:08+01:00, 2026-11-21", "{time:2026-11-21 10:51:08+01:00}, {time:2026-11-21}"),
            ("0xFFff deadbeef0 deadbeef 12345678", "{hex:0xFFff} {hex:deadbeef0} deadbeef {number:12345678}"),
            (
                "52:54:00:ab:cd:ef 6b:bb:95:fe:d9:0f:91:27",
                "{hex:52:54:00:ab:cd:ef} {hex:6b:bb:95:fe:d9:0f:91:27}",
            ),
            ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6.", "{hex:f81d4fae-7dec-11d0-a765-00a0c91e6bf6}."),
            ("a    5    b  17", "a {number:   5   } b {number: 17}"),
            ("é5ü", "é{number:5}ü"),
            ("Mayor Mon March 5", "Mayor Mon March {number:5}"),
        ];
        for (text, expected) in table {
            assert_eq!(cut(text, &["web01.aws.example"]), expected);
        }
    }

    #[test]
    fn names_that_are_no_names() {
        assert_eq!(cut("10 10.0.0.1", &["10.0.0.1"]), "{number:10} {ip:10.0.0.1}");
        assert_eq!(cut("7 7", &["7"]), "{number:7} {number:7}");
        assert_eq!(cut("db ok", &["db.a", "db.b"]), "{host:db} ok");
        assert_eq!(cut("db ok", &["db.a", "dc.b"]), "db ok");
        assert_eq!(cut("é.x", &["é.x"]), "{host:é.x}");
        assert_eq!(cut("x", &[]), "x");
    }

    #[test]
    fn padding_does_not_tell_texts_apart() {
        let shape = |text| -> Vec<String> {
            let piece = |p: Piece<'_>| match p {
                Piece::Literal(text) => text.to_owned(),
                Piece::Token(kind, _) => format!("{kind:?}"),
            };
            pieces(text, &Names::default()).into_iter().map(piece).collect()
        };
        assert_eq!(shape(" 10:51 up 12:04,   5 users"), shape(" 10:51 up  2:04,  12 users"));
        assert_eq!(shape("/dev/sda1   41152736   9% /"), shape("/dev/sda1    5152736  19% /"));
    }

    proptest! {
        /// The pieces are the text, whatever the text is, and whoever says it.
        #[test]
        fn pieces_make_the_text(text in "(\\PC|[0-9a-f:. \n-]|web01|0x|Nov |10\\.|:){0,60}", id in "[a-z0-9.]{1,6}") {
            let pieces = pieces(&text, &Names::of(&[&id]));
            let made: String = pieces.iter().map(|p| match p {
                Piece::Literal(t) | Piece::Token(_, t) => *t,
            }).collect();
            prop_assert_eq!(&made, &text);
            let neighbours = pieces.windows(2).all(|two| !matches!(two, [Piece::Literal(_), Piece::Literal(_)]));
            prop_assert!(neighbours);
        }
    }
}
