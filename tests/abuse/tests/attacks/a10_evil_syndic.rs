//! a10, a07: a syndic in the attacker's hands. It has a real key, sees every job of its region, and holds the links of its minions;
//! it can keep things back, and nothing else: no job starts that the owner did not sign for that minion, none twice, and no outcome
//! is recorded that no minion gave (CVE-2022-22941, Salt's `_syndic_return`).

mod expired;
pub mod forgeries;

use std::time::Duration;

use abuse_tests::{
    evil::Evil,
    region::{REGION, SYNDIC, serves_on},
    trail::Trail,
};
use fabric_tests::{Fabric, Job, TOP, until};
use relay_core::{
    Members,
    ids::{Epoch, MinionId},
    merkle::{Proof, leaf},
    message::Dispatch,
    outcome::{Outcome, Reason},
};
use relay_proto::{
    convert,
    link::{self, down::Message},
};
use relay_runtime::link::Lane;

use forgeries::{forgeries, to};

/// Is a target, and gets the job as it is.
const GIVEN: &str = "given";
/// Is a target, and gets forgeries first.
const KEPT: &str = "kept";
/// Is no target.
const OTHER: &str = "other";
/// How long is looked for what must not come, after everything was sent that could bring it.
const A_WHILE: Duration = Duration::from_millis(700);
/// The same between two forgeries, so that one that works is named; [`A_WHILE`] is what decides.
const A_MOMENT: Duration = Duration::from_millis(40);

async fn fabric() -> Fabric {
    let builder = Fabric::builder().syndic(SYNDIC, REGION).syndic("azure-1", "azure");
    let builder =
        builder.minion(SYNDIC, GIVEN).minion(SYNDIC, KEPT).minion(SYNDIC, OTHER).minion("azure-1", "far");
    builder.delivery_ms(60_000).start().await
}

fn proof_for(evil: &Evil, dispatch: &Dispatch, id: &str) -> Proof {
    let members: Vec<u32> = dispatch.members.iter().collect();
    let named = |no: u32| evil.below.iter().find(|(_, below)| below.no == no).expect("a member is below");
    let leaves: Vec<_> = members
        .iter()
        .map(|no| {
            let (id, below) = named(*no);
            leaf(below.incarnation, &id.parse::<MinionId>().unwrap())
        })
        .collect();
    let at = members.iter().position(|no| named(*no).0 == id).expect("a target");
    let tree = dispatch.proof.open(&leaves).expect("a proof of the owner's");
    tree.prove(vec![dispatch.proof.places[at]]).expect("its own part of it")
}

fn starts(fabric: &Fabric, id: &str) -> usize {
    fabric.witness().starts().iter().filter(|start| start.minion.as_str() == id).count()
}

/// The dispatches with a flaw that a minion has logged. (People are told once for each jid; at level debug it says all.)
fn flaws(fabric: &Fabric, id: &str) -> usize {
    fabric.log(id).matches("flaw=Some(").count()
}

/// The evil syndic with its minions, and a job of the witness for two of them that came to it and was not passed on.
async fn with_a_job(fabric: &mut Fabric) -> (Evil, Job, Dispatch) {
    let mut evil = Evil::instead_of(fabric, SYNDIC).await;
    evil.until("its minions and its parent", |evil| evil.stands(3)).await;
    evil.during(fabric.all_up()).await;
    let target = format!("{GIVEN},{KEPT},far");
    let job = evil.during(fabric.witnessed(&target)).await;
    evil.until("the job", |evil| !evil.dispatches.is_empty()).await;
    let dispatch = evil.dispatches.remove(0);
    assert_eq!(dispatch.members.len(), 2);
    (evil, job, dispatch)
}

