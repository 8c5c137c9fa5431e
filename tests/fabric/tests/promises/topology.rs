//! A topology changes under a running fabric: batches and names without a restart, one revision after the other, and through
//! the death of the top master.

use fabric_tests::{Fabric, TOP, until};
use relay_proto::{
    Code,
    operator::{ApplyTopologyRequest, TopologyProgress, TopologyRevision, topology_progress::Event},
};
use tonic::Streaming;

use crate::console::Console;

/// Region aws with these syndics and this batch, and a node group.
fn text(fabric: &Fabric, syndics: &[&str], batch: u32, web: &str) -> String {
    let address = |id: &str| fabric.listen(id).to_string();
    written(syndics, batch, web, &address)
}

fn written(syndics: &[&str], batch: u32, web: &str, address: &dyn Fn(&str) -> String) -> String {
    let syndic = |id: &&str| format!("{{id: {id}, address: \"{}\"}}", address(id));
    let syndics: Vec<String> = syndics.iter().map(syndic).collect();
    format!(
        "version: 1
fabric: test.example
top_masters: [{{id: top, address: \"{}\", region: core}}]
regions:
  - name: aws
    provider: aws
    syndics: [{}]
    minions: {{count: 8, patterns: [\"aws-*\"]}}
    batch: {{batch: {batch}}}
node_groups: {{web: \"{web}\"}}
",
        address("top"),
        syndics.join(", ")
    )
}

/// A fabric whose top master is configured with a batch of 4 and a node group of one.
async fn fabric() -> Fabric {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("aws-2", "aws").minions("aws-1", 8);
    let first = written(&["aws-1"], 4, "aws-1-m-00", &|id| format!("{{{id}}}"));
    builder.delivery_ms(30_000).topology(&first).start().await
}

fn request(text: String, planned_on: u64) -> ApplyTopologyRequest {
    ApplyTopologyRequest { text, planned_on, ..ApplyTopologyRequest::default() }
}

async fn next(progress: &mut Streaming<TopologyProgress>) -> Event {
    progress.message().await.unwrap().and_then(|message| message.event).expect("an event")
}

/// Applies one, and tells how it ended.
async fn applied(fabric: &Fabric, request: ApplyTopologyRequest) -> TopologyRevision {
    let mut progress = fabric.operator().apply(request).await.unwrap();
    loop {
        if let Event::Done(revision) = next(&mut progress).await {
            return revision;
        }
    }
}

/// Number, state and caller of all revisions, newest first.
async fn history(fabric: &Fabric) -> Vec<(u64, String, String)> {
    let all = fabric.operator().topologies().await.unwrap();
    all.into_iter().map(|revision| (revision.number, revision.state, revision.caller)).collect()
}

fn entry(number: u64, state: &str, caller: &str) -> (u64, String, String) {
    (number, state.into(), caller.into())
}

#[tokio::test]
async fn a_batch_and_a_node_group_change_without_a_restart() {
    let mut fabric = fabric().await;
    assert_eq!(history(&fabric).await, [entry(1, "active", "config")]);
    assert_eq!(fabric.operator().at_once("*").await.unwrap(), 4);
    let mut before = fabric.witnessed("aws-*").await;
    fabric.started(&before, 4).await;

    let next = text(&fabric, &["aws-1"], 1, "aws-*");
    let done = applied(&fabric, request(next.clone(), 1)).await;
    assert_eq!((done.number, done.state.as_str(), done.caller.as_str()), (2, "active", "tester"));
    let active = fabric.operator().topology(0).await.unwrap();
    assert_eq!((active.number, active.text), (2, next));
    assert_eq!(fabric.operator().at_once("*").await.unwrap(), 1);
    assert_eq!(history(&fabric).await, [entry(2, "active", "tester"), entry(1, "superseded", "config")]);

    // Accepted with 4 at once: as one ends, another starts.
    fabric.witness().open(fabric.witness().starts()[0].minion.as_str());
    fabric.started(&before, 5).await;
    fabric.witness().open_all();
    before.closed(&fabric).await;
    let mut after = fabric.run("N@web", "test.ping", &[]).await;
    assert_eq!(after.counts(), [("ok", 8)].into(), "the node group is the new one");
    fabric.check(&mut [&mut before, &mut after]).await;

    // The configured file is no more than a reminder.
    fabric.restart(TOP).await;
    fabric.all_up().await;
    assert_eq!(fabric.operator().topology(0).await.unwrap().number, 2);
    assert_eq!(fabric.operator().at_once("*").await.unwrap(), 1);
    assert!(fabric.log(TOP).contains("relayctl topology plan"), "it warns of the file that differs");
}

#[tokio::test]
async fn a_moved_revision_and_a_bad_file_are_refused_and_change_nothing() {
    let fabric = fabric().await;
    let good = text(&fabric, &["aws-1"], 2, "*");
    let moved = fabric.operator().apply(request(good.clone(), 0)).await.unwrap_err();
    assert_eq!(Code::of(&moved), Some(Code::TopologyMoved));
    assert!(moved.message().contains("revision 1 is active by now, applied by config"), "{moved}");
    let bad = good.replace("provider: aws", "provider: asw").replace("batch: 2", "batch: none");
    let bad = fabric.operator().apply(request(bad, 1)).await.unwrap_err();
    assert_eq!(Code::of(&bad), Some(Code::Invalid));
    let lines: Vec<&str> = bad.message().lines().collect();
    assert!(lines.len() >= 2 && lines.iter().all(|line| line.starts_with("topology:")), "{lines:#?}");
    assert_eq!(history(&fabric).await, [entry(1, "active", "config")]);
    assert_eq!(fabric.operator().at_once("*").await.unwrap(), 4);
}

#[tokio::test]
async fn a_top_master_killed_in_mid_apply_goes_on_with_it() {
    let mut fabric = fabric().await;
    // Busy minions do not move, so the region does not settle.
    let mut job = fabric.job("*", "cmd.run").args([fabric.witness().command()]).run_ms(60_000);
    job = job.batch(&relay_core::batch::BatchRule {
        size: relay_core::batch::BatchSize::All,
        ..Default::default()
    });
    let mut job = job.submit().await.unwrap();
    fabric.started(&job, 8).await;
    let both = text(&fabric, &["aws-1", "aws-2"], 1, "*");
    let staged = ApplyTopologyRequest { settle_ms: 300_000, ..request(both, 1) };
    let mut progress = fabric.operator().apply(staged).await.unwrap();
    assert!(matches!(next(&mut progress).await, Event::Accepted(revision) if revision.number == 2));
    let Event::Region(region) = next(&mut progress).await else { panic!("no region") };
    assert!(region.moving > 0 && !region.settled && region.up == 8, "{region:?}");
    assert_eq!(history(&fabric).await[0], entry(2, "staging", "tester"));
    assert_eq!(fabric.operator().at_once("*").await.unwrap(), 1, "the region has it");
    let busy = fabric.operator().apply(request(text(&fabric, &["aws-1"], 9, "*"), 1)).await.unwrap_err();
    assert_eq!(Code::of(&busy), Some(Code::Busy));

    fabric.kill9(TOP);
    assert!(matches!(progress.message().await, Err(_) | Ok(None)), "the stream breaks");
    fabric.restart(TOP).await;
    let staging = history(&fabric).await;
    assert_eq!(staging[0], entry(2, "staging", "tester"), "it goes on: {staging:?}");
    assert_eq!(fabric.operator().at_once("*").await.unwrap(), 1, "the region has it still");
    fabric.witness().open_all();
    until("the topology to be active", async || {
        let active = fabric.operator().topology(0).await.ok()?;
        (active.number == 2).then_some(())
    })
    .await;
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 8)].into());
    fabric.check(&mut [&mut job]).await;
    let status = fabric.operator().topology_status().await.unwrap();
    assert_eq!((status.active.unwrap().number, status.strangers_total), (2, 0));
    let members: Vec<_> = status.members.iter().map(|m| (m.id.as_str(), m.expected, m.up)).collect();
    assert_eq!(members, [("top", true, true), ("aws-1", true, true), ("aws-2", true, true)]);
}

#[tokio::test]
async fn a_topology_that_loses_minions_is_rolled_back_and_the_history_says_why() {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("aws-2", "aws").minions("aws-1", 6);
    let builder = builder.minion("aws-1", "aws-x").minion("aws-1", "aws-y").delivery_ms(30_000);
    let first = written(&["aws-1"], 4, "aws-1-m-00", &|id| format!("{{{id}}}"));
    let mut fabric = builder.topology(&first).start().await;
    // Busy minions do not move, so the region does not settle before its time.
    let job = fabric.job("*", "cmd.run").args([fabric.witness().command()]).run_ms(120_000);
    let all = relay_core::batch::BatchSize::All;
    let job = job.batch(&relay_core::batch::BatchRule { size: all, ..Default::default() });
    let mut job = job.submit().await.unwrap();
    fabric.started(&job, 8).await;

    let file = fabric.dir().join("both.yaml");
    std::fs::write(&file, text(&fabric, &["aws-1", "aws-2"], 1, "*")).unwrap();
    let console = Console::of(&fabric);
    let file = file.to_str().unwrap();
    let words = ["topology", "apply", file, "--yes", "--settle", "15s", "--max-lost", "5%"];
    let apply = console.start(&words);
    until("the region to have it", async || {
        let newest = fabric.operator().topologies().await.ok()?.into_iter().next()?;
        (newest.number == 2 && newest.regions == ["aws"]).then_some(())
    })
    .await;
    assert_eq!(fabric.operator().at_once("*").await.unwrap(), 1, "the region has it");
    fabric.kill9("aws-x");
    fabric.kill9("aws-y");
    let ended = apply.ended().await;
    let why = "region aws: 2 of the 8 minions that were up are lost, more than 5 %";
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(format!("{}{}", ended.out, ended.err).contains(why), "{ended:?}");

    assert_eq!(history(&fabric).await, [entry(2, "rolled_back", "tester"), entry(1, "active", "config")]);
    let told = console.run(&["topology", "history"]).await;
    assert!(told.out.contains(&format!("stopped: {why}")), "{told:?}");
    assert_eq!(console.json(&["topology", "history"]).await[0]["why"], why);
    assert_eq!(fabric.operator().at_once("*").await.unwrap(), 4, "the former one holds");
    assert_eq!(fabric.operator().topology(0).await.unwrap().number, 1);

    // Nobody's job is lost by it, nor does anybody move any more.
    fabric.restart("aws-x").await;
    fabric.restart("aws-y").await;
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.counts(), [("ok", 8)].into());
    until("all minions to be below the first syndic", async || {
        let up = fabric.up().await;
        (up.len() == 8 && up.values().all(|syndic| syndic == "aws-1")).then_some(())
    })
    .await;
    fabric.check(&mut [&mut job]).await;
}
