use proptest::prelude::*;

use super::*;
use crate::topology::Share;

fn set(members: impl IntoIterator<Item = u32>) -> Members {
    members.into_iter().collect()
}

/// Members below 100 are in aws, the others in azure; ten to a link.
fn regions(aws: u32, azure: u32) -> Vec<(RegionName, Members)> {
    let region = |name: &str, members| (name.parse().unwrap(), members);
    [region("aws", set(0..aws)), region("azure", set(100..100 + azure))].into()
}

fn link_of(member: u32) -> Option<LinkId> {
    Some(LinkId(u64::from(member / 10)))
}

struct Bench {
    window: Window,
    ledger: Ledger,
    up: Members,
    now: Millis,
}

impl Bench {
    fn new(rule: &BatchRule, aws: u32, azure: u32) -> Bench {
        let regions = regions(aws, azure);
        let all = regions.iter().fold(Members::new(), |all, (_, m)| all | m);
        let window = Window::new(rule, regions, Times { now: 0, age: 0, delivery: 10_000 });
        Bench { window, ledger: Ledger::new(all.clone()), up: all, now: 0 }
    }

    /// What the owner does with a turn: declare, then grant and send.
    fn turn(&mut self) -> Members {
        for (answer, members) in self.window.declare(self.now, &self.ledger) {
            self.record(&answer, &members);
        }
        let granted = self.window.grant(self.now, &self.ledger, &self.up, &Members::new(), &link_of);
        self.ledger.sent(&granted);
        granted
    }

    fn record(&mut self, answer: &Answer, members: &Members) {
        let recorded = self.ledger.record(answer, members).members;
        self.window.answered(self.now, answer, &recorded, Some(0));
    }

    fn answer(&mut self, outcome: Outcome, members: &Members) {
        self.record(&Answer::bare(outcome, Reason::None), members);
    }
}

fn window(share: Share) -> BatchRule {
    BatchRule { size: BatchSize::Window(share), ..BatchRule::default() }
}

#[test]
fn without_a_batch_all_who_are_up_go_at_once() {
    let mut bench = Bench::new(&BatchRule::default(), 30, 30);
    bench.up = set(0..20);
    assert_eq!(bench.turn(), set(0..20));
    bench.up = set(0..30);
    assert_eq!(bench.turn(), set(20..30), "those who come up go, too");
    bench.now = 10_000;
    bench.turn();
    let unreachable = bench.ledger.groups()[0].members.clone();
    assert_eq!(unreachable, set(100..130), "the others were not there in time");
}

#[test]
fn a_window_is_shared_out_by_what_each_link_has_left() {
    let mut bench = Bench::new(&window(Share::Count(10)), 40, 10);
    let first = bench.turn();
    let at = |link: u32| set(link * 10..link * 10 + 10);
    let each: Vec<u64> = [0, 1, 2, 3, 10].map(|link| first.intersection_len(&at(link))).into();
    assert_eq!(each, [2, 2, 2, 2, 2]);
    assert!(bench.turn().is_empty(), "it is full");
    bench.answer(Outcome::Ok, &set([0, 1, 100]));
    assert_eq!(bench.turn().len(), 3, "what is freed is granted again, without a barrier");
}

#[test]
fn an_offline_minion_holds_no_place_and_is_given_up_in_time() {
    let mut bench = Bench::new(&window(Share::Count(2)), 4, 0);
    bench.up = set([1, 2, 3]);
    assert_eq!(bench.turn(), set([1, 2]));
    bench.answer(Outcome::Ok, &set([1, 2]));
    bench.now = 50_000;
    assert_eq!(bench.turn(), set([3]));
    assert!(bench.turn().is_empty(), "there is room, and nobody to fill it");
    bench.now = 59_999;
    assert!(bench.turn().is_empty() && bench.ledger.unsent() == &set([0]));
    bench.now = 60_000;
    bench.turn();
    assert!(bench.ledger.unsent().is_empty(), "a delivery window after the last of the others had its turn");
}

#[test]
fn an_offline_minion_that_comes_back_has_its_turn() {
    let mut bench = Bench::new(&window(Share::Count(1)), 2, 0);
    bench.up = set([1]);
    bench.turn();
    bench.answer(Outcome::Ok, &set([1]));
    bench.now = 9_000;
    bench.up = set([0, 1]);
    assert_eq!(bench.turn(), set([0]));
}

