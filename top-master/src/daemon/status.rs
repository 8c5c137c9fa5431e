//! How a top master stands, for operators.

use std::collections::BTreeMap;

use relay_core::{
    Members,
    ids::{RegionName, TierId},
};
use relay_proto::operator as wire;
use relay_runtime::link::SOFTWARE;

use super::{Daemon, Known};

impl Daemon {
    pub(super) fn status(&self, now: u64) -> wire::StatusReply {
        let inventory = self.owner.inventory();
        let by_syndic: BTreeMap<_, _> = inventory.by_syndic().collect();
        let syndic = |(id, known): (&TierId, &Known)| {
            let members = by_syndic.get(id);
            wire::Syndic {
                id: id.to_string(),
                region: known.region.clone(),
                up: known.up,
                since: known.since,
                minions_up: members.map_or(0, |m| m.intersection_len(inventory.up())),
                minions: members.map_or(0, |m| m.len()),
                software: known.software.clone(),
            }
        };
        let region = |(name, members): (&RegionName, &Members)| wire::Region {
            name: name.to_string(),
            minions_up: members.intersection_len(inventory.up()),
            minions: members.len(),
        };
        wire::StatusReply {
            fabric: self.fabric.clone(),
            top_master: self.id.to_string(),
            software: SOFTWARE.into(),
            uptime_ms: now,
            jobs_open: self.owner.open_jobs().count() as u64,
            syndics: self.known.iter().map(syndic).collect(),
            regions: inventory.by_region().map(region).collect(),
        }
    }
}
