//! What the simulation found about batches: an owner whose commits are held back, and one that is restarted.

use bytes::Bytes;

use super::*;
use crate::{batch::BatchSize, ids::RequestId, message::ReturnGroup, roster::Roster, target::Target};

const DELIVERY: Millis = 10_000;
const RUN: Millis = 60_000;

fn rule(epoch: u64) -> OwnerRule {
    let seal = Arc::new(crate::testing::Sealing::default());
    let (fabric, heartbeat) = ("test".into(), HeartbeatRule::default());
    OwnerRule {
        fabric,
        epoch: Epoch(epoch),
        heartbeat,
        seal,
        batches: Batches::default(),
        commits: Default::default(),
    }
}

fn submission(request: u128, batch: BatchRule) -> Submission {
    Submission {
        request_id: RequestId(request),
        request_digest: [1; 32],
        target: Target::parse("*").unwrap(),
        written: "*".into(),
        function: "test.ping".into(),
        args: Bytes::new(),
        caller: "root".into(),
        delivery_limit: DELIVERY,
        run_limit: RUN,
        batch,
        subset: None,
        planned: None,
        confirmed: None,
    }
}

/// How long after a grant something of the job may run, at most.
fn over_after() -> Millis {
    DELIVERY + RUN + 2 * HOPS * HOP_GRACE + HOPS * HeartbeatRule::default().dead_after
}

/// One owner and its store.
struct Bench {
    owner: Owner,
    /// Commits wait.
    holds: bool,
    commits: Vec<(u64, Vec<Write>)>,
    written: Vec<Write>,
    /// Members of a job that were sent it since this was taken last, and what time they had left to start.
    sent: Vec<(Jid, LinkId, Members, Millis)>,
}

impl Bench {
    fn new(owner: Owner) -> Bench {
        Bench { owner, holds: false, commits: Vec::new(), written: Vec::new(), sent: Vec::new() }
    }

    fn empty() -> Bench {
        Bench::new(Owner::recover(rule(1), 0, 0, Inventory::new(), Vec::new()))
    }

    fn attach(&mut self, now: Millis, link: u64, minions: &[&str]) {
        let (link, spool) = (LinkId(link), Incarnation(100 + link));
        let syndic = format!("aws-{}", link.0).parse().unwrap();
        self.owner.syndic_up(now, link, syndic, "aws".parse().unwrap(), spool);
        let mut roster = Roster::default();
        for id in minions {
            let (id, incarnation): (MinionId, _) = (id.parse().unwrap(), Incarnation(1));
            let no = roster.number(&id, incarnation).unwrap().no;
            roster.put(RosterEntry { no, id, incarnation, up: true, since: 0, grains: "{}".into() });
        }
        self.owner.from_syndic(now, 0, link, Up::Roster(roster.full()));
        self.turn(now);
    }

    fn turn(&mut self, now: Millis) {
        loop {
            self.owner.end_turn(now, 0);
            let effects = self.owner.effects();
            if effects.is_empty() {
                return;
            }
            effects.into_iter().for_each(|effect| self.does(effect));
            if !self.holds {
                self.commit(now);
            }
        }
    }

    fn does(&mut self, effect: OwnerEffect) {
        match effect {
            OwnerEffect::Persist { ticket, writes, .. } => self.commits.push((ticket, writes)),
            OwnerEffect::Send(Sending { links, down: Down::Dispatch(d), .. }) => {
                self.sent.push((d.job.jid, links[0], d.members, d.deliver_within));
            }
            _ => {}
        }
    }

    fn commit(&mut self, now: Millis) {
        for (ticket, writes) in std::mem::take(&mut self.commits) {
            self.written.extend(writes);
            self.owner.persisted(now, ticket, Ok(()));
        }
    }

    fn submit(&mut self, now: Millis, request: u128, batch: BatchRule) -> Jid {
        self.owner.submit(now, now * 1_000, 5, submission(request, batch));
        self.turn(now);
        self.owner.jobs.keys().next_back().copied().unwrap()
    }

    fn answers(&mut self, now: Millis, seq: u64, jid: Jid, member: u32, outcome: Outcome) {
        let answer = Arc::new(Answer::bare(outcome, Reason::None));
        let groups = vec![ReturnGroup { jid, answer, members: [member].into_iter().collect() }];
        self.owner.from_syndic(now, 0, LinkId(1), Up::Returns(ReturnBatch { seq, groups }));
        self.turn(now);
    }

    fn passes(&mut self, now: Millis) {
        self.owner.tick(now);
        self.turn(now);
    }

    /// How many of a job were sent it since this was asked last: with time left to start, and without.
    fn take_sent(&mut self, jid: Jid) -> (u64, u64) {
        let sent = std::mem::take(&mut self.sent).into_iter().filter(|(of, ..)| *of == jid);
        sent.fold((0, 0), |(with, without), (_, _, members, within)| match within {
            0 => (with, without + members.len()),
            _ => (with + members.len(), without),
        })
    }

