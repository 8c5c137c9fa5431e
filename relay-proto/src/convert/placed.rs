//! Which syndics minions belong to, on the wire.

use std::sync::Arc;

use relay_core::message::{Placed, PlacedGroup, PlacedSyndic};

use super::{members_in, members_out};
use crate::{error::WireError, link};

/// Most lists in one message: orders of a region's syndics are few, but a hostile parent's need not be.
const MAX_GROUPS: usize = 4_096;
/// Most syndics in a list: a minion tries a handful before it begins anew.
const MAX_SYNDICS: usize = 16;

pub(super) fn placed_out(placed: &Placed) -> link::Placed {
    let syndic = |s: &PlacedSyndic| link::PlacedSyndic {
        id: s.id.to_string(),
        region: s.region.to_string(),
        address: s.address.to_string(),
    };
    let group = |g: &PlacedGroup| link::PlacedGroup {
        members: members_out(&g.members),
        syndics: g.syndics.iter().map(syndic).collect(),
    };
    link::Placed {
        revision: placed.revision,
        groups: placed.groups.iter().map(group).collect(),
        spread_ms: placed.spread,
    }
}

pub(super) fn placed_in(placed: link::Placed) -> Result<Placed, WireError> {
    if placed.groups.len() > MAX_GROUPS {
        return Err(WireError::field("groups", format!("{}, at most {MAX_GROUPS}", placed.groups.len())));
    }
    let groups = placed.groups.into_iter().map(group_in).collect::<Result<_, _>>()?;
    Ok(Placed { revision: placed.revision, groups, spread: placed.spread_ms })
}

fn group_in(group: link::PlacedGroup) -> Result<PlacedGroup, WireError> {
    if !(1..=MAX_SYNDICS).contains(&group.syndics.len()) {
        let why = format!("{}, from 1 to {MAX_SYNDICS}", group.syndics.len());
        return Err(WireError::field("syndics", why));
    }
    let syndics = group.syndics.into_iter().map(syndic_in).collect::<Result<Arc<[_]>, _>>()?;
    Ok(PlacedGroup { members: members_in(&group.members)?, syndics })
}

fn syndic_in(syndic: link::PlacedSyndic) -> Result<PlacedSyndic, WireError> {
    Ok(PlacedSyndic {
        id: syndic.id.parse().map_err(|e| WireError::field("syndics", e))?,
        region: syndic.region.parse().map_err(|e| WireError::field("syndics", e))?,
        address: syndic.address.parse().map_err(|e| WireError::field("syndics", e))?,
    })
}
