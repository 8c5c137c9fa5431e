//! Which syndics minions belong to, on the wire.

use std::sync::Arc;

use relay_core::{
    identity::check_region,
    message::{
        MAX_PLACED_GROUPS as MAX_GROUPS, MAX_PLACED_SYNDICS as MAX_SYNDICS, Placed, PlacedGroup, PlacedSyndic,
    },
};

use super::{members_in, members_out};
use crate::{error::WireError, link};

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
        region: check_region(&syndic.region).map_err(|e| WireError::field("syndics", e))?,
        address: syndic.address.parse().map_err(|e| WireError::field("syndics", e))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use relay_core::Members;

    fn syndic(id: &str) -> PlacedSyndic {
        let address = format!("{id}.example:4510").parse().unwrap();
        PlacedSyndic { id: id.parse().unwrap(), region: "aws".parse().unwrap(), address }
    }

    fn placed(groups: usize, syndics: usize) -> Placed {
        let list: Arc<[PlacedSyndic]> = (0..syndics).map(|n| syndic(&format!("s-{n}"))).collect();
        let group = |no| PlacedGroup { members: Members::from_iter([no, 70_000]), syndics: list.clone() };
        Placed { revision: 7, groups: (0..groups as u32).map(group).collect(), spread: 9 }
    }

    fn there_and_back(placed: &Placed) -> Result<Placed, WireError> {
        placed_in(link::Placed::decode(&*placed_out(placed).encode_to_vec()).unwrap())
    }

    #[test]
    fn it_survives_up_to_its_bounds() {
        for placed in [placed(0, 1), placed(3, 2), placed(2, MAX_SYNDICS)] {
            assert_eq!(there_and_back(&placed).unwrap(), placed);
        }
        assert!(there_and_back(&placed(1, 0)).is_err());
        assert!(there_and_back(&placed(1, MAX_SYNDICS + 1)).is_err());
        assert!(there_and_back(&placed(MAX_GROUPS + 1, 1)).is_err());
    }

    #[test]
    fn names_that_are_none_are_refused() {
        let good = link::PlacedSyndic { id: "s".into(), region: "aws".into(), address: "s:1".into() };
        assert!(syndic_in(good.clone()).is_ok());
        assert!(syndic_in(link::PlacedSyndic { id: "../s".into(), ..good.clone() }).is_err());
        assert!(syndic_in(link::PlacedSyndic { region: String::new(), ..good.clone() }).is_err());
        assert!(syndic_in(link::PlacedSyndic { region: "a.b".into(), ..good.clone() }).is_err());
        assert!(syndic_in(link::PlacedSyndic { address: "s".into(), ..good }).is_err());
    }
}
