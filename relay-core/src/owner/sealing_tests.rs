//! What an owner signs and proves, as the syndics and minions below it find out.

use bytes::Bytes;

use super::*;
use crate::{
    ids::RequestId,
    merkle::{Hash, Proof, TargetRoot},
    roster::Roster,
    target::Target,
    testing::Sealing,
    tier::{MAX_TREE_BYTES, Provable},
    warrant::Bearer,
};

const LIMIT: Millis = 10_000;

fn rule(keyless: bool) -> OwnerRule {
    let seal = Arc::new(Sealing { keyless });
    let (fabric, heartbeat) = ("test".into(), HeartbeatRule::default());
    OwnerRule {
        fabric,
        epoch: Epoch(1),
        heartbeat,
        seal,
        batches: Batches::default(),
        commits: Default::default(),
    }
}

fn submission(batch: BatchRule) -> Submission {
    Submission {
        request_id: RequestId(1),
        request_digest: [1; 32],
        target: Target::parse("*").unwrap(),
        written: "*".into(),
        function: "test.ping".into(),
        args: Bytes::new(),
        caller: "root".into(),
        delivery_limit: LIMIT,
        run_limit: 60_000,
        batch,
        subset: None,
        planned: None,
        confirmed: None,
    }
}

/// An owner with two syndics, each with its roster.
pub(super) struct Bench {
    pub(super) owner: Owner,
    rosters: BTreeMap<LinkId, Roster>,
    dispatches: Vec<(LinkId, crate::message::Dispatch)>,
    replies: Vec<Result<Accepted, SubmitError>>,
}

impl Bench {
    pub(super) fn new() -> Bench {
        Bench::of(Owner::recover(rule(false), 0, 0, Inventory::new(), Vec::new()))
    }

    fn of(owner: Owner) -> Bench {
        let mut bench =
            Bench { owner, rosters: BTreeMap::new(), dispatches: Vec::new(), replies: Vec::new() };
        // In turns, so that the inventory's order is not that of the links.
        bench.attach(1, &["a0", "a1", "a2", "a3"]);
        bench.attach(2, &["b0", "b1", "b2"]);
        bench
    }

    pub(super) fn attach(&mut self, link: u64, ids: &[&str]) {
        let (name, link) = (format!("s-{link}").parse().unwrap(), LinkId(link));
        self.owner.syndic_up(0, link, name, "aws".parse().unwrap(), Incarnation(70 + link.0));
        let mut roster = Roster::default();
        for id in ids.iter().rev() {
            let (id, incarnation) = (id.parse().unwrap(), Incarnation(7));
            let no = roster.number(&id, incarnation).unwrap().no;
            roster.put(RosterEntry { no, id, incarnation, up: true, since: 0, grains: "{}".into() });
        }
        roster.delta();
        self.owner.from_syndic(0, 0, link, Up::Roster(roster.full()));
        self.rosters.insert(link, roster);
        self.turn(0);
    }

    fn turn(&mut self, now: Millis) {
        loop {
            self.owner.end_turn(now, now * 1_000);
            let effects = self.owner.effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    OwnerEffect::Persist { ticket, .. } => self.owner.persisted(now, ticket, Ok(())),
                    OwnerEffect::Reply { result, .. } => self.replies.push(result),
                    OwnerEffect::Send(sending) => {
                        self.dispatches.extend(sending.each().filter_map(|sent| match sent {
                            (link, Down::Dispatch(dispatch)) => Some((link, dispatch)),
                            _ => None,
                        }))
                    }
                    _ => {}
                }
            }
        }
    }

    pub(super) fn submit(&mut self, batch: BatchRule) -> Jid {
        self.owner.submit(0, 0, 1, submission(batch));
        self.turn(0);
        self.replies.pop().unwrap().unwrap().jid
    }

    /// As a syndic does: whether a dispatch is for those whom it names.
    fn holds(&self, link: LinkId, dispatch: &crate::message::Dispatch) -> bool {
        let leaves = dispatch.members.iter().map(|no| self.rosters[&link].leaf(no).unwrap());
        dispatch.proof.verify(&leaves.collect::<Vec<Hash>>(), &dispatch.job.targets.unwrap()).is_ok()
    }

    fn proven(&self) -> u64 {
        assert!(self.dispatches.iter().all(|(link, dispatch)| self.holds(*link, dispatch)));
        self.dispatches.iter().map(|(_, dispatch)| dispatch.members.len()).sum()
    }
}

#[test]
fn each_link_is_shown_that_its_members_are_targets_and_that_is_short() {
    let mut bench = Bench::new();
    bench.submit(BatchRule::default());
    assert_eq!(bench.proven(), 7);
    // They stand together in the tree: on either side of a range there is one path.
    assert!(bench.dispatches.iter().all(|(_, dispatch)| dispatch.proof.hashes.len() <= 3));
    let (four, _) = bench.dispatches.remove(0);
    let (_, of_three) = bench.dispatches.remove(0);
    assert!(!bench.holds(four, &of_three), "for others it shows nothing");
}

