//! The target expression: which minions a job is for, as operators write it.
//!
//! Text becomes tokens with positions, tokens become a checked [`Expr`], and an `Expr` prints as text that parses to the
//! same `Expr`. Matchers: id globs, range sets, `L@` lists, `E@` regular expressions, `G@` and `P@` grains, `S@` addresses,
//! and `region:` and `syndic:` of our own; between them `and` / `or` / `not` / parentheses with Salt's precedence.
//! Salt's other matchers are recognised and refused with their position.
//! What an expression *matches* is the inventory's business ([`crate::inventory`]), which owns the indexes.

use std::fmt;

mod error;
mod glob;
mod grain;
mod lexer;
mod parser;
mod print;
mod range;
mod regex;
mod subnet;

pub use self::regex::{MAX_REGEX_BYTES, MAX_REGEX_SIZE, Regex};
pub use error::TargetError;
pub use glob::Glob;
pub use grain::{GrainMatch, GrainRegex};
pub use range::RangeSet;
pub use subnet::Subnet;

/// Longest target text, in bytes, as written and as printed (SECURITY section 4).
pub const MAX_TARGET_BYTES: usize = 4096;
/// Most terms and operators in one expression (SECURITY section 4).
pub const MAX_TARGET_NODES: usize = 256;
/// Deepest nesting of parentheses and `not` (SECURITY section 4): parser, printer and evaluation recurse.
pub const MAX_TARGET_DEPTH: usize = 32;
/// Most regular expressions compiled for one expression: with [`MAX_REGEX_SIZE`], a target takes 32 MiB at the most. A
/// `P@` counts once per place where its keys may end.
pub const MAX_TARGET_REGEXES: usize = 32;

/// A checked expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// Ids that match a glob.
    Glob(Glob),
    /// Exactly these ids (`L@a,b`): at least one, none empty, none with a comma.
    List(Vec<String>),
    /// Ids that a regular expression matches at their beginning (`E@regex`).
    Regex(Regex),
    /// Ids that a range set names (`web[001-120,200]`).
    Range(RangeSet),
    /// Minions with such a grain (`G@key:sub:glob`).
    Grain(GrainMatch),
    /// Minions with a grain whose value a regular expression matches at its beginning (`P@key:sub:regex`).
    GrainRegex(GrainRegex),
    /// Minions with an address in there (`S@10.0.0.0/8`), by their grains `ipv4` and `ipv6`.
    Subnet(Subnet),
    /// Minions of the regions with such a name (`region:aws`).
    Region(Glob),
    /// Minions last seen through the syndics with such an id (`syndic:aws-*`).
    Syndic(Glob),
    /// All that the inner one does not match.
    Not(Box<Expr>),
    /// What all of these match: two or more.
    And(Vec<Expr>),
    /// What any of these matches: two or more.
    Or(Vec<Expr>),
}

/// A parsed target: the expression and its canonical text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    expr: Expr,
    text: String,
}

impl Target {
    /// Parses an expression as typed. A lone glob is one (`web*`), and so is a Salt compound.
    ///
    /// # Errors
    /// What was found instead of what, and at which column; a bound that is passed; a matcher that is not there yet.
    pub fn parse(text: &str) -> Result<Target, TargetError> {
        Target::checked(parser::parse(text)?)
    }

    /// Salt's default matcher, without the compound language: the whole text is one glob on the id.
    ///
    /// # Errors
    /// The text is empty or longer than [`MAX_TARGET_BYTES`].
    pub fn glob(text: &str) -> Result<Target, TargetError> {
        check_length(text)?;
        if text.is_empty() {
            return Err(TargetError::new(
                text,
                0,
                "nothing is there",
                "a glob on minion ids, such as 'web*'",
            ));
        }
        Target::checked(Expr::Glob(Glob::new(text)))
    }

    /// Salt's `-L`: exactly these ids. An item may itself be a comma-separated list; empty ones are dropped.
    ///
    /// # Errors
    /// No id is left, or the printed list is longer than [`MAX_TARGET_BYTES`].
    pub fn list<'a>(ids: impl IntoIterator<Item = &'a str>) -> Result<Target, TargetError> {
        let ids: Vec<String> = ids.into_iter().flat_map(list_items).collect();
        if ids.is_empty() {
            return Err(TargetError::new("", 0, "no id is there", "minion ids separated by commas"));
        }
        Target::checked(Expr::List(ids))
    }

    /// Salt's `-G`: `key:sub:glob`, with `delimiter` between the keys (Salt's `--delimiter`, by default `:`).
    ///
    /// # Errors
    /// There is no key or no delimiter in it, the delimiter is not punctuation, or the text is too long.
    pub fn grain(text: &str, delimiter: char) -> Result<Target, TargetError> {
        check_length(text)?;
        let grain = GrainMatch::new(text, delimiter).map_err(|p| p.in_text(text))?;
        Target::checked(Expr::Grain(grain))
    }

    /// Salt's `-E`: a regular expression that matches at the beginning of ids.
    ///
    /// # Errors
    /// It is no regular expression, or passes [`MAX_REGEX_BYTES`] or [`MAX_REGEX_SIZE`].
    pub fn regex(text: &str) -> Result<Target, TargetError> {
        check_length(text)?;
        Target::checked(Expr::Regex(Regex::new(text).map_err(|p| p.in_text(text))?))
    }

    /// Salt's `-P`: `key:sub:regex`, with `delimiter` between the keys.
    ///
    /// # Errors
    /// As [`Target::grain`] and [`Target::regex`].
    pub fn grain_regex(text: &str, delimiter: char) -> Result<Target, TargetError> {
        check_length(text)?;
        let grain = GrainRegex::new(text, delimiter).map_err(|p| p.in_text(text))?;
        Target::checked(Expr::GrainRegex(grain))
    }

    /// Salt's `-S`: an address or a network.
    ///
    /// # Errors
    /// It is neither, or a network with bits beyond its prefix.
    pub fn subnet(text: &str) -> Result<Target, TargetError> {
        check_length(text)?;
        Target::checked(Expr::Subnet(Subnet::new(text).map_err(|p| p.in_text(text))?))
    }

    /// The expression.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// The canonical text: it parses to this same target. For stores, logs and messages.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The only way in, so that each target's text is one that [`Target::parse`] takes back.
    fn checked(expr: Expr) -> Result<Target, TargetError> {
        let text = expr.to_string();
        check_length(&text)?;
        Ok(Target { expr, text })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Target {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Target, TargetError> {
        Target::parse(text)
    }
}

fn check_length(text: &str) -> Result<(), TargetError> {
    if text.len() <= MAX_TARGET_BYTES {
        return Ok(());
    }
    let found = format!("this target has {} bytes", text.len());
    let end = text.floor_char_boundary(MAX_TARGET_BYTES);
    Err(TargetError::new(text, end, found, format!("at most {MAX_TARGET_BYTES}: use a glob or a grain")))
}

/// The ids of a comma-separated list, as Salt reads `-L`.
fn list_items(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
