use bytes::Bytes;

use super::*;
use crate::batch::BatchRule;
use crate::{
    ids::{MinionId, RequestId},
    inventory::MAX_REGION_MINIONS,
    message::ReturnGroup,
    roster::Roster,
    target::Target,
};

mod cancels;
mod commits;
mod reports;

const LINK: LinkId = LinkId(1);
const SPOOL: Incarnation = Incarnation(77);

fn set(members: &[u32]) -> Members {
    members.iter().copied().collect()
}

fn rule() -> OwnerRule {
    let seal = Arc::new(crate::testing::Sealing::default());
    OwnerRule {
        fabric: "test".into(),
        epoch: Epoch(1),
        heartbeat: HeartbeatRule::default(),
        seal,
        batches: Default::default(),
        commits: Default::default(),
    }
}

fn submission(target: &str) -> Submission {
    Submission {
        request_id: RequestId(1),
        request_digest: [1; 32],
        target: Target::parse(target).unwrap(),
        written: target.into(),
        function: "test.ping".into(),
        args: Bytes::new(),
        caller: "root".into(),
        delivery_limit: 10_000,
        run_limit: 60_000,
        batch: BatchRule::default(),
        subset: None,
        planned: None,
        confirmed: None,
    }
}

/// An owner with a store that remembers nothing but what it was told.
struct Bench {
    owner: Owner,
    writes: Vec<Write>,
    out: Vec<OwnerEffect>,
    refuse: Option<WriteError>,
}

impl Bench {
    /// A syndic with these minions attached, numbered in order.
    fn new(minions: &[&str]) -> Bench {
        let owner = Owner::recover(rule(), 0, 0, Inventory::new(), Vec::new());
        let mut bench = Bench { owner, writes: Vec::new(), out: Vec::new(), refuse: None };
        bench.attach(0, LINK, "aws-1", SPOOL, minions, 1);
        bench.out.clear();
        bench
    }

    fn attach(
        &mut self,
        now: Millis,
        link: LinkId,
        syndic: &str,
        spool: Incarnation,
        minions: &[&str],
        inc: u64,
    ) {
        self.owner.syndic_up(now, link, syndic.parse().unwrap(), "aws".parse().unwrap(), spool);
        let mut roster = Roster::default();
        for id in minions {
            let id: MinionId = id.parse().unwrap();
            let no = roster.number(&id, Incarnation(inc)).unwrap().no;
            let grains = "{}".into();
            roster.put(RosterEntry { no, id, incarnation: Incarnation(inc), up: true, since: 0, grains });
        }
        roster.delta();
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
            for effect in effects {
                match effect {
                    OwnerEffect::Persist { ticket, writes, may_fail } => {
                        let result = self.refuse.take().filter(|_| may_fail).map_or(Ok(()), Err);
                        if result.is_ok() {
                            self.writes.extend(writes);
                        }
                        self.owner.persisted(now, ticket, result);
                    }
                    other => self.out.push(other),
                }
            }
        }
    }

    fn submit(&mut self, target: &str) -> Result<Accepted, SubmitError> {
        self.owner.submit(0, 1_000, 5, submission(target));
        self.turn(0);
        let reply = self.out.iter().rev().find_map(|e| match e {
            OwnerEffect::Reply { token: 5, result } => Some(result.clone()),
            _ => None,
        });
        reply.expect("an answer")
    }

    fn answer(&mut self, now: Millis, jid: Jid, members: &[u32], outcome: Outcome) {
        let answer = Arc::new(Answer::bare(outcome, Reason::None));
        let groups = vec![ReturnGroup { jid, answer, members: set(members) }];
        self.owner.from_syndic(now, 0, LINK, Up::Returns(ReturnBatch { seq: 1, groups }));
        self.turn(now);
    }

    fn counts(&self) -> BTreeMap<Outcome, u64> {
        let closes = self.writes.iter().rev().find_map(|w| match w {
            Write::Close { counts, .. } => Some(counts.clone()),
            _ => None,
        });
        closes.unwrap_or_default()
    }

    fn dispatches(&self) -> Vec<(LinkId, Members, bool)> {
        let one = |e: &OwnerEffect| match e {
            OwnerEffect::Send(Sending { links, down: Down::Dispatch(d), .. }) => {
                Some((links[0], d.members.clone(), d.reoffer))
            }
            _ => None,
        };
        self.out.iter().filter_map(one).collect()
    }
}

