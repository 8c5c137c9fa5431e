//! How a top master stands, for operators: who is there, and who should be.

use std::collections::BTreeMap;

use relay_core::{
    Members,
    ids::{RegionName, TierId},
    inventory::Inventory,
    topology::Topology,
};
use relay_proto::operator as wire;
use relay_runtime::link::SOFTWARE;

use super::{Daemon, Known, Lead};
use crate::{register::Presence, topology::Effective};

/// Whom the topology names, so that who is missing is shown also if nothing is known of them (any more): the minions of
/// a dead syndic have moved to its neighbours.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The syndics that attach to this top master, with their regions.
    pub syndics: BTreeMap<TierId, RegionName>,
    /// All regions.
    pub regions: Vec<RegionName>,
}

impl Expected {
    /// What a topology says of a top master. A syndic behind another syndic never attaches to it.
    pub fn of(topology: &Topology, own: &TierId) -> Expected {
        let below = topology.syndics().filter(|(_, syndic)| syndic.parents.contains(own));
        Expected {
            syndics: below.map(|(region, syndic)| (syndic.id.clone(), region.name.clone())).collect(),
            regions: topology.regions.iter().map(|region| region.name.clone()).collect(),
        }
    }
}

/// The syndics of a top master that nobody is attached to yet: those that its minions were last seen through, and those
/// that are expected.
pub(super) fn never_attached(inventory: &Inventory, expected: &Expected) -> BTreeMap<TierId, Known> {
    let seen = inventory.by_syndic().map(|(syndic, members)| {
        let region = members.min().and_then(|no| inventory.get(no)).map(|minion| minion.region.to_string());
        (syndic, region.unwrap_or_default())
    });
    let named = expected.syndics.iter().map(|(syndic, region)| (syndic, region.to_string()));
    let down = |(syndic, region): (&TierId, String)| {
        (syndic.clone(), Known { region, up: false, since: 0, software: String::new() })
    };
    seen.chain(named).map(down).collect()
}

fn top_masters(lead: &Lead) -> Vec<wire::TopMaster> {
    let one = |(id, presence): (&TierId, &Presence)| wire::TopMaster {
        id: id.to_string(),
        listen: presence.listen.clone(),
        operators: presence.operators.clone(),
        software: presence.version.clone(),
        owner: lead.owner.as_ref() == Some(id),
        leaving: presence.leaving,
    };
    lead.present.iter().map(one).collect()
}

impl Daemon {
    /// Goes by another topology from now on.
    pub fn effective(&mut self, effective: Option<Effective>) {
        let (batches, expected) = match &effective {
            Some(effective) => (effective.batches(), Expected::of(&effective.topology, &self.id)),
            None => Default::default(),
        };
        self.owner.set_batches(batches);
        effective.iter().for_each(|effective| self.place_by(effective));
        self.expected = expected;
        let inventory = self.owner.inventory();
        let never = never_attached(inventory, &self.expected);
        // Whoever is named no more, is down and has no minions, is gone for good.
        self.known.retain(|syndic, known| known.up || never.contains_key(syndic));
        for (syndic, down) in never {
            self.known.entry(syndic).or_insert(down);
        }
    }

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
        let empty = Members::new();
        let mut regions: BTreeMap<&RegionName, &Members> =
            self.expected.regions.iter().map(|name| (name, &empty)).collect();
        regions.extend(inventory.by_region());
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
            regions: regions.into_iter().map(region).collect(),
            epoch: self.owner.epoch().0,
            top_masters: top_masters(&self.standings.lead.borrow()),
            // What is not the loop's is filled in by who answers.
            ..wire::StatusReply::default()
        }
    }
}
