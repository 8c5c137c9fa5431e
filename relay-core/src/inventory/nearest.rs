//! What an operator may have meant whose target matches nobody: names of the same kind that are spelt much alike.

use super::Inventory;
use crate::{
    ids::{MAX_ID_BYTES, MinionId},
    target::{Expr, Glob, GrainMatch, Target},
};

/// A name is worth showing if at most one letter in so many is another one: beyond that, any short name is like any
/// other (`zzz` and `aws` differ in three).
const LETTERS_PER_SLIP: usize = 3;

impl Inventory {
    /// The `n` ids closest in spelling, closest first, of those that are like the text at all. It may be a glob: its
    /// wildcards count for nothing, and it is compared with the beginning of an id too.
    pub fn nearest(&self, text: &str, n: usize) -> Vec<MinionId> {
        let ids = self.ids.keys().map(|key| &key.0);
        closest(text, ids, |id| id.as_str(), n).into_iter().cloned().collect()
    }

    /// The ids that a target may have meant which matches nobody. None if it failed on something else than an id.
    pub fn nearest_ids(&self, target: &Target, n: usize) -> Vec<MinionId> {
        match self.failing(target.expr()) {
            Some(Expr::Glob(glob)) => self.nearest(glob.as_str(), n),
            Some(Expr::Regex(regex)) => self.nearest(&format!("{}*", regex.literal_prefix()), n),
            Some(Expr::Range(set)) => {
                let prefix = set.items().first().map_or("", |item| item.literal_prefix());
                self.nearest(&format!("{prefix}*"), n)
            }
            _ => Vec::new(),
        }
    }

    /// The terms that a target may have meant which matches nobody, if it failed on a region, a syndic or a grain:
    /// there are such names, keys and values. As they are written in a target.
    pub fn nearest_terms(&self, target: &Target, n: usize) -> Vec<String> {
        let names = |kind: &str, glob: &Glob, names: Vec<&str>| {
            let near = closest(glob.as_str(), names, |name| name, n);
            near.into_iter().map(|name| format!("{kind}:{name}")).collect()
        };
        match self.failing(target.expr()) {
            Some(Expr::Region(glob)) => {
                names("region", glob, self.regions.keys().map(|name| name.as_str()).collect())
            }
            Some(Expr::Syndic(glob)) => {
                names("syndic", glob, self.syndics.keys().map(|id| id.as_str()).collect())
            }
            Some(Expr::Grain(pattern)) => self.nearest_grains(pattern, n),
            _ => Vec::new(),
        }
    }

    /// Other keys first: under one that is right, the value may be right as well.
    fn nearest_grains(&self, pattern: &GrainMatch, n: usize) -> Vec<String> {
        let (node, rest) = self.grains.lead(pattern);
        let led = pattern.as_str().strip_suffix(rest).unwrap_or_default();
        let delimiter = pattern.delimiter();
        let target = |tail: &str| Target::grain(&format!("{led}{tail}"), delimiter).ok();
        let found = |tail: String| target(&tail).filter(|target| !self.evaluate(target).is_empty());
        let (key, value) = rest.split_once(delimiter).unwrap_or_default();
        let keys = closest(key, node.keys(), |key| key, n).into_iter();
        let keys = keys.filter_map(|key| {
            found(format!("{key}{delimiter}{value}")).or_else(|| found(format!("{key}{delimiter}*")))
        });
        let values = closest(rest, node.values(), |value| value, n).into_iter().filter_map(target);
        keys.chain(values).take(n).map(|target| target.to_string()).collect()
    }

    /// The term on which an expression fails that matches nobody. Of several that failed together (an `or`), and of what
    /// a `not` took away, nobody knows which was meant otherwise.
    fn failing<'a>(&self, expr: &'a Expr) -> Option<&'a Expr> {
        match expr {
            Expr::And(parts) => {
                let part = parts.iter().find(|part| self.matching(part, &self.all).is_empty());
                part.and_then(|part| self.failing(part))
            }
            Expr::Or(_) | Expr::Not(_) => None,
            term => Some(term),
        }
    }
}

/// The `n` that are most like a text, of those that are like it at all; of equally close ones the first in order.
fn closest<'a, T: Ord + ?Sized>(
    text: &str,
    all: impl IntoIterator<Item = &'a T>,
    name: impl Fn(&T) -> &str,
    n: usize,
) -> Vec<&'a T> {
    let is_glob = text.contains(['*', '?', '[']);
    // What stands before a class is enough to go by.
    let letters =
        text.chars().take_while(|c| *c != '[').filter(|c| !matches!(c, '*' | '?')).take(MAX_ID_BYTES);
    let wanted = letters.collect::<String>().to_lowercase();
    if wanted.is_empty() {
        return Vec::new();
    }
    // None in a short one: but it may be written in other cases.
    let most = wanted.chars().count() / LETTERS_PER_SLIP;
    let slips = |one| Some(slips(&wanted, &name(one).to_lowercase(), is_glob)).filter(|slips| *slips <= most);
    let mut ranked: Vec<(usize, &T)> =
        all.into_iter().filter_map(|one| slips(one).map(|slips| (slips, one))).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(n).map(|(_, one)| one).collect()
}

/// Slips of the pen (one letter more, less, other, or two swapped) between a text and a name, or the name's beginning.
fn slips(wanted: &str, name: &str, is_glob: bool) -> usize {
    let whole = strsim::osa_distance(wanted, name);
    match name.get(..wanted.len()) {
        Some(beginning) if is_glob => whole.min(strsim::osa_distance(wanted, beginning)),
        _ => whole,
    }
}
