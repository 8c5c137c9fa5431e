//! Batches in the simulation: what operators and regions ask for by chance, and what that promises.
//!
//! [`limits`] and [`bound`] read a rule on their own, not through the owner's window: they are what I12 and I6 are
//! checked against.

use std::collections::{BTreeMap, BTreeSet};

use relay_core::{
    batch::{BatchRule, BatchSize, RegionBatch},
    ids::{MinionId, RegionName},
    invariants::{Limits, RegionLimits},
    owner::HOP_GRACE,
    time::Millis,
    topology::Share,
};

use crate::{random::Random, world::HEARTBEAT};

/// An operator who approves looks at least this often.
pub const LOOKS_EVERY: Millis = 3_000;
/// An operator who does not approve gives the job up after so long.
pub const GIVES_UP_AFTER: Millis = 20_000;
/// What an approval takes besides: to get there, and the commits around it.
const APPROVAL_TAKES: Millis = 4_000;
/// More often than this minions do not come and go one after the other in a run.
const MOST_WAITS: u64 = 8;
/// Over the operator's whole way: lost answers and tries again.
const OPERATOR_SLACK: Millis = 60_000;

/// How the executions of a job go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Some well, some not.
    Mixed,
    /// Well.
    Good,
    /// All of them fail.
    Bad,
    /// Well, after so long that much goes wrong meanwhile.
    Slow,
}

/// A job's mood. In a `slow` seed executions outlive the delivery windows of their jobs.
pub fn mood(random: &mut Random, slow: bool) -> Mood {
    if slow && !random.once_in(3) {
        return Mood::Slow;
    }
    random.pick(&[Mood::Mixed, Mood::Mixed, Mood::Good, Mood::Good, Mood::Bad])
}

fn share(random: &mut Random, most: u64) -> Share {
    match random.once_in(2) {
        true => Share::Count(random.between(1, most.max(2)) as u32),
        false => Share::Percent(random.between(5, 100) as u8),
    }
}

fn maybe<T>(random: &mut Random, once_in: u64, make: impl FnOnce(&mut Random) -> T) -> Option<T> {
    random.once_in(once_in).then(|| make(random))
}

/// What the topology says of a region's batches.
pub fn region(random: &mut Random, minions: u64) -> RegionBatch {
    RegionBatch {
        default_window: maybe(random, 3, |r| share(r, minions)),
        max_failures: maybe(random, 4, |r| share(r, 4)),
        cap: maybe(random, 3, |r| share(r, minions)),
        auto_min: maybe(random, 3, |r| share(r, 2)),
        auto_max: maybe(random, 3, |r| share(r, minions)),
    }
}

/// What an operator asks for.
pub fn rule(random: &mut Random, minions: u64) -> BatchRule {
    let size = match random.below(10) {
        0..3 => BatchSize::Regions,
        3 => BatchSize::All,
        4..7 => BatchSize::Window(share(random, minions / 2)),
        7 => BatchSize::Auto,
        _ => canary(random, minions),
    };
    let limited = !matches!(size, BatchSize::Regions | BatchSize::All);
    BatchRule {
        wait: maybe(random, 4, |r| r.between(1, 1_500)).unwrap_or(0),
        max_failures: maybe(random, if limited { 2 } else { 5 }, |r| share(r, 5)),
        approve: matches!(size, BatchSize::Canary(_)) && random.once_in(2),
        until: maybe(random, 8, |r| share(r, minions)),
        deadline: maybe(random, 8, |r| r.between(500, 30_000)),
        queue: maybe(random, 6, |r| r.between(5_000, 40_000)),
        serial: random.once_in(5),
        regions: BTreeMap::new(),
        size,
    }
}

fn canary(random: &mut Random, minions: u64) -> BatchSize {
    let first = Share::Count(random.between(1, 2) as u32);
    let mut percents: Vec<u64> = (0..random.below(3)).map(|_| random.between(10, 90)).collect();
    percents.sort_unstable();
    let rest = percents.into_iter().map(|p| match minions > 20 {
        true => Share::Percent(p as u8),
        false => Share::Count((p / 10) as u32),
    });
    BatchSize::Canary([first].into_iter().chain(rest).collect())
}

fn part_of(share: Share, whole: u64) -> u64 {
    let part = match share {
        Share::Count(count) => u64::from(count),
        Share::Percent(percent) => whole * u64::from(percent) / 100,
    };
    if part == 0 { 1 } else { part }
}