    /// What the next owner finds of a job.
    fn restarted(&self, now: Millis, jid: Jid) -> Bench {
        let ledger = self.owner.ledger(jid).unwrap().clone();
        let (mut inventory, mut head, mut sent) = (Inventory::new(), None, Vec::new());
        for write in &self.written {
            match write.clone() {
                Write::Minions(records) => {
                    records.into_iter().for_each(|record| drop(inventory.restore(record).unwrap()))
                }
                Write::Accept(accepted) if accepted.job.jid == jid => head = Some(*accepted),
                Write::Sent(mark, _) => sent.push((mark.via, mark.members)),
                _ => {}
            }
        }
        let (head, groups, closed) = (head.unwrap(), ledger.groups().to_vec(), ledger.is_complete());
        let stored = StoredJob { head, sent, groups, closed, cancelled: false, seq: 1, approved: 0 };
        Bench::new(Owner::recover(rule(2), now, now * 1_000, inventory, vec![stored]))
    }
}

fn window(places: u32) -> BatchRule {
    BatchRule { size: BatchSize::Window(Share::Count(places)), ..BatchRule::default() }
}

fn serial() -> BatchRule {
    BatchRule { serial: true, ..BatchRule::default() }
}

#[test]
fn what_is_offered_again_by_another_path_is_kept_back_too_when_the_batch_is_stopped() {
    let mut bench = Bench::empty();
    bench.attach(0, 1, &["a", "b", "c"]);
    let jid = bench.submit(0, 1, BatchRule { max_failures: Some(Share::Count(1)), ..window(2) });
    assert_eq!(bench.take_sent(jid), (2, 0));
    bench.holds = true;
    bench.attach(10, 2, &["b"]);
    assert_eq!(bench.take_sent(jid), (0, 0), "it moved, and the mark of its new path is not durable");
    bench.answers(20, 1, jid, 0, Outcome::Failed);
    bench.holds = false;
    bench.commit(30);
    bench.turn(30);
    assert_eq!(bench.take_sent(jid), (0, 1), "only asked whether it had started");
}

#[test]
fn what_is_unknown_starts_nowhere_after_a_restart() {
    let mut bench = Bench::empty();
    bench.attach(0, 1, &["a", "b"]);
    let jid = bench.submit(0, 1, BatchRule { until: Some(Share::Count(1)), ..window(2) });
    bench.answers(5, 1, jid, 0, Outcome::Ok);
    assert_eq!(bench.owner.ledger(jid).unwrap().unknown().len(), 1);
    for now in [10, 3_600_000] {
        let mut next = bench.restarted(now, jid);
        next.attach(now, 1, &["a", "b"]);
        assert_eq!(next.take_sent(jid), (0, 1), "only asked, {now} ms after its acceptance");
    }
}

#[test]
fn a_serial_job_waits_for_what_may_still_run_in_a_job_that_is_closed() {
    let early = BatchRule { deadline: Some(1_000), ..BatchRule::default() };
    let mut bench = Bench::empty();
    bench.attach(0, 1, &["a", "b"]);
    let first = bench.submit(0, 1, early);
    bench.passes(1_000);
    assert_eq!(bench.owner.open_jobs().count(), 0, "closed by its deadline, with both unknown");
    let second = bench.submit(2_000, 2, serial());
    assert_eq!(bench.take_sent(second), (0, 0));
    bench.answers(3_000, 1, first, 0, Outcome::Ok);
    assert_eq!(bench.take_sent(second), (1, 0), "the first is over there");
    bench.passes(over_after() - 1);
    assert_eq!(bench.take_sent(second), (0, 0));
    bench.passes(over_after());
    assert_eq!(bench.take_sent(second), (1, 0), "nothing of the first can run there any more");
}

#[test]
fn who_is_unknown_holds_its_place_across_a_restart() {
    let mut bench = Bench::empty();
    bench.attach(0, 1, &["a"]);
    bench.attach(0, 2, &["b"]);
    bench.owner.syndic_down(0, LinkId(2));
    let jid = bench.submit(0, 1, window(1));
    assert_eq!(bench.take_sent(jid), (1, 0), "to a: b is away");
    bench.owner.syndic_down(0, LinkId(1));
    bench.attach(0, 2, &["b"]);
    let silent = DELIVERY + 2 * SILENCE_CHECK;
    (0..=2 * silent / 1_000).for_each(|second| bench.passes(second * 1_000));
    assert_eq!(bench.owner.ledger(jid).unwrap().unknown().len(), 1);
    assert_eq!(bench.take_sent(jid), (0, 0), "it may run all the same");
    let now = 2 * silent;
    let mut next = bench.restarted(now, jid);
    next.attach(now, 2, &["b"]);
    next.passes(now + over_after() - 1);
    assert_eq!(next.take_sent(jid), (0, 0), "it may run still");
    next.passes(now + over_after() + DELIVERY / 100);
    assert_eq!(next.take_sent(jid), (1, 0), "it would have been ended by now");
}

#[test]
fn what_waits_for_its_mark_loses_the_time_that_it_waited() {
    let mut bench = Bench::empty();
    bench.attach(0, 1, &["a", "b"]);
    let jid = bench.submit(0, 1, window(1));
    assert_eq!(bench.take_sent(jid), (1, 0));
    bench.holds = true;
    bench.answers(100, 1, jid, 0, Outcome::Ok);
    bench.commit(DELIVERY + 500);
    bench.turn(DELIVERY + 500);
    assert_eq!(bench.take_sent(jid), (0, 1), "granted before the store stood still");
}
