//! The fuzz targets on the stable compiler: random bytes, and mutations of expressions that say all there is to say.
//! `fuzz/Cargo.toml` says how to run them for as long as one likes.

#[path = "../../fuzz/src/target.rs"]
mod targets;

#[path = "../../fuzz/src/token.rs"]
mod tokens;

use proptest::prelude::*;

/// Inputs from which mutations start: every matcher, operator, quote and bound.
const CORPUS: [&str; 12] = [
    "web* and not ( L@web01,db1 or E@web\\d+(a|b)$ )",
    "G@os:Ubuntu and P|@a|b|(x|y)+ or S@10.0.0.0/8 not S@fd00::1",
    "I@role:db or J/@a/b/c.* and region:aws and syndic:aws-?",
    "db1,web[01-12,20] or web[001-120,200] and \"web[0-9]\"",
    "N@all and not N@web\nall=N@web or N@db\nweb=web*\ndb=L@db1",
    "N@a\na=N@b or N@b\nb=N@c or N@c\nc=N@d or N@d\nd=x or y",
    "N@a\na=N@b\nb=N@a",
    "G@\"os_full:Red \\\"Hat\\\" \\\\ 8\" and(b)",
    "not not not (((a)))",
    "R@%web or T@x:y or g@os:x or E|@x",
    "E@(?i)[^a-z]{2,30}\\bé$ or E@(a*)*b",
    "[!a-]*?[]] or {a,b}",
];

/// Pieces that are put in: what the language gives a meaning.
const PIECES: [&str; 24] = [
    "(", ")", "\"", "\\", "@", ":", "|", ",", "[", "]", "-", "*", "?", " ", " and ", " or ", "not ", "N@",
    "E@", "G@", "L@", "\n", "=", "é",
];

/// One change to a text: where, how many bytes go, and what comes.
type Edit = (prop::sample::Index, usize, &'static str);

fn edited(text: &str, edits: &[Edit]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (at, gone, piece) in edits {
        let at = at.index(bytes.len() + 1);
        let end = (at + gone).min(bytes.len());
        bytes.splice(at..end, piece.bytes());
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn mutated_expressions(
        seed in prop::sample::select(&CORPUS[..]),
        other in prop::sample::select(&CORPUS[..]),
        cut in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4usize, prop::sample::select(&PIECES[..])), 0..6),
    ) {
        let joined = format!("{seed}{}", other.get(cut.index(other.len())..).unwrap_or_default());
        targets::target(&edited(&joined, &edits));
    }

    #[test]
    fn random_bytes(data in prop::collection::vec(any::<u8>(), 0..64)) {
        targets::target(&data);
    }
}

#[test]
fn the_corpus_itself_and_what_is_too_long() {
    for text in CORPUS {
        targets::target(text.as_bytes());
    }
    for piece in PIECES {
        targets::target(piece.repeat(5000).as_bytes());
        targets::target(format!("a{piece}").repeat(1000).as_bytes());
    }
}

/// Texts from which mutations of tokens, fingerprints and names start.
const SECRETS: [&str; 6] = [
    "relay-join-0123456789abcdef0123456789abcdef",
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef",
    "web01.minion.aws.test.example",
    "x.syndic.azure.test.example.minion.aws.test.example",
    "web-01.prod",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn mutated_tokens(
        seed in prop::sample::select(&SECRETS[..]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3usize, prop::sample::select(&TOKEN_PIECES[..])), 0..4),
    ) {
        tokens::token(&edited(seed, &edits));
    }

    #[test]
    fn random_tokens(data in prop::collection::vec(any::<u8>(), 0..120)) {
        tokens::token(&data);
    }
}

/// Pieces that could make two spellings of one token or name, or more than a name.
const TOKEN_PIECES: [&str; 16] = [
    "A",
    "f",
    "0",
    ":",
    "+",
    "-",
    ".",
    "..",
    "/",
    "\0",
    "\n",
    " ",
    "sha256:",
    "\u{ff10}",
    "é",
    "relay-join-",
];
