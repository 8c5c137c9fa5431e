//! Minions go where the topology places them, and to their fallbacks when that is gone; jobs do not notice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use fabric_tests::{Fabric, until};
use relay_core::{
    ids::MinionId,
    placement::Placement,
    topology::{DEFAULT_CAPACITY, DEFAULT_WEIGHT, Syndic},
};

use crate::console::Console;

/// Processes that this machine starts at once without falling behind.
const MOST_BODIES: usize = 60;
const ALL: [&str; 3] = ["aws-1", "aws-2", "aws-3"];

/// A topology of one region with these syndics.
fn topology(syndics: &[&str]) -> String {
    let syndics: String =
        syndics.iter().map(|id| format!("      - {{id: {id}, address: \"{{{id}}}\"}}\n")).collect();
    format!(
        "version: 1\nfabric: test.example\ntop_masters:\n  - {{id: top, address: \"{{top}}\", region: core}}\nregions:\n  \
         - name: aws\n    provider: aws\n    syndics:\n{syndics}    minions: {{count: 10, patterns: [\"*\"]}}\n"
    )
}

/// Where that places these minions.
fn homes(syndics: &[&str], ids: &[String]) -> BTreeMap<String, String> {
    let syndic = |id: &&str| Syndic {
        id: id.parse().unwrap(),
        address: format!("{id}:1").parse().unwrap(),
        parents: Vec::new(),
        capacity: DEFAULT_CAPACITY,
        weight: DEFAULT_WEIGHT,
        standby: false,
    };
    let syndics: Vec<Syndic> = syndics.iter().map(syndic).collect();
    let minions: Vec<MinionId> = ids.iter().map(|id| id.parse().unwrap()).collect();
    let placement = Placement::new(&syndics, &minions);
    minions.iter().map(|id| (id.to_string(), placement.primary(id).unwrap().to_string())).collect()
}

/// Waits until these minions are where they belong.
async fn all_at(fabric: &Fabric, homes: &BTreeMap<String, String>) {
    until("all minions to be where they belong", async || {
        let up = fabric.up().await;
        homes.iter().all(|(id, home)| up.get(id) == Some(home)).then_some(())
    })
    .await;
}

/// The minions that have left a syndic for their primary, once for each time, as their process has logged it.
fn moves(fabric: &Fabric, process: &str) -> Vec<String> {
    let log = fabric.log(process);
    let left = log.lines().filter(|line| line.contains("moves to where it belongs"));
    let id = |line: &str| Some(line.split("minion=").nth(1)?.split_whitespace().next()?.to_owned());
    left.filter_map(id).collect()
}

#[tokio::test]
async fn minions_spread_when_they_are_idle_and_those_with_a_job_when_it_has_ended() {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("aws-2", "aws").minions("aws-1", 12);
    let fabric = builder.delivery_ms(30_000).start().await;
    let ids = fabric.ids("aws-1-m").to_vec();
    let homes = homes(&ALL[..2], &ids);
    let away: Vec<&String> = homes.iter().filter(|(_, home)| *home == "aws-2").map(|(id, _)| id).collect();
    let (busy, idle) = away.split_at(2);
    assert!(!idle.is_empty(), "{homes:?}");
    let list = busy.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(",");
    let mut job = fabric.witnessed(&format!("L@{list}")).await;
    fabric.started(&job, 2).await;

    fabric.apply_topology(&topology(&ALL[..2]), 0).await;
    let mut expected = homes.clone();
    busy.iter().for_each(|id| drop(expected.insert((*id).clone(), "aws-1".into())));
    all_at(&fabric, &expected).await;
    fabric.metric_reaches("top", "relay_minions_misplaced", "", 2.0).await;
    let moved = moves(&fabric, "aws-1-m");
    assert!(busy.iter().all(|id| !moved.contains(id)), "{moved:?}");

    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 2)].into());
    all_at(&fabric, &homes).await;
    let mut moved = moves(&fabric, "aws-1-m");
    moved.sort();
    assert!(moved.iter().eq(away.iter().copied()), "each of them once and nobody else: {moved:?}");
    let mut after = fabric.witnessed("*").await;
    after.closed(&fabric).await;
    assert_eq!(after.counts(), [("ok", 12)].into());
    fabric.check(&mut [&mut job, &mut after]).await;
    assert_eq!(fabric.witness().starts().len(), 14);
}

