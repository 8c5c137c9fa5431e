//! a07: a job that was kept back until its time was over, or taken from a record of long ago. Signed by the owner's own key, which the test
//! takes from the top master's disk: nobody has to wait for the minutes by which clocks may differ.

use std::fs;

use fabric_tests::{Fabric, TOP, until};
use relay_core::outcome::{Outcome, Reason};
use relay_runtime::trust::key::SecretKey;

use super::{
    A_WHILE, GIVEN, KEPT, back_to_normal, fabric,
    forgeries::{resigned, to},
    proof_for, starts, with_a_job,
};

/// By how much clocks may differ, and by how much a key counts from before it was made.
const TOLERANCE: u64 = relay_core::warrant::CLOCK_TOLERANCE * 1_000;

/// The key that signs jobs, and when it was made, in microseconds since 1970 UTC.
fn signing_key(fabric: &Fabric) -> (SecretKey, u64) {
    let dir = fabric.dir().join(TOP).join("state/signing");
    let file = fs::read_dir(dir).unwrap().next().expect("a key").unwrap().path();
    let name = file.file_name().unwrap().to_str().unwrap();
    let made: u64 = name.split('-').next().unwrap().parse().expect("when it was made");
    (SecretKey::from_pkcs8(&fs::read(&file).unwrap()).expect("a key"), made * 1_000_000)
}

#[tokio::test]
async fn a_job_whose_time_is_over_is_not_run_though_it_was_signed() {
    let mut fabric = fabric().await;
    let (key, made) = signing_key(&fabric);
    let (mut evil, job, dispatch) = with_a_job(&mut fabric).await;
    let its = |evil: &abuse_tests::evil::Evil, id: &str| {
        to(evil.below[id].incarnation, &dispatch, &proof_for(evil, &dispatch, id))
    };
    // What is signed in this way runs: what follows is refused for its time alone.
    let good = resigned(&its(&evil, GIVEN), &key, |_| {});
    evil.down(GIVEN, &good);
    evil.during(until("its start", async || (starts(&fabric, GIVEN) == 1).then_some(()))).await;
    // The oldest time for which the key counts was over when the key was made, also by a clock that is late.
    let oldest = made - TOLERANCE;
    let old =
        resigned(&its(&evil, KEPT), &key, |body| (body.not_before, body.not_after) = (oldest, oldest + 1));
    evil.down(KEPT, &old);
    evil.until("the minion to refuse it", |evil| {
        let refused = |reason: Reason| reason == Reason::Outdated;
        evil.answers.iter().any(|(id, group)| id == KEPT && refused(group.answer.reason))
    })
    .await;
    evil.a_while(A_WHILE).await;
    assert_eq!(starts(&fabric, KEPT), 0, "it ran after its time");
    let ran = evil.answers.iter().find(|(id, group)| id == KEPT && group.answer.outcome == Outcome::Ok);
    assert!(ran.is_none(), "{ran:?}");
    drop(job);
    evil.goes().await;
    fabric.witness().open_all();
    back_to_normal(fabric).await;
}
