//! Trees deeper than one level, and children that change their parent.

use super::*;
use crate::message::RosterEntry;

const LEAF_1: LinkId = LinkId(50);
const LEAF_2: LinkId = LinkId(51);

/// A relay below a parent, with two syndics below it.
fn tree() -> Bench {
    let mut bench = Bench::attached(0);
    for (link, spool) in [(LEAF_1, 501), (LEAF_2, 502)] {
        bench.relay.child_up(0, link, None, Incarnation(spool));
    }
    bench
}

fn entry(no: u32, incarnation: u64, up: bool) -> RosterEntry {
    let (id, incarnation) = ("m0".parse().unwrap(), Incarnation(incarnation));
    RosterEntry { no, id, incarnation, up, since: 0, grains: "{}".into() }
}

/// A syndic below tells its whole roster: m0 under a number of its own.
fn tells(bench: &mut Bench, link: LinkId, entry: RosterEntry) {
    let entries = vec![entry];
    bench.relay.from_child(0, 0, link, Up::Roster(RosterUpdate::Full { version: 1, entries }));
    bench.turn(0);
}

fn says_not_started(bench: &mut Bench, link: LinkId, no: u32) {
    let answer = Arc::new(Answer::by_tier(Outcome::NotStarted, Reason::Unreachable));
    let groups = vec![ReturnGroup { jid: jid(), answer, members: set(&[no]) }];
    bench.relay.from_child(0, 0, link, Up::Returns(ReturnBatch { seq: 1, groups }));
    bench.turn(1_000);
}

#[test]
fn who_has_moved_to_another_syndic_is_not_taken_down_by_the_former_one() {
    let mut bench = tree();
    tells(&mut bench, LEAF_1, entry(0, 1, true));
    tells(&mut bench, LEAF_2, entry(7, 1, true));
    // It reconnects, and still remembers the minion.
    tells(&mut bench, LEAF_1, entry(0, 1, false));
    let m0 = "m0".parse().unwrap();
    assert!(bench.relay.roster().by_id(&m0).unwrap().up);
    // Even if it knows an older journal of it.
    tells(&mut bench, LEAF_2, entry(8, 2, true));
    tells(&mut bench, LEAF_1, entry(0, 1, false));
    let present = bench.relay.roster().by_id(&m0).unwrap();
    assert_eq!((present.incarnation, present.up), (Incarnation(2), true));
    // Its own it takes down.
    tells(&mut bench, LEAF_2, entry(8, 2, false));
    assert!(!bench.relay.roster().by_id(&m0).unwrap().up);
}

#[test]
fn after_a_restart_it_still_knows_who_was_sent_a_job_by_two_paths() {
    let mut bench = tree();
    tells(&mut bench, LEAF_1, entry(0, 1, true));
    bench.dispatch(&[0], false, 10_000);
    tells(&mut bench, LEAF_2, entry(7, 1, true));
    assert_eq!(bench.dispatched(), [LEAF_1, LEAF_2]);
    for spool in [bench.spool.clone(), Relay::recover(rule(), 0, bench.spool.clone()).live_records()] {
        let mut again = Bench::with(spool);
        again.relay.child_up(0, LEAF_1, None, Incarnation(501));
        tells(&mut again, LEAF_1, entry(0, 1, false));
        again.relay.parent_up(0, 0, PARENT);
        says_not_started(&mut again, LEAF_1, 0);
        assert!(again.returned().is_empty(), "the other may have started it");
    }
}

#[test]
fn a_cancel_reaches_a_syndic_after_the_job() {
    let mut bench = tree();
    tells(&mut bench, LEAF_1, entry(0, 1, true));
    bench.frozen = true;
    bench.dispatch(&[0], false, 10_000);
    bench.relay.from_parent(0, PARENT, Down::Cancel { jid: jid(), epoch: Epoch(1), seal: "seal".into() });
    bench.turn(0);
    let downs = |bench: &Bench| -> Vec<bool> {
        let one = |e: &RelayEffect| match e {
            RelayEffect::Send(Sending { down: Down::Dispatch(_), .. }) => Some(true),
            RelayEffect::Send(Sending { down: Down::Cancel { .. }, .. }) => Some(false),
            _ => None,
        };
        bench.sent.iter().filter_map(one).collect()
    };
    assert!(downs(&bench).is_empty());
    bench.pending.clone().into_iter().for_each(|ticket| bench.relay.persisted(0, ticket));
    bench.turn(0);
    assert_eq!(downs(&bench), [true, false]);
}

#[test]
fn an_answer_that_its_parent_lost_is_asked_for_again() {
    let mut bench = Bench::attached(1);
    bench.dispatch(&[0], false, 10_000);
    bench.answer(0, 0, 1);
    bench.turn(1_000);
    bench.sent.clear();
    // On its way still: it will come.
    bench.dispatch(&[0], true, 0);
    assert!(bench.dispatched().is_empty());
    bench.relay.from_parent(0, PARENT, Down::ReturnsAck { up_to: 1 });
    bench.dispatch(&[0], true, 0);
    assert_eq!(bench.dispatched(), [LinkId(0)], "its journal says it again");
    bench.answer(0, 0, 2);
    bench.turn(2_000);
    assert_eq!(bench.returned(), [(Outcome::Ok, set(&[0]))]);
}
