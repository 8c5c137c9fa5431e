use super::*;
use crate::{fold::PATIENCE, ids::Epoch, job::Job, roster::roster_of_one};

const PARENT: LinkId = LinkId(1_000);

fn rule() -> RelayRule {
    let (flush, heartbeat) = (FlushRule::default(), HeartbeatRule::default());
    RelayRule { parents: 1, flush, heartbeat, uplink: heartbeat, spool_max_bytes: 1 << 20 }
}

fn set(members: &[u32]) -> Members {
    members.iter().copied().collect()
}

fn jid() -> Jid {
    Jid::from_micros(7)
}

/// A relay, its spool, and what it sent.
struct Bench {
    relay: Relay,
    spool: Vec<SpoolRecord>,
    sent: Vec<RelayEffect>,
    /// Nothing becomes durable while this is true.
    frozen: bool,
    pending: Vec<u64>,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Vec::new())
    }

    fn with(spool: Vec<SpoolRecord>) -> Bench {
        let relay = Relay::recover(rule(), 0, spool.clone());
        Bench { relay, spool, sent: Vec::new(), frozen: false, pending: Vec::new() }
    }

    /// A relay below a parent with minions m0.. up on links 0.. .
    fn attached(minions: u32) -> Bench {
        let mut bench = Bench::new();
        (0..minions).for_each(|no| bench.minion(no));
        bench.relay.parent_up(0, 0, PARENT);
        bench.turn(0);
        bench.sent.clear();
        bench
    }

    fn minion(&mut self, no: u32) {
        let (link, id) = (LinkId(no.into()), format!("m{no}").parse().unwrap());
        let incarnation = Incarnation(u64::from(no) + 1);
        self.relay.child_up(0, link, Some(&id), incarnation);
        self.relay.from_child(0, 0, link, Up::Roster(roster_of_one(&id, incarnation, "{}".into())));
        self.turn(0);
    }

    fn turn(&mut self, now: Millis) {
        self.relay.end_turn(now);
        loop {
            let effects = self.relay.effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    RelayEffect::Persist { ticket, records } if !self.frozen => {
                        self.spool.extend(records);
                        self.relay.persisted(now, ticket);
                    }
                    RelayEffect::Persist { ticket, .. } => self.pending.push(ticket),
                    other => self.sent.push(other),
                }
            }
        }
    }

    fn dispatch(&mut self, members: &[u32], reoffer: bool, deliver_within: Millis) {
        self.dispatch_of(jid(), members, reoffer, deliver_within);
    }

    fn dispatch_of(&mut self, jid: Jid, members: &[u32], reoffer: bool, deliver_within: Millis) {
        let job = Arc::new(Job { jid, digest: [1; 32], envelope: "job".into(), targets: None });
        let (epoch, members) = (Epoch(1), set(members));
        let dispatch =
            Dispatch { job, epoch, members, proof: Default::default(), reoffer, deliver_within, flaw: None };
        self.relay.from_parent(0, PARENT, Down::Dispatch(dispatch));
        self.turn(0);
    }

    fn answer(&mut self, now: Millis, no: u32, seq: u64) {
        self.answer_of(jid(), now, no, seq);
    }

    fn answer_of(&mut self, jid: Jid, now: Millis, no: u32, seq: u64) {
        let answer = Arc::new(Answer { body: "true".into(), ..Answer::bare(Outcome::Ok, Reason::None) });
        let groups = vec![ReturnGroup { jid, answer, members: set(&[0]) }];
        self.relay.from_child(now, 0, LinkId(no.into()), Up::Returns(ReturnBatch { seq, groups }));
    }

    /// Links that were sent a dispatch.
    fn dispatched(&self) -> Vec<LinkId> {
        let one = |e: &RelayEffect| match e {
            RelayEffect::Send(Sending { links, down: Down::Dispatch(_), .. }) => links.clone(),
            _ => Vec::new(),
        };
        self.sent.iter().flat_map(one).collect()
    }

    fn returned(&self) -> Vec<(Outcome, Members)> {
        let one = |e: &RelayEffect| match e {
            RelayEffect::SendUp { up: Up::Returns(b), .. } => b.groups.clone(),
            _ => Vec::new(),
        };
        self.sent.iter().flat_map(one).map(|g| (g.answer.outcome, g.members)).collect()
    }

    fn acked(&self) -> Vec<(LinkId, u64)> {
        let one = |e: &RelayEffect| match e {
            RelayEffect::Send(Sending { links, down: Down::ReturnsAck { up_to }, .. }) => {
                links.iter().map(|link| (*link, *up_to)).collect()
            }
            _ => Vec::new(),
        };
        self.sent.iter().flat_map(one).collect()
    }
}

