//! Who is told what, and when.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    ids::{Epoch, Incarnation, MinionId},
    message::{RosterEntry, RosterUpdate, Up},
    owner::{OwnerEffect, OwnerRule},
    seat::HeartbeatRule,
};

const SYNDICS: [&str; 3] = ["aws-1", "aws-2", "aws-3"];

fn topology(syndics: &[(&str, &str)]) -> Topology {
    let syndic =
        |(id, parent): &(&str, &str)| json!({"id": id, "address": format!("{id}:1"), "parents": [parent]});
    let syndics: Vec<_> = syndics.iter().map(syndic).collect();
    let file = json!({
        "version": 1, "fabric": "acme.example",
        "top_masters": [{"id": "top", "address": "top:1", "region": "core"}],
        "regions": [{"name": "aws", "provider": "aws", "syndics": syndics, "minions": {"count": 10, "patterns": ["*"]}}],
    });
    Topology::check(&crate::topology::render::node(&file)).unwrap()
}

fn flat(n: usize) -> Topology {
    topology(&SYNDICS.map(|id| (id, "top"))[..n])
}

/// A top master, and where its minions are.
struct Bench {
    owner: Owner,
    placing: Placing,
    now: Millis,
    links: u64,
}

impl Bench {
    fn new(topology: &Topology) -> Bench {
        let seal = Arc::new(crate::testing::Sealing::default());
        let heartbeat = HeartbeatRule::default();
        let (fabric, epoch, batches) = ("test".into(), Epoch(1), Default::default());
        let rule = OwnerRule { fabric, epoch, heartbeat, seal, batches, commits: Default::default() };
        let owner = Owner::recover(rule, 0, 0, Inventory::new(), Vec::new());
        let mut placing = Placing::new();
        placing.set_topology(1, topology);
        Bench { owner, placing, now: 0, links: 0 }
    }

    /// A syndic attaches with these minions, numbered from a number of its own.
    fn attach(&mut self, syndic: &str, minions: impl IntoIterator<Item = usize>) -> LinkId {
        self.links += 1;
        let (link, id) = (LinkId(self.links), syndic.parse().unwrap());
        self.owner.syndic_up(self.now, link, id, "aws".parse().unwrap(), Incarnation(self.links));
        self.roster(link, minions);
        link
    }

    fn roster(&mut self, link: LinkId, minions: impl IntoIterator<Item = usize>) {
        let entry = |n: usize| RosterEntry {
            no: number(link, n),
            id: minion(n),
            incarnation: Incarnation(n as u64 + 1),
            up: true,
            since: 0,
            grains: "{}".into(),
        };
        let entries = minions.into_iter().map(entry).collect();
        self.owner.from_syndic(self.now, 0, link, Up::Roster(RosterUpdate::Full { version: 1, entries }));
        self.settle();
    }

    fn settle(&mut self) {
        for effect in self.owner.effects() {
            if let OwnerEffect::Persist { ticket, .. } = effect {
                self.owner.persisted(self.now, ticket, Ok(()));
            }
        }
    }

    /// What is said a while later, by link.
    fn later(&mut self) -> BTreeMap<LinkId, Vec<Placed>> {
        self.now += PACE;
        let mut said: BTreeMap<LinkId, Vec<Placed>> = BTreeMap::new();
        for Sending { links, down, .. } in self.placing.turn(self.now, &self.owner) {
            let Down::Placed(placed) = down else { panic!("{down:?}") };
            links.iter().for_each(|link| said.entry(*link).or_default().push(placed.clone()));
        }
        said
    }
}

fn minion(n: usize) -> MinionId {
    format!("web-{n:04}").parse().unwrap()
}

fn number(link: LinkId, n: usize) -> u32 {
    1_000 * link.0 as u32 + n as u32
}