#[test]
fn what_was_stored_gives_the_same_tree_whatever_journals_there_are_now() {
    let mut bench = Bench::new();
    let jid = bench.submit(BatchRule { queue: Some(60_000), ..BatchRule::default() });
    let head = bench.owner.jobs[&jid].head.clone();
    let mut inventory = Inventory::new();
    for no in bench.owner.inventory.all().iter() {
        inventory.restore(bench.owner.inventory.record(no).unwrap()).unwrap();
    }
    let a1 = inventory.get(inventory.no_of("a1").unwrap()).unwrap().clone();
    inventory.upsert(&a1.id, &a1.region, &a1.syndic, Incarnation(99), None, true, 0);
    let sent = vec![(Incarnation(71), head.targets.clone()), (Incarnation(72), head.targets.clone())];
    let stored =
        StoredJob { head, sent, groups: Vec::new(), closed: false, cancelled: false, seq: 0, approved: 0 };
    let mut again = Bench::of(Owner::recover(rule(false), 0, 0, inventory, vec![stored]));
    // It has the journal from before again, by an older copy: not one that the owner knew when it froze the targets.
    assert_eq!(again.proven(), 6, "all but a1");
    let mut broken = again.owner.jobs[&jid].head.clone();
    broken.leaves = Bytes::from_static(b"?");
    again.owner.jobs.get_mut(&jid).unwrap().head = broken;
    again.owner.tier.trees.forget(jid);
    again.dispatches.clear();
    again.attach(3, &["b0", "b1", "b2"]);
    assert!(again.dispatches.is_empty(), "what can't be proven is offered to nobody");
}

#[test]
fn a_tree_that_was_forgotten_is_made_again() {
    let mut bench = Bench::new();
    let jid = bench.submit(BatchRule::default());
    bench.owner.tier.trees.forget(jid);
    bench.dispatches.clear();
    bench.attach(3, &["b0", "b1", "b2"]);
    assert_eq!(bench.proven(), 3);
    assert!(bench.owner.tier.trees.bytes() < MAX_TREE_BYTES);
}

#[test]
fn a_minion_takes_what_its_syndic_cuts_out_for_it() {
    let mut bench = Bench::new();
    let jid = bench.submit(BatchRule::default());
    let spec = bench.owner.jobs[&jid].head.spec.clone();
    for (link, dispatch) in &bench.dispatches {
        let leaves: Vec<Hash> =
            dispatch.members.iter().map(|no| bench.rosters[link].leaf(no).unwrap()).collect();
        let tree = dispatch.proof.verify(&leaves, &spec.targets).unwrap();
        let places = dispatch.members.iter().zip(dispatch.proof.places.iter().copied()).collect();
        let shown = Provable::new(tree, places);
        for no in &dispatch.members {
            let own = |proof| crate::message::Dispatch {
                proof,
                members: Members::from_iter([0]),
                ..dispatch.clone()
            };
            let id = bench.rosters[link].get(no).unwrap().id.clone();
            let mut minion = Bearer::new("test", id, Incarnation(7));
            let proof = shown.prove(vec![shown.place_of(no).unwrap()]);
            assert_eq!(minion.check(0, &spec, &own(proof.clone())), Ok(()));
            let others = (0..7).filter(|place| *place != proof.places[0]);
            let moved = others.map(|place| Proof { places: vec![place], ..proof.clone() });
            moved.for_each(|moved| assert_eq!(minion.check(0, &spec, &own(moved)), Err(Reason::NotTarget)));
        }
    }
}

#[test]
fn without_a_key_nothing_is_accepted() {
    let mut bench = Bench::of(Owner::recover(rule(true), 0, 0, Inventory::new(), Vec::new()));
    bench.owner.submit(0, 0, 1, submission(BatchRule::default()));
    bench.turn(0);
    assert!(matches!(bench.replies[..], [Err(SubmitError::Unsigned(_))]));
    assert!(bench.owner.jobs.is_empty() && bench.dispatches.is_empty());
    assert_eq!(bench.owner.tier.trees.bytes(), 0);
}

#[test]
fn a_job_counts_as_long_as_somebody_may_still_have_his_turn() {
    let alone = sealing::span(&BatchRule::default(), LIMIT, 5);
    assert_eq!((alone.not_before, alone.not_after), (5, 5 + LIMIT * 1_000));
    let until = |batch: BatchRule| sealing::span(&batch, LIMIT, 0).not_after / 1_000;
    let deadline = Some(30_000);
    assert_eq!(until(BatchRule { queue: Some(1), ..BatchRule::default() }), MAX_WAIT + LIMIT);
    assert_eq!(until(BatchRule { serial: true, deadline, ..BatchRule::default() }), 30_000 + LIMIT);
    let size = crate::batch::BatchSize::Window(crate::topology::Share::Count(1));
    assert_eq!(until(BatchRule { size, ..BatchRule::default() }), MAX_WAIT + LIMIT);
}

#[test]
fn nobody_is_sent_it_for_the_first_time_when_its_time_is_over() {
    let mut bench = Bench::new();
    let size = crate::batch::BatchSize::Window(crate::topology::Share::Count(1));
    let jid = bench.submit(BatchRule { size, ..BatchRule::default() });
    assert_eq!(bench.proven(), 1);
    let over = MAX_WAIT + LIMIT;
    assert!(bench.owner.next_deadline(over - 1) <= over);
    bench.owner.tick(over);
    bench.turn(over);
    let ledger = bench.owner.ledger(jid).unwrap();
    assert_eq!((ledger.unsent().len(), bench.proven()), (0, 1));
    let outdated = ledger.groups().iter().find(|group| group.key.reason == Reason::Outdated).unwrap();
    assert_eq!((outdated.key.outcome, outdated.members.len()), (Outcome::NotStarted, 6));
}

#[test]
fn a_root_is_of_all_targets() {
    let mut bench = Bench::new();
    let jid = bench.submit(BatchRule::default());
    let TargetRoot { count, hash } = bench.owner.jobs[&jid].head.spec.targets;
    assert!(count == 7 && hash != [0; 32]);
}