#[test]
fn failures_stop_it_before_the_next_grant() {
    let mut bench =
        Bench::new(&BatchRule { max_failures: Some(Share::Count(3)), ..window(Share::Count(5)) }, 20, 0);
    bench.turn();
    bench.answer(Outcome::Failed, &set([0, 1]));
    assert_eq!(bench.turn().len(), 2, "two are not three");
    bench.answer(Outcome::TimedOut, &set([2]));
    assert!(bench.turn().is_empty());
    assert_eq!(bench.ledger.unsent().len(), 0);
    let stopped = bench.ledger.groups().iter().find(|g| g.key.reason == Reason::BatchStopped).unwrap();
    assert_eq!((stopped.key.outcome, stopped.members.len()), (Outcome::NotStarted, 13));
    assert_eq!(bench.ledger.in_flight().len(), 4, "what runs goes on");
    assert_eq!(bench.window.state(0, &bench.ledger).stopped, Some(Stop::Failures(3)));
}

#[test]
fn what_was_not_delivered_does_not_count() {
    let mut bench =
        Bench::new(&BatchRule { max_failures: Some(Share::Count(1)), ..window(Share::Count(2)) }, 6, 0);
    bench.turn();
    bench.record(&Answer::by_tier(Outcome::NotStarted, Reason::Unreachable), &set([0]));
    bench.record(&Answer::bare(Outcome::Unknown, Reason::ConnectionLost), &set([1]));
    assert_eq!(bench.turn().len(), 1, "the one that was given back; the lost one may still run");
    let state = bench.window.state(0, &bench.ledger);
    assert_eq!((state.failures, state.delivery_failures, state.stopped), (0, 2, None));
}

#[test]
fn a_lost_minion_keeps_its_place_until_nothing_can_run_there() {
    let mut bench = Bench::new(&window(Share::Count(1)), 3, 0);
    let first = bench.turn();
    bench.record(&Answer::bare(Outcome::Unknown, Reason::ConnectionLost), &first);
    assert!(bench.turn().is_empty());
    bench.window.over(0, &first);
    assert_eq!(bench.turn().len(), 1);
}

#[test]
fn a_late_answer_frees_the_place_of_a_lost_minion() {
    let mut bench = Bench::new(&window(Share::Count(1)), 3, 0);
    let first = bench.turn();
    bench.record(&Answer::bare(Outcome::Unknown, Reason::ConnectionLost), &first);
    bench.answer(Outcome::Ok, &first);
    assert_eq!(bench.turn().len(), 1);
}

#[test]
fn a_freed_place_stays_empty_for_the_wait() {
    let mut bench = Bench::new(&BatchRule { wait: 500, ..window(Share::Count(2)) }, 5, 0);
    bench.turn();
    bench.answer(Outcome::Ok, &set([0]));
    assert!(bench.turn().is_empty());
    assert_eq!(bench.window.next(&bench.ledger), Some(500));
    bench.now = 500;
    assert_eq!(bench.turn().len(), 1);
}

#[test]
fn a_canary_has_barriers_and_asks() {
    let stages = vec![Share::Count(1), Share::Percent(1), Share::Percent(10), Share::Percent(50)];
    let rule = BatchRule { size: BatchSize::Canary(stages), approve: true, ..BatchRule::default() };
    let mut bench = Bench::new(&rule, 40, 0);
    let mut sizes = Vec::new();
    loop {
        let granted = bench.turn();
        sizes.push(granted.len());
        if bench.ledger.unsent().is_empty() {
            break;
        }
        let (one, rest) = (set(granted.min()), &granted - &set(granted.min()));
        bench.answer(Outcome::Ok, &rest);
        assert!(rest.is_empty() || bench.turn().is_empty(), "a barrier");
        bench.answer(Outcome::Ok, &one);
        assert!(bench.turn().is_empty(), "an operator is asked");
        assert!(bench.window.state(0, &bench.ledger).awaits_approval);
        bench.window.approve(&bench.ledger).unwrap();
        assert!(bench.window.approve(&bench.ledger).is_none(), "once");
    }
    assert_eq!(sizes, [1, 3, 16, 20], "1% of 40 is the first one; what 50% leaves is a stage");
}

