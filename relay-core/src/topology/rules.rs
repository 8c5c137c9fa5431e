//! What has to hold over a whole topology: every id once, every parent known, no loops, every region served.

mod converging;
mod overlaps;

use std::collections::HashMap;

use super::{
    Region, Syndic, Topology,
    decode::{Draft, DraftRegion, DraftSyndic},
};
use crate::{
    document::{At, Position, Problem, Sink, fields::nearest, read::clip},
    ids::TierId,
    target::{GroupError, GroupProblem, MAX_NODE_GROUPS, NodeGroups},
};

/// Checks a draft and makes the tree. With an error in the sink the tree is of no use; the caller drops it.
pub(super) fn apply(draft: Draft, sink: &Sink) -> Option<Topology> {
    unique_ids(&draft, sink);
    unique_regions(&draft, sink);
    parents_known(&draft, sink);
    loops(&draft, sink);
    converging::check(&draft, sink);
    overlaps::check(&draft, sink);
    draft.regions.iter().for_each(|r| served(r, sink));
    let node_groups = node_groups(&draft, sink);
    finish(draft, node_groups)
}

/// Each problem stands at the group's expression in the file, with the column inside of that.
fn node_groups(draft: &Draft, sink: &Sink) -> NodeGroups {
    let texts = draft.node_groups.iter().map(|(name, text)| (name.clone(), text.value.clone())).collect();
    let errors = match NodeGroups::new(&texts) {
        Ok(groups) => return groups,
        Err(errors) => errors,
    };
    for GroupError { group, problem } in errors {
        let Some(at) = draft.node_groups.get(&group).map(|text| text.at) else { continue };
        let (what, hint) = match problem {
            GroupProblem::Name(e) => (e.found, format!("write {}", e.expected)),
            GroupProblem::Target(e) => {
                let what = format!("{} at column {} of {:?}", e.found, e.column, clip(&e.text));
                (what, format!("expected is {}", e.expected))
            }
            GroupProblem::Loop(way) => {
                (format!("it stands for itself: {}", way.join(" -> ")), "take one out of another".into())
            }
            GroupProblem::TooLarge(size) => {
                (format!("with the groups that it names it has {size}"), "name less in one group".into())
            }
            GroupProblem::TooMany(n) => {
                (format!("it is one of {n} groups"), format!("keep at most {MAX_NODE_GROUPS}"))
            }
        };
        sink.note(Problem::error(at, format!("the node group {:?}: {what}", clip(&group)), hint));
    }
    NodeGroups::default()
}

fn finish(draft: Draft, node_groups: NodeGroups) -> Option<Topology> {
    let all_tops: Vec<TierId> = draft.top_masters.iter().map(|t| t.value.id.clone()).collect();
    let syndic = |d: DraftSyndic| {
        let parents =
            d.parents.map(|p| p.into_iter().map(|p| p.value).collect()).unwrap_or_else(|| all_tops.clone());
        Syndic { parents, ..d.syndic }
    };
    let region = |d: DraftRegion| Region { syndics: d.syndics.into_iter().map(syndic).collect(), ..d.region };
    Some(Topology {
        fabric: draft.fabric?,
        regions: draft.regions.into_iter().map(region).collect(),
        top_masters: draft.top_masters.into_iter().map(|t| t.value).collect(),
        node_groups,
        unbatched_limit: draft.unbatched_limit,
        labels: draft.labels,
        warnings: Vec::new(),
    })
}

/// Every top master and syndic with the place of its id, in the order of the file.
fn places(draft: &Draft) -> impl Iterator<Item = (&TierId, Position, String)> {
    let tops = draft.top_masters.iter().map(|t| (&t.value.id, t.at, t.value.address.to_string()));
    let syndics = draft.regions.iter().flat_map(|r| &r.syndics);
    tops.chain(syndics.map(|s| (&s.id.value, s.id.at, s.syndic.address.to_string())))
}

fn unique_ids(draft: &Draft, sink: &Sink) {
    let mut ids: HashMap<String, Position> = HashMap::new();
    let mut addresses: HashMap<String, &TierId> = HashMap::new();
    for (id, at, address) in places(draft) {
        // DNS does not know upper from lower case, so two ids may not differ in that alone.
        if let Some(first) = ids.insert(id.as_str().to_ascii_lowercase(), at) {
            let what = format!("the id {id} is used a second time (first at {first})");
            sink.note(Problem::error(at, what, "give every top master and syndic an id of its own"));
        }
        if let Some(other) = addresses.insert(address.clone(), id) {
            let what = format!("{id} has the address {address}, which is that of {other}");
            sink.note(Problem::error(at, what, "give every top master and syndic an address of its own"));
        }
    }
}

fn unique_regions(draft: &Draft, sink: &Sink) {
    let mut first: HashMap<String, Position> = HashMap::new();
    for At { value, at } in draft.regions.iter().map(|r| &r.name) {
        if let Some(before) = first.insert(value.as_str().to_ascii_lowercase(), *at) {
            let what = format!("the region {value} stands here a second time (first at {before})");
            sink.note(Problem::error(*at, what, "merge the two, or rename one"));
        }
    }
}