#[test]
fn one_message_for_all_minions_and_only_after_the_mark() {
    let mut bench = Bench::attached(3);
    bench.frozen = true;
    bench.dispatch(&[0, 1, 2], false, 10_000);
    assert!(bench.dispatched().is_empty());
    let ticket = bench.pending[0];
    bench.relay.persisted(0, ticket);
    bench.turn(0);
    assert_eq!(bench.dispatched(), [LinkId(0), LinkId(1), LinkId(2)]);
}

#[test]
fn returns_fold_and_are_acknowledged_only_when_durable() {
    let mut bench = Bench::attached(3);
    bench.dispatch(&[0, 1, 2], false, 10_000);
    bench.frozen = true;
    (0..3).for_each(|no| bench.answer(100, no, 1));
    bench.turn(100);
    assert!(bench.acked().is_empty() && bench.returned().is_empty());
    let ticket = bench.pending[0];
    bench.relay.persisted(100, ticket);
    bench.turn(100);
    assert!(bench.acked().is_empty(), "they wait for company");
    bench.turn(100 + ACK_LAST);
    assert_eq!(bench.acked(), [(LinkId(0), 1), (LinkId(1), 1), (LinkId(2), 1)]);
    assert_eq!(bench.returned(), [(Outcome::Ok, set(&[0, 1, 2]))]);
}

#[test]
fn unacknowledged_returns_survive_a_restart_and_acknowledged_ones_are_gone() {
    let mut bench = Bench::attached(2);
    bench.dispatch(&[0, 1], false, 10_000);
    bench.answer(100, 0, 1);
    bench.turn(500);
    for spool in [bench.spool.clone(), Relay::recover(rule(), 0, bench.spool.clone()).live_records()] {
        let mut again = Bench::with(spool);
        again.relay.parent_up(0, 0, PARENT);
        again.turn(0);
        assert_eq!(again.returned(), [(Outcome::Ok, set(&[0]))]);
        let named = |e: &RelayEffect| matches!(e, RelayEffect::SendUp { up: Up::Roster(RosterUpdate::Full { entries, .. }), .. } if entries.len() == 2);
        assert!(again.sent.iter().any(named), "else the parent could not tell whose the returns are");
        again.relay.from_parent(0, PARENT, Down::ReturnsAck { up_to: 1 });
        again.turn(0);
        assert_eq!(again.relay.spooled_batches(), 0);
    }
}

/// What a window waits for goes at once: where its members come bit by bit.
#[test]
fn answers_wait_for_company_unless_the_window_of_their_job_waits_for_them() {
    let mut bench = Bench::attached(4);
    bench.dispatch(&[0, 1, 2], false, 10_000);
    bench.answer(1_000, 0, 1);
    bench.turn(1_000);
    assert!(bench.returned().is_empty(), "two others may answer soon");
    bench.turn(1_000 + rule().flush.age * PATIENCE);
    assert_eq!(bench.returned(), [(Outcome::Ok, set(&[0]))]);
    bench.sent.clear();
    bench.dispatch(&[3], false, 10_000);
    bench.answer(2_000, 1, 1);
    bench.turn(2_000);
    assert_eq!(bench.returned(), [(Outcome::Ok, set(&[1]))], "a window has moved on");
    bench.sent.clear();
    bench.answer(2_001, 2, 1);
    bench.answer(2_001, 3, 1);
    bench.turn(2_001);
    assert_eq!(bench.returned(), [(Outcome::Ok, set(&[2, 3]))], "the last one here: nothing to wait for");
}

