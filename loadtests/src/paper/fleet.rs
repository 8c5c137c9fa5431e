//! A top master's rules with a whole fleet attached: rosters as syndics would send them, and no process anywhere.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use relay_core::{
    ids::{Epoch, Incarnation, MinionId},
    inventory::Inventory,
    job::{CancelSpec, Job, JobSpec, Seal},
    message::{LinkId, RosterChange, RosterEntry, RosterUpdate, Up},
    owner::{Owner, OwnerEffect, OwnerRule},
    seat::HeartbeatRule,
    signing::NoKey,
};
use serde::{Deserialize, Serialize};

/// Grains that minions share, as most do: what differs is which of these they have.
const SYSTEMS: [&str; 4] = ["Ubuntu", "Debian", "RedHat", "Suse"];

/// Minions that a syndic tells of at once. All syndics attach at the same time, so a top master meets a few of each in turn,
/// and its numbers for those below one syndic lie apart.
const WAVE: u32 = 250;

/// How large the fleet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Minions in all.
    pub minions: u32,
    /// Syndics, each with its part of the minions.
    pub syndics: u32,
    /// Regions, each with its part of the syndics.
    pub regions: u32,
}

impl Size {
    /// How many minions a syndic has.
    pub fn below(&self, syndic: u32) -> u32 {
        self.first(syndic + 1) - self.first(syndic)
    }

    /// How many minions the syndics before it have.
    fn first(&self, syndic: u32) -> u32 {
        let first = u64::from(self.minions) * u64::from(syndic) / u64::from(self.syndics.max(1));
        u32::try_from(first).unwrap_or(u32::MAX)
    }

    /// The fleet's syndics, by their links.
    pub fn links(&self) -> impl Iterator<Item = (u32, LinkId)> + use<> {
        (0..self.syndics).map(|syndic| (syndic, LinkId(u64::from(syndic) + 1)))
    }
}

/// Seals without a key: what a signature costs is in `fanout`, once for each job.
#[derive(Debug)]
struct Unkeyed;

impl Seal for Unkeyed {
    fn seal(&self, spec: &JobSpec) -> Result<Job, NoKey> {
        let (jid, targets) = (spec.jid, Some(spec.targets));
        Ok(Job { jid, digest: [0; 32], envelope: spec.args.clone(), targets })
    }

    fn seal_cancel(&self, _: &CancelSpec) -> Result<Bytes, NoKey> {
        Ok(Bytes::new())
    }
}

/// A top master to which every syndic has told its roster.
#[derive(Debug)]
pub struct Fleet {
    /// Its rules.
    pub owner: Owner,
    /// How many are below it.
    pub size: Size,
    /// The number of the last batch of returns of each link.
    batches: BTreeMap<LinkId, u64>,
}

impl Fleet {
    /// All of it up and stored.
    ///
    /// # Errors
    /// An id is none.
    pub fn new(size: Size) -> anyhow::Result<Fleet> {
        Ok(Fleet { owner: attached(size)?, size, batches: BTreeMap::new() })
    }

    /// The number of the next batch of returns over a link.
    pub fn next_batch(&mut self, link: LinkId) -> u64 {
        let last = self.batches.entry(link).or_default();
        *last += 1;
        *last
    }
}

fn attached(size: Size) -> anyhow::Result<Owner> {
    let rule = OwnerRule {
        fabric: "paper.example".into(),
        epoch: Epoch(1),
        heartbeat: HeartbeatRule::default(),
        seal: Arc::new(Unkeyed),
        batches: Default::default(),
        commits: Default::default(),
    };
    let mut owner = Owner::recover(rule, 0, 0, Inventory::new(), Vec::new());
    for (syndic, link) in size.links() {
        let region = format!("r{}", syndic % size.regions.max(1)).parse().context("a region")?;
        owner.syndic_up(0, link, format!("syndic-{syndic}").parse()?, region, Incarnation(link.0));
        told(&mut owner, link, RosterUpdate::Full { version: 1, entries: Vec::new() });
    }
    let largest = size.links().map(|(syndic, _)| size.below(syndic)).max().unwrap_or(0);
    for (version, first) in (1..).zip((0..largest).step_by(WAVE as usize)) {
        for (syndic, link) in size.links() {
            let numbers = first..size.below(syndic).min(first + WAVE);
            let changes = numbers.map(|no| Ok(RosterChange::Put(entry(size, syndic, no)?)));
            let changes = changes.collect::<anyhow::Result<_>>()?;
            told(&mut owner, link, RosterUpdate::Delta { from: version, to: version + 1, changes });
        }
    }
    Ok(owner)
}

/// A syndic tells its roster, and what that changes is stored.
fn told(owner: &mut Owner, link: LinkId, update: RosterUpdate) {
    owner.from_syndic(0, 0, link, Up::Roster(update));
    owner.end_turn(0, 0);
    stored(owner);
}

fn entry(size: Size, syndic: u32, no: u32) -> anyhow::Result<RosterEntry> {
    let n = size.first(syndic) + no;
    let id: MinionId = format!("m{n:07}").parse()?;
    // Any number but 0, which is nobody's.
    let incarnation = Incarnation(u64::from(n) + 1);
    let system = SYSTEMS[n as usize % SYSTEMS.len()];
    let grains = Arc::<str>::from(format!(r#"{{"os":"{system}","role":"paper"}}"#));
    Ok(RosterEntry { no, id, incarnation, up: true, since: 0, grains })
}

/// Answers every commit at once with yes, as a store without a disk would; nothing else is of interest here.
fn stored(owner: &mut Owner) {
    for effect in owner.effects() {
        if let OwnerEffect::Persist { ticket, .. } = effect {
            owner.persisted(0, ticket, Ok(()));
        }
    }
}
