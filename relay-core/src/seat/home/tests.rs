//! When a minion moves to its primary, and when it stays.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    Members,
    ids::{Epoch, Jid},
    job::Job,
    message::{Dispatch, Down, PlacedGroup},
    outcome::{Answer, Outcome, Reason},
    seat::HeartbeatRule,
};

const RULE: HeartbeatRule = HeartbeatRule { interval: 12_000, dead_after: 25_000 };
const QUIET_TIME: Millis = 50_000;

fn syndic(id: &str) -> PlacedSyndic {
    let address = format!("{id}.example:4510").parse().unwrap();
    PlacedSyndic { id: id.parse().unwrap(), region: "aws".parse().unwrap(), address }
}

fn list(ids: &[&str]) -> Arc<[PlacedSyndic]> {
    ids.iter().map(|id| syndic(id)).collect()
}

fn placed(revision: u64, ids: &[&str], spread: Millis) -> Down {
    let other = PlacedGroup { members: Members::from_iter([7]), syndics: list(&["x"]) };
    let own = PlacedGroup { members: Members::from_iter([0]), syndics: list(ids) };
    Down::Placed(Placed { revision, groups: vec![other, own], spread })
}

fn dispatch(n: u64) -> Down {
    let job =
        Arc::new(Job { jid: Jid::from_micros(n), digest: [1; 32], envelope: Bytes::new(), targets: None });
    let (members, deliver_within) = (Members::from_iter([0]), 10_000);
    Down::Dispatch(Dispatch {
        job,
        epoch: Epoch(1),
        members,
        proof: Default::default(),
        reoffer: false,
        deliver_within,
        flaw: None,
    })
}

/// A seat and what its minion would do.
struct Bench {
    seat: Seat,
    now: Millis,
    kept: Vec<u64>,
    sought: Vec<(Millis, String)>,
    left: Vec<Millis>,
    sent: u64,
}

impl Bench {
    fn new(home: Option<Home>) -> Bench {
        let (mut seat, _) = Seat::recover(RULE, 0, Vec::new());
        seat.follow(home);
        Bench { seat, now: 1_000, kept: Vec::new(), sought: Vec::new(), left: Vec::new(), sent: 0 }
    }

    fn attach(&mut self, id: &str) {
        self.seat.attached_to(self.now, &id.parse().unwrap(), 11);
        self.turn();
    }

    fn hear(&mut self, down: Down) {
        self.seat.received(self.now, down, 12_345);
        self.turn();
    }

    /// Everything is durable at once.
    fn turn(&mut self) {
        let mut effects = self.seat.effects();
        while !effects.is_empty() {
            for effect in effects {
                match effect {
                    SeatEffect::Persist { ticket, .. } => self.seat.persisted(self.now, ticket),
                    SeatEffect::Keep(home) => self.kept.push(home.revision),
                    SeatEffect::Seek(syndic) => self.sought.push((self.now, syndic.id.to_string())),
                    SeatEffect::Leave => self.left.push(self.now),
                    SeatEffect::Send(crate::message::Up::Returns(batch)) => self.sent = batch.seq,
                    _ => {}
                }
            }
            effects = self.seat.effects();
        }
    }

    /// Time passes, and the parent lives.
    fn pass(&mut self, time: Millis) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.seat.next_deadline(self.now).max(self.now + 1)).min(self.now + 5_000);
            self.seat.tick(self.now);
            self.turn();
            self.hear(Down::Heartbeat);
        }
    }

    fn answer(&mut self, id: &str, answers: bool) {
        self.seat.reached(self.now, &id.parse().unwrap(), answers);
        self.turn();
    }

    fn finish(&mut self, n: u64) {
        self.seat.finished(self.now, Jid::from_micros(n), Answer::bare(Outcome::Ok, Reason::None));
        self.turn();
    }

    fn acknowledge(&mut self) {
        let up_to = self.sent;
        self.hear(Down::ReturnsAck { up_to });
    }
}

#[test]
fn one_that_is_misplaced_moves_once_within_the_spread() {
    let mut bench = Bench::new(None);
    bench.attach("a");
    bench.hear(placed(3, &["b", "a"], 2_000));
    assert_eq!(bench.kept, [3]);
    bench.pass(2_000);
    assert_eq!(bench.sought.len(), 1, "{:?}", bench.sought);
    assert!(bench.left.is_empty(), "not before it answers");
    bench.answer("b", true);
    assert_eq!(bench.left.len(), 1);
    bench.seat.detached();
    bench.attach("b");
    bench.pass(40 * QUIET_TIME);
    assert_eq!((bench.sought.len(), bench.left.len()), (1, 1));
}

