//! The gate, at a whole top master without network.

use relay_proto::operator::operator_server::Operator as _;
use relay_proto::{access as proto, access::approvals_server::Approvals as _, operator as wire};

use super::{approvals::ApprovalsService, *};
use crate::{
    daemon::testing::{Bench, Setting},
    operator::Defaults,
};

const MINIONS: &[&str] = &["aws-1", "aws-2", "gcp-1"];

const POLICY: &str = "
version: 1
allow:
  any:
    alice: ['region:aws': [test.*, cmd.run: {args: [uptime]}], '@runner': ['schedules.*']]
    root: ['*', '@jobs', '@runner', '@wheel']
    bob: ['*', '@jobs']
    eve: ['@jobs']
deny: {any: {bob: ['gcp-1': [cmd.*]]}}
dangerous: [system.*]
approval: {wider_than: 2}
";

async fn bench_of(ids: &[&str]) -> Bench {
    let setting = Setting { policy: Some(POLICY), ..Setting::default() };
    let defaults = Defaults { delivery: 1_000, run: 1_000, ..Defaults::default() };
    Bench::with(tempfile::tempdir().unwrap(), ids, defaults, setting).await
}

async fn bench() -> Bench {
    bench_of(MINIONS).await
}

fn job(target: &str, function: &str, args: &str, n: u8) -> wire::SubmitRequest {
    wire::SubmitRequest {
        request_id: vec![n; 16],
        target: target.into(),
        function: function.into(),
        args: args.as_bytes().to_vec(),
        ..wire::SubmitRequest::default()
    }
}

fn by<T>(name: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.extensions_mut().insert(test_caller(name));
    request
}

fn code<T>(answer: &Result<T, Status>) -> Option<Code> {
    answer.as_ref().err().and_then(Code::of)
}

#[test]
fn a_job_says_who_made_it_whatever_it_came_through() {
    for (named, by) in [
        ("alice", "alice"),
        ("alice (approved by bob)", "alice"),
        ("schedule:nightly (by alice)", "alice"),
        ("schedule:alice (by bob)", "bob"),
    ] {
        assert_eq!(maker(named), by, "{named}");
    }
}