#[tokio::test]
async fn a_syndic_more_gets_its_share_and_nobody_else_moves() {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("aws-2", "aws").syndic("aws-3", "aws");
    // The file in the configuration becomes the first revision.
    let mut fabric = builder.minions("aws-1", 24).topology(&topology(&ALL[..2])).start().await;
    let ids = fabric.ids("aws-1-m").to_vec();
    let (before, after) = (homes(&ALL[..2], &ids), homes(&ALL, &ids));
    all_at(&fabric, &before).await;
    let settled = moves(&fabric, "aws-1-m").len();
    let moving: BTreeSet<&String> = ids.iter().filter(|id| before[*id] != after[*id]).collect();
    assert!((4..=12).contains(&moving.len()), "a third of 24 is 8: {}", moving.len());
    assert!(moving.iter().all(|id| after[*id] == "aws-3"));

    fabric.apply_topology(&topology(&ALL), 1).await;
    all_at(&fabric, &after).await;
    let moved = moves(&fabric, "aws-1-m");
    assert_eq!(moved[settled..].iter().collect::<BTreeSet<_>>(), moving);
    assert_eq!(moved.len(), settled + moving.len(), "nobody twice");
    // They remember it: after a restart they dial the right one at once.
    fabric.restart("aws-1-m").await;
    all_at(&fabric, &after).await;
    assert_eq!(moves(&fabric, "aws-1-m").len(), settled + moving.len());
}

/// Half of the minions lose their syndic under a job; another job comes meanwhile. Returns after how long all of them were
/// elsewhere.
async fn a_syndic_is_lost(count: usize, bodies: usize) -> std::time::Duration {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("aws-2", "aws").syndic("aws-3", "aws");
    let mut fabric = builder.minions("aws-1", count).delivery_ms(60_000).start().await;
    fabric.apply_topology(&topology(&ALL), 0).await;
    let ids = fabric.ids("aws-1-m").to_vec();
    let homes = homes(&ALL, &ids);
    all_at(&fabric, &homes).await;
    let lost: Vec<&String> = ids.iter().filter(|id| homes[*id] == "aws-2").collect();
    let some = lost.iter().take(bodies).map(|id| id.as_str()).collect::<Vec<_>>();
    let mut running = fabric.witnessed(&format!("L@{}", some.join(","))).await;
    fabric.started(&running, bodies).await;
    // Bodies that wait cost the machine something; these need not.
    ids.iter().filter(|id| !some.contains(&id.as_str())).for_each(|id| fabric.witness().open(id));

    fabric.kill9("aws-2");
    let killed = Instant::now();
    // One returns while nobody is there to take it, perhaps; and a job comes for those who are nowhere at this moment.
    fabric.witness().open(some[0]);
    let others = lost.iter().take(MOST_BODIES).map(|id| id.as_str()).collect::<Vec<_>>();
    let target = format!("L@{}", others.join(","));
    let request = fabric.job(&target, "cmd.run").args([fabric.witness().command()]).run_ms(120_000);
    let mut meanwhile = request.submit().await.expect("an accepted job");
    until("all minions to be below the other syndics", async || {
        let up = fabric.up().await;
        (up.len() == count && up.values().all(|syndic| syndic != "aws-2")).then_some(())
    })
    .await;
    let time = killed.elapsed();
    fabric.witness().open_all();
    for (job, all) in [(&mut running, bodies), (&mut meanwhile, others.len())] {
        job.closed(&fabric).await;
        assert_eq!(job.counts(), [("ok", all)].into());
    }
    fabric.check(&mut [&mut running, &mut meanwhile]).await;
    assert_eq!(fabric.witness().starts().len(), bodies + others.len(), "nobody starts twice");

    // It comes back, and its minions with it: nobody has to do anything.
    fabric.restart("aws-2").await;
    all_at(&fabric, &homes).await;
    time
}

