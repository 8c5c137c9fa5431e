//! An owner that another has replaced: it may not know it yet, and must find out before it promises anything.

use super::*;
use crate::{
    batch::BatchRule,
    ids::RequestId,
    message::{ReturnGroup, Running},
    roster::Roster,
    target::Target,
};

const LINK: LinkId = LinkId(1);

/// An owner with one syndic and one minion, all of which is stored.
fn owner() -> Owner {
    let seal = Arc::new(crate::testing::Sealing::default());
    let (epoch, heartbeat, batches) = (Epoch(1), HeartbeatRule::default(), Batches::default());
    let rule =
        OwnerRule { fabric: "test".into(), epoch, heartbeat, seal, batches, commits: Default::default() };
    let mut owner = Owner::recover(rule, 0, 0, Inventory::new(), Vec::new());
    owner.syndic_up(0, LINK, "s1".parse().unwrap(), "aws".parse().unwrap(), Incarnation(7));
    let mut roster = Roster::default();
    let (id, incarnation): (MinionId, _) = ("a".parse().unwrap(), Incarnation(1));
    let no = roster.number(&id, incarnation).unwrap().no;
    roster.put(RosterEntry { no, id, incarnation, up: true, since: 0, grains: "{}".into() });
    roster.delta();
    owner.from_syndic(0, 0, LINK, Up::Roster(roster.full()));
    turn(&mut owner, 0, Ok(()));
    owner
}

/// One turn in which each commit ends like this; what else it asks for.
fn turn(owner: &mut Owner, now: Millis, result: Result<(), WriteError>) -> Vec<OwnerEffect> {
    let mut out = Vec::new();
    loop {
        owner.end_turn(now, now * 1_000);
        let effects = owner.effects();
        if effects.is_empty() {
            return out;
        }
        for effect in effects {
            match effect {
                OwnerEffect::Persist { ticket, .. } => owner.persisted(now, ticket, result.clone()),
                OwnerEffect::Note { .. } => {}
                other => out.push(other),
            }
        }
    }
}

fn submission() -> Submission {
    Submission {
        request_id: RequestId(1),
        request_digest: [1; 32],
        target: Target::parse("*").unwrap(),
        written: "*".into(),
        function: "test.ping".into(),
        args: bytes::Bytes::new(),
        caller: "root".into(),
        delivery_limit: 10_000,
        run_limit: 60_000,
        batch: BatchRule::default(),
        subset: None,
        planned: None,
        confirmed: None,
    }
}

/// A return for a job that only the other owner knows.
fn foreign_return() -> Up {
    let answer = Arc::new(Answer::bare(Outcome::Ok, Reason::None));
    let members = [0].into_iter().collect();
    let groups = vec![ReturnGroup { jid: Jid::from_micros(99), answer, members }];
    Up::Returns(ReturnBatch { seq: 1, groups })
}

fn acks(out: &[OwnerEffect]) -> usize {
    let ack =
        |e: &&OwnerEffect| matches!(e, OwnerEffect::Send(Sending { down: Down::ReturnsAck { .. }, .. }));
    out.iter().filter(ack).count()
}

#[test]
fn what_changes_nothing_here_is_acknowledged_only_by_who_still_owns() {
    for (result, acknowledged) in [(Ok(()), 1), (Err(WriteError::Fenced), 0)] {
        let mut owner = owner();
        owner.from_syndic(10, 10, LINK, foreign_return());
        assert_eq!(acks(&turn(&mut owner, 10, result.clone())), acknowledged, "{result:?}");
    }
}

#[test]
fn an_idle_owner_asks_whether_it_still_is_one() {
    let mut owner = owner();
    let asks = |owner: &mut Owner, now| {
        owner.from_syndic(now, now, LINK, Up::Heartbeat(Vec::<Running>::new()));
        owner.tick(now);
        owner.effects().iter().filter(|e| matches!(e, OwnerEffect::Persist { .. })).count()
    };
    assert_eq!(asks(&mut owner, FENCE_CHECK - 1), 0);
    assert_eq!(asks(&mut owner, FENCE_CHECK), 1);
    assert_eq!(asks(&mut owner, 3 * FENCE_CHECK), 0, "one question at a time");
}

#[test]
fn a_fenced_owner_promises_nothing_and_sends_operators_to_the_other() {
    let mut owner = owner();
    owner.submit(10, 10_000, 5, submission());
    let out = turn(&mut owner, 10, Err(WriteError::Fenced));
    assert_eq!(out, [OwnerEffect::Reply { token: 5, result: Err(SubmitError::NotOwner) }]);
    owner.submit(20, 20_000, 6, submission());
    owner.tick(40_000);
    let out = turn(&mut owner, 40_000, Err(WriteError::Fenced));
    assert_eq!(out, [OwnerEffect::Reply { token: 6, result: Err(SubmitError::NotOwner) }], "nothing else");
}
