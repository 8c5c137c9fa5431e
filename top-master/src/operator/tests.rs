//! What operators are told, by a whole top master without network.

use relay_core::{batch::RegionBatch, owner::Batches, topology::Share};
use tokio_stream::StreamExt as _;

use super::*;
use crate::daemon::testing::Bench;

const MINIONS: &[&str] = &["aws-a", "aws-b", "aws-c", "gcp-a"];

fn request(target: &str, n: u8) -> wire::SubmitRequest {
    wire::SubmitRequest {
        request_id: vec![n; 16],
        target: target.into(),
        function: "test.ping".into(),
        args: b"{}".to_vec(),
        ..wire::SubmitRequest::default()
    }
}

fn run_plan(plan_id: Vec<u8>, n: u8) -> wire::SubmitRequest {
    wire::SubmitRequest { request_id: vec![n; 16], plan_id, ..wire::SubmitRequest::default() }
}

fn limits() -> Defaults {
    Defaults { delivery: 1_000, run: 1_000, ..Defaults::default() }
}

async fn bench() -> Bench {
    let groups = [("web".to_owned(), "aws-*".to_owned())].into();
    Bench::new(MINIONS, Defaults { groups: NodeGroups::new(&groups).unwrap(), ..limits() }).await
}

async fn submit(bench: &Bench, request: wire::SubmitRequest) -> Result<wire::Submitted, Status> {
    bench.service.submit_as("alice".into(), request).await
}

/// Code and text of a refusal.
fn told<T: std::fmt::Debug>(result: Result<T, Status>) -> (Option<Code>, String) {
    let status = result.expect_err("accepted");
    (Code::of(&status), status.message().to_owned())
}

#[tokio::test]
async fn node_groups_are_expanded_and_the_list_keeps_what_was_written() {
    let bench = bench().await;
    let submitted = submit(&bench, request("N@web and not aws-c", 1)).await.unwrap();
    assert_eq!(submitted.targets, 2);
    let list = bench.service.job_list(wire::ListJobsRequest::default()).await.unwrap();
    assert_eq!(list.jobs[0].target, "N@web and not aws-c");
    let (code, text) = told(submit(&bench, request("N@wbe", 2)).await);
    assert!(code == Some(Code::Invalid) && text.contains("wbe") && text.contains("web"), "{text}");
}

#[tokio::test]
async fn a_retry_is_the_same_job_and_any_other_field_makes_another_request() {
    let bench = bench().await;
    let base = request("*", 1);
    let first = submit(&bench, base.clone()).await.unwrap();
    let again = submit(&bench, base.clone()).await.unwrap();
    assert!(again.known && again.jid == first.jid);
    let batch = wire::Batch { wait_ms: 5, ..wire::Batch::default() };
    let others = [
        wire::SubmitRequest { batch: Some(batch), ..base.clone() },
        wire::SubmitRequest { subset: Some(wire::Subset { count: 2, seed: 7 }), ..base.clone() },
        wire::SubmitRequest { confirmed_targets: 4, ..base.clone() },
        wire::SubmitRequest { run_timeout_ms: 4, ..base.clone() },
    ];
    for other in others {
        assert_eq!(told(submit(&bench, other.clone()).await).0, Some(Code::RequestReused), "{other:?}");
    }
    let other = bench.service.submit_as("bob".into(), base).await;
    assert_eq!(told(other).0, Some(Code::RequestReused));
}

#[tokio::test]
async fn a_retry_is_the_same_job_also_where_it_would_be_refused_by_now() {
    let bench = bench().await;
    let plan = bench.service.make_plan("alice".into(), request("aws-*", 0)).await.unwrap();
    let requests =
        [run_plan(plan.plan_id, 1), request("aws-c", 2), request("L@aws-c", 3), request("N@web", 4)];
    let mut accepted = Vec::new();
    for request in &requests {
        accepted.push(submit(&bench, request.clone()).await.unwrap());
    }
    // Nobody has the name aws-c any more, aws-d is new, and the node group is gone.
    let mut bench = bench.restart(&["aws-a", "aws-b", "aws-x", "gcp-a", "aws-d"]).await;
    bench.service.defaults = tokio::sync::watch::channel(Arc::new(limits())).1;
    let codes = [Code::PlanMoved, Code::NoMatch, Code::Invalid, Code::Invalid];
    for ((request, first), code) in requests.into_iter().zip(accepted).zip(codes) {
        let again = submit(&bench, request.clone()).await.unwrap();
        assert_eq!(again, wire::Submitted { known: true, ..first });
        // Somebody else's, and a new one, are as they are.
        let other = wire::SubmitRequest { request_id: vec![9; 16], ..request.clone() };
        assert_eq!(told(submit(&bench, other).await).0, Some(code), "{request:?}");
        let others = bench.service.submit_as("bob".into(), request).await;
        assert_eq!(told(others).0, Some(code));
    }
}