#[test]
fn one_at_its_primary_stays_and_an_older_list_says_nothing() {
    let mut bench = Bench::new(None);
    bench.attach("a");
    bench.hear(placed(3, &["a", "b"], 0));
    bench.hear(placed(2, &["b", "a"], 0));
    bench.pass(QUIET_TIME);
    assert_eq!((&bench.kept[..], bench.sought.len()), (&[3][..], 0));
    // The same revision may say something else: rosters and lists cross on the way.
    bench.hear(placed(3, &["b", "a"], 0));
    assert_eq!((&bench.kept[..], bench.sought.len()), (&[3, 3][..], 1));
    assert_eq!(bench.seat.home().unwrap().syndics, list(&["b", "a"]));
}

/// As one in foreign hands told it, before its certificate was withdrawn.
fn made_up() -> Option<Home> {
    Some(Home { revision: u64::MAX, syndics: list(&["evil"]) })
}

#[test]
fn a_revision_that_only_somebody_who_is_gone_has_said_does_not_last() {
    let mut bench = Bench::new(made_up());
    bench.attach("a");
    bench.hear(placed(12, &["b", "a"], 0));
    bench.pass(PATIENCE - 1_000);
    assert!(bench.kept.is_empty() && bench.sought.iter().all(|(_, id)| id == "evil"), "{:?}", bench.sought);
    let tried = bench.sought.len();
    assert!(tried > 1, "it is looked for all the while");
    // Told again, what it says by then counts, from when it began to say something else.
    bench.hear(placed(13, &["b", "a"], 0));
    bench.pass(2_000);
    assert_eq!((&bench.kept[..], bench.seat.home().unwrap().revision), (&[13][..], 13));
    bench.answer("evil", true);
    bench.pass(20 * QUIET_TIME);
    assert!(bench.sought[tried..].iter().any(|(_, id)| id == "b") && bench.left.is_empty());
}

#[test]
fn a_newer_list_or_another_link_ends_the_wait_for_an_older_one() {
    let mut bench = Bench::new(Some(Home { revision: 5, syndics: list(&["a"]) }));
    bench.attach("a");
    bench.hear(placed(4, &["b", "a"], 0));
    bench.pass(PATIENCE / 2);
    bench.hear(placed(5, &["a"], 0));
    bench.hear(placed(4, &["b", "a"], 0));
    bench.pass(2 * PATIENCE);
    assert_eq!(bench.seat.home().unwrap().revision, 5, "said by the same parent: it was under way for long");
    for _ in 0..3 {
        bench.seat.detached();
        bench.attach("b");
        bench.hear(placed(4, &["b", "a"], 0));
        bench.pass(PATIENCE / 2);
    }
    assert_eq!(bench.seat.home().unwrap().revision, 5);
    bench.pass(PATIENCE);
    assert_eq!(bench.seat.home().unwrap().revision, 4);
}

#[test]
fn a_list_for_others_or_to_a_minion_that_does_not_follow_says_nothing() {
    let mut bench = Bench::new(None);
    bench.attach("a");
    let group = PlacedGroup { members: Members::from_iter([1]), syndics: list(&["b"]) };
    bench.hear(Down::Placed(Placed { revision: 1, groups: vec![group], spread: 0 }));
    assert_eq!((bench.kept.len(), bench.sought.len()), (0, 0));
    bench.seat.homing = None;
    bench.hear(placed(1, &["b", "a"], 0));
    bench.pass(QUIET_TIME);
    assert_eq!((bench.kept.len(), bench.sought.len()), (0, 0));
}

#[test]
fn with_a_job_or_a_return_that_waits_it_stays_until_both_are_over() {
    let mut bench = Bench::new(None);
    bench.attach("a");
    bench.hear(dispatch(1));
    bench.hear(placed(1, &["b", "a"], 1_000));
    bench.pass(10_000);
    assert_eq!(bench.sought.len(), 0, "a job runs");
    bench.finish(1);
    bench.pass(10_000);
    assert_eq!(bench.sought.len(), 0, "its return waits");
    bench.acknowledge();
    bench.pass(1_000);
    assert_eq!(bench.sought.len(), 1);
}

#[test]
fn a_job_that_comes_while_the_primary_is_looked_for_keeps_it_where_it_is() {
    let mut bench = Bench::new(None);
    bench.attach("a");
    bench.hear(placed(1, &["b", "a"], 0));
    assert_eq!(bench.sought.len(), 1);
    bench.hear(dispatch(1));
    bench.answer("b", true);
    assert_eq!(bench.left.len(), 0);
    bench.finish(1);
    bench.acknowledge();
    bench.pass(4 * QUIET_TIME);
    assert_eq!(bench.sought.len(), 2, "and it tries again");
}

#[test]
fn a_minion_that_always_has_a_little_to_do_moves_all_the_same() {
    let mut bench = Bench::new(None);
    bench.attach("a");
    bench.hear(placed(1, &["b", "a"], 60_000));
    for n in 1..200 {
        bench.hear(dispatch(n));
        bench.pass(900);
        bench.finish(n);
        bench.acknowledge();
        bench.pass(100);
    }
    assert!(!bench.sought.is_empty());
}

