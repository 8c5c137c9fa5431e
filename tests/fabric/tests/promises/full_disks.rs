//! Full disks: at the syndic returns stay with the minions, at the minion nothing starts, at the top nothing is accepted.
//! What was promised is kept, and everything goes on when there is space again. A spool that is larger than its configuration
//! allows, because that was changed, is compacted and goes on.

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;
use fabric_tests::{Fabric, TOP, disk::SmallDisk, until};
use relay_core::{
    Members,
    ids::Jid,
    message::{ReturnBatch, ReturnGroup},
    outcome::{Answer, Outcome, Reason},
    relay::SpoolRecord,
};
use relay_proto::{Code, records};
use relay_runtime::record_log::{Kind, Limits, RecordLog};

/// Space for a spool, a journal or a store with a few jobs, in KiB.
const SMALL: u32 = 2_048;
/// The same for a spool with an answer as large as they may be, and with the room that it makes ahead.
const SMALL_SPOOL: u32 = 6_144;

#[tokio::test]
async fn at_the_spool_returns_wait_at_the_minions_until_there_is_space() {
    let Some(disk) = SmallDisk::mount(SMALL_SPOOL) else { return };
    let builder = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 3).syndic("azure-1", "azure");
    let builder = builder.minion("azure-1", "far").state_dir("aws-1", disk.path().to_owned());
    let mut fabric = builder.start().await;
    // Cut to the longest that an answer may be: on a disk that is full, a spool has room for one of the three, if its last page reaches.
    let command = format!("{}; head -c 1100000 /dev/zero | tr '\\0' x", fabric.witness().command());
    let mut job = fabric.job("*", "cmd.run").args([command]).submit().await.unwrap();
    fabric.started(&job, 4).await;
    disk.fill();
    fabric.witness().open_all();
    job.until(&fabric, "end in the other region", |job| job.answer("far").is_some()).await;
    until("the syndic to say that its spool can't be written", async || {
        fabric.log("aws-1").contains("the spool can't be written").then_some(())
    })
    .await;
    let arrived = job.slots().clone();
    assert!(arrived.len() <= 2, "more returns went up than the spool has room for: {}", arrived.len());
    // Even killed in this state it loses nothing.
    fabric.kill9("aws-1");
    let spooled = bodies(&disk.path().join("spool"));
    let mut below =
        arrived.iter().filter(|(minion, _)| minion.as_str() != "far").flat_map(|(_, answers)| answers);
    assert!(below.all(|answer| spooled.contains(&answer.body)), "a return went up that is not in the spool");
    disk.free();
    fabric.restart("aws-1").await;
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 4)].into());
    disk.fill();
    // This one may find room.
    let large = "x".repeat(9_000);
    let mut second = fabric.job("*", "test.echo").args([large]).delivery_ms(30_000).submit().await.unwrap();
    second.until(&fabric, "end in the other region", |job| job.answer("far").is_some()).await;
    disk.free();
    second.closed(&fabric).await;
    assert_eq!(second.counts(), [("ok", 4)].into());
    fabric.check(&mut [&mut job, &mut second]).await;
    assert_eq!(fabric.witness().starts().len(), 4);
}

#[tokio::test]
async fn at_the_minion_jobs_are_refused_and_ends_are_kept() {
    let Some(disk) = SmallDisk::mount(SMALL) else { return };
    let builder = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "full").minion("aws-1", "fine");
    let fabric = builder.state_dir("full", disk.path().to_owned()).start().await;
    let mut running = fabric.job("*", "test.sleep").args([1]).submit().await.unwrap();
    running.until(&fabric, "be seen running", |job| job.running() == 2).await;
    disk.fill();
    let mut refused = fabric.witnessed("*").await;
    fabric.witness().open_all();
    // A refusal has to be written too before it may be told; it need not be, to be safe.
    refused.until(&fabric, "end on the other", |job| job.answer("fine").is_some()).await;
    refused.closed(&fabric).await;
    assert_eq!(refused.outcome("full"), (Outcome::Refused, Reason::NoSpace));
    disk.free();
    running.closed(&fabric).await;
    assert_eq!(running.counts(), [("ok", 2)].into());
    let mut after = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(after.counts(), [("ok", 2)].into());
    fabric.check(&mut [&mut running, &mut refused, &mut after]).await;
    assert_eq!(fabric.witness().starts().len(), 1);
}

