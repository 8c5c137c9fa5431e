//! Spools and journals that a crash tore or a disk damaged, while their daemon was down: the torn end is cut off, a
//! damaged file is begun anew as a new incarnation; both are logged and counted, and the fabric goes on.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use fabric_tests::{Fabric, until};
use relay_core::outcome::{Outcome, Reason};

const TORN: &str = "relay_torn_records_total";
/// The header of a log: 32 bytes, then the first record, and each with 20 bytes before what it says.
const HEADER: usize = 32;
const RECORD_HEAD: usize = 20;

fn journal(fabric: &Fabric) -> PathBuf {
    fabric.dir().join("solo/state/solo/journal")
}

fn spool(fabric: &Fabric) -> PathBuf {
    fabric.dir().join("aws-1/state/spool")
}

/// Leaves behind what a power cut leaves of a write that was under way: its first bytes.
fn tear(file: &PathBuf) {
    let bytes = fs::read(file).unwrap();
    let (mut end, mut records) = (HEADER, 0);
    // Behind the last there are zeros.
    while let Some(length) = bytes.get(end..end + 4).filter(|length| **length != [0; 4]) {
        end += RECORD_HEAD + u32::from_le_bytes(length.try_into().unwrap()) as usize;
        records += 1;
    }
    assert!(records > 0, "{} holds no record", file.display());
    let opened = OpenOptions::new().write(true).open(file).unwrap();
    opened.write_all_at(&bytes[HEADER..HEADER + RECORD_HEAD], end as u64).unwrap();
}

/// Turns a byte over.
fn flip(file: &PathBuf, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0xff;
    fs::write(file, bytes).unwrap();
}

async fn solo() -> Fabric {
    Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "solo").minion("aws-1", "other").start().await
}

/// Both answer a new job.
async fn goes_on(fabric: &Fabric) {
    fabric.all_up().await;
    let mut ping = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(ping.counts(), [("ok", 2)].into());
    fabric.check(&mut [&mut ping]).await;
}

#[tokio::test]
async fn the_torn_end_of_a_journal_is_cut_off_and_the_minion_stays_the_same() {
    let mut fabric = solo().await;
    let mut done = fabric.run("*", "test.ping", &[]).await;
    fabric.kill9("solo");
    tear(&journal(&fabric));
    fabric.restart("solo").await;
    assert_eq!(fabric.metric("solo", TORN, ""), 1.0);
    assert!(fabric.log("solo").contains("the torn end of the log was cut off"));
    goes_on(&fabric).await;
    fabric.check(&mut [&mut done]).await;
}

#[tokio::test]
async fn a_damaged_journal_is_a_new_incarnation_to_which_no_old_job_is_sent() {
    let mut fabric = solo().await;
    let request = fabric.job("*", "cmd.run").args([fabric.witness().command()]).run_ms(2_000);
    let mut job = request.submit().await.unwrap();
    fabric.started(&job, 2).await;
    fabric.kill9("solo");
    flip(&journal(&fabric), 3);
    fabric.restart("solo").await;
    assert_eq!(fabric.metric("solo", TORN, ""), 1.0);
    assert!(fabric.log("solo").contains("a new one was begun"));
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.outcome("other").0, Outcome::Ok);
    let (outcome, reason) = job.outcome("solo");
    assert_eq!(outcome, Outcome::Unknown, "it ran, and who ran it has lost its memory");
    assert!(matches!(reason, Reason::ConnectionLost | Reason::NoReport), "{reason:?}");
    goes_on(&fabric).await;
    fabric.check(&mut [&mut job]).await;
    assert_eq!(fabric.witness().starts().len(), 2);
}

#[tokio::test]
async fn the_torn_end_of_a_spool_is_cut_off_and_what_was_lost_comes_again() {
    let mut fabric = solo().await;
    let mut job = fabric.job("*", "cmd.run").args([fabric.witness().command()]).submit().await.unwrap();
    fabric.started(&job, 2).await;
    fabric.kill9("aws-1");
    tear(&spool(&fabric));
    fabric.restart("aws-1").await;
    assert_eq!(fabric.metric("aws-1", TORN, ""), 1.0);
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 2)].into());
    goes_on(&fabric).await;
    fabric.check(&mut [&mut job]).await;
}

#[tokio::test]
async fn a_damaged_or_lost_spool_costs_no_outcome() {
    let mut fabric = solo().await;
    let mut jobs = Vec::new();
    for damage in [|spool: &PathBuf| flip(spool, 3), |spool: &PathBuf| fs::remove_file(spool).unwrap()] {
        let mut job = fabric.witnessed("*").await;
        fabric.started(&job, 2).await;
        fabric.kill9("aws-1");
        damage(&spool(&fabric));
        fabric.restart("aws-1").await;
        fabric.all_up().await;
        fabric.witness().open_all();
        job.closed(&fabric).await;
        assert_eq!(job.counts(), [("ok", 2)].into());
        fabric.witness().close_all();
        jobs.push(job);
    }
    until("the damage to be told", async || {
        fabric.log("aws-1").contains("a new one was begun").then_some(())
    })
    .await;
    goes_on(&fabric).await;
    fabric.check(&mut jobs.iter_mut().collect::<Vec<_>>()).await;
    assert_eq!(fabric.witness().starts().len(), 4);
}