fn parents_known(draft: &Draft, sink: &Sink) {
    let known: Vec<&str> = places(draft).map(|(id, ..)| id.as_str()).collect();
    for syndic in draft.regions.iter().flat_map(|r| &r.syndics) {
        let Some(parents) = &syndic.parents else { continue };
        let id = &syndic.id.value;
        if parents.is_empty() {
            let what = format!("{id} has an empty list of parents");
            sink.note(Problem::error(
                syndic.id.at,
                what,
                "name a parent, or leave \"parents\" out to mean all top masters",
            ));
        }
        for (i, parent) in parents.iter().enumerate() {
            parent_known(id, parent, &known, draft.incomplete, sink);
            if parents[..i].iter().any(|p| p.value == parent.value) {
                let what = format!("{id} names its parent {} twice", parent.value);
                sink.note(Problem::error(parent.at, what, "remove one of the two"));
            }
        }
    }
}

fn parent_known(id: &TierId, parent: &At<TierId>, known: &[&str], incomplete: bool, sink: &Sink) {
    // With a part of the tree unreadable, the parent may well be in that part: one mistake, one problem.
    if incomplete || known.contains(&parent.value.as_str()) {
        return;
    }
    let hint = match nearest(parent.value.as_str(), known) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("name a top master or another syndic: {}", known.join(", ")),
    };
    sink.note(Problem::error(
        parent.at,
        format!("{id} has the parent {}, which is nowhere in the file", parent.value),
        hint,
    ));
}

/// Reports each loop among parents once, at the member that stands first in the file.
fn loops(draft: &Draft, sink: &Sink) {
    let syndics: Vec<&DraftSyndic> = draft.regions.iter().flat_map(|r| &r.syndics).collect();
    let number: HashMap<&TierId, usize> = syndics.iter().enumerate().map(|(i, s)| (&s.id.value, i)).collect();
    let above = |i: usize| {
        syndics[i].parents.iter().flatten().filter_map(|p| number.get(&p.value).copied()).collect()
    };
    let up: Vec<Vec<usize>> = (0..syndics.len()).map(above).collect();
    let mut done = vec![false; syndics.len()];
    for start in 0..syndics.len() {
        if let Some(way) = way_back(start, &up, &done) {
            let names: Vec<&str> =
                way.iter().chain([&start]).map(|i| syndics[*i].id.value.as_str()).collect();
            let what = format!("the parents form a loop: {}", names.join(" -> "));
            let hint = "give one of them a parent nearer to the top masters";
            sink.note(Problem::error(syndics[start].id.at, what, hint));
            way.iter().for_each(|i| done[*i] = true);
        }
    }
}

/// The way from `start` through parents back to `start`, if there is one that avoids loops already reported.
fn way_back(start: usize, up: &[Vec<usize>], done: &[bool]) -> Option<Vec<usize>> {
    if done[start] {
        return None;
    }
    let mut seen = vec![false; up.len()];
    let mut ways = vec![vec![start]];
    while let Some(way) = ways.pop() {
        for next in way.last().map_or(&[][..], |last| &up[*last]) {
            if *next == start {
                return Some(way);
            }
            if !std::mem::replace(&mut seen[*next], true) && !done[*next] {
                ways.push(way.iter().copied().chain([*next]).collect());
            }
        }
    }
    None
}

/// A region has syndics to serve it, and enough of them; when one is lost, the others suffice.
fn served(draft: &DraftRegion, sink: &Sink) {
    let name = &draft.name.value;
    let active: Vec<u64> =
        draft.syndics.iter().filter(|s| !s.syndic.standby).map(|s| u64::from(s.syndic.capacity)).collect();
    if active.is_empty() && !draft.syndics.is_empty() {
        let what = format!("the region {name} has only standby syndics");
        sink.note(Problem::error(
            draft.name.at,
            what,
            "make one of them an ordinary one: remove \"standby\"",
        ));
    }
    let expected = u64::from(draft.region.minions.count);
    let in_use: u64 = active.iter().sum();
    if !active.is_empty() && in_use < expected {
        let what = format!("the region {name} expects {expected} minions and its syndics carry {in_use}");
        sink.note(Problem::warning(draft.name.at, what, "add a syndic or raise \"capacity\""));
        return;
    }
    short_without_one(draft, expected, sink);
}

/// A region with one syndic is not warned about: its owner sees that it has one.
fn short_without_one(draft: &DraftRegion, expected: u64, sink: &Sink) {
    let all: u64 = draft.syndics.iter().map(|s| u64::from(s.syndic.capacity)).sum();
    let largest = draft.syndics.iter().filter(|s| !s.syndic.standby).max_by_key(|s| s.syndic.capacity);
    let Some(largest) = largest.filter(|_| draft.syndics.len() > 1) else { return };
    let left = all - u64::from(largest.syndic.capacity);
    if left < expected {
        let (name, lost) = (&draft.name.value, &largest.id.value);
        let what = format!(
            "the region {name} expects {expected} minions; when {lost} is lost the others carry {left}"
        );
        sink.note(Problem::warning(draft.name.at, what, "add a syndic or raise \"capacity\""));
    }
}
