//! Free places over links: in proportion to what each has left, within what each region has room for.

use std::collections::BTreeMap;

use super::Part;
use crate::{Members, message::LinkId};

struct Bucket {
    part: usize,
    left: Members,
    quota: u64,
}

/// Names at most `room` of the candidates, at most `rooms[i]` of part `i`.
pub(super) fn share_out(
    parts: &[Part],
    rooms: &[u64],
    room: u64,
    candidates: &Members,
    link_of: &dyn Fn(u32) -> Option<LinkId>,
) -> Members {
    let mut buckets = buckets(parts, candidates, link_of);
    let total: u64 = buckets.iter().map(|b| b.left.len()).sum();
    let mut rooms = rooms.to_vec();
    let mut room = room.min(total);
    let whole = room;
    for bucket in &mut buckets {
        let fair = (u128::from(whole) * u128::from(bucket.left.len()) / u128::from(total.max(1))) as u64;
        give(bucket, fair, &mut room, &mut rooms);
    }
    // What rounding and full regions left over, to those with most still waiting.
    while room > 0 {
        let waiting = |b: &Bucket| b.left.len() - b.quota;
        let open = buckets.iter_mut().filter(|b| waiting(b) > 0 && rooms[b.part] > 0);
        let Some(bucket) = open.max_by_key(|b| waiting(b)) else { break };
        give(bucket, 1, &mut room, &mut rooms);
    }
    let mut granted = Members::new();
    for bucket in &buckets {
        granted.extend(bucket.left.iter().take(bucket.quota as usize));
    }
    granted
}

fn give(bucket: &mut Bucket, places: u64, room: &mut u64, rooms: &mut [u64]) {
    let places = places.min(*room).min(rooms[bucket.part]).min(bucket.left.len() - bucket.quota);
    bucket.quota += places;
    *room -= places;
    rooms[bucket.part] -= places;
}

fn buckets(parts: &[Part], candidates: &Members, link_of: &dyn Fn(u32) -> Option<LinkId>) -> Vec<Bucket> {
    let mut found: BTreeMap<(usize, LinkId), Members> = BTreeMap::new();
    for (no, part) in parts.iter().enumerate() {
        for member in &(candidates & &part.members) {
            if let Some(link) = link_of(member) {
                found.entry((no, link)).or_default().insert(member);
            }
        }
    }
    found.into_iter().map(|((part, _), left)| Bucket { part, left, quota: 0 }).collect()
}
