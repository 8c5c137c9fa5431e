//! a05: a body that says it is somebody else than the certificate. Who speaks is known from the handshake; what a message
//! says of that is compared with it, or not looked at (CVE-2013-4439, CVE-2024-38822).

use abuse_tests::{
    region::{REGION, SYNDIC, identity_of, region, serves_on},
    trail::Trail,
};
use bytes::Bytes;
use fabric_tests::{Fabric, TOP, stranger, until};
use relay_core::{Members, identity::Role};
use relay_proto::{
    convert::members_out,
    link::{self, up::Message},
    operator::{ListJobsRequest, PutScheduleRequest, Schedule, SubmitRequest},
};
use relay_runtime::link::frame::Frame;
use tonic::Streaming;

/// A minion of the region that is real by its key and bad by what it says.
async fn mallory(fabric: &Fabric, id: &str, messages: Vec<Message>) -> Streaming<Bytes> {
    attach(fabric, SYNDIC, (id, Role::Minion), messages).await
}

async fn attach(
    fabric: &Fabric,
    parent: &str,
    (id, role): (&str, Role),
    messages: Vec<Message>,
) -> Streaming<Bytes> {
    let shown = fabric.pki().load(id, role, REGION);
    let trusted = fabric.pki().load("x", Role::Minion, REGION);
    let hello = link::Hello { incarnation: INCARNATION, ..stranger::hello() };
    let frames: Vec<Frame> =
        [Message::Hello(hello)].into_iter().chain(messages).flat_map(stranger::up).collect();
    let name = identity_of(parent).to_dns();
    stranger::attach(fabric.listen(parent), &name, shown, &trusted, frames).await.expect("a link")
}

const INCARNATION: u64 = 7_777;

fn entry(id: &str, no: u32, incarnation: u64) -> link::Entry {
    link::Entry { no, id: id.into(), incarnation, up: true, ..Default::default() }
}

fn roster(put: Vec<link::Entry>) -> Message {
    Message::Roster(link::Roster { to: 1, full: true, put, grains: vec!["{}".into()], ..Default::default() })
}

fn ok(jid: u64, seq: u64, members: Vec<u8>) -> Message {
    let outcome = link::Outcome::Ok.into();
    let group = link::ReturnGroup { jid, outcome, body: "\"forged\"".into(), members, ..Default::default() };
    Message::Returns(link::Returns { seq, groups: vec![group] })
}

