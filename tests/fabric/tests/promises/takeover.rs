//! Two top masters at one etcd and one PostgreSQL: whatever happens to the owner or to the registry, one of them finishes each
//! job, with one outcome for each target, and nothing runs twice.

use std::{cell::Cell, collections::BTreeSet, time::Duration};

use fabric_tests::{
    Builder, Fabric, Job, TOP, etcd::Etcd, operator::Operator, pki::FABRIC, postgres::Database, until,
};
use relay_core::ids::Jid;
use relay_proto::{Code, operator::SubmitRequest};
use relay_runtime::registry::{Area, Registry as _};
use tonic::Status;

/// The other one.
const SECOND: &str = "top-2";
/// Long against a takeover: what is delivered late is not what these tests are about.
const DELIVERY_MS: u64 = 40_000;

/// What two top masters share. It ends after them.
struct Shared {
    etcd: Etcd,
    _database: Database,
}

/// Two top masters, a syndic and its minions; nothing where etcd or PostgreSQL is not installed.
async fn pair(minions: usize) -> Option<(Fabric, Shared)> {
    let (etcd, database) = (Etcd::start(1).await?, Database::start().await?);
    let builder: Builder = Fabric::builder().top_masters(2).syndic("aws-1", "aws").minions("aws-1", minions);
    let builder = builder.registry(&etcd.setting()).store(&database.setting()).delivery_ms(DELIVERY_MS);
    Some((builder.start().await, Shared { etcd, _database: database }))
}

