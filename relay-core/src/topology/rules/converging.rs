//! Parents that converge: a fallback that is reached through the very parent which it stands in for.
//!
//! Several parents declare that a syndic may come up by any of them. A later one is of use only if some way up from it avoids
//! all before it; if none does, the tree converges where the file says that it parts.

use std::collections::{HashMap, HashSet};

use super::super::decode::{Draft, DraftSyndic};
use crate::{
    document::{Problem, Sink},
    ids::TierId,
};

pub(super) fn check(draft: &Draft, sink: &Sink) {
    let syndics: HashMap<&TierId, &DraftSyndic> =
        draft.regions.iter().flat_map(|r| &r.syndics).map(|s| (&s.id.value, s)).collect();
    for syndic in draft.regions.iter().flat_map(|r| &r.syndics) {
        let parents = syndic.parents.iter().flatten();
        let parents: Vec<_> = parents.collect();
        for (no, parent) in parents.iter().enumerate().skip(1) {
            let before: HashSet<&TierId> = parents[..no].iter().map(|p| &p.value).collect();
            if before.contains(&parent.value) || reaches_the_top(&parent.value, &before, &syndics) {
                continue;
            }
            let (own, fallback) = (&syndic.id.value, &parent.value);
            let first = parents[..no].iter().map(|p| p.value.as_str()).collect::<Vec<_>>().join(", ");
            let what = format!(
                "{own} falls back to {fallback}, and every way up from {fallback} leads through {first}, named before it"
            );
            let hint =
                format!("name a parent of {own} that does not depend on {first}, or leave {fallback} out");
            sink.note(Problem::warning(parent.at, what, hint));
        }
    }
}

/// Whether some way up from a tier avoids all of these. Loops and unknown parents are other rules' affair: they lead to the
/// top here, so that one mistake is one problem.
fn reaches_the_top(
    from: &TierId,
    without: &HashSet<&TierId>,
    syndics: &HashMap<&TierId, &DraftSyndic>,
) -> bool {
    let mut seen: HashSet<&TierId> = without.iter().copied().collect();
    let mut todo: Vec<&TierId> = vec![from];
    let mut looped = false;
    while let Some(tier) = todo.pop() {
        if !seen.insert(tier) {
            looped |= !without.contains(tier);
            continue;
        }
        match syndics.get(tier).map(|syndic| &syndic.parents) {
            // A top master; unknown; or a syndic below all top masters.
            None | Some(None) => return true,
            Some(Some(parents)) => todo.extend(parents.iter().map(|p| &p.value)),
        }
    }
    looped
}
