//! The target expression: which minions a job is for, as operators write it.
//!
//! Text becomes tokens with positions, tokens become a checked [`Expr`], and an `Expr` prints as text that parses to the
//! same `Expr`. Between the matchers stand `and` / `or` / `not` / parentheses with Salt's precedence (`not` binds
//! tighter than `and`, that tighter than `or`; an `and` may be left out before `not`).
//!
//! | written | Salt's flag | matches |
//! |---|---|---|
//! | `web*` | (none) | ids, by a glob ([`Glob`]) |
//! | `web[001-120,200]`, `db3,web[1-9]` | | ids, by a range set ([`RangeSet`]): what [`crate::compact`] writes |
//! | `L@web01,db3` | `-L` | exactly these ids |
//! | `E@web\d+` | `-E` | ids, by a regular expression at their beginning ([`Regex`]) |
//! | `G@os:Ubuntu`, `G|@a|b` | `-G` | a grain, by a glob ([`GrainMatch`]) |
//! | `P@os:(Ub|Deb).*` | `-P` | a grain, by a regular expression ([`GrainRegex`]) |
//! | `I@role:db` | `-I` | pillar, by a glob. Nobody, until there is pillar |
//! | `J@role:(db|web)` | `-J` | pillar, by a regular expression. Nobody, until there is pillar |
//! | `S@10.0.0.0/8` | `-S` | the grains `ipv4` and `ipv6`, by an address or a network ([`Subnet`]) |
//! | `N@web` | `-N` | what a node group of the topology stands for ([`NodeGroups`]) |
//! | `region:aws`, `syndic:aws-*` | | the region; the syndic last seen through, by a glob |
//!
//! Salt's `R@` (a range server's clusters) is recognised and refused. What an expression *matches* is the inventory's
//! business ([`crate::inventory`]), which owns the indexes; there a node group that is not expanded is nobody.

use std::fmt;

mod error;
mod glob;
mod grain;
mod groups;
mod lexer;
mod parser;
mod print;
mod range;
mod regex;
mod size;
mod subnet;

pub use self::regex::{MAX_REGEX_BYTES, MAX_REGEX_SIZE, Regex, Walk};
pub use error::TargetError;
pub use glob::Glob;
pub use grain::{GrainMatch, GrainRegex};
pub use groups::{
    GroupError, GroupName, GroupProblem, MAX_GROUP_NAME_BYTES, MAX_NODE_GROUPS, NodeGroups, words_of,
};
pub use range::{RangeItem, RangeSet};
pub use subnet::Subnet;

/// Longest target text, in bytes, as written and as printed.
pub const MAX_TARGET_BYTES: usize = 4096;
/// Longest text of an expression after its node groups are expanded, in bytes: two dozen groups of two hundred ids.
pub const MAX_EXPANDED_TARGET_BYTES: usize = 64 << 10;
/// Most terms and operators in one expression.
pub const MAX_TARGET_NODES: usize = 256;
/// Deepest nesting of parentheses and `not`: parser, printer and evaluation recurse.
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
    /// Minions with such a pillar value (`I@key:sub:glob`). There is no pillar yet, so nobody has.
    Pillar(GrainMatch),
    /// Minions with a pillar value that a regular expression matches (`J@key:sub:regex`). Nobody, as above.
    PillarRegex(GrainRegex),
    /// Minions with an address in there (`S@10.0.0.0/8`), by their grains `ipv4` and `ipv6`.
    Subnet(Subnet),
    /// Minions of the regions with such a name (`region:aws`).
    Region(Glob),
    /// Minions last seen through the syndics with such an id (`syndic:aws-*`).
    Syndic(Glob),
    /// The minions that a node group stands for (`N@web`). Nobody, until [`NodeGroups::expand`] puts that in its place.
    NodeGroup(GroupName),
    /// All that the inner one does not match.
    Not(Box<Expr>),
    /// What all of these match: two or more.
    And(Vec<Expr>),
    /// What any of these matches: two or more.
    Or(Vec<Expr>),
}

impl Expr {
    /// Calls `each` with every term: all that is no operator, from left to right.
    pub fn each_term<'a>(&'a self, each: &mut impl FnMut(&'a Expr)) {
        match self {
            Expr::Not(inner) => inner.each_term(each),
            Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| part.each_term(each)),
            term => each(term),
        }
    }
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

    /// Salt's `-I`: `key:sub:glob` on pillar, with `delimiter` between the keys.
    ///
    /// # Errors
    /// As [`Target::grain`].
    pub fn pillar(text: &str, delimiter: char) -> Result<Target, TargetError> {
        check_length(text)?;
        let pattern = GrainMatch::new(text, delimiter).map_err(|p| p.in_text(text))?;
        Target::checked(Expr::Pillar(pattern))
    }

    /// Salt's `-J`: `key:sub:regex` on pillar, with `delimiter` between the keys.
    ///
    /// # Errors
    /// As [`Target::grain_regex`].
    pub fn pillar_regex(text: &str, delimiter: char) -> Result<Target, TargetError> {
        check_length(text)?;
        let pattern = GrainRegex::new(text, delimiter).map_err(|p| p.in_text(text))?;
        Target::checked(Expr::PillarRegex(pattern))
    }

    /// Salt's `-N`: a node group of the topology. Whether there is one of that name is [`NodeGroups::expand`]'s to say.
    ///
    /// # Errors
    /// No node group can have such a name.
    pub fn node_group(name: &str) -> Result<Target, TargetError> {
        check_length(name)?;
        Target::checked(Expr::NodeGroup(GroupName::new(name).map_err(|p| p.in_text(name))?))
    }

    /// Salt's `-C`: the whole language, as [`Target::parse`] reads it.
    ///
    /// # Errors
    /// As [`Target::parse`].
    pub fn compound(text: &str) -> Result<Target, TargetError> {
        Target::parse(text)
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

    /// Whether a node group stands in it, to be expanded before it means anything: `not N@web` would be everybody.
    pub fn has_node_groups(&self) -> bool {
        self.has(|term| matches!(term, Expr::NodeGroup(_)))
    }

    /// Whether it asks for pillar, which nobody has yet: worth a word to whoever wrote it.
    pub fn asks_pillar(&self) -> bool {
        self.has(|term| matches!(term, Expr::Pillar(_) | Expr::PillarRegex(_)))
    }

    fn has(&self, what: impl Fn(&Expr) -> bool) -> bool {
        let mut found = false;
        self.expr.each_term(&mut |term| found |= what(term));
        found
    }

    /// The canonical text: it parses to this same target, before its node groups were expanded (an expanded target
    /// keeps the text that was asked for). For stores, logs and messages.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same text with another expression: what that text means where its node groups are known.
    pub(crate) fn with_expr(&self, expr: Expr) -> Target {
        Target { expr, text: self.text.clone() }
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