#[tokio::test]
async fn a_minion_answers_for_itself_only() {
    let mut fabric = region().await;
    let mut job = fabric.witnessed("aws-1-m-*").await;
    fabric.started(&job, 2).await;
    let jid = job.jid().micros();
    // It names another minion in its roster, or itself under another's journal: cut.
    for (n, (id, lie)) in [
        ("mallory-0", entry("aws-1-m-00", 0, INCARNATION)),
        ("mallory-1", entry("mallory-1", 0, INCARNATION + 1)),
        ("mallory-2", entry("AWS-1-m-00", 0, INCARNATION)),
    ]
    .into_iter()
    .enumerate()
    {
        let _link = mallory(&fabric, id, vec![roster(vec![lie])]).await;
        fabric
            .metric_reaches(SYNDIC, "relay_link_dropped_total", "why=\"claims another id\"", n as f64 + 1.0)
            .await;
    }
    // It answers a job that was not sent to it, as itself and by numbers that are others', and says that they run it.
    let others = members_out(&Members::from_iter(0..8));
    let running = link::Heartbeat { running: vec![link::Running { jid, members: others.clone() }] };
    let own = roster(vec![entry("mallory-3", 0, INCARNATION)]);
    let lies = vec![own.clone(), Message::Heartbeat(running), ok(jid, 1, Vec::new()), ok(jid, 2, others)];
    let _link = mallory(&fabric, "mallory-3", lies).await;
    // It says so for a job that never was, too.
    let _other = mallory(
        &fabric,
        "mallory-4",
        vec![roster(vec![entry("mallory-4", 0, INCARNATION)]), ok(5, 1, Vec::new())],
    )
    .await;
    until("both to be seen", async || {
        let up = fabric.up().await;
        (up.contains_key("mallory-3") && up.contains_key("mallory-4")).then_some(())
    })
    .await;
    assert!(job.slots().is_empty());
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert_eq!(job.slots().len(), 2, "only targets answer: {:?}", job.slots());
    for id in ["aws-1-m-00", "aws-1-m-01"] {
        assert_eq!(
            job.value(id)["stdout"].as_str().or(job.value(id).as_str()).map(|t| t.contains("done by")),
            Some(true)
        );
    }
    let jobs = fabric.operator().jobs().await.unwrap();
    assert!(jobs.iter().all(|head| head.jid != 5), "a job that never was");
    fabric.check(&mut [&mut job]).await;
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn a_syndic_speaks_for_its_region_only() {
    let builder = Fabric::builder().syndic(SYNDIC, REGION).syndic("azure-1", "azure");
    let mut fabric = builder.minion(SYNDIC, "near").minion("azure-1", "far").start().await;
    let mut job = fabric.witnessed("far").await;
    fabric.started(&job, 1).await;
    let lies = vec![
        roster(vec![entry("far", 0, INCARNATION)]),
        ok(job.jid().micros(), 1, Vec::new()),
        ok(job.jid().micros(), 2, members_out(&Members::from_iter(0..4))),
    ];
    let _link = attach(&fabric, TOP, ("evil", Role::Syndic), lies).await;
    fabric.metric_reaches(TOP, "relay_frames_refused_total", "why=\"foreign_minion\"", 1.0).await;
    let trail = Trail::of(&fabric);
    let foreign = [("how", "syndic"), ("subject", "far"), ("why", "a minion of another region")];
    trail.shows(1, "deny", "evil", &foreign).await;
    assert_eq!(fabric.up().await["far"], "azure-1");
    fabric.witness().open_all();
    job.closed(&fabric).await;
    assert!(job.value("far").to_string().contains("done by far"), "{:?}", job.slots());
    fabric.check(&mut [&mut job]).await;
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn an_operator_signs_as_itself_only() {
    let mut fabric = region().await;
    let (at, who) = (abuse_tests::region::operators(&fabric), identity_of(TOP));
    let channel =
        abuse_tests::region::channel(at, &who, &fabric.pki().load("tester", Role::Operator, "core")).await;
    let mut client = relay_proto::operator::operator_client::OperatorClient::new(channel);
    let job = SubmitRequest {
        target: "*".into(),
        function: "test.ping".into(),
        args: br#"{"args":[],"kwargs":{}}"#.to_vec(),
        ..Default::default()
    };
    let schedule = Schedule {
        name: "abuse".into(),
        cron: "0 0 1 1 *".into(),
        job: Some(job),
        caller: "root".into(),
        last_jid: 5,
        ..Default::default()
    };
    let request = PutScheduleRequest { schedule: Some(schedule), replace: false };
    let kept = client.put_schedule(request).await.unwrap().into_inner();
    assert_eq!((kept.caller.as_str(), kept.last_jid), ("tester", 0), "a schedule in another's name");
    // Nor by metadata, which a proxy in front might have written.
    let mut request = tonic::Request::new(SubmitRequest {
        request_id: vec![9; 16],
        target: "*".into(),
        function: "test.ping".into(),
        args: br#"{"args":[],"kwargs":{}}"#.to_vec(),
        ..Default::default()
    });
    for name in ["caller", "user", "x-forwarded-user", "x-remote-user", "relay-caller"] {
        request.metadata_mut().insert(name, "root".parse().unwrap());
    }
    client.submit(request).await.unwrap();
    let jobs = client.list_jobs(ListJobsRequest::default()).await.unwrap().into_inner().jobs;
    assert!(!jobs.is_empty() && jobs.iter().all(|head| head.caller == "tester"), "{jobs:?}");
    let trail = Trail::of(&fabric);
    trail.shows(1, "job", "tester", &[("function", "test.ping"), ("state", "accepted")]).await;
    trail.shows(1, "schedule", "tester", &[("subject", "abuse")]).await;
    trail.never_names("root");
    serves_on(&mut fabric).await;
}