/// A former version had a link to each of its parents, each with its own numbers.
#[test]
fn what_was_spooled_for_other_parents_goes_over_the_one_uplink_and_is_forgotten_once() {
    let batch = |parent, seq, no| {
        let answer = Arc::new(Answer { body: "true".into(), ..Answer::bare(Outcome::Ok, Reason::None) });
        let groups = vec![ReturnGroup { jid: jid(), answer, members: set(&[no]) }];
        SpoolRecord::Batch { parent, batch: ReturnBatch { seq, groups } }
    };
    let acked = |parent, up_to| SpoolRecord::Acked { parent, up_to };
    let spool = [
        batch(1, 1, 0),
        batch(0, 1, 1),
        batch(2, 1, 2),
        batch(1, 2, 3),
        batch(0, 2, 4),
        acked(1, 1),
        acked(2, 1),
    ];
    let mut bench = Bench::with(spool.to_vec());
    bench.relay.parent_up(0, 0, PARENT);
    bench.turn(0);
    let mut sent = bench.returned();
    sent.sort_by_key(|(_, members)| members.min());
    assert_eq!(sent, [1, 3, 4].map(|no| (Outcome::Ok, set(&[no]))), "all but what was acknowledged");
    bench.relay.from_parent(0, PARENT, Down::ReturnsAck { up_to: 2 });
    bench.turn(0);
    assert_eq!(bench.relay.spooled_batches(), 1, "the numbers are this uplink's");
    let compacted = bench.relay.live_records();
    // Written with the next record: from then on the spool knows one parent only.
    bench.relay.persist(Vec::new(), Waiting::default());
    bench.turn(0);
    let again = Relay::recover(rule(), 0, bench.spool.clone());
    assert_eq!(again.spooled_batches(), 1);
    // Compacted before that write, which then stands behind it.
    let written = bench.spool[spool.len()..].to_vec();
    let again = Relay::recover(rule(), 0, [compacted, written].concat());
    assert_eq!((again.spooled_batches(), again.spooled_bytes()), (1, bench.relay.spooled_bytes()));
    bench.relay.from_parent(0, PARENT, Down::ReturnsAck { up_to: 3 });
    bench.relay.persist(Vec::new(), Waiting::default());
    bench.turn(0);
    let last = Relay::recover(rule(), 0, bench.spool.clone());
    assert_eq!((bench.relay.spooled_batches(), last.spooled_batches()), (0, 0));
}

#[test]
fn a_minion_that_is_down_is_not_started_at_the_delivery_deadline() {
    let mut bench = Bench::attached(2);
    bench.relay.child_down(0, 0, LinkId(1));
    bench.dispatch(&[0, 1], false, 10_000);
    assert_eq!(bench.dispatched(), [LinkId(0)]);
    bench.turn(ROSTER_PACE);
    bench.relay.tick(9_500);
    assert_eq!(bench.relay.next_deadline(9_500), 10_000);
    bench.relay.tick(10_000);
    bench.turn(10_000);
    assert_eq!(bench.returned(), [(Outcome::NotStarted, set(&[1]))]);
}

#[test]
fn it_never_speaks_for_members_that_another_path_may_have_reached() {
    let mut bench = Bench::attached(1);
    bench.relay.child_down(0, 0, LinkId(0));
    bench.dispatch(&[0], true, 10_000);
    bench.relay.tick(10_000);
    bench.turn(10_000);
    assert!(bench.returned().is_empty());
}

#[test]
fn after_a_restart_the_marks_tell_sent_from_unsent() {
    let mut bench = Bench::attached(2);
    bench.relay.child_down(0, 0, LinkId(1));
    bench.dispatch(&[0, 1], false, 10_000);
    let mut again = Bench::with(bench.spool.clone());
    again.minion(0);
    again.relay.parent_up(0, 0, PARENT);
    again.dispatch(&[0, 1], false, 5_000);
    assert_eq!(again.dispatched(), [LinkId(0)], "marked: sent again");
    again.relay.tick(5_000);
    again.turn(5_000);
    assert_eq!(again.returned(), [(Outcome::NotStarted, set(&[1]))], "unmarked: proven");
}