#[tokio::test]
async fn at_the_top_nothing_is_accepted_and_outcomes_wait_below() {
    let Some(disk) = SmallDisk::mount(SMALL) else { return };
    let builder = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 3);
    let fabric = builder.state_dir(TOP, disk.path().to_owned()).start().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 3).await;
    disk.fill();
    fabric.witness().open_all();
    let refused =
        until("a submission to be refused", async || fabric.job("*", "test.ping").submit().await.err()).await;
    assert_eq!(Code::of(&refused), Some(Code::Store), "{refused}");
    assert!(refused.message().contains("space"), "{refused}");
    disk.free();
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 3)].into());
    let mut after =
        until("a submission to be accepted again", async || fabric.job("*", "test.ping").submit().await.ok())
            .await;
    fabric.check(&mut [&mut job, &mut after]).await;
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nobody() {
    let names = [TOP, "aws-1", "aws-1-m"];
    let builder = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2);
    let mut fabric = names.iter().fold(builder, |b, name| b.full_log(name)).start().await;
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, 2).await;
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 2)].into());
    fabric.check(&mut [&mut job]).await;
    for name in names {
        assert!(fabric.daemon(name).exited().is_none(), "{name} ended");
    }
}

/// What a spool has of returns, without touching it.
fn bodies(spool: &Path) -> Vec<Bytes> {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("spool");
    fs::copy(spool, &copy).unwrap();
    let limits = Limits { max_record_bytes: 4 << 20, max_file_bytes: 1 << 30 };
    let opened = RecordLog::open(&copy, Kind::Spool, 1, limits).unwrap();
    assert!(opened.reset.is_none(), "{:?}", opened.reset);
    let groups = opened.records.into_iter().filter_map(|record| match records::spool_in(record).unwrap() {
        SpoolRecord::Batch { batch, .. } => Some(batch.groups),
        _ => None,
    });
    groups.flatten().map(|group| group.answer.body.clone()).collect()
}

/// Writes into a spool what its syndic has sent up long ago: so many returns of a MiB.
fn append_dead_returns(spool: &Path, count: u64) {
    let limits = Limits { max_record_bytes: 2 << 20, max_file_bytes: (count + 1) << 20 };
    let mut log = RecordLog::open(spool, Kind::Spool, 1, limits).unwrap().log;
    let jid = Jid::from_micros(1);
    let answer = Arc::new(Answer {
        body: vec![b'x'; (1 << 20) - 1_000].into(),
        ..Answer::bare(Outcome::Ok, Reason::None)
    });
    let group = ReturnGroup { jid, answer, members: Members::from_iter([0]) };
    for seq in 1..=count {
        let batch = ReturnBatch { seq, groups: vec![group.clone()] };
        log.append(&[&records::spool_out(&SpoolRecord::Batch { parent: 0, batch })]).unwrap();
    }
    let after = [SpoolRecord::Acked { parent: 0, up_to: count }, SpoolRecord::Forget { jid }];
    after.iter().for_each(|record| log.append(&[&records::spool_out(record)]).unwrap());
    log.commit().unwrap();
}

#[tokio::test]
async fn a_spool_that_is_larger_than_it_may_be_now_is_compacted_and_goes_on() {
    let mut fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2).start().await;
    fabric.kill9("aws-1");
    let own = fabric.dir().join("aws-1");
    let (config, spool) = (own.join("config.yaml"), own.join("state/spool"));
    append_dead_returns(&spool, 17);
    let before = fs::metadata(&spool).unwrap().len();
    // So little, and the file may have 16 MiB.
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}spool_max_bytes: 2097152\n")).unwrap();
    fabric.restart("aws-1").await;
    fabric.all_up().await;
    let mut ping = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(ping.counts(), [("ok", 2)].into());
    until("the spool to be compacted", async || {
        (fs::metadata(&spool).unwrap().len() < before / 4).then_some(())
    })
    .await;
    fabric.check(&mut [&mut ping]).await;
}
