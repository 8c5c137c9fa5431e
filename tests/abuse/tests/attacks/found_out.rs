//! A syndic in the attacker's hands forges, and drops what its minions say of it. As soon as they have another parent, it is in the
//! audit log: who was found out, by whom, and what it forged.

use std::{collections::BTreeSet, time::Duration};

use abuse_tests::{
    console::Console,
    evil::Evil,
    region::{REGION, SYNDIC, serves_on},
};
use fabric_tests::{Fabric, until};
use relay_core::{ids::Epoch, message::Dispatch};
use relay_proto::link::{self, down::Message};
use serde_json::Value;

use crate::a10_evil_syndic::forgeries::{forgeries, to};

/// The honest one.
const HONEST: &str = "aws-2";
/// Gets forgeries.
const KEPT: &str = "kept";
/// Between two forgeries.
const A_MOMENT: Duration = Duration::from_millis(40);
/// Every kind that the forgeries are of.
const KINDS: [&str; 9] = [
    "bad_signature",
    "unsigned",
    "unknown_key",
    "not_target",
    "digest_mismatch",
    "version",
    "stale_epoch",
    "trust",
    "cancel",
];

/// What the audit log has of forgeries by the evil syndic.
fn found(fabric: &Fabric, console: &Console) -> Vec<Value> {
    let path = fabric.dir().join("found.jsonl");
    let _ = std::fs::remove_file(&path);
    let ran = console.run(&["audit", "export", &path.display().to_string()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = std::fs::read_to_string(path).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["details"]["from"] == SYNDIC).collect()
}

fn kinds(records: &[Value]) -> BTreeSet<&str> {
    records.iter().filter_map(|record| record["details"]["kind"].as_str()).collect()
}

#[tokio::test]
async fn a_forger_is_in_the_audit_log_as_soon_as_its_minions_have_another_parent() {
    let builder = Fabric::builder().syndic(SYNDIC, REGION).syndic(HONEST, REGION).with_fallback();
    let mut fabric = builder.minion(SYNDIC, KEPT).minion(SYNDIC, "other").delivery_ms(60_000).start().await;
    let console = Console::of(&fabric, "auditor");
    fabric.kill9(HONEST);
    let mut evil = Evil::instead_of(&mut fabric, SYNDIC).await;
    evil.until("its minions and its parent", |evil| evil.stands(2)).await;
    evil.during(fabric.minion_is(KEPT, true)).await;
    let job = evil.during(fabric.witnessed(KEPT)).await;
    evil.until("the job", |evil| !evil.dispatches.is_empty()).await;
    let dispatch = evil.dispatches.remove(0);

    // Everything that an attacker makes of a job, and of the keys; then, once it has run, from an owner that there is no more.
    let incarnation = evil.below[KEPT].incarnation;
    let good = to(incarnation, &dispatch, &dispatch.proof);
    for (_, forged) in forgeries(&fabric, &good, KEPT, incarnation) {
        evil.until("the minion to be there", |evil| evil.below.contains_key(KEPT)).await;
        evil.down(KEPT, &forged);
        // One that is no message ends the link.
        evil.a_while(A_MOMENT).await;
    }
    let bundle = link::Trust { bundle: vec![0xff; 64].into() };
    evil.until("the minion to be there", |evil| evil.below.contains_key(KEPT)).await;
    evil.down(KEPT, &link::Down { message: Some(Message::Trust(bundle)), ..Default::default() });
    // Nobody signed it.
    let cancel = link::Cancel { jid: dispatch.job.jid.micros(), epoch: u64::MAX, ..Default::default() };
    evil.down(KEPT, &link::Down { message: Some(Message::Cancel(cancel)), ..Default::default() });
    let former = Dispatch { epoch: Epoch(dispatch.epoch.0 - 1), ..dispatch.clone() };
    evil.down(KEPT, &to(incarnation, &former, &dispatch.proof));
    let told = |evil: &Evil| evil.told.iter().map(|s| s.kind.word()).collect::<BTreeSet<_>>();
    evil.until("the minion to say what it refused", |evil| told(evil).is_superset(&KINDS.into())).await;
    assert_eq!(found(&fabric, &console), Vec::<Value>::new(), "the forger passes it on to nobody");

    // A kill of the minion in between saves nobody.
    let file = fabric.daemon(KEPT).dir().join("state").join(KEPT).join("suspicions.json");
    let kept = || -> Vec<Value> {
        let text = std::fs::read_to_string(&file).unwrap_or_else(|_| "{\"entries\":[]}".into());
        serde_json::from_str::<Value>(&text).unwrap()["entries"].as_array().unwrap().clone()
    };
    let written = async || {
        let entries = kept();
        let words: BTreeSet<&str> = entries.iter().filter_map(|entry| entry["kind"].as_str()).collect();
        words.is_superset(&KINDS.into()).then_some(())
    };
    evil.during(until("the minion's file", written)).await;
    evil.during(fabric.restart(KEPT)).await;
    fabric.restart(HONEST).await;
    evil.goes().await;
    fabric.all_up().await;
    let records = until("the records", async || {
        let records = found(&fabric, &console);
        kinds(&records).is_superset(&KINDS.into()).then_some(records)
    })
    .await;
    for record in &records {
        assert_eq!((&record["kind"], &record["how"]), (&"deny".into(), &"report".into()), "{record:#}");
        assert_eq!(record["who"], format!("minion {KEPT}"), "{record:#}");
        assert_eq!(record["details"]["via"], HONEST, "{record:#}");
        assert!(record["subject"].as_str().unwrap().ends_with(&format!(" from {SYNDIC}")), "{record:#}");
    }
    // It has been told to somebody who is not the forger: nothing is kept of it.
    until("the minion to forget it", async || kept().is_empty().then_some(())).await;
    drop(job);
    fabric.witness().open_all();
    fabric.restart(SYNDIC).await;
    fabric.all_up().await;
    serves_on(&mut fabric).await;
}