/// A job was sent to two, the syndic restarted, and the owner has named the one again that came back first.
#[test]
fn after_a_restart_nobody_is_offered_a_job_before_the_owner_says_until_when() {
    let mut bench = Bench::attached(2);
    bench.dispatch(&[0, 1], false, 1_000);
    let mut bench = Bench::with(bench.spool);
    bench.relay.parent_up(0, 0, PARENT);
    bench.minion(0);
    bench.dispatch(&[0], true, 900);
    bench.sent.clear();
    bench.minion(1);
    assert_eq!(bench.dispatched(), []);
    bench.dispatch(&[1], true, 800);
    assert_eq!(bench.dispatched(), [LinkId(1)]);
    let within = bench.sent.iter().filter_map(|effect| match effect {
        RelayEffect::Send(Sending { down: Down::Dispatch(dispatch), .. }) => Some(dispatch.deliver_within),
        _ => None,
    });
    assert_eq!(within.collect::<Vec<_>>(), [800]);
}

#[test]
fn a_full_spool_leaves_returns_with_the_minions() {
    let mut bench = Bench::attached(1);
    bench.dispatch(&[0], false, 10_000);
    bench.relay.set_stalled(true);
    bench.answer(100, 0, 1);
    bench.turn(100);
    let busy = Sending::new(vec![LinkId(0)], Down::ReturnsBusy { retry_after: BUSY_RETRY });
    assert!(bench.sent.contains(&RelayEffect::Send(busy)));
    assert!(bench.returned().is_empty());
}

#[test]
fn a_duplicate_answer_is_acknowledged_and_dropped() {
    let mut bench = Bench::attached(1);
    bench.dispatch(&[0], false, 10_000);
    bench.answer(100, 0, 1);
    bench.turn(100);
    bench.answer(200, 0, 2);
    bench.turn(200);
    bench.turn(200 + ACK_LAST);
    assert_eq!(bench.acked(), [(LinkId(0), 2)]);
    assert_eq!(bench.returned().len(), 1);
}

#[test]
fn a_second_session_takes_over_with_the_same_journal_and_is_refused_with_another() {
    let mut bench = Bench::attached(1);
    let id = "m0".parse().unwrap();
    bench.relay.child_up(0, LinkId(50), Some(&id), Incarnation(99));
    bench.relay.child_up(0, LinkId(51), Some(&id), Incarnation(1));
    bench.turn(0);
    let hung_up = |e: &RelayEffect| match e {
        RelayEffect::Hangup { link, .. } => Some(*link),
        _ => None,
    };
    assert_eq!(bench.sent.iter().filter_map(hung_up).collect::<Vec<_>>(), [LinkId(50), LinkId(0)]);
}

#[test]
fn a_frozen_parent_is_left_long_before_a_frozen_child() {
    let children = HeartbeatRule::default();
    let uplink = RelayRule::uplink_of(children);
    assert!(uplink.dead_after < children.dead_after && 3 * uplink.interval < uplink.dead_after);
    let quick = HeartbeatRule { interval: 100, dead_after: 300 };
    assert_eq!(RelayRule::uplink_of(quick), quick);
    let mut relay = Relay::recover(RelayRule { uplink, ..rule() }, 0, Vec::new());
    relay.parent_up(0, 0, PARENT);
    let hung_up = |relay: &mut Relay, now| {
        relay.tick(now);
        relay.effects().iter().any(|e| matches!(e, RelayEffect::Hangup { link: PARENT, .. }))
    };
    assert!(!hung_up(&mut relay, uplink.dead_after - 1));
    assert!(hung_up(&mut relay, uplink.dead_after));
}

#[test]
fn a_finished_and_acknowledged_job_is_forgotten() {
    let mut bench = Bench::attached(1);
    bench.dispatch(&[0], false, 10_000);
    bench.answer(100, 0, 1);
    bench.turn(100);
    bench.relay.from_parent(100, PARENT, Down::ReturnsAck { up_to: 1 });
    assert_eq!(bench.relay.ledgers().count(), 0);
}

