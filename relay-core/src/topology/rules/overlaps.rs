//! Two regions that claim the same minion.
//!
//! Ids that are listed and those of range sets are compared exactly: one named twice is an error, one named that another
//! region's pattern covers is a warning, since the list counts. Patterns are compared by whether some text could match both: it need not be the id of
//! any minion, so that is a warning. Grains are not compared: what a minion will report is in no file. One problem for each
//! two regions and kind, at the place that comes later. For that the range sets are written out, so there is a bound on what
//! all of them name together.

use std::collections::{HashMap, HashSet};

use super::super::decode::{Draft, DraftRegion};
use crate::{
    document::{At, Position, Problem, Sink, read::clip},
    ids::MinionId,
    target::{Glob, RangeSet},
    topology::ranges::{self, MAX_RANGE_IDS},
};

pub(super) fn check(draft: &Draft, sink: &Sink) {
    let regions = &draft.regions;
    let globs: Vec<Vec<(Glob, &At<String>)>> = regions.iter().map(globs).collect();
    // Too many to write out is a problem of its own; the ids are still compared.
    let ranges =
        if few_enough(regions, sink) { regions.iter().map(written_out).collect() } else { Vec::new() };
    named_twice(regions, &ranges, sink);
    for (no, later) in regions.iter().enumerate() {
        for (before, earlier) in regions[..no].iter().enumerate() {
            patterns([earlier, later], [&globs[before], &globs[no]], sink);
            covered(earlier, later, &globs[no], sink);
            covered(later, earlier, &globs[before], sink);
            let out = |of: usize| ranges.get(of).map_or(&[][..], Vec::as_slice);
            range_covered([earlier, later], out(before), &globs[no], sink);
            range_covered([later, earlier], out(no), &globs[before], sink);
        }
    }
}

fn globs(region: &DraftRegion) -> Vec<(Glob, &At<String>)> {
    region.members.patterns.iter().map(|pattern| (Glob::new(&pattern.value), pattern)).collect()
}

/// Whether all range sets together name no more than can be compared. Else it is reported where it becomes too many.
fn few_enough(regions: &[DraftRegion], sink: &Sink) -> bool {
    let mut total: u64 = 0;
    for range in regions.iter().flat_map(|region| &region.members.ranges) {
        total = total.saturating_add(ranges::count(&range.value));
        if total > MAX_RANGE_IDS {
            let text = clip(range.value.as_str());
            let what = format!("with {text:?} the ranges of the file name more than {MAX_RANGE_IDS} ids");
            sink.note(Problem::error(range.at, what, "write a smaller range, or a pattern"));
            return false;
        }
    }
    true
}

/// A range set and its ids.
type WrittenOut<'d> = (&'d At<RangeSet>, Vec<String>);

fn written_out(region: &DraftRegion) -> Vec<WrittenOut<'_>> {
    region.members.ranges.iter().map(|range| (range, ranges::ids(&range.value).collect())).collect()
}

/// A place that names minions: an entry of `ids`, or a range set.
struct Claim<'d> {
    at: Position,
    region: &'d DraftRegion,
    /// Nothing: it is one id.
    set: Option<&'d RangeSet>,
    ids: Vec<&'d str>,
}

impl Claim<'_> {
    fn says(&self, id: &str) -> String {
        let name = &self.region.name.value;
        match self.set {
            None => format!("the minion {id} is listed in the region {name}"),
            Some(set) => {
                format!("the minion {id} is in the range {:?} of the region {name}", clip(set.as_str()))
            }
        }
    }
}

/// All claims of a file, in its order.
fn claims<'d>(regions: &'d [DraftRegion], ranges: &'d [Vec<WrittenOut<'d>>]) -> Vec<Claim<'d>> {
    let listed = regions.iter().flat_map(|region| {
        let one = |id: &'d At<_>| Claim { at: id.at, region, set: None, ids: vec![id_text(id)] };
        region.members.ids.iter().map(one)
    });
    let ranged = regions.iter().zip(ranges).flat_map(|(region, ranges)| {
        let one = |(range, ids): &'d WrittenOut<'d>| Claim {
            at: range.at,
            region,
            set: Some(&range.value),
            ids: ids.iter().map(String::as_str).collect(),
        };
        ranges.iter().map(one)
    });
    let mut claims: Vec<Claim<'d>> = listed.chain(ranged).collect();
    claims.sort_by_key(|claim| claim.at);
    claims
}