#[tokio::test]
async fn nonsense_is_refused() {
    let bench = bench().await;
    let with = |change: fn(&mut wire::SubmitRequest)| {
        let mut request = request("*", 1);
        change(&mut request);
        request
    };
    let table = [
        (with(|r| r.request_id = vec![1]), "1 bytes, not 16"),
        (with(|r| r.function.clear()), "no function name"),
        (with(|r| r.delivery_timeout_ms = u64::MAX), "over the limit"),
        (with(|r| r.subset = Some(wire::Subset { count: 0, seed: 1 })), "subset: 0"),
        (with(|r| r.batch = Some(wire::Batch { queue_ms: 86_400_001, ..Default::default() })), "queue"),
        (
            with(|r| {
                let region_rules = vec![wire::RegionBatch::default()];
                r.batch = Some(wire::Batch { region_rules, ..Default::default() });
            }),
            "is in the topology",
        ),
        (with(|r| r.plan_id = vec![1; 32]), "leave them out"),
        (run_plan(vec![1; 31], 1), "31 bytes, not 32"),
    ];
    for (request, why) in table {
        let (code, text) = told(submit(&bench, request).await);
        assert!(code == Some(Code::Invalid) && text.contains(why), "{why}: {text}");
    }
    assert_eq!(told(submit(&bench, run_plan(vec![1; 32], 1)).await).0, Some(Code::NotFound));
    let queued = with(|r| r.batch = Some(wire::Batch { queue_ms: 86_400_000, ..Default::default() }));
    submit(&bench, queued).await.unwrap();
}

#[tokio::test]
async fn what_is_not_there_and_what_has_ended_are_told_apart() {
    let bench = bench().await;
    let nobody = Jid::from_micros(7);
    let (code, text) = told(bench.service.cancel_job(nobody).await);
    assert!(code == Some(Code::NoSuchJob) && text.contains("there is no job"), "{text}");
    let jid = Jid::from_micros(submit(&bench, request("*", 1)).await.unwrap().jid);
    assert!(told(bench.service.approve_job(jid).await).1.contains("does not wait for an approval"));
    let mut held = bench.service.outstanding_of(jid).await.unwrap().into_inner();
    let page = held.next().await.unwrap().unwrap().minions;
    let shown: Vec<_> =
        page.iter().map(|m| (m.id.as_str(), m.syndic.as_str(), m.held.as_str(), m.up)).collect();
    assert_eq!(shown[3], ("gcp-a", "gcp-1", "offline", false));
    assert_eq!(shown.len(), 4);

    assert_eq!(bench.service.cancel_job(jid).await.unwrap().outstanding, 4);
    let mut request = Request::new(wire::WatchRequest { jid: jid.micros(), after: 0 });
    request.extensions_mut().insert(crate::access::test_caller("alice"));
    let mut events = bench.service.watch(request).await;
    let events = events.as_mut().unwrap().get_mut();
    while events.next().await.is_some_and(|event| event.is_ok()) {}
    let (code, text) = told(bench.service.cancel_job(jid).await);
    assert!(code == Some(Code::NoSuchJob) && text.contains("has ended already"), "{text}");
    assert!(told(bench.service.approve_job(jid).await).1.contains("has ended already"));
    assert!(bench.service.outstanding_of(jid).await.unwrap().into_inner().next().await.is_none());
    assert_eq!(told(bench.service.outstanding_of(nobody).await.map(|_| ())).0, Some(Code::NoSuchJob));
}