#[test]
fn a_primary_that_is_down_is_looked_for_ever_more_rarely() {
    let mut bench = Bench::new(None);
    bench.attach("a");
    bench.hear(placed(1, &["b", "a"], 0));
    for _ in 0..200 {
        bench.answer("b", false);
        bench.pass(QUIET_TIME / 2);
    }
    let waits: Vec<Millis> = bench.sought.windows(2).map(|two| two[1].0 - two[0].0).collect();
    assert!(
        waits.iter().all(|wait| (QUIET_TIME..=(LONGEST_WAIT + 1) * QUIET_TIME).contains(wait)),
        "{waits:?}"
    );
    assert!((8..80).contains(&waits.len()), "{waits:?}");
    assert!(bench.left.is_empty());
}

#[test]
fn told_again_it_tries_at_once_but_not_twice_in_the_quiet_time() {
    let mut bench = Bench::new(Some(Home { revision: 1, syndics: list(&["b", "a"]) }));
    bench.attach("a");
    bench.pass(1_000);
    assert_eq!(bench.sought.len(), 0, "it has just fallen back");
    bench.hear(placed(1, &["b", "a"], 500));
    assert_eq!(bench.kept.len(), 0, "it is known");
    bench.pass(500);
    assert_eq!(bench.sought.len(), 1);
    bench.answer("b", false);
    for _ in 0..100 {
        bench.hear(placed(1, &["b", "a"], 0));
        bench.pass(400);
    }
    assert_eq!(bench.sought.len(), 1);
    bench.pass(QUIET_TIME);
    assert_eq!(bench.sought.len(), 2);
}

#[test]
fn no_answer_is_a_failed_try_and_a_late_one_does_not_count() {
    let mut bench = Bench::new(None);
    bench.attach("a");
    bench.hear(placed(1, &["b", "a"], 0));
    bench.pass(2 * QUIET_TIME);
    assert_eq!(bench.sought.len(), 1);
    bench.answer("b", true);
    assert!(bench.left.is_empty());
    bench.pass(4 * QUIET_TIME);
    assert_eq!(bench.sought.len(), 2);
}

#[derive(Debug, Clone)]
enum Event {
    Placed(u64, usize, Millis),
    Attach(usize),
    Detach,
    Answer(bool),
    Dispatch,
    Finish,
    Acknowledge,
    Pass(Millis),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0u64..4, 0usize..3, 0u64..20_000).prop_map(|(r, i, s)| Event::Placed(r, i, s)),
        3 => (0usize..3).prop_map(Event::Attach),
        1 => Just(Event::Detach),
        3 => any::<bool>().prop_map(Event::Answer),
        1 => Just(Event::Dispatch),
        1 => Just(Event::Finish),
        2 => Just(Event::Acknowledge),
        4 => (1u64..40_000).prop_map(Event::Pass),
    ]
}

const LISTS: [[&str; 3]; 3] = [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]];

proptest! {
    /// Whatever comes: never while it is busy, never two moves in the quiet time, no revision after a newer one.
    #[test]
    fn moves_are_rare_and_never_hurt(events in proptest::collection::vec(event(), 1..120)) {
        let mut bench = Bench::new(None);
        let (mut linked, mut jobs) = (false, 0);
        for event in events {
            let before = bench.left.len();
            match event {
                Event::Placed(revision, i, spread) => bench.hear(placed(revision, &LISTS[i], spread)),
                Event::Attach(i) => {
                    bench.seat.detached();
                    bench.attach(LISTS[i][0]);
                    linked = true;
                }
                Event::Detach => {
                    bench.seat.detached();
                    linked = false;
                }
                Event::Answer(answers) => {
                    let id = bench.sought.last().map_or("a".to_owned(), |(_, id)| id.clone());
                    bench.answer(&id, answers);
                }
                Event::Dispatch => {
                    jobs += 1;
                    bench.hear(dispatch(jobs));
                }
                Event::Finish => bench.finish(jobs),
                Event::Acknowledge => bench.acknowledge(),
                Event::Pass(time) => bench.pass(time),
            }
            if bench.left.len() > before {
                prop_assert!(linked);
                prop_assert_eq!(bench.seat.running().count() + bench.seat.unacked_count(), 0);
                // What it asked for is done.
                bench.seat.detached();
                linked = false;
            }
        }
        for times in [bench.left, bench.sought.iter().map(|(at, _)| *at).collect()] {
            prop_assert!(times.windows(2).all(|two| two[1] - two[0] >= QUIET_TIME), "{times:?}");
        }
        prop_assert!(bench.kept.is_sorted());
    }
}