#[test]
fn accepted_means_durable_and_one_dispatch_per_link() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.owner.submit(0, 1_000, 5, submission("*"));
    bench.owner.end_turn(0, 0);
    let effects = bench.owner.effects();
    assert!(!effects.iter().any(|e| matches!(e, OwnerEffect::Reply { .. } | OwnerEffect::Send(_))));
    let Some(OwnerEffect::Persist { ticket, writes, may_fail: true }) =
        effects.iter().find(|e| matches!(e, OwnerEffect::Persist { .. }))
    else {
        panic!("a commit")
    };
    assert!(matches!(writes[..], [Write::Accept(_), Write::Sent(..)]), "marks go with the acceptance");
    bench.owner.persisted(0, *ticket, Ok(()));
    bench.turn(0);
    assert_eq!(bench.dispatches(), [(LINK, set(&[0, 1]), false)]);
}

#[test]
fn equal_answers_are_one_row_and_the_job_closes_with_the_last() {
    let mut bench = Bench::new(&["a", "b"]);
    let jid = bench.submit("*").unwrap().jid;
    bench.answer(10, jid, &[0], Outcome::Ok);
    bench.answer(20, jid, &[1], Outcome::Ok);
    let rows = bench.writes.iter().filter_map(|w| match w {
        Write::Returns { rows, .. } => Some(rows.clone()),
        _ => None,
    });
    let rows: Vec<GroupRow> = rows.flatten().collect();
    assert_eq!(rows.iter().filter(|r| r.answer.is_some()).count(), 1, "the body is stored once");
    assert_eq!(rows.last().unwrap().members, set(&[0, 1]));
    assert_eq!(bench.counts(), BTreeMap::from([(Outcome::Ok, 2)]));
    assert_eq!(bench.owner.open_jobs().count(), 0);
}

#[test]
fn a_minion_known_to_be_down_is_not_started_at_the_delivery_deadline() {
    let mut bench = Bench::new(&["a"]);
    bench.owner.syndic_down(0, LINK);
    bench.submit("a").unwrap();
    assert!(bench.dispatches().is_empty());
    bench.owner.tick(9_500);
    assert_eq!(bench.owner.next_deadline(9_500), 10_000);
    bench.owner.tick(10_000);
    bench.turn(10_000);
    assert_eq!(bench.counts(), BTreeMap::from([(Outcome::NotStarted, 1)]));
}

#[test]
fn a_region_that_dies_after_the_dispatch_is_unknown_and_a_late_return_resolves_it() {
    let mut bench = Bench::new(&["a", "b"]);
    let jid = bench.submit("*").unwrap().jid;
    bench.owner.syndic_down(0, LINK);
    for now in [10_000, 12_999, 13_000] {
        bench.owner.tick(now);
        bench.turn(now);
    }
    assert_eq!(bench.counts(), BTreeMap::from([(Outcome::Unknown, 2)]));
    bench.attach(20_000, LINK, "aws-1", SPOOL, &["a", "b"], 1);
    assert_eq!(bench.dispatches().last().unwrap(), &(LINK, set(&[0, 1]), true), "the journals are asked");
    bench.answer(20_000, jid, &[0], Outcome::Ok);
    assert_eq!(bench.counts(), BTreeMap::from([(Outcome::Ok, 1), (Outcome::Unknown, 1)]));
}

#[test]
fn another_incarnation_is_never_offered_what_was_sent_to_the_first() {
    let mut bench = Bench::new(&["a"]);
    bench.submit("a").unwrap();
    bench.owner.syndic_down(0, LINK);
    bench.out.clear();
    bench.attach(100, LINK, "aws-1", SPOOL, &["a"], 2);
    assert!(bench.dispatches().is_empty());
}

#[test]
fn every_job_closes_by_its_bound() {
    let mut bench = Bench::new(&["a"]);
    bench.submit("a").unwrap();
    let mut now = 0;
    while bench.owner.open_jobs().count() > 0 {
        now = bench.owner.next_deadline(now).max(now + 1);
        bench.owner.tick(now);
        bench.turn(now);
        assert!(now <= 10_000 + 60_000 + 2 * HOP_GRACE * HOPS, "I6");
    }
    assert_eq!(bench.counts(), BTreeMap::from([(Outcome::Unknown, 1)]));
}