#[tokio::test]
async fn a_plan_runs_as_it_was_shown_or_not_at_all() {
    let bench = bench().await;
    let window = relay_proto::batch::share(Share::Count(2));
    let batch = wire::Batch { size: Some(wire::batch::Size::Window(window)), ..wire::Batch::default() };
    let asked = wire::SubmitRequest { request_id: Vec::new(), batch: Some(batch), ..request("aws-*", 0) };
    let plan = bench.service.make_plan("alice".into(), asked.clone()).await.unwrap();
    assert_eq!(plan.minions, ["aws-a", "aws-b", "aws-c"]);
    assert_eq!((plan.targets, plan.down.len(), plan.estimated_ms), (3, 3, 0));
    assert_eq!((plan.syndics.len(), plan.syndics[0].targets, plan.syndics[0].up), (1, 3, 0));
    assert_eq!(plan.stages, [wire::PlanStage { upto: 3, at_once: 2, approve: false }]);
    let same = bench.service.make_plan("bob".into(), asked).await.unwrap();
    assert_eq!(same.plan_id, plan.plan_id);

    let bench = bench.restart(MINIONS).await;
    let ran = submit(&bench, run_plan(plan.plan_id.clone(), 1)).await.unwrap();
    assert_eq!(ran.targets, 3);
    let list = bench.service.job_list(wire::ListJobsRequest::default()).await.unwrap();
    assert_eq!((list.jobs[0].target.as_str(), list.jobs[0].batch.is_some()), ("aws-*", true));

    let bench = bench.restart(&["aws-a", "aws-b", "aws-c", "gcp-a", "aws-d"]).await;
    let (code, text) = told(submit(&bench, run_plan(plan.plan_id, 2)).await);
    assert!(code == Some(Code::PlanMoved) && text.contains("1 new (aws-d)"), "{text}");
}

#[tokio::test]
async fn a_plan_of_a_wide_job_is_shown_and_its_run_has_to_be_confirmed() {
    let batches = Batches { unbatched_limit: Some(Share::Count(2)), ..Batches::default() };
    let bench = Bench::new(MINIONS, Defaults { batches, ..limits() }).await;
    assert_eq!(told(submit(&bench, request("*", 1)).await).0, Some(Code::TooWide));
    let plan = bench.service.make_plan("alice".into(), request("*", 1)).await.unwrap();
    assert_eq!(told(submit(&bench, run_plan(plan.plan_id.clone(), 2)).await).0, Some(Code::TooWide));
    let confirmed = wire::SubmitRequest { confirmed_targets: 4, ..run_plan(plan.plan_id, 3) };
    assert_eq!(submit(&bench, confirmed).await.unwrap().targets, 4);
}

#[tokio::test]
async fn a_plan_moves_when_a_regions_batch_changes() {
    let mut bench = Bench::new(MINIONS, limits()).await;
    let plan = bench.service.make_plan("alice".into(), request("*", 1)).await.unwrap();
    let cap = RegionBatch { cap: Some(Share::Count(1)), ..RegionBatch::default() };
    let regions = [("aws".parse().unwrap(), cap)].into();
    let defaults = Defaults { batches: Batches { regions, ..Batches::default() }, ..limits() };
    bench.service.defaults = tokio::sync::watch::channel(Arc::new(defaults)).1;
    assert_eq!(told(submit(&bench, run_plan(plan.plan_id, 1)).await).0, Some(Code::PlanMoved));
}

#[tokio::test]
async fn jobs_are_listed_counted_and_pruned() {
    let bench = bench().await;
    let jid = submit(&bench, request("aws-a", 1)).await.unwrap().jid;
    submit(&bench, wire::SubmitRequest { function: "cmd.run".into(), ..request("gcp-*", 2) }).await.unwrap();
    let list = async |filter: wire::JobFilter| {
        let request = wire::ListJobsRequest { filter: Some(filter), ..wire::ListJobsRequest::default() };
        bench.service.job_list(request).await.map(|list| list.jobs.len())
    };
    let filter = wire::JobFilter { state: "open".into(), function: "test.*".into(), ..Default::default() };
    assert_eq!(list(filter).await.unwrap(), 1);
    assert_eq!(list(wire::JobFilter { target: "gcp".into(), ..Default::default() }).await.unwrap(), 1);
    assert!(list(wire::JobFilter { state: "opened".into(), ..Default::default() }).await.is_err());
    bench.service.cancel_job(Jid::from_micros(jid)).await.unwrap();
    let stats = bench.service.stats(wire::JobFilter::default()).await.unwrap();
    let functions: Vec<_> =
        stats.functions.iter().map(|f| (f.function.as_str(), f.jobs, f.targets)).collect();
    assert_eq!(functions, [("cmd.run", 1, 1), ("test.ping", 1, 1)]);
    assert!(bench.service.prune(wire::PruneJobsRequest { before: u64::MAX }).await.is_err());
    assert_eq!(bench.service.prune(wire::PruneJobsRequest { before: 1 }).await.unwrap().jobs, 0);
}
