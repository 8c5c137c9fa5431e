//! From a target to the minions it means: set algebra on the indexes.
//!
//! Terms that an index answers go first; a pattern that has to look at ids or values one by one is asked only about the
//! minions that are still in question: in an `and` those that all terms before have left, in an `or` those that no term
//! before has found.

use super::{Inventory, MinionNo, sorted::SortedIds};
use crate::{
    Members,
    target::{Expr, Glob, RangeItem, RangeSet, Regex, Target},
};

/// A walk over all ids costs as much as looking up one in so many of them by number.
const WALK_AGAINST_LOOKUP: u64 = 8;

/// Fewer ids are searched one by one: a walk's table takes as long to make as some hundred searches.
const WALK_FROM: usize = if cfg!(test) { 12 } else { 1000 };

/// What a term costs, roughly: its place in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    /// One look into an index, or several.
    Lookup,
    /// Every value of one grain.
    Values,
    /// The ids with some beginning.
    SomeIds,
    /// Every id.
    AllIds,
    /// Every id, with an engine that costs several times as much as a glob.
    Search,
}

impl Inventory {
    /// The minions a target matches, up or not.
    pub fn evaluate(&self, target: &Target) -> Members {
        self.matching(target.expr(), &self.all)
    }

    /// Those of `within` that a target matches.
    pub fn evaluate_within(&self, target: &Target, within: &Members) -> Members {
        self.matching(target.expr(), within)
    }

    /// The ids that the target's lists name and nobody has, sorted. Wherever they stand, even under a `not`: a name
    /// nobody has is a slip of the pen.
    pub fn unknown_ids(&self, target: &Target) -> Vec<String> {
        let mut unknown = Vec::new();
        // Patterns are not looked at: gaps in a numbering are no slips.
        target.expr().each_term(&mut |term| {
            let named: Vec<&str> = match term {
                Expr::List(ids) => ids.iter().map(String::as_str).collect(),
                Expr::Range(set) => set.items().iter().filter_map(RangeItem::literal).collect(),
                _ => return,
            };
            unknown.extend(named.into_iter().filter(|id| self.no_of(id).is_none()).map(str::to_owned));
        });
        unknown.sort();
        unknown.dedup();
        unknown
    }

    /// Those of `within` that an expression matches.
    pub(super) fn matching(&self, expr: &Expr, within: &Members) -> Members {
        let found = match expr {
            Expr::Glob(glob) => self.ids_matching(glob, within),
            Expr::List(ids) => ids.iter().filter_map(|id| self.no_of(id)).collect(),
            Expr::Regex(regex) => self.ids_searched(regex, within),
            Expr::Range(range) => self.ids_in(range, within),
            Expr::Grain(pattern) => self.grains.matching(pattern, self.scope(within)),
            Expr::GrainRegex(pattern) => self.grains.matching_regex(pattern, self.scope(within)),
            Expr::Subnet(subnet) => self.grains.within(subnet, self.scope(within)),
            Expr::Region(glob) => union(self.regions.iter().filter(|(name, _)| glob.matches(name.as_str()))),
            Expr::Syndic(glob) => union(self.syndics.iter().filter(|(id, _)| glob.matches(id.as_str()))),
            // No minion has pillar yet, and what a node group stands for is not known here.
            Expr::Pillar(_) | Expr::PillarRegex(_) | Expr::NodeGroup(_) => Members::new(),
            Expr::Not(inner) => return within - self.matching(inner, within),
            Expr::And(parts) => return self.intersection(parts, within),
            Expr::Or(parts) => return self.union(parts, within),
        };
        found & within
    }

    fn intersection(&self, parts: &[Expr], within: &Members) -> Members {
        let mut left = within.clone();
        for part in cheapest_first(parts) {
            if left.is_empty() {
                break;
            }
            left = self.matching(part, &left);
        }
        left
    }

    fn union(&self, parts: &[Expr], within: &Members) -> Members {
        let mut left = within.clone();
        for part in cheapest_first(parts) {
            if left.is_empty() {
                break;
            }
            left -= self.matching(part, &left);
        }
        within - left
    }

    fn ids_matching(&self, glob: &Glob, within: &Members) -> Members {
        if glob.is_everything() {
            return within.clone();
        }
        if glob.is_literal() {
            return self.no_of(glob.as_str()).into_iter().collect();
        }
        self.ids_from(glob.literal_prefix(), within, |id| glob.matches(id))
    }