#[test]
fn retries_and_clashes() {
    let mut bench = Bench::new(&["a"]);
    let first = bench.submit("a").unwrap();
    bench.refuse = Some(WriteError::RequestKnown { jid: first.jid, targets: 1, same: true });
    assert_eq!(bench.submit("a"), Ok(Accepted { known: true, ..first }));
    bench.refuse = Some(WriteError::RequestKnown { jid: first.jid, targets: 1, same: false });
    assert_eq!(bench.submit("a"), Err(SubmitError::RequestReused(first.jid)));
    bench.refuse = Some(WriteError::JidTaken(first.jid));
    let renamed = bench.submit("a").unwrap();
    assert!(renamed.jid > first.jid);
    bench.refuse = Some(WriteError::Failed("disk full".into()));
    assert!(matches!(bench.submit("a"), Err(SubmitError::Store(_))));
    assert_eq!(bench.owner.open_jobs().count(), 2);
}

#[test]
fn nobody_matches() {
    let mut bench = Bench::new(&["web1", "web2"]);
    let Err(SubmitError::NoMatch { nearest, .. }) = bench.submit("wep*") else { panic!("no match") };
    assert_eq!(nearest, ["web1", "web2"]);
    let Err(error) = bench.submit("region:awz") else { panic!("no match") };
    assert!(error.to_string().ends_with("; nearest: region:aws"), "{error}");
    assert!(matches!(bench.submit("L@web1,wbe2"), Err(SubmitError::UnknownIds { .. })));
}

#[test]
fn a_region_has_so_many_minions_and_no_more_whatever_a_syndic_names() {
    let mut bench = Bench::new(&["known"]);
    // As many as there may be, found in the store.
    for no in 1..MAX_REGION_MINIONS as u32 {
        let record = Record {
            no,
            id: format!("m{no}").parse().unwrap(),
            up: false,
            ..bench.owner.inventory().record(0).unwrap()
        };
        bench.owner.inventory.restore(record).unwrap();
    }
    bench.attach(0, LINK, "aws-1", SPOOL, &["known", "new1", "m7", "new2"], 2);
    let refused = |effect: &OwnerEffect| match effect {
        OwnerEffect::RegionFull { syndic, region, first, refused } => {
            Some((syndic.to_string(), region.to_string(), first.to_string(), *refused))
        }
        _ => None,
    };
    let told: Vec<_> = bench.out.iter().filter_map(refused).collect();
    assert_eq!(told, [("aws-1".into(), "aws".into(), "new1".into(), 2)], "once for all of a message");
    let inventory = bench.owner.inventory();
    assert_eq!(inventory.all().len(), MAX_REGION_MINIONS);
    assert_eq!((inventory.no_of("new1"), inventory.no_of("new2")), (None, None));
    let up: Members = ["known", "m7"].into_iter().filter_map(|id| inventory.no_of(id)).collect();
    assert!(up.len() == 2 && *inventory.up() == up, "who was known goes on");
    assert!(inventory.has_room(&"azure".parse().unwrap()));
}

#[test]
fn a_syndic_cannot_name_a_minion_of_another_region() {
    let mut bench = Bench::new(&["a"]);
    bench.owner.syndic_up(0, LinkId(2), "azure-1".parse().unwrap(), "azure".parse().unwrap(), Incarnation(8));
    let id: MinionId = "a".parse().unwrap();
    let entry =
        RosterEntry { no: 0, id, incarnation: Incarnation(1), up: true, since: 0, grains: "{}".into() };
    let full = RosterUpdate::Full { version: 1, entries: vec![entry] };
    bench.owner.from_syndic(0, 0, LinkId(2), Up::Roster(full));
    bench.turn(0);
    assert!(bench.out.iter().any(|e| matches!(e, OwnerEffect::ForeignMinion { .. })));
    assert_eq!(bench.owner.inventory().get(0).unwrap().syndic, "aws-1".parse().unwrap());
    let answer = Arc::new(Answer::bare(Outcome::Ok, Reason::None));
    let groups = vec![ReturnGroup { jid: Jid::from_micros(1), answer, members: set(&[0]) }];
    bench.owner.from_syndic(0, 0, LinkId(2), Up::Returns(ReturnBatch { seq: 1, groups }));
    bench.turn(0);
    let acked =
        |e: &OwnerEffect| matches!(e, OwnerEffect::Send(Sending { down: Down::ReturnsAck { up_to: 1 }, .. }));
    assert!(
        bench.out.iter().any(acked),
        "what it says of that minion is dropped, and does not block its link"
    );
}

