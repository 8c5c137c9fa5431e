//! What operators do is in the log, or is not done.

use relay_core::{
    access::{Caller, How},
    ids::Jid,
};
use relay_proto::{
    Code,
    operator::{self as wire, operator_server::Operator as _},
};

use super::*;
use crate::{
    access::Access,
    daemon::testing::Bench,
    operator::{Defaults, OperatorService},
};

fn asked<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let caller = Caller::new("alice", [], How::Certificate).unwrap();
    request.extensions_mut().insert(Arc::new(caller));
    request
}

/// What becomes of each is another matter: there are no such things here.
#[tokio::test]
async fn what_an_operator_changes_is_recorded_before_it_is_done() {
    let bench = Bench::new(&["aws-a"], Defaults::default()).await;
    let service = &bench.service;
    let jid = Jid::from_micros(1_795_246_616_000_000);
    let _ = service.cancel(asked(wire::CancelRequest { jid: jid.micros() })).await;
    let _ = service.approve(asked(wire::ApproveRequest { jid: jid.micros() })).await;
    let _ = service.prune_jobs(asked(wire::PruneJobsRequest { before: 7 })).await;
    let name = || "nightly".to_owned();
    let _ = service.put_schedule(asked(wire::PutScheduleRequest::default())).await;
    let _ = service.pause_schedule(asked(wire::PauseScheduleRequest { name: name(), paused: true })).await;
    let _ = service.remove_schedule(asked(wire::ScheduleName { name: name() })).await;
    let _ = service.apply_topology(asked(wire::ApplyTopologyRequest::default())).await;
    let _ = service.follow_now(asked(wire::FollowNowRequest { apply: true })).await;
    let seen: Vec<(Kind, String, String)> = bench
        .reported
        .events()
        .into_iter()
        .filter_map(|event| Some((event.kind, event.subject.clone(), event.details.get("verb")?.clone())))
        .collect();
    let expected = [
        (Kind::Job, jid.to_string(), "jobs.cancel"),
        (Kind::Job, jid.to_string(), "jobs.continue"),
        (Kind::Job, "7".into(), "jobs.prune"),
        (Kind::Schedule, String::new(), "schedules.put"),
        (Kind::Schedule, name(), "schedules.pause"),
        (Kind::Schedule, name(), "schedules.remove"),
        (Kind::Topology, "planned on 0".into(), "topology.apply"),
        (Kind::Topology, "what is pending in the repository".into(), "topology.apply"),
    ];
    assert_eq!(seen, expected.map(|(kind, subject, verb)| (kind, subject, verb.to_owned())));
    let events = bench.reported.events();
    assert_eq!(events.len(), seen.len(), "one record each: {events:#?}");
    assert!(events.iter().all(|event| event.who == "alice" && event.how == "certificate"));
    assert!(events.iter().all(|event| event.details.contains_key("decision")), "{events:#?}");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let house = House::new().await;
    let closed = house.open().await.unwrap();
    let bench = Bench::new(&["aws-a"], Defaults::default()).await;
    let access = Access::new(bench.service.access.policies().clone(), closed);
    let service = OperatorService { access, ..bench.service.clone() };
    let job = wire::SubmitRequest {
        request_id: vec![1; 16],
        target: "*".into(),
        function: "test.ping".into(),
        ..wire::SubmitRequest::default()
    };
    let refused = service.submit(asked(job)).await.unwrap_err();
    assert_eq!(Code::of(&refused), Some(Code::Store), "{refused}");
    let refused = service.cancel(asked(wire::CancelRequest { jid: 1 })).await.unwrap_err();
    assert!(refused.message().contains("audit log"), "{refused}");
    let jobs = bench.service.list_jobs(asked(wire::ListJobsRequest::default())).await.unwrap();
    assert_eq!(jobs.into_inner().jobs, []);
}