/// Who owns, and who stands by; the places among the operators' addresses.
pub(crate) async fn roles(fabric: &Fabric) -> [(usize, &'static str); 2] {
    let status = until("an owner", async || fabric.operator().status().await.ok()).await;
    if status.top_master == TOP { [(0, TOP), (1, SECOND)] } else { [(1, SECOND), (0, TOP)] }
}

pub(crate) async fn epoch(fabric: &Fabric) -> u64 {
    until("an owner", async || fabric.operator().status().await.ok()).await.epoch
}

/// Waits until this one owns.
pub(crate) async fn owns(fabric: &Fabric, (no, name): (usize, &str)) {
    let operator = fabric.operator().only(no);
    until(&format!("{name} to own"), async || operator.status().await.ok()).await;
}

/// Waits until this one is a standby, and says who owns.
pub(crate) async fn stands_by(fabric: &Fabric, (no, name): (usize, &str), owner: &str) {
    let operator = fabric.operator().only(no);
    until(&format!("{name} to stand by for {owner}"), async || {
        let refused = operator.status().await.err()?;
        let names = refused.message().contains(&format!("{owner} owns the fabric (operators: "));
        (Code::of(&refused) == Some(Code::NotOwner) && names).then_some(())
    })
    .await;
}

/// A job with its bodies running on all minions, and one return of it.
async fn under_way(fabric: &Fabric, minions: usize) -> Job {
    let mut job = fabric.witnessed("*").await;
    fabric.started(&job, minions).await;
    fabric.witness().open("aws-1-m-00");
    job.until(fabric, "return from one", |job| job.slots().len() == 1).await;
    job
}

/// Waits until a job of so many ended well, everywhere once, seen in pieces and as a whole; and another one runs.
async fn ends_well(fabric: &Fabric, mut job: Job, minions: usize) {
    fabric.witness().open_all();
    job.closed(fabric).await;
    assert_eq!(job.counts(), [("ok", minions)].into());
    let mut after = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(after.counts(), [("ok", minions)].into());
    job.check_replay(fabric).await;
    fabric.check(&mut [&mut job, &mut after]).await;
    assert_eq!(fabric.witness().starts().len(), minions, "each started once");
}

#[tokio::test]
async fn a_killed_owners_job_is_finished_by_the_other_and_its_watcher_misses_nothing() {
    let Some((mut fabric, _shared)) = pair(6).await else { return };
    let [owner, other] = roles(&fabric).await;
    stands_by(&fabric, other, owner.1).await;
    let mut job = under_way(&fabric, 6).await;
    fabric.kill9(owner.1);
    // These end while nobody owns: their returns wait in the spool.
    fabric.witness().open("aws-1-m-01");
    fabric.witness().open("aws-1-m-02");
    job.until(&fabric, "return from two more", |job| job.slots().len() == 3).await;
    assert!(fabric.log(other.1).contains("took over"));
    // The killed one comes back, and has nothing to say.
    fabric.restart(owner.1).await;
    stands_by(&fabric, owner, other.1).await;
    ends_well(&fabric, job, 6).await;
}

#[tokio::test]
async fn an_owner_that_stood_still_is_fenced_and_stands_by() {
    let Some((mut fabric, _shared)) = pair(4).await else { return };
    let [owner, other] = roles(&fabric).await;
    let mut job = under_way(&fabric, 4).await;
    fabric.stop(owner.1);
    owns(&fabric, other).await;
    fabric.witness().open("aws-1-m-01");
    job.look_anew();
    job.until(&fabric, "return from another", |job| job.slots().len() == 2).await;
    fabric.cont(owner.1);
    stands_by(&fabric, owner, other.1).await;
    until("its gauge to say so", async || (fabric.metric(owner.1, "relay_owner", "") == 0.0).then_some(()))
        .await;
    assert_eq!(fabric.metric(other.1, "relay_owner", ""), 1.0);
    ends_well(&fabric, job, 4).await;
}

#[tokio::test]
async fn one_that_is_told_to_stop_hands_over() {
    let Some((mut fabric, _shared)) = pair(4).await else { return };
    let [owner, other] = roles(&fabric).await;
    stands_by(&fabric, other, owner.1).await;
    let mut job = under_way(&fabric, 4).await;
    let before = epoch(&fabric).await;
    assert_eq!(fabric.daemon(owner.1).terminate().await, Some(0));
    fabric.witness().open("aws-1-m-01");
    job.until(&fabric, "return from another", |job| job.slots().len() == 2).await;
    assert_eq!(epoch(&fabric).await, before + 1, "one takeover");
    fabric.daemon(owner.1).start();
    stands_by(&fabric, owner, other.1).await;
    ends_well(&fabric, job, 4).await;
}

/// Jobs of a stream that are open at once: far fewer than a minion takes.
const MOST_OPEN: usize = 4;

/// Submits one job after the other until told to stop; each until it is accepted, as clients do. The names of all.
async fn stream_of_jobs(operator: Operator, body: String, stop: &Cell<bool>) -> Vec<u64> {
    let mut jids = Vec::new();
    while !stop.get() {
        let request = SubmitRequest {
            request_id: rand::random::<[u8; 16]>().to_vec(),
            target: "*".into(),
            function: "cmd.run".into(),
            args: serde_json::json!({"args": [body], "kwargs": {}}).to_string().into_bytes(),
            ..SubmitRequest::default()
        };
        let accepted = until("a job to be accepted", async || match operator.submit(request.clone()).await {
            Ok(submitted) => Some(submitted.jid),
            Err(refused) => {
                assert!(passes(&refused), "{refused:?}");
                None
            }
        });
        jids.push(accepted.await);
        let open = async || {
            operator.jobs().await.map_or(MOST_OPEN, |all| all.iter().filter(|job| job.closed == 0).count())
        };
        until("some jobs to end", async || (open().await < MOST_OPEN).then_some(())).await;
    }
    jids
}

/// What a client tries again after.
fn passes(refused: &Status) -> bool {
    let connection = Code::of(refused).is_none();
    connection
        || matches!(Code::of(refused), Some(Code::NotOwner | Code::Registry | Code::Store | Code::Busy))
}

#[tokio::test]
async fn a_rolling_restart_under_a_stream_of_jobs_fails_none_and_repeats_none() {
    let Some((mut fabric, _shared)) = pair(3).await else { return };
    fabric.witness().open_all();
    let stop = Cell::new(false);
    let jobs = stream_of_jobs(fabric.operator().clone(), fabric.witness().command(), &stop);
    let restarts = async {
        for _ in 0..2 {
            for name in [TOP, SECOND] {
                fabric.started_in_all(fabric.witness().starts().len() + 3).await;
                assert_eq!(fabric.daemon(name).terminate().await, Some(0));
                fabric.daemon(name).start();
                fabric.daemon(name).ready().await;
            }
        }
        stop.set(true);
    };
    let (jids, ()) = tokio::join!(jobs, restarts);
    assert_eq!(jids.iter().collect::<BTreeSet<_>>().len(), jids.len(), "one job for each request");
    let ended = until("all jobs to end", async || {
        let all = fabric.operator().jobs().await.ok()?;
        all.iter().all(|job| job.closed > 0).then_some(all)
    });
    for head in ended.await {
        let ok = head.outcomes.iter().find(|count| count.outcome == "ok").map_or(0, |count| count.minions);
        assert_eq!((head.targets, ok), (3, 3), "{head:?}");
    }
    let starts = fabric.witness().starts();
    let wanted: BTreeSet<Jid> = jids.iter().map(|jid| Jid::from_micros(*jid)).collect();
    let ran: BTreeSet<Jid> = starts.iter().map(|start| start.jid).collect();
    assert_eq!((ran, starts.len()), (wanted, 3 * jids.len()), "each once on each minion, and nothing else");
}

#[tokio::test]
async fn without_etcd_running_jobs_go_on_and_new_ones_are_refused_until_it_is_back() {
    let Some((fabric, mut shared)) = pair(4).await else { return };
    let before = epoch(&fabric).await;
    let mut job = under_way(&fabric, 4).await;
    shared.etcd.kill9(0);
    let refused = until("new jobs to be refused", async || {
        fabric.job("*", "test.ping").submit().await.err().filter(|e| Code::of(e) == Some(Code::Registry))
    });
    let refused = refused.await;
    assert!(refused.message().contains("the registry (etcd) can't be reached since"), "{refused:?}");
    fabric.witness().open("aws-1-m-01");
    job.until(&fabric, "return from another", |job| job.slots().len() == 2).await;
    shared.etcd.restart(0).await;
    until("new jobs to be taken", async || fabric.job("*", "test.ping").submit().await.ok()).await;
    assert_eq!(epoch(&fabric).await, before, "the owner is who it was");
    ends_well(&fabric, job, 4).await;
}

#[tokio::test]
async fn with_all_leases_revoked_at_once_no_outcome_changes() {
    let Some((fabric, shared)) = pair(4).await else { return };
    let job = under_way(&fabric, 4).await;
    let registry = shared.etcd.registry(0, &format!("/relay/{FABRIC}"));
    let listing = registry.list(Area::All).await.expect("an answer");
    let leases: BTreeSet<_> = listing.entries.iter().filter_map(|entry| entry.lease).map(|l| l.0).collect();
    assert_eq!(leases.len(), 2, "one for each top master");
    for lease in leases {
        registry.revoke(relay_runtime::registry::LeaseId(lease)).await.expect("an answer");
    }
    let top_masters = async || registry.list(Area::TopMasters).await.map_or(0, |now| now.entries.len());
    until("both to register again", async || (top_masters().await == 2).then_some(())).await;
    let taken = async || fabric.job("*", "test.ping").submit().await.ok();
    until("new jobs to be taken", taken).await;
    ends_well(&fabric, job, 4).await;
}

/// A syndic that loses its owner is at the next one long before its minions would be given up.
#[tokio::test]
async fn a_syndic_has_one_uplink_and_follows_the_owner() {
    let Some((mut fabric, _shared)) = pair(2).await else { return };
    let [owner, other] = roles(&fabric).await;
    assert_eq!(fabric.metric(other.1, "relay_links_up", ""), 0.0, "a standby takes no links");
    assert_eq!(fabric.daemon(owner.1).terminate().await, Some(0));
    owns(&fabric, other).await;
    fabric.metric_reaches(other.1, "relay_links_up", "", 1.0).await;
    fabric.all_up().await;
    tokio::time::timeout(Duration::from_secs(60), async {
        let done = fabric.run("*", "test.ping", &[]).await;
        assert_eq!(done.counts(), [("ok", 2)].into());
    })
    .await
    .expect("a job through the other one");
}
