//! The minions and node groups that a request is explained with: those of a fabric.

use anyhow::Context as _;
use relay_core::{
    ids::Incarnation,
    inventory::{Inventory, Record},
    target::NodeGroups,
};
use relay_proto::operator::{ListMinionsRequest, Minion};
use relay_runtime::config::parse_topology;

use crate::connect::Fabric;

/// What a fabric knows.
pub struct Fleet {
    pub inventory: Inventory,
    pub groups: NodeGroups,
}

impl Fleet {
    /// Asks a fabric for it, as whoever the context says.
    ///
    /// # Errors
    /// It can't be reached, or does not tell.
    pub async fn ask(fabric: &mut Fabric) -> anyhow::Result<Fleet> {
        let request = ListMinionsRequest { down: false, target: String::new(), grains: true };
        let minions = fabric.minions(request).await?;
        let topology = fabric.topology(0).await?;
        let groups = match topology.text.is_empty() {
            true => NodeGroups::default(),
            false => groups(&topology.text)?,
        };
        Fleet::of(&minions, groups)
    }

    /// These minions.
    ///
    /// # Errors
    /// One of them can't be read.
    pub fn of(minions: &[Minion], groups: NodeGroups) -> anyhow::Result<Fleet> {
        let mut inventory = Inventory::new();
        for (no, minion) in (0..).zip(minions) {
            let place = || format!("minion {:?}", minion.id);
            let record = Record {
                no,
                id: minion.id.parse().with_context(place)?,
                region: minion.region.parse().with_context(place)?,
                syndic: minion.syndic.parse().with_context(place)?,
                incarnation: Incarnation(0),
                incarnation_seq: 0,
                up: minion.up,
                since: minion.since,
                grains: if minion.grains.is_empty() { "{}".into() } else { minion.grains.clone() },
            };
            inventory.restore(record).with_context(place)?;
        }
        Ok(Fleet { inventory, groups })
    }
}

/// The node groups of a topology's text.
///
/// # Errors
/// It is no topology.
pub fn groups(text: &str) -> anyhow::Result<NodeGroups> {
    let topology = parse_topology(text).map_err(|problems| {
        let first = problems.first().map(|p| p.what.clone()).unwrap_or_default();
        anyhow::anyhow!("the topology can't be read: {first}")
    })?;
    Ok(topology.node_groups)
}