/// Who was told what, by the minion's number.
fn told(link: LinkId, said: &BTreeMap<LinkId, Vec<Placed>>) -> BTreeMap<usize, Vec<String>> {
    let groups = said.get(&link).into_iter().flatten().flat_map(|placed| &placed.groups);
    let each = groups.flat_map(|group| {
        let ids: Vec<String> = group.syndics.iter().map(|s| s.id.to_string()).collect();
        group.members.iter().map(move |no| (no as usize - 1_000 * link.0 as usize, ids.clone()))
    });
    each.collect()
}

#[test]
fn everybody_is_told_once_under_the_numbers_of_the_link() {
    let topology = flat(3);
    let mut bench = Bench::new(&topology);
    let (one, two) = (bench.attach("aws-1", 0..60), bench.attach("aws-2", 60..90));
    let said = bench.later();
    let ids: Vec<MinionId> = (0..90).map(minion).collect();
    let placement = Placement::new(&topology.regions[0].syndics, &ids);
    for (link, range) in [(one, 0..60), (two, 60..90)] {
        let told = told(link, &said);
        assert!(told.keys().copied().eq(range), "{told:?}");
        for (n, list) in told {
            let parents: Vec<String> = placement.parents(&ids[n]).iter().map(|id| id.to_string()).collect();
            assert_eq!(list, parents);
        }
        let [placed] = &said[&link][..] else { panic!("one message") };
        assert!(placed.groups.len() <= 6, "equal lists share: {}", placed.groups.len());
        assert_eq!((placed.revision, placed.spread), (1, SPREAD_MIN));
        assert_eq!(placed.groups[0].syndics[0].region.as_str(), "aws");
    }
    assert!(bench.placing.misplaced() > 30);
    assert!(bench.later().is_empty(), "said once");
}

#[test]
fn a_newcomer_is_told_alone_and_a_new_link_is_told_everything() {
    let mut bench = Bench::new(&flat(2));
    let link = bench.attach("aws-1", 0..10);
    bench.later();
    bench.roster(link, 0..11);
    assert!(told(link, &bench.later()).keys().eq([&10]));
    bench.owner.syndic_down(0, link);
    assert!(bench.later().is_empty());
    let again = bench.attach("aws-1", 0..11);
    assert_eq!(told(again, &bench.later()).len(), 11);
}

#[test]
fn many_changes_are_one_search() {
    let mut bench = Bench::new(&flat(2));
    let link = bench.attach("aws-1", 0..10);
    assert!(!bench.placing.turn(bench.now, &bench.owner).is_empty(), "the first at once");
    for n in 10..20 {
        bench.roster(link, 0..n);
        assert!(bench.placing.turn(bench.now + PACE - 1, &bench.owner).is_empty());
    }
    assert_eq!(bench.placing.next_deadline(&bench.owner), Some(bench.now + PACE));
    assert_eq!(told(link, &bench.later()).len(), 9);
    assert_eq!(bench.placing.next_deadline(&bench.owner), None);
}

#[test]
fn the_same_topology_again_says_nothing_and_another_one_what_is_new() {
    let mut bench = Bench::new(&flat(2));
    let link = bench.attach("aws-1", 0..90);
    let before = told(link, &bench.later());
    bench.placing.set_topology(2, &flat(2));
    assert!(bench.later().is_empty());
    bench.placing.set_topology(3, &flat(3));
    let said = bench.later();
    assert_eq!(said[&link][0].revision, 3);
    let after = told(link, &said);
    let moved: Vec<_> = after.iter().filter(|(n, list)| list[0] != before[n][0]).collect();
    assert!(moved.iter().all(|(_, list)| list[0] == "aws-3"));
    assert!((20..=40).contains(&moved.len()), "a third of 90 is 30: {}", moved.len());
}

#[test]
fn without_a_topology_or_a_region_in_it_nobody_is_told_anything() {
    let mut bench = Bench::new(&flat(1));
    bench.placing = Placing::new();
    let link = bench.attach("aws-1", 0..3);
    assert!(bench.later().is_empty());
    let mut other = topology(&[("aws-1", "top")]);
    other.regions[0].name = "azure".parse().unwrap();
    bench.placing.set_topology(1, &other);
    assert!(bench.later().is_empty());
    bench.placing.set_topology(2, &flat(1));
    assert_eq!(told(link, &bench.later()).len(), 3);
}