#[test]
fn arguments_are_read_as_minions_read_them() {
    let read = Arguments::read(br#"{"args":[1],"kwargs":{"a":"x","a":"y"}}"#).unwrap();
    assert_eq!(
        (read.args.len(), read.kwargs["a"].as_str()),
        (1, Some("y")),
        "the last one counts, as at the minion"
    );
    assert!(Arguments::read(b"").is_ok() && Arguments::read(b"{}").is_ok());
    for bad in [&b"{\"args\":{}}"[..], b"{\"args\":[],\"args\":[1]}", b"x", b"{\"kwargs\":[]}"] {
        assert!(Arguments::read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
    }
}

/// What is decided about a job by each way of asking for it: at once, in a batch, as a plan, as a plan's run, as a schedule, and as a run of one.
#[tokio::test]
async fn every_way_of_asking_for_a_job_is_decided_the_same() {
    let bench = bench().await;
    let service = &bench.service;
    let table = [
        ("alice", "region:aws", "test.ping", "{}", None),
        ("alice", "L@aws-1,gcp-1", "test.ping", "{}", Some(Code::Denied)),
        ("alice", "gcp-1", "test.ping", "{}", Some(Code::Denied)),
        ("alice", "aws-1", "cmd.run", r#"{"args":["uptime"]}"#, None),
        ("alice", "aws-1", "cmd.run", r#"{"args":["reboot"]}"#, Some(Code::Denied)),
        ("alice", "aws-1", "cmd.run", r#"{"args":[],"kwargs":{"cmd":"uptime"}}"#, Some(Code::Denied)),
        ("alice", "aws-1", "state.apply", "{}", Some(Code::Denied)),
        ("bob", "aws-*", "cmd.run", "{}", None),
        ("bob", "L@aws-1,gcp-1", "cmd.run", "{}", Some(Code::Denied)),
        ("eve", "aws-1", "test.ping", "{}", Some(Code::Denied)),
        ("nobody", "aws-1", "test.ping", "{}", Some(Code::Denied)),
    ];
    for (n, (name, target, function, args, expected)) in (1_u8..).zip(table) {
        let asked = |step: u8| job(target, function, args, n * 10 + step);
        let told = format!("{name} {target} {function} {args}");
        let at_once = service.submit(by(name, asked(0))).await;
        assert_eq!(code(&at_once), expected, "{told}: {at_once:?}");
        let batch = wire::Batch { wait_ms: 1, ..wire::Batch::default() };
        let batched = service.submit(by(name, wire::SubmitRequest { batch: Some(batch), ..asked(1) })).await;
        assert_eq!(code(&batched), expected, "batch: {told}");
        let plan = service.plan(by(name, asked(2))).await;
        assert_eq!(code(&plan), expected, "plan: {told}");
        // Somebody else's plan gives no right to run it.
        let plan = service.plan(by("root", asked(3))).await.unwrap().into_inner();
        let run = wire::SubmitRequest {
            request_id: vec![n * 10 + 4; 16],
            plan_id: plan.plan_id,
            ..Default::default()
        };
        assert_eq!(code(&service.submit(by(name, run)).await), expected, "a plan's run: {told}");
        let named = format!("s{n}");
        let scheduled = wire::Schedule {
            name: named.clone(),
            every_ms: 60_000,
            job: Some(asked(5)),
            ..Default::default()
        };
        let put = wire::PutScheduleRequest { schedule: Some(scheduled), replace: false };
        let may_put = if name == "alice" { expected } else { Some(Code::Denied) };
        assert_eq!(code(&service.put_schedule(by(name, put.clone())).await), may_put, "schedule: {told}");
        let put = wire::PutScheduleRequest { replace: true, ..put };
        service.put_schedule(by("root", put)).await.unwrap();
        let run = wire::RunScheduleRequest { name: named, request_id: vec![n * 10 + 6; 16] };
        let may_run = if name == "alice" { expected } else { Some(Code::Denied) };
        assert_eq!(code(&service.run_schedule(by(name, run)).await), may_run, "a schedule's run: {told}");
    }
}

#[tokio::test]
async fn who_may_not_run_a_function_learns_nothing_of_the_fleet() {
    let bench = bench().await;
    let ask = |target: &'static str, n| bench.service.submit(by("eve", job(target, "test.ping", "{}", n)));
    let (there, not_there) = (ask("aws-1", 1).await.unwrap_err(), ask("nobody*", 2).await.unwrap_err());
    assert_eq!((there.code(), there.message()), (not_there.code(), not_there.message()));
    // Who may run it hears that nobody matches.
    let nobody = bench.service.submit(by("alice", job("nobody*", "test.ping", "{}", 3))).await;
    assert_eq!(code(&nobody), Some(Code::NoMatch));
}

#[tokio::test]
async fn a_refusal_names_the_rule_and_is_in_the_audit_with_what_was_let() {
    let bench = bench().await;
    let refused = bench.service.submit(by("alice", job("*", "test.ping", "{}", 1))).await.unwrap_err();
    let told = refused.message();
    assert!(told.contains("policy.yaml:5 allows it elsewhere only") && told.contains("gcp-1"), "{told}");
    bench.service.submit(by("alice", job("aws-1", "test.ping", "{}", 2))).await.unwrap();
    let refused = bench.service.prune_jobs(by("alice", wire::PruneJobsRequest { before: 1 })).await;
    assert_eq!(code(&refused), Some(Code::Denied));
    let events = bench.reported.events();
    let seen: Vec<_> = events.iter().map(|e| (e.kind, e.who.as_str(), e.subject.as_str())).collect();
    assert_eq!(seen[..2], [(Kind::Deny, "alice", "test.ping"), (Kind::Accept, "alice", "test.ping")]);
    assert!(seen[2].0 == Kind::Job && seen[3] == (Kind::Deny, "alice", "jobs.prune"), "{seen:?}");
    assert!(
        events[0].details["not_covered"] == "1" && events[1].details["rules"] == "policy.yaml:5",
        "{events:?}"
    );
}

#[tokio::test]
async fn who_has_no_right_to_all_jobs_has_one_to_his_own() {
    let bench = bench().await;
    let service = &bench.service;
    let own = service.submit(by("alice", job("aws-1", "test.ping", "{}", 1))).await.unwrap().into_inner().jid;
    let other =
        service.submit(by("root", job("aws-1", "test.ping", "{}", 2))).await.unwrap().into_inner().jid;
    let watch = |jid| service.watch(by("alice", wire::WatchRequest { jid, after: 0 }));
    assert!(watch(own).await.is_ok());
    assert_eq!(watch(other).await.err().and_then(|e| Code::of(&e)), Some(Code::Denied));
    // Whether there is such a job is not told either.
    assert_eq!(watch(1).await.err().and_then(|e| Code::of(&e)), Some(Code::Denied));
    let listed =
        service.list_jobs(by("alice", wire::ListJobsRequest::default())).await.unwrap().into_inner().jobs;
    assert!(listed.len() == 1 && listed[0].jid == own);
    let filter = Some(wire::JobFilter { caller: "root".into(), ..Default::default() });
    let spied = service.list_jobs(by("alice", wire::ListJobsRequest { filter, ..Default::default() })).await;
    assert_eq!(code(&spied), Some(Code::Denied));
    assert_eq!(
        code(&service.cancel(by("alice", wire::CancelRequest { jid: other })).await),
        Some(Code::Denied)
    );
    assert!(service.cancel(by("alice", wire::CancelRequest { jid: own })).await.is_ok());
    assert_eq!(
        code(&service.cancel(by("nobody", wire::CancelRequest { jid: own })).await),
        Some(Code::Denied)
    );
}

#[tokio::test]
async fn nobody_is_served_whom_nobody_knows() {
    let bench = bench().await;
    let answer = bench.service.status(tonic::Request::new(wire::StatusRequest {})).await;
    assert_eq!(code(&answer), Some(Code::Unauthenticated));
}

fn approvals(bench: &Bench) -> ApprovalsService {
    ApprovalsService { operator: bench.service.clone() }
}

async fn waiting(bench: &Bench, n: u8) -> proto::Approval {
    let asked = bench.service.submit(by("root", job("*", "test.ping", "{}", n))).await;
    assert_eq!(code(&asked), Some(Code::NeedsApproval), "{asked:?}");
    let pending = proto::ListApprovalsRequest { pending: true };
    approvals(bench).list(by("bob", pending)).await.unwrap().into_inner().approvals.remove(0)
}

fn name(approval: &proto::Approval) -> proto::ApprovalName {
    proto::ApprovalName { digest: approval.digest.clone() }
}

#[tokio::test]
async fn a_wide_job_waits_for_a_second_person_and_runs_once() {
    let bench = bench().await;
    let service = approvals(&bench);
    let kept = waiting(&bench, 1).await;
    assert!(kept.caller == "root" && kept.targets == 3 && kept.state == "pending");
    assert!(kept.reason.contains("3 of 3 minions are more than the 2"), "{}", kept.reason);
    // Asked again, it is the same one.
    assert_eq!(waiting(&bench, 1).await.digest, kept.digest);
    // Not by who asked, not by who may not run it, not by a part of its name.
    for (who, digest) in [
        ("root", &kept.digest[..]),
        ("eve", &kept.digest),
        ("alice", &kept.digest),
        ("bob", &kept.digest[..12]),
    ] {
        let refused = service.approve(by(who, proto::ApprovalName { digest: digest.into() })).await;
        assert!(matches!(code(&refused), Some(Code::Denied | Code::Invalid)), "{who}: {refused:?}");
    }
    let approved = service.approve(by("bob", name(&kept))).await.unwrap().into_inner();
    assert!(approved.state == "approved" && approved.decided_by == "bob" && approved.jid != 0);
    let again = service.approve(by("bob", name(&kept))).await.unwrap().into_inner();
    assert_eq!(again.jid, approved.jid);
    // Who asked finds it by trying again, and it says who agreed.
    let tried = bench.service.submit(by("root", job("*", "test.ping", "{}", 1))).await.unwrap().into_inner();
    assert!(tried.known && tried.jid == approved.jid);
    let jobs = bench
        .service
        .list_jobs(by("root", wire::ListJobsRequest::default()))
        .await
        .unwrap()
        .into_inner()
        .jobs;
    assert!(jobs.len() == 1 && jobs[0].caller == "root (approved by bob)", "{jobs:?}");
    let kinds: Vec<_> = bench
        .reported
        .events()
        .iter()
        .filter(|e| e.kind == Kind::Approve)
        .map(|e| e.details["state"].clone())
        .collect();
    assert_eq!(kinds, ["pending", "approved"]);
}

#[tokio::test]
async fn what_is_rejected_or_moved_never_runs() {
    let bench = bench().await;
    let kept = waiting(&bench, 1).await;
    let no = proto::RejectRequest { digest: kept.digest.clone(), why: "not today".into() };
    assert_eq!(approvals(&bench).reject(by("bob", no.clone())).await.unwrap().into_inner().state, "rejected");
    assert_eq!(code(&approvals(&bench).approve(by("bob", name(&kept))).await), Some(Code::Invalid));
    let told = bench.service.submit(by("root", job("*", "test.ping", "{}", 1))).await.unwrap_err();
    assert!(told.message().contains("rejected: not today"), "{told}");
    // A target more than when it was asked for.
    let kept = waiting(&bench, 2).await;
    let moved = bench.restart_with(POLICY, &["aws-1", "aws-2", "gcp-1", "gcp-2"]).await;
    let refused = approvals(&moved).approve(by("bob", name(&kept))).await;
    assert_eq!(code(&refused), Some(Code::PlanMoved), "{refused:?}");
    assert!(refused.unwrap_err().message().contains("gcp-2"));
}

#[tokio::test]
async fn a_plan_says_that_a_second_person_is_needed() {
    let bench = bench().await;
    let plan = bench.service.plan(by("root", job("*", "test.ping", "{}", 1))).await.unwrap().into_inner();
    assert!(plan.needs_approval.contains("more than the 2"), "{}", plan.needs_approval);
    let plan =
        bench.service.plan(by("root", job("aws-1", "system.halt", "{}", 1))).await.unwrap().into_inner();
    assert!(plan.needs_approval.contains("policy.yaml:10 calls it dangerous"), "{}", plan.needs_approval);
}