#[test]
fn cancel_answers_for_the_unsent() {
    let mut bench = Bench::attached(2);
    bench.relay.child_down(0, 0, LinkId(1));
    bench.dispatch(&[0, 1], false, 10_000);
    bench.relay.from_parent(100, PARENT, Down::Cancel { jid: jid(), epoch: Epoch(1), seal: "seal".into() });
    bench.turn(100);
    assert_eq!(bench.returned(), [(Outcome::Cancelled, set(&[1]))]);
    let told = |e: &RelayEffect| matches!(e, RelayEffect::Send(Sending { down: Down::Cancel { .. }, .. }));
    assert_eq!(bench.sent.iter().filter(|e| told(e)).count(), 1);
}

#[test]
fn a_parent_hears_of_a_minion_before_it_hears_what_it_returned() {
    let mut bench = Bench::attached(0);
    bench.minion(0);
    bench.answer(0, 0, 1);
    bench.turn(0);
    let ups: Vec<&Up> = bench
        .sent
        .iter()
        .filter_map(|e| match e {
            RelayEffect::SendUp { up, .. } => Some(up),
            _ => None,
        })
        .collect();
    assert!(matches!(ups[..], [Up::Roster(_), Up::Returns(_)]), "{ups:?}");
}

#[test]
fn returns_of_numbers_that_no_roster_told_are_not_acknowledged() {
    let mut bench = Bench::attached(1);
    let answer = Arc::new(Answer::bare(Outcome::Ok, Reason::None));
    let groups = vec![ReturnGroup { jid: jid(), answer, members: set(&[7]) }];
    bench.relay.from_child(0, 0, LinkId(0), Up::Returns(ReturnBatch { seq: 1, groups }));
    bench.turn(0);
    bench.turn(ACK_LAST);
    assert!(bench.acked().is_empty());
    let resync = Sending::new(vec![LinkId(0)], Down::RosterResync);
    assert!(bench.sent.contains(&RelayEffect::Send(resync)));
}

#[test]
fn however_much_comes_in_the_parent_hears_heartbeats_and_silent_children_are_found() {
    let mut bench = Bench::attached(2);
    for now in (0..=36_000).step_by(50) {
        bench.relay.from_child(now, 0, LinkId(0), Up::Heartbeat(Vec::new()));
        bench.relay.from_parent(now, PARENT, Down::Heartbeat);
        // As a loop does whose timer is set anew after each event: it ticks when this says so.
        if bench.relay.next_deadline(now) <= now {
            bench.relay.tick(now);
        }
        bench.turn(now);
    }
    let beats = bench.sent.iter().filter(|e| matches!(e, RelayEffect::SendUp { up: Up::Heartbeat(_), .. }));
    assert_eq!(beats.count(), 3, "one every twelve seconds");
    let hung_up = |e: &&RelayEffect| matches!(e, RelayEffect::Hangup { link: LinkId(1), why: "silent" });
    assert!(bench.sent.iter().any(|e| hung_up(&e)));
}

#[test]
fn a_minions_own_word_is_passed_on_although_this_tier_said_that_it_was_not_started() {
    let mut bench = Bench::attached(2);
    bench.relay.child_down(0, 0, LinkId(1));
    bench.dispatch(&[0, 1], false, 10_000);
    bench.relay.tick(10_000);
    bench.turn(10_000);
    assert_eq!(bench.returned(), [(Outcome::NotStarted, set(&[1]))]);
    bench.sent.clear();
    bench.minion(1);
    bench.answer(10_100, 1, 1);
    bench.turn(10_500);
    assert_eq!(bench.returned(), [(Outcome::Ok, set(&[1]))], "it had the job by another syndic");
}

#[test]
fn a_message_waits_for_the_marks_of_an_earlier_placement() {
    let mut bench = Bench::attached(1);
    bench.frozen = true;
    bench.dispatch(&[0], false, 10_000);
    bench.minion(0);
    assert!(bench.dispatched().is_empty(), "reconnected while its mark is being written");
    let ticket = bench.pending[0];
    bench.relay.persisted(0, ticket);
    bench.turn(0);
    assert!(!bench.dispatched().is_empty());
}

