//! What a syndic does with the lists of where minions belong.

use super::*;
use crate::message::{Placed, PlacedGroup, PlacedSyndic};

fn list(ids: &[&str]) -> Arc<[PlacedSyndic]> {
    let one = |id: &&str| PlacedSyndic {
        id: id.parse().unwrap(),
        region: "aws".parse().unwrap(),
        address: format!("{id}:1").parse().unwrap(),
    };
    ids.iter().map(one).collect()
}

fn placed(revision: u64, groups: &[(&[u32], &[&str])]) -> Down {
    let group =
        |(members, ids): &(&[u32], &[&str])| PlacedGroup { members: set(members), syndics: list(ids) };
    Down::Placed(Placed { revision, groups: groups.iter().map(group).collect(), spread: 5 })
}

/// Who was told what since the last call: links, members there, primary.
fn told(bench: &mut Bench) -> Vec<(Vec<u64>, Vec<u32>, String)> {
    let mut told = Vec::new();
    for effect in std::mem::take(&mut bench.sent) {
        let RelayEffect::Send(Sending { links, down: Down::Placed(placed), .. }) = effect else { continue };
        assert_eq!(placed.spread, 5);
        for group in placed.groups {
            let primary = group.syndics[0].id.to_string();
            told.push((links.iter().map(|l| l.0).collect(), group.members.iter().collect(), primary));
        }
    }
    told
}

fn hear(bench: &mut Bench, down: Down) {
    bench.relay.from_parent(0, PARENT, down);
    bench.turn(0);
}

#[test]
fn minions_with_equal_lists_get_one_message_and_strangers_none() {
    let mut bench = Bench::attached(3);
    hear(&mut bench, placed(1, &[(&[0, 2, 99], &["a", "b"]), (&[1], &["b", "a"])]));
    assert_eq!(told(&mut bench), [(vec![0, 2], vec![0], "a".into()), (vec![1], vec![0], "b".into())]);
}

#[test]
fn who_attaches_later_is_told_without_asking_above() {
    let mut bench = Bench::attached(2);
    hear(&mut bench, placed(1, &[(&[0, 1], &["a"])]));
    told(&mut bench);
    bench.relay.child_down(0, 0, LinkId(1));
    hear(&mut bench, placed(2, &[(&[0, 1], &["b"])]));
    assert_eq!(told(&mut bench), [(vec![0], vec![0], "b".into())], "one is down");
    let id: MinionId = "m1".parse().unwrap();
    bench.relay.child_up(0, LinkId(77), Some(&id), Incarnation(2));
    bench.relay.from_child(0, 0, LinkId(77), Up::Roster(roster_of_one(&id, Incarnation(2), "{}".into())));
    bench.turn(0);
    assert_eq!(told(&mut bench), [(vec![77], vec![0], "b".into())]);
    // Another journal is another number, of which nothing was said.
    bench.relay.child_down(0, 0, LinkId(77));
    bench.relay.child_up(0, LinkId(78), Some(&id), Incarnation(5));
    bench.relay.from_child(0, 0, LinkId(78), Up::Roster(roster_of_one(&id, Incarnation(5), "{}".into())));
    bench.turn(0);
    assert_eq!(told(&mut bench), []);
}

#[test]
fn an_older_revision_says_nothing() {
    let mut bench = Bench::attached(1);
    hear(&mut bench, placed(4, &[(&[0], &["a"])]));
    told(&mut bench);
    hear(&mut bench, placed(3, &[(&[0], &["b"])]));
    assert_eq!(told(&mut bench), []);
    hear(&mut bench, placed(4, &[(&[0], &["b"])]));
    assert_eq!(told(&mut bench), [(vec![0], vec![0], "b".into())]);
}

#[test]
fn a_syndic_below_is_told_in_its_own_numbers() {
    let mut bench = Bench::attached(1);
    let below = LinkId(50);
    bench.relay.child_up(0, below, None, Incarnation(9));
    let entry = |no: u32| crate::message::RosterEntry {
        no,
        id: format!("deep{no}").parse().unwrap(),
        incarnation: Incarnation(u64::from(no)),
        up: true,
        since: 0,
        grains: "{}".into(),
    };
    let entries = vec![entry(40), entry(41)];
    bench.relay.from_child(0, 0, below, Up::Roster(RosterUpdate::Full { version: 1, entries }));
    bench.turn(0);
    bench.sent.clear();
    // Here they are 1 and 2.
    hear(&mut bench, placed(1, &[(&[0, 1], &["a"]), (&[2], &["b"])]));
    let expected = [
        (vec![0], vec![0], "a".to_owned()),
        (vec![50], vec![40], "a".to_owned()),
        (vec![50], vec![41], "b".to_owned()),
    ];
    assert_eq!(told(&mut bench), expected);
}