#[tokio::test]
async fn a_lost_syndics_minions_take_their_jobs_to_the_fallbacks_and_come_back() {
    a_syndic_is_lost(60, 8).await;
}

#[tokio::test]
async fn a_site_that_orders_by_itself_is_left_alone() {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("aws-2", "aws").minions("aws-1", 8);
    let mut fabric = builder.start().await;
    let config = fabric.daemon("aws-1-m").dir().join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + "parents_order: failover\n").unwrap();
    fabric.restart("aws-1-m").await;
    fabric.all_up().await;
    fabric.apply_topology(&topology(&ALL[..2]), 0).await;
    let homes = homes(&ALL[..2], fabric.ids("aws-1-m"));
    let away = homes.values().filter(|home| *home == "aws-2").count();
    assert!(away > 0);
    fabric.metric_reaches("top", "relay_minions_misplaced", "", away as f64).await;
    // Told before it: who would follow has heard it by now.
    let mut job = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(job.counts(), [("ok", 8)].into());
    assert!(!fabric.log("aws-1-m").contains("told where it belongs"));
    assert!(fabric.up().await.values().all(|syndic| syndic == "aws-1"));
    fabric.check(&mut [&mut job]).await;
}

#[tokio::test]
async fn a_syndic_below_a_syndic_passes_it_on() {
    let builder = Fabric::builder().syndic("upper", "aws");
    let builder = builder.syndic_below("lower-1", "upper").syndic_below("lower-2", "upper");
    let fabric = builder.minions("lower-1", 8).start().await;
    let text = topology(&["lower-1", "lower-2"])
        .replace("lower-1}\"}", "lower-1}\", parents: [upper]}")
        .replace("lower-2}\"}", "lower-2}\", parents: [upper]}")
        .replace(
            "    syndics:\n",
            "    syndics:\n      - {id: upper, address: \"{upper}\", standby: true}\n",
        );
    let homes = homes(&["lower-1", "lower-2"], fabric.ids("lower-1-m"));
    let second = homes.values().filter(|home| *home == "lower-2").count();
    assert!(second > 0);
    fabric.apply_topology(&text, 0).await;
    fabric.metric_reaches("lower-2", "relay_minions_up", "", second as f64).await;
    // The top master sees all of them through the upper one, and takes none for misplaced.
    let members = until("everybody to be there", async || {
        let status = fabric.operator().topology_status().await.ok()?;
        let up = status.members.iter().map(|member| member.attached).sum::<u64>();
        (up == 8).then_some((status.misplaced, status.members))
    })
    .await;
    let counts = members.1.iter().map(|m| (m.id.as_str(), m.up, m.belong, m.attached));
    let second = second as u64;
    let expected = [
        ("top", true, 0, 0),
        ("lower-1", true, 8 - second, 8 - second),
        ("lower-2", true, second, second),
        ("upper", true, 0, 0),
    ];
    assert_eq!((members.0, counts.collect::<Vec<_>>()), (0, expected.to_vec()));
    let drift = Console::of(&fabric).run(&["topology", "drift"]).await;
    assert_eq!(drift.code, 0, "nothing differs: {drift:?}");
    let mut job = fabric.witnessed("*").await;
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 8)].into());
    fabric.check(&mut [&mut job]).await;
    assert_eq!(fabric.metric("lower-2", "relay_minions_up", ""), second as f64);
}

/// Prints a figure: `cargo test -p fabric-tests --test promises -- --ignored --nocapture six_hundred`. The aim is 5 s and the
/// jitter of a dialler's first pause.
#[tokio::test]
#[ignore = "a benchmark of some minutes"]
async fn six_hundred_minions_of_a_lost_syndic() {
    let time = a_syndic_is_lost(600, 8).await;
    println!("600 minions, one of three syndics killed: all below the others after {} ms", time.as_millis());
}
