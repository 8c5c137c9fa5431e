//! A network that is cut: between the top masters, between a syndic and one of them, in one direction only, and between the
//! owner and what the top masters share. Nobody dies here; whoever can't be heard is as good as dead to the others, for a while.

use fabric_tests::{Fabric, Job, TOP, etcd::Etcd, netns::Network, postgres::Database};
use relay_core::outcome::{Outcome, Reason};

use crate::takeover::{epoch, owns, roles, stands_by};

/// The host of etcd and PostgreSQL.
const SHARED: &str = "shared";
/// The syndic that is cut off, its minions, and those of the other region.
const SYNDIC: &str = "aws-1";
const AWAY: [&str; 2] = ["aws-1-m-00", "aws-1-m-01"];
const OTHERS: usize = 2;
const ALL: usize = AWAY.len() + OTHERS;
/// Where a job is not to be given up: long against a takeover.
const PATIENT_MS: u64 = 40_000;

/// Where a job's outcome is awaited while nobody knows it: a few times what it takes to find that a link is dead.
const LIMIT_MS: u64 = 10_000;

/// What the fabric stands on. It ends after the fabric's processes do.
struct Ground {
    network: Network,
    _etcd: Etcd,
    _database: Database,
}

/// Two top masters, each on a host; a syndic on one, and another one beside the minions. Nothing where the machine has no
/// namespaces, no etcd or no PostgreSQL.
async fn two_regions() -> Option<(Fabric, Ground)> {
    let network = Network::of(&[TOP, "top-2", SYNDIC, SHARED])?;
    let shared = network.host(SHARED);
    let (etcd, database) = (Etcd::start_on(shared).await?, Database::start_on(shared).await?);
    let builder = Fabric::builder().network(&network).top_masters(2);
    let builder = builder.registry(&etcd.setting()).store(&database.setting());
    let builder = builder.syndic(SYNDIC, "aws").syndic("azure-1", "azure");
    let builder = builder.delivery_ms(LIMIT_MS);
    let fabric = builder.minions(SYNDIC, AWAY.len()).minions("azure-1", OTHERS).start().await;
    Some((fabric, Ground { network, _etcd: etcd, _database: database }))
}

/// A job whose bodies run everywhere.
async fn under_way(fabric: &Fabric, delivery_ms: u64, run_ms: u64) -> Job {
    let request = fabric.job("*", "cmd.run").args([fabric.witness().command()]);
    let job = request.delivery_ms(delivery_ms).run_ms(run_ms).submit().await.expect("an accepted job");
    fabric.started(&job, ALL).await;
    job
}

/// Waits until a job ended well, everywhere; another one does, too, and nothing of it all ran twice.
async fn ends_well(fabric: &Fabric, mut job: Job) {
    fabric.witness().open_all();
    job.until(fabric, "end well everywhere", |job| job.counts() == [("ok", ALL)].into()).await;
    fabric.all_up().await;
    let mut after = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(after.counts(), [("ok", ALL)].into());
    fabric.check(&mut [&mut job, &mut after]).await;
    assert_eq!(fabric.witness().starts().len(), ALL, "each started once");
}

#[tokio::test]
async fn top_masters_that_cannot_see_each_other_have_one_owner_all_the_same() {
    let Some((mut fabric, ground)) = two_regions().await else { return };
    let [owner, other] = roles(&fabric).await;
    stands_by(&fabric, other, owner.1).await;
    let before = epoch(&fabric).await;
    ground.network.cut(TOP, "top-2");
    let job = under_way(&fabric, PATIENT_MS, PATIENT_MS).await;
    assert_eq!(fabric.run("*", "test.ping", &[]).await.counts(), [("ok", ALL)].into());
    stands_by(&fabric, other, owner.1).await;
    assert_eq!(epoch(&fabric).await, before, "nobody took over");
    // They agree about a takeover, too, and about who comes too late.
    fabric.kill9(owner.1);
    owns(&fabric, other).await;
    fabric.restart(owner.1).await;
    stands_by(&fabric, owner, other.1).await;
    fabric.all_up().await;
    ground.network.heal();
    ends_well(&fabric, job).await;
    stands_by(&fabric, owner, other.1).await;
    assert_eq!(epoch(&fabric).await, before + 1, "one takeover");
}