#[test]
fn a_full_store_refuses_jobs_and_leaves_returns_below() {
    let mut bench = Bench::new(&["a"]);
    let jid = bench.submit("a").unwrap().jid;
    bench.owner.set_stalled(Some("disk full".into()));
    assert!(matches!(bench.submit("a"), Err(SubmitError::Store(_))));
    bench.answer(10, jid, &[0], Outcome::Ok);
    let busy =
        |e: &OwnerEffect| matches!(e, OwnerEffect::Send(Sending { down: Down::ReturnsBusy { .. }, .. }));
    assert!(bench.out.iter().any(busy));
    bench.owner.set_stalled(None);
    bench.answer(20, jid, &[0], Outcome::Ok);
    assert_eq!(bench.counts(), BTreeMap::from([(Outcome::Ok, 1)]));
}

#[test]
fn cancel_is_durable_before_it_is_sent_and_answers_for_the_unsent() {
    let mut bench = Bench::new(&["a", "b"]);
    let jid = bench.submit("a").unwrap().jid;
    assert_eq!(bench.owner.cancel(jid).map(|c| c.outstanding), Some(1));
    assert!(!bench.owner.effects().iter().any(|e| matches!(e, OwnerEffect::Send(_))));
    assert_eq!(bench.owner.cancel(Jid::from_micros(9)), None);
}

#[test]
fn a_restart_goes_on_with_open_jobs_and_old_ones_do_not_start_late() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.submit("*").unwrap();
    let head = bench.owner.jobs.values().next().unwrap().head.clone();
    let sent = vec![(SPOOL, set(&[0]))];
    let stored =
        StoredJob { head, sent, groups: Vec::new(), closed: false, cancelled: false, seq: 0, approved: 0 };
    let minutes_later = 600 * 1_000_000;
    let mut inventory = Inventory::new();
    for no in [0, 1] {
        inventory.restore(bench.owner.inventory().record(no).unwrap()).unwrap();
    }
    let owner = Owner::recover(rule(), 0, minutes_later, inventory, vec![stored]);
    let mut again = Bench { owner, writes: Vec::new(), out: Vec::new(), refuse: None };
    again.owner.tick(0);
    again.attach(0, LINK, "aws-1", SPOOL, &["a", "b"], 1);
    assert_eq!(again.dispatches(), [(LINK, set(&[0]), true)], "sent: asked; unsent: declared");
    assert_eq!(again.owner.ledgers().next().unwrap().1.counts(), BTreeMap::from([(Outcome::NotStarted, 1)]));
}

#[test]
fn returns_that_a_restarted_syndic_kept_are_taken_for_minions_it_has_not_seen_since() {
    let mut bench = Bench::new(&["a"]);
    let jid = bench.submit("a").unwrap().jid;
    bench.owner.syndic_down(0, LINK);
    let roster = Roster::restore([0, 1].map(|no| (no, "a".parse().unwrap(), Incarnation(no.into()))));
    bench.owner.syndic_up(10, LinkId(2), "aws-1".parse().unwrap(), "aws".parse().unwrap(), SPOOL);
    bench.owner.from_syndic(10, 0, LinkId(2), Up::Roster(roster.full()));
    let answer = Arc::new(Answer::bare(Outcome::Ok, Reason::None));
    let groups = vec![ReturnGroup { jid, answer, members: set(&[1]) }];
    bench.owner.from_syndic(10, 0, LinkId(2), Up::Returns(ReturnBatch { seq: 1, groups }));
    bench.turn(10);
    assert_eq!(bench.counts(), BTreeMap::from([(Outcome::Ok, 1)]));
    let a = bench.owner.inventory().get(0).unwrap();
    assert!(!a.up && a.incarnation == Incarnation(1), "a memory says nothing of how it is");
}