#[tokio::test]
async fn nothing_starts_that_was_not_signed_for_that_minion() {
    let mut fabric = fabric().await;
    let (mut evil, job, dispatch) = with_a_job(&mut fabric).await;
    // What was signed for it, it runs: all that follows is refused for its difference alone.
    let given = evil.below[GIVEN].clone();
    let good = to(given.incarnation, &dispatch, &proof_for(&evil, &dispatch, GIVEN));
    evil.down(GIVEN, &good);
    evil.during(until("its start", async || (starts(&fabric, GIVEN) == 1).then_some(()))).await;

    // To one that is a target, and to one that is none: with the proof of its own, and with the other's.
    let kept = evil.below[KEPT].clone();
    let proofs = [GIVEN, KEPT].map(|id| proof_for(&evil, &dispatch, id));
    let its = to(kept.incarnation, &dispatch, &proofs[1]);
    let mut sent = 0;
    for (what, forged) in forgeries(&fabric, &its, KEPT, kept.incarnation) {
        // A message that is none ends the link; the minion comes back.
        evil.until("the minion to be there", |evil| evil.below.contains_key(KEPT)).await;
        evil.down(KEPT, &forged);
        sent += 1;
        evil.a_while(A_MOMENT).await;
        assert_eq!(starts(&fabric, KEPT), 0, "started: {what}");
    }
    let other = evil.below[OTHER].clone();
    for proof in proofs.into_iter().chain([dispatch.proof.clone(), Proof::default()]) {
        let aimed = to(other.incarnation, &dispatch, &proof);
        evil.until("the minion to be there", |evil| evil.below.contains_key(OTHER)).await;
        evil.down(OTHER, &aimed);
        for (_, forged) in forgeries(&fabric, &aimed, OTHER, other.incarnation) {
            evil.until("the minion to be there", |evil| evil.below.contains_key(OTHER)).await;
            evil.down(OTHER, &forged);
            sent += 1;
            evil.a_while(A_MOMENT / 4).await;
        }
    }
    evil.a_while(A_WHILE).await;
    assert_eq!((starts(&fabric, KEPT), starts(&fabric, OTHER)), (0, 0), "of {sent} forgeries");
    // A few of them end the link, or are not for this journal: those the reader refuses.
    for (id, least) in [(KEPT, 20), (OTHER, 60)] {
        let logged = flaws(&fabric, id);
        assert!(logged >= least, "{id} has logged {logged} refusals only");
    }
    for id in [KEPT, OTHER] {
        let log = fabric.log(id);
        for why in ["BadSignature", "Unsigned", "UnknownKey", "NotTarget", "DigestMismatch", "Version"] {
            assert!(log.contains(&format!("flaw=Some({why})")), "{id} did not refuse anything for {why}");
        }
        assert!(log.contains("refused a dispatch"), "{id} told nobody");
    }
    // Nothing that came back says that anything ran.
    let ran = evil.answers.iter().find(|(id, group)| id != GIVEN && group.answer.outcome == Outcome::Ok);
    assert!(ran.is_none(), "{ran:?}");
    // The job that it kept back from one of the targets has no outcome there for a while: that much it can do.
    drop(job);
    evil.goes().await;
    fabric.witness().open_all();
    back_to_normal(fabric).await;
}

#[tokio::test]
async fn a_job_that_ran_is_not_run_again() {
    let mut fabric = fabric().await;
    let (mut evil, job, dispatch) = with_a_job(&mut fabric).await;
    fabric.witness().open_all();
    let proof = proof_for(&evil, &dispatch, GIVEN);
    let replay = |evil: &Evil, epoch: u64| {
        let again = Dispatch { epoch: Epoch(epoch), reoffer: true, ..dispatch.clone() };
        evil.down(GIVEN, &to(evil.below[GIVEN].incarnation, &again, &proof));
        evil.down(GIVEN, &to(evil.below[GIVEN].incarnation, &dispatch, &proof));
    };
    replay(&evil, dispatch.epoch.0);
    evil.during(until("its start", async || (starts(&fabric, GIVEN) == 1).then_some(()))).await;
    // At the same peer, as often as one likes and under any epoch.
    for epoch in [0, dispatch.epoch.0, dispatch.epoch.0 + 1, u64::MAX] {
        replay(&evil, epoch);
    }
    evil.a_while(A_WHILE).await;
    // After a crash of the minion.
    fabric.kill9(GIVEN);
    fabric.daemon(GIVEN).start();
    evil.until("the minion to be gone", |evil| !evil.below.contains_key(GIVEN)).await;
    evil.until("the minion to be back", |evil| evil.below.contains_key(GIVEN)).await;
    for epoch in [dispatch.epoch.0, u64::MAX] {
        replay(&evil, epoch);
    }
    evil.a_while(A_WHILE).await;
    // After it has lost its journal, and with it all that it knew: it is another incarnation, for which nothing was signed.
    fabric.kill9(GIVEN);
    let before = evil.below[GIVEN].incarnation;
    let state = fabric.daemon(GIVEN).dir().join("state").join(GIVEN);
    std::fs::remove_file(state.join("journal")).unwrap();
    evil.until("the minion to be gone", |evil| !evil.below.contains_key(GIVEN)).await;
    fabric.daemon(GIVEN).start();
    evil.until("the minion to be back", |evil| evil.below.contains_key(GIVEN)).await;
    assert_ne!(evil.below[GIVEN].incarnation, before, "another journal");
    replay(&evil, dispatch.epoch.0);
    // Under the incarnation that it had, too: it is not for that one any more.
    evil.down(GIVEN, &to(before, &dispatch, &proof));
    evil.a_while(A_WHILE).await;
    assert_eq!(starts(&fabric, GIVEN), 1, "started again");
    assert!(fabric.log(GIVEN).contains("not_target"), "refused, and not logged");
    // What it answered, the attacker has kept, so that this job stays without an outcome for a while.
    drop(job);
    evil.goes().await;
    back_to_normal(fabric).await;
}

