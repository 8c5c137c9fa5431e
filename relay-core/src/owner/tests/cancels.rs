//! How often a cancel is signed, and that none leaves without.

use super::*;
use crate::{owner::cancelling::CANCEL_COUNTS, testing::Sealing};

/// The cancels that left since last asked: over which links, and with which seal.
fn left(bench: &mut Bench) -> Vec<(Vec<LinkId>, Bytes)> {
    let one = |e: OwnerEffect| match e {
        OwnerEffect::Send(Sending { links, down: Down::Cancel { seal, .. }, .. }) => Some((links, seal)),
        _ => None,
    };
    std::mem::take(&mut bench.out).into_iter().filter_map(one).collect()
}

/// As [`Sealing`] makes them.
fn seal(jid: Jid, epoch: u64, until: WallMicros) -> Bytes {
    format!("{} {epoch} {until}", jid.micros()).into()
}

const DAY: WallMicros = CANCEL_COUNTS * 1_000;

#[test]
fn one_signature_serves_every_link_and_every_time_it_is_sent() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.attach(0, LinkId(2), "aws-2", Incarnation(78), &["c"], 1);
    let jid = bench.submit("*").unwrap().jid;
    bench.owner.cancel(jid).unwrap();
    bench.turn(0);
    let signed = seal(jid, 1, DAY);
    assert_eq!(left(&mut bench), [(vec![LINK, LinkId(2)], signed.clone())]);
    // Asked for again, and for a link that comes back: the same.
    bench.owner.cancel(jid).unwrap();
    bench.turn(1_000);
    assert_eq!(left(&mut bench), [(vec![LINK, LinkId(2)], signed.clone())]);
    bench.owner.syndic_down(0, LINK);
    bench.attach(2_000, LinkId(3), "aws-1", SPOOL, &["a", "b"], 1);
    assert_eq!(left(&mut bench), [(vec![LinkId(3)], signed)]);
}

#[test]
fn a_cancel_is_signed_again_before_its_time_is_over() {
    let mut bench = Bench::new(&["a"]);
    let jid = bench.submit("a").unwrap().jid;
    // Far from its end, for it is long.
    bench.owner.jobs.get_mut(&jid).unwrap().timing = Timing::new(30 * CANCEL_COUNTS, 25_000, HOPS);
    bench.owner.cancel(jid).unwrap();
    bench.turn(0);
    assert_eq!(left(&mut bench).len(), 1);
    for (now, renewed) in [(CANCEL_COUNTS / 2 - 1, false), (CANCEL_COUNTS / 2, true), (CANCEL_COUNTS, true)] {
        bench.owner.end_turn(now, now * 1_000);
        bench.owner.tick(now);
        bench.turn(now);
        let wanted = (vec![LINK], seal(jid, 1, now * 1_000 + DAY));
        assert_eq!(left(&mut bench), if renewed { vec![wanted] } else { vec![] }, "{now}");
    }
}

#[test]
fn a_cancel_that_was_signed_by_a_wrong_clock_is_signed_again_by_the_right_one() {
    const WRONG: WallMicros = 400 * DAY;
    for (wrong, right) in [(0, WRONG), (WRONG, 5), (WRONG, WRONG - 1)] {
        let mut bench = Bench::new(&["a"]);
        let jid = bench.submit("a").unwrap().jid;
        bench.owner.end_turn(0, wrong);
        bench.owner.cancel(jid).unwrap();
        bench.owner.end_turn(0, wrong);
        bench.turn(0);
        left(&mut bench);
        bench.owner.end_turn(1_000, right);
        bench.owner.tick(1_000);
        let effects = bench.owner.effects();
        bench.out.extend(effects);
        assert_eq!(left(&mut bench), [(vec![LINK], seal(jid, 1, right + DAY))], "{wrong} {right}");
    }
}

#[test]
fn a_restarted_or_new_owner_signs_what_it_sends_again() {
    let mut bench = Bench::new(&["a", "b"]);
    let jid = bench.submit("*").unwrap().jid;
    let head = bench.owner.jobs.values().next().unwrap().head.clone();
    let sent = vec![(SPOOL, set(&[0]))];
    let stored =
        StoredJob { head, sent, groups: Vec::new(), closed: false, cancelled: true, seq: 0, approved: 0 };
    let mut inventory = Inventory::new();
    for no in [0, 1] {
        inventory.restore(bench.owner.inventory().record(no).unwrap()).unwrap();
    }
    let rule = OwnerRule { epoch: Epoch(2), ..rule() };
    let owner = Owner::recover(rule, 0, 5, inventory, vec![stored]);
    let mut again = Bench { owner, writes: Vec::new(), out: Vec::new(), refuse: None };
    again.attach(0, LINK, "aws-1", SPOOL, &["a", "b"], 1);
    assert_eq!(left(&mut again), [(vec![LINK], seal(jid, 2, 5 + DAY))]);
}

#[test]
fn without_a_key_the_job_is_cancelled_and_what_runs_is_told_when_there_is_one() {
    let mut bench = Bench::new(&["a", "b"]);
    let jid = bench.submit("a").unwrap().jid;
    let signs = std::mem::replace(&mut bench.owner.rule.seal, Arc::new(Sealing { keyless: true }));
    assert_eq!(bench.owner.cancel(jid).map(|c| c.outstanding), Some(1));
    bench.turn(0);
    assert!(bench.writes.contains(&Write::Cancel(jid, Epoch(1))));
    bench.owner.syndic_down(0, LINK);
    bench.attach(500, LINK, "aws-1", SPOOL, &["a", "b"], 1);
    bench.owner.tick(1_000);
    bench.turn(1_000);
    assert!(left(&mut bench).is_empty(), "none leaves unsigned");
    bench.owner.rule.seal = signs;
    bench.owner.tick(2_000);
    bench.turn(2_000);
    assert_eq!(left(&mut bench), [(vec![LINK], seal(jid, 1, DAY))]);
}

#[test]
fn who_was_kept_waiting_for_a_key_is_told_although_it_was_signed_for_another_before() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.attach(0, LinkId(2), "aws-2", Incarnation(78), &["c"], 1);
    let jid = bench.submit("*").unwrap().jid;
    let signs = std::mem::replace(&mut bench.owner.rule.seal, Arc::new(Sealing { keyless: true }));
    bench.owner.cancel(jid).unwrap();
    bench.turn(0);
    assert!(left(&mut bench).is_empty());
    bench.owner.rule.seal = signs;
    // One link comes back before the next tick, and has it signed.
    bench.owner.syndic_down(0, LinkId(2));
    bench.attach(500, LinkId(3), "aws-2", Incarnation(78), &["c"], 1);
    assert_eq!(left(&mut bench).into_iter().map(|(links, _)| links).collect::<Vec<_>>(), [vec![LinkId(3)]]);
    bench.owner.tick(1_000);
    bench.turn(1_000);
    let told: Vec<LinkId> = left(&mut bench).into_iter().flat_map(|(links, _)| links).collect();
    assert!(told.contains(&LINK), "{told:?}");
    bench.owner.tick(2_000);
    bench.turn(2_000);
    assert!(left(&mut bench).is_empty(), "once");
}