#[test]
fn a_primary_that_comes_back_is_said_again_to_those_who_miss_it() {
    let mut bench = Bench::new(&flat(2));
    let link = bench.attach("aws-1", 0..40);
    let lists = told(link, &bench.later());
    let waiting: Vec<usize> = lists.iter().filter(|(_, list)| list[0] == "aws-2").map(|(n, _)| *n).collect();
    assert!(!waiting.is_empty() && waiting.len() < 40);
    assert_eq!(bench.placing.misplaced(), waiting.len() as u64);
    let two = bench.attach("aws-2", []);
    assert!(told(link, &bench.later()).into_keys().eq(waiting.iter().copied()));
    assert!(bench.later().is_empty());
    // They go there.
    bench.roster(two, waiting.iter().copied());
    assert_eq!(told(two, &bench.later()).len(), waiting.len());
    assert_eq!((bench.placing.misplaced(), bench.placing.moved()), (0, waiting.len() as u64));
}

#[test]
fn who_is_behind_a_syndic_below_its_own_stands_right() {
    let mut bench = Bench::new(&topology(&[("upper", "top"), ("lower", "upper")]));
    bench.attach("upper", 0..20);
    bench.later();
    assert_eq!(bench.placing.misplaced(), 0);
}

#[test]
fn the_more_have_to_move_the_longer_they_take() {
    let mut bench = Bench::new(&flat(2));
    let link = bench.attach("aws-1", 0..800);
    let spread = bench.later()[&link][0].spread;
    assert_eq!(spread, bench.placing.misplaced() * 1_000 / MOVES_PER_SECOND);
    assert!(spread > SPREAD_MIN);
}

#[test]
fn too_many_lists_for_one_message_are_several() {
    let list = |n: u32| {
        let syndic = |id: String| PlacedSyndic {
            address: format!("{id}:1").parse().unwrap(),
            id: id.parse().unwrap(),
            region: "aws".parse().unwrap(),
        };
        [syndic(format!("s-{n}"))].into_iter().collect()
    };
    let told = |no| Told { seat: (LinkId(1), no), direct: false, revision: 1, syndics: list(no) };
    let most = MAX_PLACED_GROUPS as u32;
    let sent = sendings((0..most + 1).map(told), 0);
    assert_eq!(sent.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes and goes: afterwards every minion that is up has heard its present list over its present link.
    #[test]
    fn all_have_heard_their_list(steps in proptest::collection::vec((0usize..3, 0usize..30, 0u8..5), 1..25)) {
        let mut bench = Bench::new(&flat(3));
        let mut links: BTreeMap<usize, LinkId> = BTreeMap::new();
        let mut heard: BTreeMap<(LinkId, usize), Vec<String>> = BTreeMap::new();
        for (revision, (syndic, first, what)) in (2u64..).zip(steps) {
            match what {
                0 => bench.placing.set_topology(revision, &flat(1 + syndic)),
                1 => links.remove(&syndic).into_iter().for_each(|link| bench.owner.syndic_down(0, link)),
                _ => {
                    let link = links.get(&syndic).copied();
                    let link = link.unwrap_or_else(|| bench.attach(SYNDICS[syndic], []));
                    links.insert(syndic, link);
                    bench.roster(link, first..first + 10);
                }
            }
            bench.settle();
            let said = bench.later();
            for link in said.keys() {
                heard.extend(told(*link, &said).into_iter().map(|(n, list)| ((*link, n), list)));
            }
            for no in bench.owner.inventory().up() {
                let (link, own) = bench.owner.seat_of(no).unwrap();
                let list = bench.placing.homes.get(&no).unwrap().iter().map(|s| s.id.to_string());
                let n = own as usize - 1_000 * link.0 as usize;
                prop_assert_eq!(heard.get(&(link, n)), Some(&list.collect()), "minion {}", n);
            }
        }
    }
}