#[test]
fn a_canary_stops_at_its_first_failure_unless_more_are_allowed() {
    let rule = BatchRule { size: BatchSize::Canary(vec![Share::Count(1)]), ..BatchRule::default() };
    let mut bench = Bench::new(&rule, 10, 0);
    let first = bench.turn();
    bench.answer(Outcome::Failed, &first);
    assert!(bench.turn().is_empty() && bench.ledger.unsent().is_empty());
}

#[test]
fn a_canary_that_may_have_killed_its_machine_stops() {
    let rule = BatchRule { size: BatchSize::Canary(vec![Share::Count(1)]), ..BatchRule::default() };
    let mut bench = Bench::new(&rule, 10, 0);
    let first = bench.turn();
    bench.record(&Answer::bare(Outcome::Unknown, Reason::ConnectionLost), &first);
    assert!(bench.turn().is_empty() && bench.ledger.unsent().is_empty());
    assert_eq!(bench.window.state(0, &bench.ledger).failures, 1);
}

#[test]
fn an_approval_that_never_comes_ends_the_job() {
    let size = BatchSize::Canary(vec![Share::Count(1)]);
    let mut bench = Bench::new(&BatchRule { size, approve: true, ..BatchRule::default() }, 3, 0);
    let first = bench.turn();
    bench.answer(Outcome::Ok, &first);
    bench.turn();
    assert_eq!(bench.window.next(&bench.ledger), Some(APPROVAL_WAIT));
    bench.now = APPROVAL_WAIT;
    bench.turn();
    assert!(bench.ledger.is_complete());
}

#[test]
fn a_region_has_its_own_window_cap_and_failures() {
    let aws = RegionBatch {
        default_window: Some(Share::Percent(20)),
        max_failures: Some(Share::Count(2)),
        cap: Some(Share::Count(3)),
        ..RegionBatch::default()
    };
    let regions = [("aws".parse().unwrap(), aws)].into();
    let mut bench = Bench::new(&BatchRule { regions, ..BatchRule::default() }, 20, 5);
    let first = bench.turn();
    assert_eq!((first.intersection_len(&set(0..20)), first.intersection_len(&set(100..105))), (3, 5));
    bench.answer(Outcome::Failed, &(&first & &set(0..20)));
    bench.answer(Outcome::Failed, &(&first & &set(100..105)));
    bench.turn();
    assert!(bench.ledger.is_complete(), "aws is stopped, azure has no limit and is done");
}

#[test]
fn a_cap_holds_whatever_the_operator_says() {
    let cap = RegionBatch { cap: Some(Share::Count(2)), ..RegionBatch::default() };
    let regions = [("aws".parse().unwrap(), cap)].into();
    let mut bench = Bench::new(&BatchRule { regions, ..window(Share::Count(10)) }, 20, 20);
    assert_eq!(bench.turn().intersection_len(&set(0..20)), 2);
}

#[test]
fn until_and_deadline_close_it() {
    let mut bench =
        Bench::new(&BatchRule { until: Some(Share::Percent(50)), ..window(Share::Count(8)) }, 10, 0);
    bench.turn();
    bench.answer(Outcome::Ok, &set(0..5));
    bench.turn();
    assert!(bench.ledger.is_complete());
    assert_eq!(bench.ledger.counts()[&Outcome::Unknown], 3);

    let mut bench =
        Bench::new(&BatchRule { until: Some(Share::Percent(99)), ..window(Share::Count(40)) }, 40, 0);
    bench.turn();
    bench.answer(Outcome::Ok, &set(0..39));
    bench.turn();
    assert!(!bench.ledger.is_complete(), "39 of 40 are not 99%");

    let mut bench = Bench::new(&BatchRule { deadline: Some(30_000), ..window(Share::Count(8)) }, 10, 0);
    bench.turn();
    bench.now = 30_000;
    bench.turn();
    assert_eq!(bench.ledger.counts()[&Outcome::NotStarted], 2);
    assert!(bench.ledger.is_complete());
}