#[test]
fn an_acknowledgement_goes_along_with_the_next_job_and_bulk_is_acknowledged_soon() {
    let mut bench = Bench::attached(1);
    bench.dispatch(&[0], false, 10_000);
    bench.answer(100, 0, 1);
    bench.turn(100);
    assert!(bench.acked().is_empty());
    let job =
        Arc::new(Job { jid: Jid::from_micros(8), digest: [1; 32], envelope: "job".into(), targets: None });
    let members = set(&[0]);
    let next = Dispatch {
        job,
        epoch: Epoch(1),
        members,
        proof: Default::default(),
        reoffer: false,
        deliver_within: 9,
        flaw: None,
    };
    bench.relay.from_parent(100, PARENT, Down::Dispatch(next));
    bench.turn(100);
    assert_eq!(bench.acked(), [(LinkId(0), 1)]);
    let body = vec![b'x'; acks::BULK].into();
    let answer = Arc::new(Answer { body, ..Answer::bare(Outcome::Ok, Reason::None) });
    let groups = vec![ReturnGroup { jid: Jid::from_micros(8), answer, members: set(&[0]) }];
    bench.relay.from_child(200, 0, LinkId(0), Up::Returns(ReturnBatch { seq: 2, groups }));
    bench.turn(200);
    bench.turn(200 + ACK_SOON);
    assert_eq!(bench.acked(), [(LinkId(0), 1), (LinkId(0), 2)]);
}

#[test]
fn heartbeats_are_answered_together_and_acknowledgements_go_along_to_who_beats() {
    let mut bench = Bench::attached(4);
    let due = rule().heartbeat.answered_at(200);
    bench.dispatch(&[0, 1, 2], false, 10_000);
    (0..3).for_each(|no| bench.answer(100, no, 1));
    bench.turn(100);
    bench.sent.clear();
    for (now, link) in [(200, 2), (due - 1, 0), (due - 1, 3), (due - 1, 2)] {
        bench.relay.from_child(now, 0, LinkId(link), Up::Heartbeat(Vec::new()));
        bench.turn(now);
    }
    bench.relay.child_down(due - 1, 0, LinkId(3));
    assert_eq!((bench.sent.len(), bench.relay.next_deadline(due - 1)), (0, due));
    bench.turn(due);
    let beaten = vec![LinkId(0), LinkId(2)];
    let acks = RelayEffect::Send(Sending::new(beaten.clone(), Down::ReturnsAck { up_to: 1 }));
    assert_eq!(bench.sent, [acks, RelayEffect::Send(Sending::new(beaten, Down::Heartbeat))]);
    bench.turn(100 + ACK_LAST);
    assert!(bench.acked().ends_with(&[(LinkId(1), 1)]));
}

#[test]
fn a_last_answer_leaves_the_others_in_the_fold_and_acknowledges_nothing_of_them() {
    let mut bench = Bench::attached(3);
    let small = Jid::from_micros(8);
    bench.dispatch(&[0, 1, 2], false, 10_000);
    bench.dispatch_of(small, &[0], false, 10_000);
    bench.sent.clear();
    bench.answer(100, 0, 1);
    bench.answer_of(small, 101, 0, 2);
    bench.turn(101);
    let last = |bench: &Bench| {
        let returns = bench.sent.iter().filter_map(|effect| match effect {
            RelayEffect::SendUp { up: Up::Returns(batch), .. } => Some(&batch.groups),
            _ => None,
        });
        returns.flatten().map(|group| group.jid).collect::<Vec<_>>()
    };
    assert_eq!(last(&bench), [small]);
    // What is owed to the first minion covers an answer that no spool has yet.
    let beat = |bench: &mut Bench, now| {
        bench.relay.from_child(now, 0, LinkId(0), Up::Heartbeat(Vec::new()));
        bench.turn(rule().heartbeat.answered_at(now));
    };
    beat(&mut bench, 102);
    assert_eq!(bench.acked(), []);
    bench.answer(303, 1, 1);
    bench.answer(303, 2, 1);
    bench.turn(303);
    assert_eq!(last(&bench), [small, jid()]);
    beat(&mut bench, 304);
    assert_eq!(bench.acked(), [(LinkId(0), 2)]);
}

#[cfg(test)]
mod greedy;
#[cfg(test)]
mod homes;
#[cfg(test)]
mod moves;
mod proofs;
mod reports;