/// What must be reached is never less than was asked for.
fn reached(share: Share, whole: u64) -> u64 {
    match share {
        Share::Count(count) => u64::from(count).min(whole),
        Share::Percent(percent) => (whole * u64::from(percent)).div_ceil(100),
    }
}

/// What a rule promises for these targets.
pub fn limits(
    rule: &BatchRule,
    regions: &BTreeMap<RegionName, RegionBatch>,
    targets: &BTreeMap<RegionName, BTreeSet<MinionId>>,
) -> Limits {
    let all: u64 = targets.values().map(|members| members.len() as u64).sum();
    let canary = matches!(rule.size, BatchSize::Canary(_));
    let here = |(name, members): (&RegionName, &BTreeSet<MinionId>)| {
        let region = regions.get(name).copied().unwrap_or_default();
        (name.clone(), region_limits(rule, &region, members))
    };
    Limits {
        at_once: match rule.size {
            BatchSize::Window(share) => Some(part_of(share, all)),
            _ => None,
        },
        regions: targets.iter().map(here).collect(),
        stages: stages(rule, all),
        max_failures: match rule.max_failures {
            None if canary => Some(1),
            asked => asked.map(|share| part_of(share, all)),
        },
        until: rule.until.map(|share| reached(share, all)),
        serial: rule.serial,
    }
}

fn region_limits(rule: &BatchRule, region: &RegionBatch, members: &BTreeSet<MinionId>) -> RegionLimits {
    let count = members.len() as u64;
    let own = match rule.size {
        BatchSize::Regions => region.default_window,
        BatchSize::Auto => region.auto_max,
        _ => None,
    };
    let at_once = [own, region.cap].into_iter().flatten().map(|share| part_of(share, count)).min();
    let by_default = rule.size == BatchSize::Regions && rule.max_failures.is_none();
    let max_failures = region.max_failures.filter(|_| by_default).map(|share| part_of(share, count));
    RegionLimits { members: members.clone(), at_once, max_failures }
}

fn stages(rule: &BatchRule, all: u64) -> Vec<u64> {
    let BatchSize::Canary(shares) = &rule.size else { return Vec::new() };
    let mut reached = 0;
    let mut ends = Vec::new();
    for share in shares {
        reached = reached.max(part_of(*share, all).min(all));
        ends.push(reached);
    }
    ends.push(all);
    ends.dedup();
    ends
}

/// What one job may take at the longest, if each place is held for as long as it can be: the bound of I6.
pub struct Bound {
    /// How long a minion has to receive it.
    pub delivery: Millis,
    /// How long it may run there.
    pub run: Millis,
    /// Links between the owner and it, at most.
    pub hops: u64,
}

impl Bound {
    /// How long an outcome may take.
    fn turn(&self) -> Millis {
        self.delivery + self.delivery / 128 + 100 + self.run + 2 * HOP_GRACE * self.hops
    }

    /// How long a place may be held that another waits for.
    fn hold(&self) -> Millis {
        self.turn() + self.hops * HEARTBEAT.dead_after
    }

    /// The longest that a job of this rule may take. Serial jobs wait for others besides.
    pub fn of(&self, rule: &BatchRule, limits: &Limits) -> Millis {
        let all: u64 = limits.regions.values().map(|r| r.members.len() as u64).sum();
        let width = |at_once: Option<u64>| at_once.filter(|_| rule.size != BatchSize::Auto);
        let waves = |limit: Option<u64>, count: u64| limit.map_or(1, |limit| count.div_ceil(limit));
        let by_region = |r: &RegionLimits| match rule.size {
            BatchSize::Auto => r.members.len() as u64,
            _ => waves(width(r.at_once), r.members.len() as u64),
        };
        let stages = limits.stages.len() as u64;
        let limited = limits.at_once.is_some()
            || stages > 0
            || rule.size == BatchSize::Auto
            || limits.regions.values().any(|r| r.at_once.is_some());
        let regions: u64 = limits.regions.values().map(by_region).sum();
        let waves = if limited { waves(limits.at_once, all) + regions + stages } else { 1 };
        // Whoever is offline may come up, have a turn, and leave others to be waited for anew.
        let waiting = match limited || rule.queue.is_some() || rule.serial {
            true => (1 + all.min(MOST_WAITS)) * self.delivery,
            false => 0,
        };
        let operator = match rule.approve {
            true => OPERATOR_SLACK + GIVES_UP_AFTER + stages * (LOOKS_EVERY + APPROVAL_TAKES),
            false => 0,
        };
        let one = if limited || rule.serial { self.hold() } else { self.turn() };
        waves * (one + rule.wait) + waiting + rule.queue.unwrap_or(0) + operator
    }
}