#[test]
fn a_queue_waits_for_the_offline() {
    let mut bench = Bench::new(&BatchRule { queue: Some(3_600_000), ..BatchRule::default() }, 2, 0);
    bench.up = set([0]);
    assert_eq!(bench.turn(), set([0]));
    bench.now = 3_000_000;
    bench.up = set([0, 1]);
    assert_eq!(bench.turn(), set([1]));
    assert!(bench.window.deliver_by(bench.now) > bench.now + 9_999, "with a delivery window of its own");
}

#[test]
fn auto_widens_while_it_goes_well_and_halves_when_it_does_not() {
    let rule = BatchRule { size: BatchSize::Auto, ..BatchRule::default() };
    let mut bench = Bench::new(&rule, 100, 0);
    let mut widest = 0;
    for _ in 0..6 {
        let granted = bench.turn();
        widest = widest.max(granted.len());
        bench.answer(Outcome::Ok, &granted);
    }
    assert_eq!(widest, 11, "2 of 100 more each time");
    let granted = bench.turn();
    bench.answer(Outcome::Failed, &granted);
    assert_eq!(bench.turn().len(), 6, "half of 13");
}

#[test]
fn a_preview_says_what_the_window_does() {
    let counts = |aws, azure| [("aws".parse().unwrap(), aws), ("azure".parse().unwrap(), azure)];
    let one = |upto, at_once| vec![PlannedStage { upto, at_once, approve: false }];
    assert_eq!(preview(&BatchRule::default(), &counts(10, 5)), one(15, 15));
    assert_eq!(preview(&window(Share::Percent(20)), &counts(10, 5)), one(15, 3));
    let size = BatchSize::Canary(vec![Share::Count(1), Share::Percent(50)]);
    let stages = preview(&BatchRule { size, approve: true, ..BatchRule::default() }, &counts(10, 0));
    let all: Vec<(u64, u64, bool)> = stages.iter().map(|s| (s.upto, s.at_once, s.approve)).collect();
    assert_eq!(all, [(1, 1, true), (5, 4, true), (10, 5, false)]);
}

proptest! {
    /// Whatever happens, no more hold places than the window has, and it comes to an end.
    #[test]
    fn the_limit_holds_at_every_step(
        limit in 1u32..8,
        cap in 1u32..6,
        steps in prop::collection::vec((0u8..5, prop::collection::vec(0u32..25, 0..6)), 0..80),
    ) {
        let region = RegionBatch { cap: Some(Share::Count(cap)), ..RegionBatch::default() };
        let rule = BatchRule { regions: [("aws".parse().unwrap(), region)].into(), ..window(Share::Count(limit)) };
        let mut bench = Bench::new(&rule, 25, 0);
        for (kind, members) in steps {
            let members = set(members);
            match kind {
                0 => bench.answer(Outcome::Ok, &(&members & bench.ledger.in_flight())),
                1 => {
                    let lost = &members & bench.ledger.in_flight();
                    bench.record(&Answer::bare(Outcome::Unknown, Reason::ConnectionLost), &lost);
                }
                2 => bench.up -= &members,
                3 => bench.up |= &members,
                _ => bench.now += 700,
            }
            bench.turn();
            let holding = bench.ledger.in_flight() | bench.ledger.unknown();
            prop_assert!(holding.len() <= u64::from(limit.min(cap)), "{holding:?}");
        }
        bench.up = set(0..25);
        for _ in 0..200 {
            let all = bench.ledger.in_flight().clone();
            bench.answer(Outcome::Ok, &all);
            bench.window.over(bench.now, &set(0..25));
            bench.now += 10_000;
            bench.turn();
        }
        prop_assert!(bench.ledger.unsent().is_empty());
    }

    /// Everything that is free is handed out, to whomever it can be.
    #[test]
    fn nothing_that_is_free_is_kept(
        room in 1u32..50,
        aws in 0u32..40,
        azure in 0u32..40,
        down in prop::collection::vec(0u32..140, 0..40),
    ) {
        let mut bench = Bench::new(&window(Share::Count(room)), aws, azure);
        bench.up -= set(down);
        let expected = bench.up.len().min(room.into());
        prop_assert_eq!(bench.turn().len(), expected);
    }
}
