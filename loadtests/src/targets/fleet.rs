//! The fleet that targets are evaluated on: each machine is a function of its number.

use relay_core::{
    ids::{Incarnation, MinionId, RegionName, TierId},
    inventory::Inventory,
    target::Target,
};

/// Regions and the syndic in each.
pub const PLACES: [(&str, &str); 4] =
    [("aws", "aws-1"), ("azure", "azure-1"), ("gcp", "gcp-1"), ("on-prem", "onprem-1")];
/// What machines are for, and the beginning of their ids.
const KINDS: [&str; 3] = ["web", "db", "app"];
const SYSTEMS: [&str; 4] = ["Ubuntu", "Debian", "RedHat", "Suse"];

/// One machine.
pub struct Machine {
    /// Its number, also in its id.
    pub n: u32,
    /// What it is for.
    pub kind: &'static str,
    /// Its grain `os`.
    pub os: &'static str,
    /// Its grain `num_cpus`.
    pub cpus: u32,
    /// Its address of IPv4 besides the loopback's.
    pub address: [u8; 4],
    /// Its region.
    pub region: &'static str,
    syndic: &'static str,
}

impl Machine {
    fn new(n: u32) -> Machine {
        let [_, a, b, c] = n.to_be_bytes();
        // By different parts of the number, so that no two properties always come together.
        let (region, syndic) = PLACES[n as usize / 16 % PLACES.len()];
        Machine {
            n,
            kind: KINDS[n as usize % KINDS.len()],
            os: SYSTEMS[n as usize / 4 % SYSTEMS.len()],
            cpus: n % 61,
            address: [10, a, b, c],
            region,
            syndic,
        }
    }

    fn id(&self) -> String {
        format!("{}{:06}", self.kind, self.n)
    }

    fn grains(&self) -> String {
        let (id, Machine { os, cpus, kind, address: [a, b, c, d], .. }) = (self.id(), self);
        format!(
            r#"{{"os":"{os}","num_cpus":{cpus},"roles":["{kind}"],"fqdn":"{id}.example.com","ipv4":["127.0.0.1","{a}.{b}.{c}.{d}"]}}"#
        )
    }
}

/// An inventory, and the machines that it was made from.
pub struct Fleet {
    /// All of them, up.
    pub inventory: Inventory,
    minions: u32,
}

impl Fleet {
    /// So many machines.
    ///
    /// # Errors
    /// An id is none: not before a million of them.
    pub fn new(minions: u32) -> anyhow::Result<Fleet> {
        let mut inventory = Inventory::new();
        for machine in (0..minions).map(Machine::new) {
            let id: MinionId = machine.id().parse()?;
            let (region, syndic): (RegionName, TierId) = (machine.region.parse()?, machine.syndic.parse()?);
            inventory.upsert(&id, &region, &syndic, Incarnation(1), Some(&machine.grains()), true, 0);
        }
        Ok(Fleet { inventory, minions })
    }

    /// Compares what a target finds with what it means.
    ///
    /// # Errors
    /// The first machine for which they differ.
    pub fn check(&self, target: &Target, means: fn(&Machine) -> bool) -> anyhow::Result<()> {
        let found = self.inventory.evaluate(target);
        for machine in (0..self.minions).map(Machine::new) {
            let id = machine.id();
            let no = self.inventory.no_of(&id).ok_or_else(|| anyhow::anyhow!("{id} is not there"))?;
            anyhow::ensure!(
                found.contains(no) == means(&machine),
                "{target} finds {id}: {}",
                found.contains(no)
            );
        }
        anyhow::ensure!(!found.is_empty(), "{target} finds nobody, and measures nothing");
        Ok(())
    }
}
