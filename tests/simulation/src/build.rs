//! What a seed looks like: how many regions, syndics, minions and jobs, and what goes wrong.

use relay_core::{
    batch::BatchRule,
    ids::{MinionId, RegionName, TierId},
    time::Millis,
};

use crate::{
    batches,
    client::Request,
    event::{Event, Place},
    faults::Faults,
    minion::MinionProcess,
    random::Random,
    sabotage::Sabotage,
    syndic::SyndicProcess,
    top::TopProcess,
    world::World,
};

/// One seed in so many has 8 syndics, and more minions.
const WIDE: u64 = 6;

/// One in so many has short delivery windows and long executions: places are held while much goes wrong.
const SLOW: u64 = 5;

/// Builds the fabric of a seed, ready to run.
pub fn build(seed: u64, sabotage: Sabotage, log: bool) -> World {
    let mut random = Random::new(seed);
    let until = random.between(15_000, 40_000);
    let faults = Faults::draw(&mut random, until);
    let mut world = World::new(random, faults, TopProcess::new(sabotage), sabotage, log);
    let wide = world.random.once_in(WIDE);
    let regions = regions(if wide { 2 } else { 1 + world.random.below(2) });
    let per_region = if wide { [4, 4] } else { [2, 1 + world.random.below(2)] };
    for (region, count) in regions.iter().zip(per_region) {
        (0..count).for_each(|no| add_syndic(&mut world, region, no));
    }
    let minions = if wide { 16 + world.random.below(25) } else { 4 + world.random.below(9) };
    (0..minions).for_each(|no| add_minion(&mut world, no, &regions[no % regions.len()]));
    for region in &regions {
        let batch = batches::region(&mut world.random, (minions / regions.len()) as u64);
        if world.random.once_in(2) {
            world.top.batches.regions.insert(region.clone(), batch);
        }
    }
    let slow = world.random.once_in(SLOW);
    add_requests(&mut world, until, slow);
    start(&mut world);
    world
}

fn regions(count: usize) -> Vec<RegionName> {
    ["aws", "azure"].iter().take(count).filter_map(|name| name.parse().ok()).collect()
}

fn add_syndic(world: &mut World, region: &RegionName, no: usize) {
    let incarnation = world.random.bits() | 1;
    if let Ok(id) = format!("{region}-{no}").parse::<TierId>() {
        world.syndics.push(SyndicProcess::new(id, region.clone(), incarnation));
    }
}

fn add_minion(world: &mut World, no: usize, region: &RegionName) {
    let incarnation = world.random.bits() | 1;
    let parents: Vec<usize> =
        (0..world.syndics.len()).filter(|s| world.syndics[*s].region == *region).collect();
    if let Ok(id) = format!("m{no}").parse::<MinionId>() {
        world.minions.push(MinionProcess::new(id, region.clone(), parents, incarnation));
    }
}

fn add_requests(world: &mut World, until: Millis, slow: bool) {
    let count = 3 + world.random.below(8);
    for no in 0..count {
        let misuses = (no > 0 && world.random.once_in(8)).then(|| world.random.below(no));
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
    for place in [Place::Top].into_iter().chain(syndics).chain(minions) {
        world.agenda.at(0, Event::Restart(place, 0));
    }
    world.agenda.at(1_000, Event::Fault);
}