fn id_text(id: &At<MinionId>) -> &str {
    id.value.as_str()
}

/// One problem for each two places, with the first id that both name.
fn named_twice(regions: &[DraftRegion], ranges: &[Vec<WrittenOut<'_>>], sink: &Sink) {
    let claims = claims(regions, ranges);
    let mut last: HashMap<String, usize> = HashMap::new();
    for (no, claim) in claims.iter().enumerate() {
        let mut told = HashSet::new();
        for id in &claim.ids {
            // Certificates carry ids as DNS names, which know no upper case.
            let Some(before) = last.insert(id.to_ascii_lowercase(), no) else { continue };
            if before == no || !told.insert(before) {
                continue;
            }
            let other = &claims[before];
            let what =
                format!("{}, and at {} in the region {}", claim.says(id), other.at, other.region.name.value);
            sink.note(Problem::error(
                claim.at,
                what,
                "a minion belongs to one region: remove one of the two",
            ));
        }
    }
}

/// The first two patterns of two regions that some id could match both.
fn patterns([earlier, later]: [&DraftRegion; 2], globs: [&[(Glob, &At<String>)]; 2], sink: &Sink) {
    let both = globs[1].iter().find_map(|(own, at)| {
        let other = globs[0].iter().find(|(other, _)| own.overlaps(other))?;
        Some((*at, other.1))
    });
    let Some((own, other)) = both else { return };
    let (name, of) = (&later.name.value, &earlier.name.value);
    let what = format!(
        "the pattern {:?} of the region {name} and {:?} of the region {of} (at {}) can match the same id: it counts to {of}, \
         which comes first",
        own.value, other.value, other.at
    );
    sink.note(Problem::warning(own.at, what, "make the patterns tell the regions apart"));
}

/// The first id that a region lists and another one's pattern covers.
fn covered(lists: &DraftRegion, covers: &DraftRegion, globs: &[(Glob, &At<String>)], sink: &Sink) {
    let both = lists.members.ids.iter().find_map(|id| {
        let glob = globs.iter().find(|(glob, _)| glob.matches(id.value.as_str()))?;
        Some((id, glob.1))
    });
    let Some((id, pattern)) = both else { return };
    let (name, of) = (&lists.name.value, &covers.name.value);
    let what = format!(
        "the minion {} is listed in the region {name}, and the pattern {:?} of the region {of} (at {}) covers it: the list \
         counts",
        id.value, pattern.value, pattern.at
    );
    sink.note(Problem::warning(id.at, what, "nothing to do if that is meant"));
}

/// Most ids of one region's range sets that are held against another's patterns. What comes after it is not warned about:
/// a pattern that covers some of a range mostly covers its first ones.
const MAX_TRIED: usize = 10_000;

/// The first id of a region's range sets that another one's pattern covers.
fn range_covered(
    [names, covers]: [&DraftRegion; 2],
    ranges: &[WrittenOut<'_>],
    globs: &[(Glob, &At<String>)],
    sink: &Sink,
) {
    let mut all =
        ranges.iter().flat_map(|(range, ids)| ids.iter().map(move |id| (*range, id))).take(MAX_TRIED);
    let both = all.find_map(|(range, id)| {
        let glob = globs.iter().find(|(glob, _)| glob.matches(id))?;
        Some((range, id, glob.1))
    });
    let Some((range, id, pattern)) = both else { return };
    let (name, of) = (&names.name.value, &covers.name.value);
    let what = format!(
        "the minion {id} is in the range {:?} of the region {name}, and the pattern {:?} of the region {of} (at {}) covers it: \
         the range counts",
        clip(range.value.as_str()),
        pattern.value,
        pattern.at
    );
    sink.note(Problem::warning(range.at, what, "nothing to do if that is meant"));
}
