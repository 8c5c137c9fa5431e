//! Whole applies at a top master without network: what is refused, what becomes effective when. What a restart makes of one
//! that is half applied is in [`restarts`].

mod restarts;

use std::fs;

use proto::topology_progress::Event;
use relay_core::ids::Jid;
use relay_proto::{Code, operator::operator_server::Operator as _};
use relay_runtime::registry::topology::active;
use tonic::Status;

use super::{staging::Standing, *};
use crate::daemon::testing::{Bench, Setting};

const MINIONS: &[&str] = &["aws-a", "aws-b", "aws-c", "gcp-a"];

/// A fabric of two regions: aws with these syndics and this batch, and a node group `web` of these minions.
pub(super) fn file(aws_syndics: &[&str], batch: u32, web: &str) -> String {
    let syndic = |id: &&str| format!("{{id: {id}, address: \"{id}:1\"}}");
    let syndics: Vec<String> = aws_syndics.iter().map(syndic).collect();
    format!(
        "version: 1
fabric: test.example
top_masters: [{{id: top-1, address: \"top-1:1\", region: core}}]
regions:
  - name: gcp
    provider: gcp
    syndics: [{{id: gcp-1, address: \"gcp-1:1\"}}]
    minions: {{count: 1, patterns: [\"gcp-*\"]}}
  - name: aws
    provider: aws
    syndics: [{}]
    minions: {{count: 3, patterns: [\"aws-*\"]}}
    batch: {{batch: {batch}}}
node_groups: {{web: \"{web}\"}}
",
        syndics.join(", ")
    )
}

fn limits() -> Defaults {
    Defaults { delivery: 1_000, run: 1_000, ..Defaults::default() }
}

/// A top master configured with a topology, and everybody attached where he was.
async fn bench(text: &str) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    start(directory, text, MINIONS.to_vec()).await
}

async fn start(directory: tempfile::TempDir, text: &str, up: Vec<&'static str>) -> Bench {
    let file = directory.path().join("topology.yaml");
    fs::write(&file, text).unwrap();
    let setting = Setting { topology: Some(file), up, ..Setting::default() };
    Bench::with(directory, MINIONS, limits(), setting).await
}

fn request(text: &str, planned_on: u64) -> proto::ApplyTopologyRequest {
    proto::ApplyTopologyRequest { text: text.into(), planned_on, ..Default::default() }
}

type Applied = Result<watch::Receiver<Standing>, Status>;

async fn apply(bench: &Bench, request: proto::ApplyTopologyRequest) -> Applied {
    bench.service.topology.apply_as("alice".into(), request).await
}

/// What somebody who follows an apply hears.
async fn heard(standing: watch::Receiver<Standing>) -> Vec<Event> {
    let (tx, mut rx) = mpsc::channel(1);
    tokio::spawn(progress(standing, tx));
    let mut heard = Vec::new();
    while let Some(event) = rx.recv().await {
        heard.push(event.unwrap().event.unwrap());
    }
    heard
}

fn done(heard: &[Event]) -> &proto::TopologyRevision {
    match heard.last() {
        Some(Event::Done(revision)) => revision,
        other => panic!("{other:?}"),
    }
}

/// Code and text of a refusal.
pub(super) fn told<T>(result: Result<T, Status>) -> (Option<Code>, String) {
    let status = result.err().expect("accepted");
    (Code::of(&status), status.message().to_owned())
}

async fn states(bench: &Bench) -> Vec<(u64, String)> {
    let history = bench.service.topology.history(proto::TopologyHistoryRequest::default()).await.unwrap();
    history.revisions.into_iter().map(|revision| (revision.number, revision.state)).collect()
}

/// The number of targets of a job for the node group, and its jid.
async fn submit(bench: &Bench, n: u8) -> (u64, Jid) {
    let request = proto::SubmitRequest {
        request_id: vec![n; 16],
        target: "N@web".into(),
        function: "test.ping".into(),
        args: b"{}".to_vec(),
        ..Default::default()
    };
    let submitted = bench.service.submit_as("alice".into(), request).await.unwrap();
    (submitted.targets, Jid::from_micros(submitted.jid))
}

/// What region aws had for batches when a job was accepted.
async fn window(bench: &Bench, jid: Jid) -> Option<relay_core::topology::Share> {
    let look = move |owner: &Owner| {
        let rule = owner.head(jid).unwrap().batch.clone();
        rule.regions.get(&"aws".parse().unwrap()).and_then(|region| region.default_window)
    };
    bench.service.look(look).await.unwrap()
}

#[tokio::test]
async fn the_configured_file_is_the_first_revision_and_no_later_one() {
    let bench = bench(&file(&["aws-1"], 1, "aws-a")).await;
    let first = bench.service.topology.get(0).await.unwrap();
    assert_eq!((first.number, first.caller.as_str(), first.state.as_str()), (1, "config", "active"));
    assert_eq!(first.regions, ["gcp", "aws"]);
    assert!(first.text.starts_with("version: 1"));
    assert_eq!(submit(&bench, 1).await.0, 1);
    // Another file changes nothing.
    let bench = start(bench.stop().await, &file(&["aws-1"], 9, "*"), Vec::new()).await;
    assert_eq!(states(&bench).await, [(1, "active".into())]);
    assert_eq!(submit(&bench, 2).await.0, 1);
}

#[tokio::test]
async fn without_any_topology_there_is_none_until_one_is_applied() {
    let bench = Bench::new(MINIONS, limits()).await;
    assert_eq!(bench.service.topology.get(0).await.unwrap(), Default::default());
    assert_eq!(told(bench.service.topology.get(1).await).0, Some(Code::NotFound));
    assert!(bench.service.topology.effective().borrow().is_none());
    let (code, text) = told(apply(&bench, request(&file(&["aws-1"], 1, "*"), 1)).await);
    assert!(code == Some(Code::TopologyMoved) && text.contains("no revision is active"), "{text}");
    let heard = heard(apply(&bench, request(&file(&["aws-1"], 1, "aws-*"), 0)).await.unwrap()).await;
    assert_eq!(done(&heard).state, "active");
    assert_eq!(submit(&bench, 1).await.0, 3);
}

#[tokio::test]
async fn a_batch_and_a_node_group_change_under_running_jobs_which_keep_theirs() {
    use relay_core::topology::Share::Count;
    let bench = bench(&file(&["aws-1"], 1, "aws-a")).await;
    let before = submit(&bench, 1).await;
    assert_eq!((before.0, window(&bench, before.1).await), (1, Some(Count(1))));
    let mut effective = bench.service.topology.effective();
    effective.mark_unchanged();
    let heard = heard(apply(&bench, request(&file(&["aws-1"], 2, "aws-*"), 1)).await.unwrap()).await;
    let names: Vec<_> = heard
        .iter()
        .map(|event| match event {
            Event::Accepted(revision) => format!("accepted {} {}", revision.number, revision.caller),
            Event::Region(region) => format!("{} settled={}", region.name, region.settled),
            Event::Done(revision) => format!("{} {:?}", revision.state, revision.regions),
        })
        .collect();
    assert_eq!(
        names,
        ["accepted 2 alice", "gcp settled=true", "aws settled=true", "active [\"gcp\", \"aws\"]"],
        "nobody moves, so nobody is waited for"
    );
    assert!(effective.has_changed().unwrap());
    assert_eq!(effective.borrow().as_ref().unwrap().number, 2);
    let after = submit(&bench, 2).await;
    assert_eq!((after.0, window(&bench, after.1).await), (3, Some(Count(2))));
    assert_eq!(window(&bench, before.1).await, Some(Count(1)));
    assert_eq!(states(&bench).await, [(2, "active".into()), (1, "superseded".into())]);
    assert_eq!(bench.service.topology.get(1).await.unwrap().state, "superseded");
}

#[tokio::test]
async fn what_was_planned_on_another_revision_is_refused_with_who_changed_it() {
    let bench = bench(&file(&["aws-1"], 1, "*")).await;
    heard(apply(&bench, request(&file(&["aws-1"], 2, "*"), 1)).await.unwrap()).await;
    let (code, text) = told(apply(&bench, request(&file(&["aws-1"], 3, "*"), 1)).await);
    assert_eq!(code, Some(Code::TopologyMoved));
    for part in ["planned on revision 1", "revision 2 is active", "applied by alice at 20", "plan again"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(states(&bench).await.len(), 2, "nothing was kept of it");
}

#[tokio::test]
async fn a_bad_text_is_refused_with_all_that_is_wrong() {
    let bench = bench(&file(&["aws-1"], 1, "*")).await;
    let text =
        file(&["aws-1"], 1, "*").replace("provider: aws", "provider: asw").replace("count: 3", "cuont: 3");
    let (code, said) = told(apply(&bench, request(&text, 1)).await);
    assert_eq!(code, Some(Code::Invalid));
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() >= 2 && lines.iter().all(|line| line.starts_with("topology:")), "{said}");
    assert!(said.contains("\"asw\" is not known here") && said.contains("did you mean \"count\""), "{said}");
    let foreign = file(&["aws-1"], 1, "*").replace("test.example", "other.example");
    let table = [
        (request(&foreign, 1), "fabric other.example, not of test.example"),
        (request("a: [", 1), "topology:"),
        (
            proto::ApplyTopologyRequest { max_lost_percent: 101, ..request(&file(&["aws-1"], 2, "*"), 1) },
            "100 percent",
        ),
        (
            proto::ApplyTopologyRequest { settle_ms: u64::MAX, ..request(&file(&["aws-1"], 2, "*"), 1) },
            "looked at",
        ),
        (
            proto::ApplyTopologyRequest {
                author: "x".repeat(5_000),
                ..request(&file(&["aws-1"], 2, "*"), 1)
            },
            "author",
        ),
    ];
    for (request, why) in table {
        let (code, said) = told(apply(&bench, request).await);
        assert!(code == Some(Code::Invalid) && said.contains(why), "{said}");
    }
    assert_eq!(states(&bench).await, [(1, "active".into())]);
}

/// One that waits for minions which never move: aws gets other syndics.
fn slow() -> proto::ApplyTopologyRequest {
    proto::ApplyTopologyRequest { settle_ms: 600_000, ..request(&file(&["aws-8", "aws-9"], 2, "*"), 1) }
}

/// Waits until aws has the staged revision.
async fn half_applied(bench: &Bench) -> watch::Receiver<Standing> {
    let mut standing = apply(bench, slow()).await.unwrap();
    standing.wait_for(|standing| standing.regions.len() == 2).await.unwrap();
    standing
}

#[tokio::test]
async fn one_is_applied_at_a_time_and_what_is_of_no_region_comes_last() {
    let bench = bench(&file(&["aws-1"], 1, "aws-a")).await;
    let standing = half_applied(&bench).await;
    let region = standing.borrow().regions[1].clone();
    assert_eq!((region.name.as_str(), region.before, region.up, region.moving), ("aws", 3, 3, 3));
    assert!(!region.settled);
    let (code, text) = told(apply(&bench, request(&file(&["aws-1"], 3, "*"), 1)).await);
    assert!(code == Some(Code::Busy) && text.contains("revision 2"), "{text}");
    let effective = bench.service.topology.effective().borrow().clone().unwrap();
    assert_eq!((effective.number, effective.regions_done.len()), (2, 2));
    assert!(effective.topology.syndic(&"aws-9".parse().unwrap()).is_some());
    assert_eq!(submit(&bench, 1).await.0, 1, "the node group is the former one");
    assert_eq!(states(&bench).await, [(2, "staging".into()), (1, "active".into())]);
}

#[tokio::test]
async fn the_asking_client_may_go_away() {
    let bench = bench(&file(&["aws-1"], 1, "aws-a")).await;
    drop(apply(&bench, request(&file(&["aws-1"], 2, "aws-*"), 1)).await.unwrap());
    let mut effective = bench.service.topology.defaults();
    effective
        .wait_for(|d| {
            d.batches
                .regions
                .values()
                .any(|r| r.default_window == Some(relay_core::topology::Share::Count(2)))
        })
        .await
        .unwrap();
    let mut active = bench.service.topology.0.active.subscribe();
    active.wait_for(|number| *number == 2).await.unwrap();
}

#[tokio::test]
async fn the_registry_is_told_which_one_is_active() {
    let bench = bench(&file(&["aws-1"], 1, "*")).await;
    let registry = bench.service.topology.parts().registry.clone();
    let known = async |number: u64| loop {
        match active(&*registry).await.unwrap() {
            Some((there, _)) if there.number == number => return there.digest,
            _ => tokio::task::yield_now().await,
        }
    };
    let first = known(1).await;
    heard(apply(&bench, request(&file(&["aws-1"], 2, "*"), 1)).await.unwrap()).await;
    let second = known(2).await;
    assert_ne!(first, second);
    assert_eq!(second, bench.service.topology.get(2).await.unwrap().digest);
}

#[tokio::test]
async fn status_tells_who_is_missing_misplaced_and_a_stranger() {
    let text =
        file(&["aws-7"], 1, "*").replace("patterns: [\"aws-*\"]", "ids: [aws-a], patterns: [\"aws-b*\"]");
    let bench = bench(&text).await;
    let status = bench.service.topology.status().await.unwrap();
    assert_eq!(status.active.unwrap().number, 1);
    let members: Vec<_> = status
        .members
        .iter()
        .map(|m| (m.id.as_str(), m.role.as_str(), m.region.as_str(), m.expected, m.up, m.belong, m.attached))
        .collect();
    let expected = [
        ("top-1", "top-master", "core", true, true, 0, 0),
        ("aws-1", "syndic", "aws", false, true, 0, 3),
        ("aws-7", "syndic", "aws", true, false, 3, 0),
        ("gcp-1", "syndic", "gcp", true, true, 1, 1),
    ];
    assert_eq!(members, expected);
    assert_eq!((status.misplaced, status.strangers_total), (3, 1));
    assert_eq!(status.strangers, ["aws-c"]);
    assert_eq!(status.following, None);
    let (code, text) = told(bench.service.topology.follow_now(None).await);
    assert!(code == Some(Code::NotFound) && text.contains("\"follow\""), "{text}");
}

/// The minions of aws belong to aws-7, and are seen through aws-1, which is above it or not.
fn nested(parents: &str) -> String {
    file(&["aws-1", "aws-7"], 1, "*")
        .replace("\"aws-1:1\"", "\"aws-1:1\", standby: true")
        .replace("\"aws-7:1\"", &format!("\"aws-7:1\"{parents}"))
}

#[tokio::test]
async fn minions_below_a_syndic_below_a_syndic_are_where_they_belong() {
    let below = nested(", parents: [aws-1]");
    let table = [(below.as_str(), 0, (true, 3, 3)), (&nested(""), 3, (false, 3, 0))];
    for (text, misplaced, lower) in table {
        let bench = bench(text).await;
        let status = bench.service.topology.status().await.unwrap();
        let member = |id: &str| {
            let member = status.members.iter().find(|member| member.id == id).unwrap();
            (member.up, member.belong, member.attached)
        };
        assert_eq!((status.misplaced, member("aws-7")), (misplaced, lower), "{text}");
        assert_eq!(member("aws-1"), (true, 0, 3 - lower.2), "{text}");
    }
    // Applied, such a region settles: nobody is on the way.
    let bench = bench(&file(&["aws-1"], 1, "*")).await;
    let staged = proto::ApplyTopologyRequest { settle_ms: 1, ..request(&below, 1) };
    let heard = heard(apply(&bench, staged).await.unwrap()).await;
    let aws = heard.iter().find_map(|event| match event {
        Event::Region(region) if region.name == "aws" => Some((region.before, region.up, region.moving)),
        _ => None,
    });
    assert_eq!(aws, Some((3, 3, 0)));
    assert_eq!(done(&heard).state, "active");
}

#[tokio::test]
async fn a_syndic_below_one_that_is_gone_or_whose_minions_are_all_gone_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let bench = start(directory, &nested(", parents: [aws-1]"), vec!["gcp-a"]).await;
    let status = bench.service.topology.status().await.unwrap();
    let lower = status.members.iter().find(|member| member.id == "aws-7").unwrap();
    assert_eq!((lower.expected, lower.up, lower.belong, lower.attached), (true, false, 3, 0));
}

#[tokio::test]
async fn the_fabrics_status_follows_the_active_topology() {
    let bench = bench(&file(&["aws-1"], 1, "*")).await;
    let syndics = async || {
        let mut asked = tonic::Request::new(proto::StatusRequest {});
        asked.extensions_mut().insert(crate::access::test_caller("alice"));
        let status = bench.service.status(asked).await.unwrap().into_inner();
        status.syndics.into_iter().map(|syndic| syndic.id).collect::<Vec<_>>()
    };
    assert_eq!(syndics().await, ["aws-1", "gcp-1"]);
    let next = proto::ApplyTopologyRequest { settle_ms: 1, ..request(&file(&["aws-1", "aws-2"], 1, "*"), 1) };
    assert_eq!(done(&heard(apply(&bench, next).await.unwrap()).await).state, "active");
    assert_eq!(syndics().await, ["aws-1", "aws-2", "gcp-1"]);
    let next = proto::ApplyTopologyRequest { settle_ms: 1, ..request(&file(&["aws-1"], 1, "*"), 2) };
    heard(apply(&bench, next).await.unwrap()).await;
    assert_eq!(syndics().await, ["aws-1", "gcp-1"]);
}