#[tokio::test]
async fn no_outcome_is_taken_that_a_syndic_may_not_say() {
    let mut fabric = fabric().await;
    let (mut evil, mut job, dispatch) = with_a_job(&mut fabric).await;
    let jid = job.jid().micros();
    let [given, kept] = [GIVEN, KEPT].map(|id| evil.below[id].clone());
    let good = to(given.incarnation, &dispatch, &proof_for(&evil, &dispatch, GIVEN));
    evil.down(GIVEN, &good);
    evil.during(until("its start", async || (starts(&fabric, GIVEN) == 1).then_some(()))).await;
    let group = |outcome: link::Outcome, reason: &str, members: Members| link::ReturnGroup {
        jid,
        outcome: outcome.into(),
        reason: reason.into(),
        body: "\"forged\"".into(),
        by_tier: true,
        members: convert::members_out(&members),
        ..Default::default()
    };
    let one = |no: u32| Members::from_iter([no]);
    // A tier's own word about a minion that it was to give the job to: nothing but that it was not started, if it was not.
    use link::Outcome::{Cancelled, Failed, Interrupted, Ok, TimedOut, Unknown};
    for outcome in [Ok, Failed, TimedOut, Interrupted, Cancelled, Unknown] {
        evil.returns(vec![group(outcome, "", one(given.no)), group(outcome, "", one(kept.no))]);
    }
    // The one thing about a cancel that a tier may know, but for a job that nobody has cancelled.
    evil.returns(vec![group(Cancelled, Reason::BeforeStart.word(), one(given.no) | one(kept.no))]);
    // It would like to end what runs, so that the minion says so itself: only the owner may.
    for seal in [Vec::new(), vec![0xff; 40]] {
        for epoch in [dispatch.epoch.0, u64::MAX] {
            let cancel = link::Cancel { jid, epoch, seal: seal.clone().into() };
            evil.down(GIVEN, &link::Down { message: Some(Message::Cancel(cancel)), ..Default::default() });
        }
    }
    // For one that no job was sent to, for another region's, for numbers that there are not.
    let other = evil.below[OTHER].no;
    evil.returns(vec![link::ReturnGroup { by_tier: false, ..group(Ok, "", one(other)) }]);
    evil.returns(vec![link::ReturnGroup { by_tier: false, ..group(Ok, "", Members::from_iter(50..60)) }]);
    // Another region's minion under a number of its own: the top master does not give it one.
    let entry = link::Entry { no: 90, id: "far".into(), incarnation: 1, up: true, ..Default::default() };
    let roster =
        link::Roster { from: 1, to: 2, put: vec![entry], grains: vec!["{}".into()], ..Default::default() };
    evil.up(Lane::Bulk, link::up::Message::Roster(roster));
    evil.returns(vec![link::ReturnGroup { by_tier: false, ..group(Ok, "", one(90)) }]);
    evil.a_while(A_WHILE).await;
    fabric.metric_reaches(TOP, "relay_frames_refused_total", "why=\"foreign_minion\"", 1.0).await;
    // What it tried is on record under its name.
    let trail = Trail::of(&fabric);
    let jid = job.jid().to_string();
    for (subject, why) in [
        (&*jid, "a tier says what only a minion can know"),
        (&*jid, "a tier says that a job was cancelled which nobody cancelled"),
        ("far", "a minion of another region"),
    ] {
        evil.during(trail.shows(1, "deny", SYNDIC, &[("how", "syndic"), ("subject", subject), ("why", why)]))
            .await;
    }
    let status = evil.during(fabric.operator().status()).await.unwrap();
    assert!(status.jobs_open >= 1, "the job was closed by forged outcomes");
    evil.goes().await;
    // The real syndic again: every outcome is the minion's own.
    fabric.witness().open_all();
    fabric.restart(SYNDIC).await;
    fabric.all_up().await;
    job.closed(&fabric).await;
    for id in [GIVEN, "far"] {
        assert!(job.value(id).to_string().contains(&format!("done by {id}")), "{:?}", job.slots());
    }
    assert!(!format!("{:?}", job.slots()).contains("forged"), "{:?}", job.slots());
    assert!(!job.slots().keys().any(|id| id.as_str() == OTHER), "no target of it: {:?}", job.slots());
    trail.is_whole();
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn what_it_says_beside_jobs_does_not_last() {
    let mut fabric = fabric().await;
    let mut evil = Evil::instead_of(&mut fabric, SYNDIC).await;
    evil.until("its minions and its parent", |evil| evil.stands(3)).await;
    let trust = |bytes: Vec<u8>| link::Down {
        message: Some(Message::Trust(link::Trust { bundle: bytes.into() })),
        ..Default::default()
    };
    let real = evil.trust.clone().unwrap_or_default();
    for id in [GIVEN, KEPT, OTHER] {
        // Keys: garbage, nothing, a bundle whose last byte is another, one of megabytes.
        for bytes in [vec![0xff; 64], Vec::new(), vec![0; 1 << 20]] {
            evil.down(id, &trust(bytes));
        }
        for at in (0..real.len()).step_by(real.len() / 20 + 1) {
            let mut bytes = real.to_vec();
            bytes[at] ^= 0x10;
            evil.down(id, &trust(bytes));
        }
        // Where it belongs: to somebody who is not there, for ever.
        let syndics = vec![link::PlacedSyndic {
            id: "evil-9".into(),
            region: REGION.into(),
            address: "127.0.0.1:9".into(),
        }];
        let placed = link::Placed {
            revision: u64::MAX,
            groups: vec![link::PlacedGroup { members: Vec::new(), syndics }],
            spread_ms: 0,
        };
        evil.down(id, &link::Down { message: Some(Message::Placed(placed)), ..Default::default() });
        // What of it is over: everything.
        evil.down(
            id,
            &link::Down {
                message: Some(Message::Cancel(link::Cancel {
                    jid: u64::MAX,
                    epoch: u64::MAX,
                    ..Default::default()
                })),
                ..Default::default()
            },
        );
        evil.down(
            id,
            &link::Down {
                message: Some(Message::ReturnsAck(link::ReturnsAck { up_to: u64::MAX })),
                ..Default::default()
            },
        );
        evil.down(
            id,
            &link::Down {
                message: Some(Message::ReturnsBusy(link::ReturnsBusy { retry_after_ms: u64::MAX })),
                ..Default::default()
            },
        );
    }
    evil.a_while(A_WHILE).await;
    evil.goes().await;
    fabric.restart(SYNDIC).await;
    fabric.all_up().await;
    serves_on(&mut fabric).await;
    // Also after they have begun anew with what they have written down.
    for id in [GIVEN, KEPT, OTHER] {
        fabric.restart(id).await;
    }
    fabric.all_up().await;
    serves_on(&mut fabric).await;
}

/// The real syndic comes back, every minion with it, and jobs run.
async fn back_to_normal(mut fabric: Fabric) {
    fabric.restart(SYNDIC).await;
    fabric.all_up().await;
    assert!(fabric.witness().starts().iter().all(|start| start.minion.as_str() != OTHER));
    serves_on(&mut fabric).await;
}