#[test]
fn a_tier_says_that_a_job_was_cancelled_only_when_somebody_cancelled_it() {
    for cancelled in [false, true] {
        let mut bench = Bench::new(&["a"]);
        let jid = bench.submit("a").unwrap().jid;
        if cancelled {
            bench.owner.cancel(jid).unwrap();
            bench.turn(0);
        }
        bench.out.clear();
        let answer = Arc::new(Answer::by_tier(Outcome::Cancelled, Reason::BeforeStart));
        let groups = vec![ReturnGroup { jid, answer, members: set(&[0]) }];
        bench.owner.from_syndic(10, 0, LINK, Up::Returns(ReturnBatch { seq: 1, groups }));
        bench.turn(10);
        let suspected = bench.out.iter().any(|e| matches!(e, OwnerEffect::Suspect { .. }));
        let taken = bench.counts().contains_key(&Outcome::Cancelled);
        assert_eq!((taken, suspected), (cancelled, !cancelled));
    }
}

#[test]
fn a_late_return_that_comes_while_the_close_is_committed_is_not_dropped() {
    let mut bench = Bench::new(&["a"]);
    let jid = bench.submit("a").unwrap().jid;
    let bound = 10_000 + 60_000 + 2 * HOP_GRACE * HOPS;
    bench.owner.tick(bound);
    bench.owner.end_turn(bound, 0);
    let closing = bench.owner.effects();
    bench.answer(100_000, jid, &[0], Outcome::Ok);
    for effect in closing {
        if let OwnerEffect::Persist { ticket, .. } = effect {
            bench.owner.persisted(100_000, ticket, Ok(()));
        }
    }
    bench.turn(100_000);
    assert_eq!(bench.counts(), BTreeMap::from([(Outcome::Ok, 1)]));
}

#[test]
fn a_job_accepted_while_a_syndic_reconnects_is_sent_over_the_new_link() {
    let mut bench = Bench::new(&["a"]);
    bench.owner.submit(0, 1_000, 5, submission("a"));
    bench.owner.end_turn(0, 0);
    let accepting = bench.owner.effects();
    bench.owner.syndic_down(0, LINK);
    bench.attach(10, LinkId(2), "aws-1", SPOOL, &["a"], 1);
    assert!(bench.dispatches().is_empty(), "not durable yet");
    for effect in accepting {
        if let OwnerEffect::Persist { ticket, .. } = effect {
            bench.owner.persisted(20, ticket, Ok(()));
        }
    }
    bench.turn(20);
    assert_eq!(bench.dispatches(), [(LinkId(2), set(&[0]), false)]);
}

#[test]
fn a_job_is_for_the_journal_that_its_target_had_when_it_was_signed() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.owner.syndic_down(0, LINK);
    let jid = bench.submit("*").unwrap().jid;
    bench.attach(10, LinkId(2), "aws-1", SPOOL, &["a"], 1);
    assert_eq!(bench.dispatches(), [(LinkId(2), set(&[0]), false)]);
    bench.out.clear();
    bench.attach(20, LinkId(3), "aws-2", Incarnation(78), &["a"], 1);
    assert_eq!(bench.dispatches(), [(LinkId(3), set(&[0]), true)], "the same journal by another way");
    bench.out.clear();
    bench.attach(30, LinkId(4), "aws-2", Incarnation(78), &["a", "b"], 2);
    assert!(bench.dispatches().is_empty(), "other ones");
    let ledger = bench.owner.ledger(jid).unwrap();
    assert_eq!(ledger.in_flight(), &set(&[0]), "it may run there, under the journal before");
    assert_eq!(ledger.counts(), BTreeMap::from([(Outcome::NotStarted, 1)]));
    assert_eq!(ledger.groups()[0].key.reason, Reason::NewJournal);
}

#[test]
fn a_cancel_holds_for_the_unsent_although_the_crash_came_before_their_outcomes() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.submit("*").unwrap();
    let head = bench.owner.jobs.values().next().unwrap().head.clone();
    let stored = StoredJob {
        head,
        sent: vec![(SPOOL, set(&[0]))],
        groups: Vec::new(),
        closed: false,
        cancelled: true,
        seq: 0,
        approved: 0,
    };
    let owner = Owner::recover(rule(), 0, 0, Inventory::new(), vec![stored]);
    let mut again = Bench { owner, writes: Vec::new(), out: Vec::new(), refuse: None };
    again.turn(0);
    let ledger = again.owner.ledgers().next().unwrap().1;
    assert_eq!(ledger.counts(), BTreeMap::from([(Outcome::Cancelled, 1)]));
}