#[tokio::test]
async fn a_syndic_cut_from_a_standby_does_not_even_notice() {
    let Some((fabric, ground)) = two_regions().await else { return };
    let [owner, other] = roles(&fabric).await;
    let before = epoch(&fabric).await;
    ground.network.cut(SYNDIC, other.1);
    let job = under_way(&fabric, PATIENT_MS, PATIENT_MS).await;
    ends_well(&fabric, job).await;
    assert_eq!(epoch(&fabric).await, before);
    assert_eq!(fabric.log(owner.1).matches(" detached").count(), 0, "no link was lost");
}

#[tokio::test]
async fn a_syndic_cut_from_the_owner_is_missed_honestly_and_its_returns_come_later() {
    let Some((fabric, ground)) = two_regions().await else { return };
    let [owner, _] = roles(&fabric).await;
    let job = under_way(&fabric, LIMIT_MS, LIMIT_MS).await;
    ground.network.cut(SYNDIC, owner.1);
    missed_and_found_again(&fabric, &ground, job).await;
}

#[tokio::test]
async fn a_syndic_that_the_owner_cannot_hear_is_missed_honestly_and_its_returns_come_later() {
    let Some((fabric, ground)) = two_regions().await else { return };
    let [owner, _] = roles(&fabric).await;
    let job = under_way(&fabric, LIMIT_MS, LIMIT_MS).await;
    ground.network.cut_one_way(SYNDIC, owner.1);
    missed_and_found_again(&fabric, &ground, job).await;
    assert!(fabric.metric(owner.1, "relay_heartbeats_missed_total", "") >= 1.0, "the owner found it");
}

#[tokio::test]
async fn a_syndic_that_cannot_hear_the_owner_is_missed_honestly_and_its_returns_come_later() {
    let Some((fabric, ground)) = two_regions().await else { return };
    let [owner, _] = roles(&fabric).await;
    let job = under_way(&fabric, LIMIT_MS, LIMIT_MS).await;
    ground.network.cut_one_way(owner.1, SYNDIC);
    missed_and_found_again(&fabric, &ground, job).await;
    assert!(fabric.metric(SYNDIC, "relay_heartbeats_missed_total", "") >= 1.0, "the syndic found it");
}

/// With a syndic cut off in the middle of a job: the other region is done meanwhile, nobody claims to know what can't be
/// known, and after the network is whole again it is known.
async fn missed_and_found_again(fabric: &Fabric, ground: &Ground, mut running: Job) {
    // Not before, or the returns would come: one direction may be whole.
    fabric.syndic_is(SYNDIC, false).await;
    fabric.witness().open_all();
    running.until(fabric, "have the returns of azure", |job| job.slots().len() == OTHERS).await;
    let mut unsent = fabric.run("*", "cmd.run", &[&fabric.witness().command()]).await;
    running.closed(fabric).await;
    for id in AWAY {
        assert_eq!(running.outcome(id).0, Outcome::Unknown);
        assert_eq!(unsent.outcome(id), (Outcome::NotStarted, Reason::Unreachable));
    }
    assert_eq!(unsent.counts()["ok"], OTHERS, "the other region");
    ground.network.heal();
    running.until(fabric, "be resolved", |job| !job.counts().contains_key("unknown")).await;
    fabric.all_up().await;
    let mut after = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(after.counts(), [("ok", ALL)].into());
    fabric.check(&mut [&mut running, &mut unsent, &mut after]).await;
    assert_eq!(
        fabric.witness().starts().len(),
        ALL + OTHERS,
        "each started once, and what was not sent never"
    );
}

#[tokio::test]
async fn an_owner_cut_from_what_is_shared_is_replaced_and_fenced() {
    let Some((fabric, ground)) = two_regions().await else { return };
    let [owner, other] = roles(&fabric).await;
    stands_by(&fabric, other, owner.1).await;
    let before = epoch(&fabric).await;
    let job = under_way(&fabric, PATIENT_MS, PATIENT_MS).await;
    ground.network.cut(owner.1, SHARED);
    owns(&fabric, other).await;
    // The one that is cut off can do nothing for the syndics, and lets them go: the fabric works before the network does.
    fabric.all_up().await;
    assert_eq!(fabric.run("*", "test.ping", &[]).await.counts(), [("ok", ALL)].into());
    ground.network.heal();
    stands_by(&fabric, owner, other.1).await;
    assert_eq!(epoch(&fabric).await, before + 1, "one takeover");
    ends_well(&fabric, job).await;
    assert_eq!(
        (fabric.metric(owner.1, "relay_owner", ""), fabric.metric(other.1, "relay_owner", "")),
        (0.0, 1.0)
    );
}
