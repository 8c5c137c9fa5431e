use bytes::Bytes;

use super::*;
use crate::{
    Members,
    message::{Running, Up},
};

fn jid(n: u64) -> Jid {
    Jid::from_micros(n)
}

fn dispatch(n: u64, deliver_within: Millis) -> Down {
    let job = Arc::new(Job { jid: jid(n), digest: [n as u8; 32], envelope: Bytes::new(), targets: None });
    let members = Members::from_iter([0]);
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

fn seat() -> Seat {
    let (mut seat, probes) = Seat::recover(HeartbeatRule::default(), 0, Vec::new());
    assert!(probes.is_empty());
    seat.attached(0);
    seat.effects();
    seat
}

/// Makes everything asked for durable, and returns the journal and the other effects.
fn settle(seat: &mut Seat, journal: &mut Vec<JournalRecord>) -> Vec<SeatEffect> {
    let mut others = Vec::new();
    loop {
        let effects = seat.effects();
        if effects.is_empty() {
            return others;
        }
        for effect in effects {
            match effect {
                SeatEffect::Persist { ticket, records, .. } => {
                    journal.extend(records);
                    seat.persisted(0, ticket);
                }
                other => others.push(other),
            }
        }
    }
}

fn starts(effects: &[SeatEffect]) -> usize {
    effects.iter().filter(|e| matches!(e, SeatEffect::Start { .. })).count()
}

fn answers(effects: &[SeatEffect]) -> Vec<(Outcome, Reason)> {
    let returns = effects.iter().filter_map(|e| match e {
        SeatEffect::Send(Up::Returns(batch)) => Some(batch),
        _ => None,
    });
    returns.flat_map(|b| b.groups.iter().map(|g| (g.answer.outcome, g.answer.reason))).collect()
}

#[test]
fn nothing_starts_before_the_intent_is_durable() {
    let mut seat = seat();
    seat.received(0, dispatch(1, 1_000), 5);
    let effects = seat.effects();
    assert!(matches!(effects[..], [SeatEffect::Persist { ticket: 0, may_fail: true, .. }]));
    seat.persisted(0, 0);
    assert_eq!(starts(&seat.effects()), 1);
}

#[test]
fn delivered_ten_times_runs_once_and_answers_each_time_it_is_asked() {
    let (mut seat, mut journal) = (seat(), Vec::new());
    let mut all = Vec::new();
    for _ in 0..10 {
        seat.received(0, dispatch(1, 1_000), 5);
        all.extend(settle(&mut seat, &mut journal));
    }
    assert_eq!(starts(&all), 1);
    seat.finished(0, jid(1), Answer::bare(Outcome::Ok, Reason::None));
    assert_eq!(answers(&settle(&mut seat, &mut journal)), [(Outcome::Ok, Reason::None)]);
    seat.received(0, Down::ReturnsAck { up_to: 1 }, 0);
    settle(&mut seat, &mut journal);
    seat.received(0, dispatch(1, 0), 6);
    assert_eq!(answers(&settle(&mut seat, &mut journal)), [(Outcome::Ok, Reason::None)]);
}

#[test]
fn a_crash_after_the_intent_is_probed_and_never_restarted() {
    let (mut first, mut journal) = (seat(), Vec::new());
    first.received(0, dispatch(1, 1_000), 5);
    settle(&mut first, &mut journal);
    let (mut second, probes) = Seat::recover(HeartbeatRule::default(), 0, journal.clone());
    assert_eq!(probes, vec![(jid(1), 5)]);
    second.attached(0);
    second.received(0, dispatch(1, 1_000), 9);
    second.finished(0, jid(1), Answer::bare(Outcome::Interrupted, Reason::ProcessDied));
    let effects = settle(&mut second, &mut journal);
    assert_eq!(starts(&effects), 0);
    assert_eq!(answers(&effects), [(Outcome::Interrupted, Reason::ProcessDied)]);
}

#[test]
fn unacknowledged_ends_survive_and_are_sent_again_on_attach() {
    let (mut first, mut journal) = (seat(), Vec::new());
    first.received(0, dispatch(1, 1_000), 5);
    settle(&mut first, &mut journal);
    first.finished(0, jid(1), Answer::bare(Outcome::Ok, Reason::None));
    settle(&mut first, &mut journal);
    let compacted = Seat::recover(HeartbeatRule::default(), 0, journal).0.live_records();
    let (mut second, probes) = Seat::recover(HeartbeatRule::default(), 0, compacted);
    assert!(probes.is_empty());
    second.attached(0);
    assert_eq!(answers(&second.effects()), [(Outcome::Ok, Reason::None)]);
}

#[test]
fn a_cancel_that_overtakes_its_dispatch_wins() {
    let (mut seat, mut journal) = (seat(), Vec::new());
    seat.received(0, Down::Cancel { jid: jid(1), epoch: Epoch(1), seal: Default::default() }, 0);
    seat.received(0, dispatch(1, 1_000), 5);
    let effects = settle(&mut seat, &mut journal);
    assert_eq!(starts(&effects), 0);
    assert_eq!(answers(&effects)[0], (Outcome::Cancelled, Reason::BeforeStart));
}

#[test]
fn a_cancel_while_the_intent_is_written_prevents_the_start() {
    let (mut seat, mut journal) = (seat(), Vec::new());
    seat.received(0, dispatch(1, 1_000), 5);
    seat.received(0, Down::Cancel { jid: jid(1), epoch: Epoch(1), seal: Default::default() }, 0);
    let effects = settle(&mut seat, &mut journal);
    assert_eq!((starts(&effects), answers(&effects)), (0, vec![(Outcome::Cancelled, Reason::BeforeStart)]));
}

#[test]
fn refusals_are_tombstones() {
    let (mut seat, mut journal) = (seat(), Vec::new());
    seat.received(0, dispatch(1, 0), 5);
    assert_eq!(answers(&settle(&mut seat, &mut journal)), [(Outcome::Refused, Reason::Expired)]);
    seat.received(0, dispatch(1, 1_000), 5);
    assert_eq!(starts(&settle(&mut seat, &mut journal)), 0);
}

#[test]
fn the_seventeenth_job_is_refused_as_busy() {
    let (mut seat, mut journal) = (seat(), Vec::new());
    for n in 1..=17 {
        seat.received(0, dispatch(n, 1_000), n);
    }
    let effects = settle(&mut seat, &mut journal);
    assert_eq!((starts(&effects), answers(&effects)), (16, vec![(Outcome::Refused, Reason::Busy)]));
}

#[test]
fn a_full_minion_takes_a_few_control_calls_and_no_common_job() {
    let (mut seat, mut journal) = (seat(), Vec::new());
    let (full, control) = (MAX_RUNNING as u64, CONTROL_PLACES as u64);
    for n in 1..=full {
        seat.received(0, dispatch(n, 1_000), n);
    }
    settle(&mut seat, &mut journal);
    for n in 1..=control + 1 {
        seat.received_for(0, dispatch(full + n, 1_000), n, Place::Control);
    }
    let effects = settle(&mut seat, &mut journal);
    let busy = vec![(Outcome::Refused, Reason::Busy)];
    assert_eq!((starts(&effects), answers(&effects)), (CONTROL_PLACES, busy.clone()));
    // Delivered again, a control call is not started again; and one that has ended makes no room for a common job.
    seat.received_for(0, dispatch(full + 1, 1_000), 7, Place::Control);
    seat.finished(0, jid(full + 1), Answer::bare(Outcome::Ok, Reason::None));
    settle(&mut seat, &mut journal);
    seat.received(0, dispatch(full + 9, 1_000), 9);
    let effects = settle(&mut seat, &mut journal);
    assert_eq!((starts(&effects), answers(&effects)), (0, busy));
}

#[test]
fn a_full_disk_refuses_and_does_not_start() {
    let mut seat = seat();
    seat.received(0, dispatch(1, 1_000), 5);
    seat.effects();
    seat.persist_failed(0, 0);
    let effects = seat.effects();
    assert!(
        matches!(effects[..], [SeatEffect::Persist { ticket: 1, may_fail: false, .. }]),
        "the tombstone first"
    );
    seat.persisted(0, 1);
    assert_eq!(answers(&seat.effects()), [(Outcome::Refused, Reason::NoSpace)]);
}

#[test]
fn another_content_under_the_same_jid_is_an_alarm() {
    let (mut seat, mut journal) = (seat(), Vec::new());
    seat.received(0, dispatch(1, 1_000), 5);
    settle(&mut seat, &mut journal);
    let Down::Dispatch(mut forged) = dispatch(1, 1_000) else { unreachable!() };
    forged.job = Arc::new(Job { digest: [9; 32], ..(*forged.job).clone() });
    seat.received(0, Down::Dispatch(forged), 5);
    assert_eq!(seat.effects(), [SeatEffect::Alarm { jid: jid(1), why: Reason::DigestMismatch }]);
}

#[test]
fn a_busy_parent_gets_its_returns_later() {
    let (mut seat, mut journal) = (seat(), Vec::new());
    seat.received(0, dispatch(1, 0), 5);
    settle(&mut seat, &mut journal);
    seat.received(10, Down::ReturnsBusy { retry_after: 500 }, 0);
    assert!(seat.effects().is_empty());
    assert_eq!(seat.next_deadline(10), 510);
    seat.tick(510);
    assert_eq!(answers(&seat.effects()).len(), 1);
}

#[test]
fn a_silent_parent_is_hung_up_on() {
    let mut seat = seat();
    seat.tick(24_999);
    assert!(!seat.effects().contains(&SeatEffect::Hangup));
    seat.tick(25_000);
    assert_eq!(seat.effects(), [SeatEffect::Hangup]);
}

#[test]
fn the_next_heartbeat_is_counted_from_the_answer_unless_that_takes_too_long() {
    let rule = HeartbeatRule::default();
    let next = |answered: &[u64]| {
        let mut seat = seat();
        seat.attached(1_000);
        answered.iter().for_each(|at| seat.received(*at, Down::Heartbeat, 0));
        seat.next_deadline(1_000)
    };
    assert_eq!(next(&[]), 13_000);
    assert_eq!(next(&[1_200]), 13_200);
    let longest = next(&[9_000]);
    assert_eq!(longest, next(&[9_000, 10_000, 11_000]), "a parent that says so unasked silences nobody");
    assert!(longest > 1_000 + rule.interval + rule.gather());
    assert!(2 * (longest - 1_000) < rule.dead_after, "one that is late cuts no link");
}

#[test]
fn answers_stand_on_moments_that_do_not_move_and_two_intervals_fit() {
    let rule = HeartbeatRule::default();
    assert_eq!([0, 249, 250, 251].map(|now| rule.answered_at(now)), [250, 250, 500, 500]);
    let least = HeartbeatRule { interval: 1, dead_after: 2 };
    assert_eq!(least.answered_at(7), 8);
    for rule in [rule, least, HeartbeatRule { interval: 1_000, dead_after: 2_000 }] {
        assert!(2 * (rule.interval + rule.longest_answer()) <= rule.dead_after, "{rule:?}");
    }
}

#[test]
fn what_a_stopped_minion_finds_waiting_is_not_started_late() {
    let (mut seat, mut journal) = (seat(), Vec::new());
    seat.attached(0);
    let stopped_until = HeartbeatRule::default().dead_after;
    seat.received(stopped_until, Down::Heartbeat, 0);
    seat.received(stopped_until, dispatch(1, 10_000), 1);
    let effects = settle(&mut seat, &mut journal);
    assert_eq!(starts(&effects), 0);
    assert_eq!(effects.iter().filter(|e| matches!(e, SeatEffect::Hangup)).count(), 1);
    seat.detached();
    seat.attached(stopped_until + 1);
    seat.received(stopped_until + 1, dispatch(1, 10_000), 1);
    assert_eq!(starts(&settle(&mut seat, &mut journal)), 1, "offered again, it is");
}

#[test]
fn a_long_job_is_told_before_the_next_heartbeat() {
    let (mut seat, mut journal) = (seat(), Vec::new());
    seat.received(0, dispatch(1, 1_000), 5);
    settle(&mut seat, &mut journal);
    assert_eq!(seat.next_deadline(0), TELL_AFTER);
    seat.tick(TELL_AFTER);
    let running = Running { jid: jid(1), members: Members::from_iter([0]) };
    assert_eq!(seat.effects(), [SeatEffect::Send(Up::Heartbeat(vec![running]))]);
}

/// Ends job `n` with a body of `bytes`, and lets the parent have it.
fn end_and_ack(seat: &mut Seat, journal: &mut Vec<JournalRecord>, n: u64, bytes: usize) {
    seat.received(0, dispatch(n, 1_000), n);
    settle(seat, journal);
    let body = Bytes::from(vec![b'x'; bytes]);
    seat.finished(0, jid(n), Answer { body, ..Answer::bare(Outcome::Ok, Reason::None) });
    settle(seat, journal);
    seat.received(0, Down::ReturnsAck { up_to: u64::MAX }, 0);
    settle(seat, journal);
}

/// The body and the hash of the whole that the seat answers with when asked again.
fn asked_again(seat: &mut Seat, journal: &mut Vec<JournalRecord>, n: u64) -> (usize, bool) {
    seat.received(0, dispatch(n, 0), 0);
    let answer = settle(seat, journal).into_iter().find_map(|e| match e {
        SeatEffect::Send(Up::Returns(batch)) => Some(batch.groups[0].answer.clone()),
        _ => None,
    });
    let answer = answer.expect("an answer");
    (answer.body.len(), answer.truncated.is_some())
}

#[test]
fn an_acknowledged_body_is_still_there_when_the_owner_asks_by_another_way() {
    let (mut seat, mut journal) = (seat(), Vec::new());
    end_and_ack(&mut seat, &mut journal, 1, 4);
    assert_eq!(asked_again(&mut seat, &mut journal, 1), (4, false));
    let (mut again, _) = Seat::recover(HeartbeatRule::default(), 0, journal.clone());
    again.attached(0);
    settle(&mut again, &mut journal);
    assert_eq!(asked_again(&mut again, &mut journal, 1), (4, false), "after a restart too");
}

#[test]
fn kept_bodies_are_bounded_and_what_went_is_flagged() {
    let (mut seat, mut journal) = (seat(), Vec::new());
    for n in 1..=3 {
        end_and_ack(&mut seat, &mut journal, n, MAX_KEPT_BYTES / 2);
    }
    assert_eq!(asked_again(&mut seat, &mut journal, 1), (0, true));
    assert_eq!(asked_again(&mut seat, &mut journal, 2), (MAX_KEPT_BYTES / 2, false));
    let (again, _) = Seat::recover(HeartbeatRule::default(), 0, journal);
    assert_eq!(again.kept_bytes, MAX_KEPT_BYTES, "a restart keeps no more than that");
}

#[test]
fn of_what_it_forgot_a_minion_says_nothing() {
    let (mut seat, mut journal) = (seat(), Vec::new());
    end_and_ack(&mut seat, &mut journal, 5, 0);
    seat.tick(1_000 + RETAIN);
    settle(&mut seat, &mut journal);
    let (again, _) = Seat::recover(HeartbeatRule::default(), 0, journal.clone());
    let (compacted, _) = Seat::recover(HeartbeatRule::default(), 0, again.live_records());
    for mut seat in [again, compacted] {
        seat.attached(0);
        settle(&mut seat, &mut journal);
        seat.received(0, dispatch(5, 0), 1);
        seat.received(0, Down::Cancel { jid: jid(5), epoch: Epoch(1), seal: Default::default() }, 1);
        assert!(seat.effects().is_empty(), "it ran: neither expired nor cancelled before the start");
        seat.received(0, dispatch(6, 0), 1);
        assert_eq!(answers(&settle(&mut seat, &mut journal)), [(Outcome::Refused, Reason::Expired)]);
    }
}
