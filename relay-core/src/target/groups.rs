//! Node groups: names that a topology gives to expressions, and `N@name` replaced by what the name stands for.
//!
//! A group may name others. Every group is expanded when the topology is checked, so that a loop, a name that nobody has
//! and an expression that grows beyond a target's bounds are found there, and not by a job.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{Expr, Target, TargetError, error::Problem, lexer, lexer::Word, size::Size};

mod words;

pub use words::words_of;

/// Longest name of a node group, in bytes: a name, not a description.
pub const MAX_GROUP_NAME_BYTES: usize = 64;
/// Most node groups of one fabric: each holds an expanded expression, and they are all checked together.
pub const MAX_NODE_GROUPS: usize = 1000;
/// How many names are suggested for one that does not exist.
const SUGGESTED: usize = 3;

/// The name of a node group: letters, digits, `-`, `_` and `.`, so that it never needs quotes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupName(Box<str>);

impl GroupName {
    pub(super) fn new(text: &str) -> Result<GroupName, Problem> {
        let expected = "a name such as web-eu: letters, digits, '-', '_' and '.'";
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        match text.char_indices().find(|(_, c)| !is_name(*c)) {
            _ if text.is_empty() => Err(Problem::new("a node group without a name", expected)),
            _ if text.len() > MAX_GROUP_NAME_BYTES => {
                let found = format!("the name of a node group with {} bytes", text.len());
                Err(Problem::new(found, format!("at most {MAX_GROUP_NAME_BYTES}")))
            }
            Some((at, c)) => {
                let found = format!("{c:?} in the name of a node group");
                Err(Problem { at: Some(at), ..Problem::new(found, expected) })
            }
            None => Ok(GroupName(text.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for GroupName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// What is wrong with one node group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node group {group}: {problem}")]
pub struct GroupError {
    /// Its name, as given.
    pub group: String,
    /// What is wrong.
    pub problem: GroupProblem,
}

/// What can be wrong with a node group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupProblem {
    /// Its name is none. The text of the error is the name.
    #[error(transparent)]
    Name(TargetError),
    /// Its expression is none, or names a group that does not exist.
    #[error(transparent)]
    Target(TargetError),
    /// It stands for itself: from its own name by way of others back to it.
    #[error("it stands for itself: {}; take one of these out of the next one's expression", .0.join(" -> "))]
    Loop(Vec<String>),
    /// With what it names, it is larger than a target may be: which bound, and by how much.
    #[error("with the groups that it names it has {0}: name less in one group")]
    TooLarge(String),
    /// There are more than [`MAX_NODE_GROUPS`].
    #[error("there are {0} node groups, and {MAX_NODE_GROUPS} at the most: remove some")]
    TooMany(usize),
}

/// One group: as it was written, and with nothing left to expand.
#[derive(Debug, Clone, PartialEq)]
struct Group {
    definition: Target,
    expanded: Expr,
    size: Size,
}

/// The node groups of a fabric, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeGroups {
    groups: BTreeMap<GroupName, Group>,
}

impl NodeGroups {
    /// Checks names and expressions. What Salt writes as a list of words goes through [`words_of`] before.
    ///
    /// # Errors
    /// All problems at once, by name; of a group that names a broken one, only its own.
    pub fn new(definitions: &BTreeMap<String, String>) -> Result<NodeGroups, Vec<GroupError>> {
        let mut errors = Errors::default();
        if definitions.len() > MAX_NODE_GROUPS {
            let first = definitions.keys().next().map_or("", String::as_str);
            errors.note(first, GroupProblem::TooMany(definitions.len()));
            return Err(errors.0);
        }
        let parsed = parsed(definitions, &mut errors);
        let names: Vec<&str> = definitions.keys().map(String::as_str).collect();
        for (name, target) in &parsed {
            for unknown in references(target.expr()).iter().filter(|r| !names.contains(&r.as_str())) {
                errors.note(name.as_str(), GroupProblem::Target(no_such_group(target, unknown, &names)));
            }
        }
        loops(&parsed, &mut errors);
        let groups = NodeGroups::expanded(parsed, &mut errors);
        if errors.0.is_empty() { Ok(groups) } else { Err(errors.sorted()) }
    }

    /// Expands the groups whose references are all expanded, as long as there are any. What is left names a broken one.
    fn expanded(mut left: BTreeMap<GroupName, Target>, errors: &mut Errors) -> NodeGroups {
        let mut done = NodeGroups::default();
        loop {
            let ready = left.iter().find(|(_, target)| done.knows_all(target)).map(|(name, _)| name.clone());
            let Some((name, definition)) = ready.and_then(|name| left.remove_entry(&name)) else { break };
            let size = done.size(definition.expr());
            match size.too_large() {
                Some(passed) => errors.note(name.as_str(), GroupProblem::TooLarge(passed)),
                None => {
                    let expanded = done.replaced(definition.expr());
                    done.groups.insert(name, Group { definition, expanded, size });
                }
            }
        }
        done
    }

    /// The target with every `N@` replaced by what it stands for: what is to be evaluated. It keeps the text that was
    /// asked for. A target without `N@` comes back as it is.
    ///
    /// # Errors
    /// A group does not exist (the nearest names are suggested), or the expression is too large once expanded.
    pub fn expand(&self, target: &Target) -> Result<Target, TargetError> {
        let names: Vec<&str> = self.groups.keys().map(GroupName::as_str).collect();
        if let Some(unknown) = references(target.expr()).iter().find(|r| !self.groups.contains_key(**r)) {
            return Err(no_such_group(target, unknown, &names));
        }
        let size = self.size(target.expr());
        match size.too_large() {
            Some(passed) if target.has_node_groups() => {
                let found = format!("with its node groups this target has {passed}");
                Err(TargetError::new(target.as_str(), 0, found, "fewer or smaller node groups"))
            }
            _ => Ok(target.with_expr(self.replaced(target.expr()))),
        }
    }

    /// All groups with their expressions as written, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Target)> {
        self.groups.iter().map(|(name, group)| (name.as_str(), &group.definition))
    }

    /// A group's expression as written.
    pub fn get(&self, name: &str) -> Option<&Target> {
        self.groups.get(name).map(|group| &group.definition)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    fn knows_all(&self, target: &Target) -> bool {
        references(target.expr()).iter().all(|name| self.groups.contains_key(*name))
    }

    fn size(&self, expr: &Expr) -> Size {
        Size::of(expr, &|name| self.groups.get(name).map(|group| group.size).unwrap_or_default())
    }

    fn replaced(&self, expr: &Expr) -> Expr {
        let all = |parts: &[Expr]| parts.iter().map(|part| self.replaced(part)).collect();
        match expr {
            Expr::NodeGroup(name) => match self.groups.get(name) {
                Some(group) => group.expanded.clone(),
                None => expr.clone(),
            },
            Expr::Not(inner) => Expr::Not(Box::new(self.replaced(inner))),
            Expr::And(parts) => Expr::And(all(parts)),
            Expr::Or(parts) => Expr::Or(all(parts)),
            term => term.clone(),
        }
    }
}

#[derive(Default)]
struct Errors(Vec<GroupError>);

impl Errors {
    fn note(&mut self, group: &str, problem: GroupProblem) {
        self.0.push(GroupError { group: group.into(), problem });
    }

    fn sorted(mut self) -> Vec<GroupError> {
        self.0.sort_by(|a, b| a.group.cmp(&b.group));
        self.0
    }
}

fn parsed(definitions: &BTreeMap<String, String>, errors: &mut Errors) -> BTreeMap<GroupName, Target> {
    let mut parsed = BTreeMap::new();
    for (name, text) in definitions {
        match (GroupName::new(name), Target::parse(text)) {
            (Ok(name), Ok(target)) => drop(parsed.insert(name, target)),
            (own, target) => {
                let name_error = own.err().map(|p| GroupProblem::Name(p.in_text(name)));
                let problems = name_error.into_iter().chain(target.err().map(GroupProblem::Target));
                problems.for_each(|problem| errors.note(name, problem));
            }
        }
    }
    parsed
}

/// The groups that an expression names, each once.
fn references(expr: &Expr) -> BTreeSet<&GroupName> {
    let mut names = BTreeSet::new();
    expr.each_term(&mut |term| {
        if let Expr::NodeGroup(name) = term {
            names.insert(name);
        }
    });
    names
}

/// Reports each loop once, at the member that comes first.
fn loops(groups: &BTreeMap<GroupName, Target>, errors: &mut Errors) {
    let mut reported: BTreeSet<&GroupName> = BTreeSet::new();
    for start in groups.keys() {
        if reported.contains(start) {
            continue;
        }
        let Some(way) = way_back(start, groups, &reported) else { continue };
        let names = way.iter().chain([&start]).map(ToString::to_string).collect();
        errors.note(start.as_str(), GroupProblem::Loop(names));
        reported.extend(way);
    }
}

/// The way from `start` through what groups name back to `start`, if there is one that avoids loops already reported.
fn way_back<'a>(
    start: &'a GroupName,
    groups: &'a BTreeMap<GroupName, Target>,
    reported: &BTreeSet<&GroupName>,
) -> Option<Vec<&'a GroupName>> {
    let mut seen = BTreeSet::new();
    let mut ways = vec![vec![start]];
    while let Some(way) = ways.pop() {
        let last = way.last().and_then(|last| groups.get(*last));
        for next in last.map(|target| references(target.expr())).unwrap_or_default() {
            if next == start {
                return Some(way);
            }
            if seen.insert(next) && !reported.contains(next) {
                ways.push(way.iter().copied().chain([next]).collect());
            }
        }
    }
    None
}

/// The error of a name that nobody has, under its place in the target's text.
fn no_such_group(target: &Target, name: &GroupName, names: &[&str]) -> TargetError {
    let expected = match nearest(name.as_str(), names) {
        near if near.is_empty() => "a name from the topology's node_groups, which has none".into(),
        near => format!("one of the topology's node_groups, such as {}", near.join(", ")),
    };
    TargetError::new(target.as_str(), place(target, name), format!("there is no node group {name}"), expected)
}

/// Where a group stands in a target's text.
fn place(target: &Target, name: &GroupName) -> usize {
    let tokens = lexer::lex(target.as_str()).unwrap_or_default();
    let here = tokens.iter().find(|token| {
        matches!(&token.word, Word::Term(term) if term.letter == Some('N') && term.pattern == name.as_str())
    });
    here.map_or(0, |token| token.at)
}

fn nearest<'a>(name: &str, names: &[&'a str]) -> Vec<&'a str> {
    let mut ranked: Vec<(usize, &str)> =
        names.iter().map(|known| (strsim::osa_distance(name, known), *known)).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(SUGGESTED).map(|(_, known)| known).collect()
}

#[cfg(test)]
mod tests;
