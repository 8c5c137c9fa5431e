//! An [`Expr`] as text that parses to the same `Expr`: parentheses only where precedence needs them, with the spaces
//! that Salt needs around them, and quotes only where a pattern does not survive without.

use std::fmt;

use super::{
    Expr, GrainMatch, RangeSet, grain, lexer,
    lexer::{Term, Word},
    parser,
};

/// How tightly an expression holds together; one that holds less than its place asks for goes in parentheses.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(super) enum Grip {
    Or,
    And,
    Not,
}

impl Grip {
    pub(super) fn of(expr: &Expr) -> Grip {
        match expr {
            Expr::Or(_) => Grip::Or,
            Expr::And(_) => Grip::And,
            _ => Grip::Not,
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Glob(glob) => pattern(f, None, None, glob.as_str()),
            Expr::List(ids) => pattern(f, Some('L'), None, &ids.join(",")),
            Expr::Regex(regex) => pattern(f, Some('E'), None, regex.as_str()),
            // Only bare words become one of these three, so they need no quotes; and in quotes they would be globs.
            Expr::Range(range) => f.write_str(range.as_str()),
            Expr::Region(glob) => write!(f, "region:{}", glob.as_str()),
            Expr::Syndic(glob) => write!(f, "syndic:{}", glob.as_str()),
            Expr::Grain(g) => grain_pattern(f, 'G', g),
            Expr::GrainRegex(g) => grain_pattern(f, 'P', g.pattern()),
            Expr::Pillar(g) => grain_pattern(f, 'I', g),
            Expr::PillarRegex(g) => grain_pattern(f, 'J', g.pattern()),
            Expr::Subnet(subnet) => write!(f, "S@{subnet}"),
            Expr::NodeGroup(name) => write!(f, "N@{name}"),
            Expr::Not(inner) => {
                f.write_str("not ")?;
                inside(f, inner, Grip::Not)
            }
            Expr::And(parts) => joined(f, parts, " and ", Grip::Not),
            Expr::Or(parts) => joined(f, parts, " or ", Grip::And),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Expr], operator: &str, grip: Grip) -> fmt::Result {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            f.write_str(operator)?;
        }
        inside(f, part, grip)?;
    }
    Ok(())
}

fn inside(f: &mut fmt::Formatter<'_>, expr: &Expr, asked: Grip) -> fmt::Result {
    if Grip::of(expr) < asked { write!(f, "( {expr} )") } else { write!(f, "{expr}") }
}

fn grain_pattern(f: &mut fmt::Formatter<'_>, letter: char, grain: &GrainMatch) -> fmt::Result {
    let delimiter = Some(grain.delimiter()).filter(|d| *d != grain::DELIMITER);
    pattern(f, Some(letter), delimiter, grain.as_str())
}

fn pattern(
    f: &mut fmt::Formatter<'_>,
    letter: Option<char>,
    delimiter: Option<char>,
    pattern: &str,
) -> fmt::Result {
    let mut bare: String = letter.into_iter().chain(delimiter).collect();
    if letter.is_some() {
        bare.push('@');
    }
    let head = bare.len();
    bare.push_str(pattern);
    let term = Term { letter, delimiter, pattern: pattern.into(), quoted: false };
    if reads_back(&bare, &term) {
        return f.write_str(&bare);
    }
    write!(f, "{}\"{}\"", &bare[..head], pattern.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether a term survives without quotes: asked of the lexer itself, so that the two can not drift apart.
fn reads_back(bare: &str, term: &Term) -> bool {
    let place = || parser::PLACES.iter().any(|(own, _)| bare.starts_with(own));
    let reserved = term.letter.is_none() && (place() || RangeSet::is_meant(bare));
    let one =
        lexer::lex(bare).is_ok_and(|t| matches!(t.as_slice(), [t] if t.word == Word::Term(term.clone())));
    one && !reserved
}