    fn ids_in(&self, range: &RangeSet, within: &Members) -> Members {
        let mut found = Members::new();
        for item in range.items() {
            match item.literal() {
                Some(id) => found.extend(self.no_of(id)),
                None => found |= self.ids_from(item.literal_prefix(), within, |id| item.matches(id)),
            }
        }
        found
    }

    /// The ids of `within` that begin with `prefix` and match, which is not asked of any other.
    fn ids_from(&self, prefix: &str, within: &Members, matches: impl Fn(&str) -> bool) -> Members {
        let near = self.sorted_ids().starting_with(prefix);
        if within.len().saturating_mul(WALK_AGAINST_LOOKUP) < near.len() as u64 {
            let fits = |no: &u32| self.get(*no).is_some_and(|minion| matches(minion.id.as_str()));
            return within.iter().filter(fits).collect();
        }
        let scope = self.scope(within);
        sorted(near.filter(|at| scope.holds(at.no) && matches(at.id)).map(|at| at.no).collect())
    }

    /// The ids of `within` that a regular expression matches. On a walk each is asked: the next one builds on it.
    fn ids_searched(&self, regex: &Regex, within: &Members) -> Members {
        let near = self.sorted_ids().starting_with(regex.literal_prefix());
        let walks = near.len() >= WALK_FROM && within.len() >= near.len() as u64 / WALK_AGAINST_LOOKUP;
        match walks.then(|| regex.walk()).flatten() {
            Some(mut walk) => {
                let mut shared_at_most = 0;
                let found = near.filter(|at| {
                    let shared = at.shared.min(std::mem::replace(&mut shared_at_most, usize::MAX));
                    walk.matches(at.id, shared)
                });
                sorted(found.map(|at| at.no).collect())
            }
            None => self.ids_from(regex.literal_prefix(), within, |id| regex.matches(id)),
        }
    }

    fn sorted_ids(&self) -> &SortedIds {
        self.sorted.get_or_init(|| SortedIds::new(self.ids.iter().map(|(key, no)| (key.0.as_str(), *no))))
    }

    fn scope<'a>(&self, within: &'a Members) -> Scope<'a> {
        Scope { within, everybody: within.len() == self.all.len() }
    }
}

/// The minions still in question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    within: &'a Members,
    /// They are all there are, so nobody has to be looked up.
    everybody: bool,
}

impl Scope<'_> {
    pub(super) fn holds(&self, no: MinionNo) -> bool {
        self.everybody || self.within.contains(no)
    }

    /// Whether any of these is in question.
    pub(super) fn holds_any(&self, members: &Members) -> bool {
        self.everybody || !self.within.is_disjoint(members)
    }
}

/// A set of numbers in any order. A bitmap grows by far the fastest at its end; and the order is mostly made of a few
/// ascending stretches (ids that are numbered as they came), which this sort only merges.
pub(super) fn sorted(mut found: Vec<MinionNo>) -> Members {
    found.sort();
    found.dedup();
    Members::from_sorted_iter(found.iter().copied()).unwrap_or_else(|_| found.iter().copied().collect())
}

fn cheapest_first(parts: &[Expr]) -> Vec<&Expr> {
    let mut ordered: Vec<&Expr> = parts.iter().collect();
    ordered.sort_by_cached_key(|part| cost(part));
    ordered
}

fn cost(expr: &Expr) -> Cost {
    match expr {
        Expr::Glob(glob) if glob.is_literal() || glob.is_everything() => Cost::Lookup,
        Expr::Glob(glob) => of_ids(glob.literal_prefix()),
        Expr::Range(set) => {
            let patterns = set.items().iter().filter(|item| item.literal().is_none());
            patterns.map(|item| of_ids(item.literal_prefix())).max().unwrap_or(Cost::Lookup)
        }
        Expr::Regex(_) => Cost::Search,
        Expr::GrainRegex(_) | Expr::Subnet(_) => Cost::Values,
        Expr::Not(inner) => cost(inner),
        Expr::And(parts) | Expr::Or(parts) => parts.iter().map(cost).max().unwrap_or(Cost::Lookup),
        _ => Cost::Lookup,
    }
}

fn of_ids(prefix: &str) -> Cost {
    if prefix.is_empty() { Cost::AllIds } else { Cost::SomeIds }
}

fn union<'a, K: 'a>(sets: impl Iterator<Item = (&'a K, &'a Members)>) -> Members {
    sets.fold(Members::new(), |all, (_, set)| all | set)
}
