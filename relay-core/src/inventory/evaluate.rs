//! From a target to the minions it means: set algebra on the indexes, never a walk over minions (id globs that begin
//! with a wildcard look at each id, as do regular expressions and range sets without a literal beginning). And what to
//! tell people when that comes out empty.

use std::ops::Bound;

use super::{Inventory, MinionNo};
use crate::{
    Members,
    ids::{MAX_ID_BYTES, MinionId},
    target::{Expr, Glob, Target},
};

impl Inventory {
    /// The minions a target matches, up or not.
    pub fn evaluate(&self, target: &Target) -> Members {
        self.matching(target.expr())
    }

    /// The ids that the target's lists name and nobody has, sorted. Wherever they stand, even under a `not`: a name
    /// nobody has is a slip of the pen.
    pub fn unknown_ids(&self, target: &Target) -> Vec<String> {
        let mut unknown = Vec::new();
        self.collect_unknown(target.expr(), &mut unknown);
        unknown.sort();
        unknown.dedup();
        unknown
    }

    /// The `n` ids closest in spelling, closest first. `text` may be a glob: its wildcards count for nothing, and it is
    /// compared with the beginning of an id too.
    pub fn nearest(&self, text: &str, n: usize) -> Vec<MinionId> {
        let is_glob = text.contains(['*', '?', '[']);
        let wanted: String = text.chars().filter(|c| !matches!(c, '*' | '?')).take(MAX_ID_BYTES).collect();
        let mut ranked: Vec<_> =
            self.ids.keys().map(|key| (distance(&wanted, key.0.as_str(), is_glob), &key.0)).collect();
        ranked.sort_unstable();
        ranked.into_iter().take(n).map(|(_, id)| id.clone()).collect()
    }

    fn matching(&self, expr: &Expr) -> Members {
        match expr {
            Expr::Glob(glob) => self.ids_matching(glob),
            Expr::List(ids) => ids.iter().filter_map(|id| self.no_of(id)).collect(),
            Expr::Regex(regex) => self.ids_from(regex.literal_prefix(), |id| regex.matches(id)),
            Expr::Range(range) => self.ids_from(range.literal_prefix(), |id| range.matches(id)),
            Expr::Grain(pattern) => self.grains.matching(pattern),
            Expr::GrainRegex(pattern) => self.grains.matching_regex(pattern),
            Expr::Subnet(subnet) => self.grains.within(subnet),
            Expr::Region(glob) => union(self.regions.iter().filter(|(name, _)| glob.matches(name.as_str()))),
            Expr::Syndic(glob) => union(self.syndics.iter().filter(|(id, _)| glob.matches(id.as_str()))),
            Expr::Not(inner) => &self.all - self.matching(inner),
            Expr::And(parts) => self.intersection(parts),
            Expr::Or(parts) => parts.iter().fold(Members::new(), |all, part| all | self.matching(part)),
        }
    }

    fn intersection(&self, parts: &[Expr]) -> Members {
        let Some((first, rest)) = parts.split_first() else { return self.all.clone() };
        let mut left = self.matching(first);
        for part in rest {
            if left.is_empty() {
                break;
            }
            match part {
                Expr::Not(inner) => left -= self.matching(inner),
                part => left &= self.matching(part),
            }
        }
        left
    }

    fn ids_matching(&self, glob: &Glob) -> Members {
        if glob.is_everything() {
            return self.all.clone();
        }
        if glob.is_literal() {
            return self.no_of(glob.as_str()).into_iter().collect();
        }
        self.ids_from(glob.literal_prefix(), |id| glob.matches(id))
    }

    /// The ids that begin with `prefix` and match.
    fn ids_from(&self, prefix: &str, matches: impl Fn(&str) -> bool) -> Members {
        let from = self.ids.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let near = from.take_while(|(key, _)| key.0.as_str().starts_with(prefix));
        let mut found: Vec<MinionNo> =
            near.filter(|(key, _)| matches(key.0.as_str())).map(|(_, no)| *no).collect();
        // A bitmap grows by far the fastest at its end.
        found.sort_unstable();
        found.into_iter().collect()
    }

    fn collect_unknown(&self, expr: &Expr, unknown: &mut Vec<String>) {
        match expr {
            Expr::List(ids) => unknown.extend(ids.iter().filter(|id| self.no_of(id).is_none()).cloned()),
            Expr::Not(inner) => self.collect_unknown(inner, unknown),
            Expr::And(parts) | Expr::Or(parts) => {
                parts.iter().for_each(|part| self.collect_unknown(part, unknown))
            }
            // Patterns, range sets among them: gaps in a numbering are no slips.
            Expr::Glob(_) | Expr::Regex(_) | Expr::Range(_) | Expr::Grain(_) | Expr::GrainRegex(_) => {}
            Expr::Subnet(_) | Expr::Region(_) | Expr::Syndic(_) => {}
        }
    }
}

fn union<'a, K: 'a>(sets: impl Iterator<Item = (&'a K, &'a Members)>) -> Members {
    sets.fold(Members::new(), |all, (_, set)| all | set)
}

/// Slips of the pen (one letter more, less, other, or two swapped) between a text and an id, or the id's beginning.
fn distance(wanted: &str, id: &str, is_glob: bool) -> usize {
    let whole = strsim::osa_distance(wanted, id);
    match id.get(..wanted.len()) {
        Some(beginning) if is_glob => whole.min(strsim::osa_distance(wanted, beginning)),
        _ => whole,
    }
}
