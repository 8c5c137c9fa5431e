//! What a seed looks like: how many regions, syndics, minions and jobs, and what goes wrong.

use std::collections::BTreeSet;

use relay_core::{
    batch::BatchRule,
    ids::{MinionId, RegionName, TierId},
    owner::HOPS,
    time::Millis,
};

use crate::{
    batches,
    client::Request,
    event::{Event, Place},
    faults::{Faults, Kind},
    minion::MinionProcess,
    random::Random,
    sabotage::Sabotage,
    syndic::SyndicProcess,
    world::World,
};

/// One seed in so many has 8 syndics, and more minions.
const WIDE: u64 = 6;
/// One in so many has short delivery windows and long executions: places are held while much goes wrong.
const SLOW: u64 = 5;
/// Jobs of a seed, at least; some more, and those that misuse an id.
pub const JOBS: usize = 20;
/// Enough for a handover, and for every level to dial again.
const ROLLING_DELIVERY: Millis = 20_000;
/// Requests after those, half of which misuse an id, or more are jobs.
const MISUSES: usize = 2;

/// Builds the fabric of a seed, ready to run.
pub fn build(seed: u64, sabotage: Sabotage, log: bool) -> World {
    let mut random = Random::new(seed);
    let until = random.between(15_000, 40_000);
    let faults = Faults::draw(&mut random, until);
    let mut world = World::new(random, faults, sabotage, log);
    let wide = world.random.once_in(WIDE);
    let regions = regions(if wide { 2 } else { 1 + world.random.below(2) });
    let shapes: Vec<Shape> = regions.iter().map(|_| Shape::draw(&mut world.random, wide)).collect();
    for (region, shape) in regions.iter().zip(&shapes) {
        plant(&mut world, region, shape);
    }
    let levels = shapes.iter().map(|shape| shape.0.len()).max().unwrap_or(1) as u64;
    world.hops = HOPS.max(levels + 1);
    world.batches.hops = world.hops;
    world.coverage.add("tree of 3 levels", u64::from(levels == 3));
    let minions = if wide { 16 + world.random.below(25) } else { 4 + world.random.below(9) };
    (0..minions).for_each(|no| add_minion(&mut world, no, &regions[no % regions.len()]));
    for region in &regions {
        let batch = batches::region(&mut world.random, (minions / regions.len()) as u64);
        if world.random.once_in(2) {
            world.batches.regions.insert(region.clone(), batch);
        }
    }
    let slow = world.random.once_in(SLOW);
    add_requests(&mut world, until, slow);
    start(&mut world);
    world
}

/// The same fabric and jobs, but only the top masters are restarted, and minions have time enough to be reached.
pub fn rolling(seed: u64, log: bool) -> World {
    let mut world = build(seed, Sabotage::None, log);
    world.faults.only(Kind::Rolling);
    for request in &mut world.requests {
        request.delivery_limit = ROLLING_DELIVERY;
        request.cancel_after = None;
    }
    world
}

/// How many syndics a region has at each level, from the top down.
struct Shape(Vec<usize>);

impl Shape {
    fn draw(random: &mut Random, wide: bool) -> Shape {
        let some = |random: &mut Random| 1 + random.below(2);
        Shape(match random.below(6) {
            0 => vec![some(random), 2, 2],
            1 => vec![some(random), 2],
            2 => vec![2, some(random)],
            _ if wide => vec![4],
            _ => vec![1 + some(random)],
        })
    }
}

/// The syndics of a region. Each level hangs on the whole of the one above; the order is by chance.
fn plant(world: &mut World, region: &RegionName, shape: &Shape) {
    let mut above = vec![Place::Top(0), Place::Top(1)];
    for (level, count) in shape.0.iter().enumerate() {
        let first = world.syndics.len();
        for no in 0..*count {
            let mut parents = above.clone();
            if level > 0 && world.random.once_in(2) {
                parents.reverse();
            }
            let incarnation = world.random.bits() | 1;
            if let Ok(id) = format!("{region}-{level}-{no}").parse::<TierId>() {
                world.syndics.push(SyndicProcess::new(id, region.clone(), parents, incarnation));
            }
        }
        above = (first..world.syndics.len()).map(Place::Syndic).collect();
    }
}

fn regions(count: usize) -> Vec<RegionName> {
    ["aws", "azure"].iter().take(count).filter_map(|name| name.parse().ok()).collect()
}

/// A minion hangs on the lowest level; in some regions a few hang higher.
fn add_minion(world: &mut World, no: usize, region: &RegionName) {
    let incarnation = world.random.bits() | 1;
    let all: Vec<usize> = (0..world.syndics.len()).filter(|s| world.syndics[*s].region == *region).collect();
    let has_children = |s: usize| world.syndics.iter().any(|other| other.parents.contains(&Place::Syndic(s)));
    let lowest: Vec<usize> = all.iter().copied().filter(|s| !has_children(*s)).collect();
    let parents = if world.random.once_in(5) { all } else { lowest };
    if let Ok(id) = format!("m{no}").parse::<MinionId>() {
        world.minions.push(MinionProcess::new(id, region.clone(), parents, incarnation));
    }
}

fn add_requests(world: &mut World, until: Millis, slow: bool) {
    let count = JOBS + world.random.below(4) + MISUSES;
    for no in 0..count {
        let misuses = (no >= JOBS && world.random.once_in(2)).then(|| world.random.below(no));
        let misuses = misuses.filter(|first| world.requests[*first].misuses.is_none());
        let id = match misuses {
            Some(first) => world.requests[first].id,
            None => u128::from(world.random.bits()),
        };
        let minions = world.minions.len() as u64;
        let batch = match world.random.once_in(3) {
            true => BatchRule::default(),
            false => batches::rule(&mut world.random, minions),
        };
        let request = Request {
            id,
            batch,
            mood: batches::mood(&mut world.random, slow),
            approves: !world.random.once_in(4),
            looks_since: 0,
            body: no as u8,
            target: target(world),
            delivery_limit: if slow {
                world.random.between(300, 2_000)
            } else {
                world.random.between(2_000, 8_000)
            },
            run_limit: world.random.between(3_000, 12_000),
            cancel_after: world.random.once_in(4).then(|| world.random.between(1, 5_000)),
            misuses,
            jid: None,
            over: false,
            asks: world.random.below(2),
            asked: BTreeSet::new(),
            watched: world.random.once_in(2),
        };
        world.requests.push(request);
        let at = world.random.between(200, until);
        world.agenda.at(at, Event::Client(no));
    }
}

fn target(world: &mut World) -> String {
    let count = world.minions.len();
    match world.random.below(3) {
        0 => "*".into(),
        1 => format!("m{}", world.random.below(count)),
        _ => {
            let some: Vec<String> =
                (0..count).filter(|_| world.random.once_in(2)).map(|no| format!("m{no}")).collect();
            if some.is_empty() { "m*".into() } else { format!("L@{}", some.join(",")) }
        }
    }
}

fn start(world: &mut World) {
    let syndics = (0..world.syndics.len()).map(Place::Syndic);
    let minions = (0..world.minions.len()).map(Place::Minion);
    for place in [0, 1].map(Place::Top).into_iter().chain(syndics).chain(minions) {
        world.agenda.at(0, Event::Restart(place, 0));
    }
    world.agenda.at(1, Event::Expire);
    world.agenda.at(1_000, Event::Fault);
}
