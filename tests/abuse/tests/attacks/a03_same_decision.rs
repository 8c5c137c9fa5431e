//! a03: whichever way somebody asks for a job, it is decided alike, and each refusal is on record (CVE-2017-5192, CVE-2020-25592,
//! CVE-2021-25281). That every call asks at all, whoever calls, is `a01_unauth_surface`'s.

use abuse_tests::{
    region::{REGION, SYNDIC, channel, identity_of, operators, serves_on},
    trail::Trail,
};
use fabric_tests::{Fabric, TOP};
use relay_core::identity::Role;
use relay_proto::{
    Code,
    operator::{
        Batch, PutScheduleRequest, RunScheduleRequest, Schedule, SubmitRequest, Subset, batch::Size,
        operator_client::OperatorClient,
    },
};
use relay_runtime::link::Channel;
use tonic::Status;

/// Mallory may ping in one region, and make schedules of what she may run.
const POLICY: &str = "version: 1\nallow:\n  certificate:\n    tester: ['*', '@jobs', '@runner', '@wheel']\n    \
                      mallory: ['aws-1-m-00': [test.ping], '@runner': ['schedules.*']]\n";

fn job(target: &str, function: &str, args: &str) -> SubmitRequest {
    SubmitRequest {
        request_id: rand::random::<[u8; 16]>().to_vec(),
        target: target.into(),
        function: function.into(),
        args: args.as_bytes().to_vec(),
        ..Default::default()
    }
}

/// Every way to ask for a job, by name.
const WAYS: [&str; 6] =
    ["at once", "in a batch", "of some", "as a plan", "as a schedule", "in place of one's own"];

async fn ask(channel: &Channel, way: &str, job: SubmitRequest) -> Result<(), Status> {
    let mut client = OperatorClient::new(channel.clone());
    let scheduled = |name: &str, replace: bool, job: SubmitRequest| {
        let job = Some(SubmitRequest { request_id: Vec::new(), ..job });
        let schedule = Schedule { name: name.into(), cron: "0 0 1 1 *".into(), job, ..Default::default() };
        PutScheduleRequest { schedule: Some(schedule), replace }
    };
    match way {
        "at once" => client.submit(job).await.map(drop),
        "in a batch" => {
            let batch = Some(Batch { size: Some(Size::All(true)), ..Default::default() });
            client.submit(SubmitRequest { batch, ..job }).await.map(drop)
        }
        "of some" => {
            let subset = Some(Subset { count: 2, ..Default::default() });
            client.submit(SubmitRequest { subset, ..job }).await.map(drop)
        }
        "as a plan" => client.plan(job).await.map(drop),
        "as a schedule" => client.put_schedule(scheduled("sneaky", true, job)).await.map(drop),
        _ => {
            let own = self::job("aws-1-m-00", "test.ping", "{}");
            client.put_schedule(scheduled("own", true, own)).await?;
            client.put_schedule(scheduled("own", true, job)).await.map(drop)
        }
    }
}

async fn as_operator(fabric: &Fabric, name: &str) -> Channel {
    let shown = fabric.pki().load(name, Role::Operator, "core");
    channel(operators(fabric), &identity_of(TOP), &shown).await
}

#[tokio::test]
async fn whichever_way_a_job_is_asked_for_it_is_decided_alike() {
    let builder = Fabric::builder().syndic(SYNDIC, REGION).minions(SYNDIC, 2).policy(POLICY);
    let mut fabric = builder.start().await;
    let trail = Trail::of(&fabric);
    let mallory = as_operator(&fabric, "mallory").await;
    for way in WAYS {
        let allowed = ask(&mallory, way, job("aws-1-m-00", "test.ping", "{}")).await;
        allowed.unwrap_or_else(|refused| panic!("{way}: what she may do: {refused}"));
    }
    let mut refusals = 0;
    for way in WAYS {
        for (target, function, args) in [
            ("aws-1-m-00", "cmd.run", r#"{"args":["echo x"]}"#),
            ("aws-1-m-01", "test.ping", "{}"),
            ("*", "test.ping", "{}"),
            ("G@id:aws-1-m-00 or *", "test.ping", "{}"),
            // Other spellings of a function that she may run, or that nobody has.
            ("aws-1-m-00", "test.ping2", "{}"),
            ("aws-1-m-00", "test.pin", "{}"),
        ] {
            let refused = ask(&mallory, way, job(target, function, args)).await;
            let refused = refused.expect_err(&format!("{way}: {function} on {target}"));
            assert_eq!(Code::of(&refused), Some(Code::Denied), "{way}: {function} on {target}: {refused}");
            refusals += 1;
        }
    }
    // One by one as far as the bounds of the log go, and the rest counted at the minute's end.
    let told = trail.shows(20.min(refusals), "deny", "mallory", &[("how", "certificate")]).await;
    for (function, target) in [("cmd.run", "aws-1-m-00"), ("test.ping", "aws-1-m-01"), ("test.ping", "*")] {
        let of = |r: &&serde_json::Value| r["subject"] == function && r["details"]["target"] == target;
        assert!(told.iter().any(|record| of(&record)), "{function} on {target} is not on record: {told:#?}");
    }
    // Somebody else's schedule is nothing that she may run or take over.
    let tester = as_operator(&fabric, "tester").await;
    ask(&tester, "as a schedule", job("*", "cmd.run", r#"{"args":["echo x"]}"#)).await.unwrap();
    let run = RunScheduleRequest { name: "sneaky".into(), request_id: vec![7; 16] };
    let refused = OperatorClient::new(mallory.clone()).run_schedule(run).await.unwrap_err();
    assert_eq!(Code::of(&refused), Some(Code::Denied), "{refused}");
    let taken = ask(&mallory, "as a schedule", job("aws-1-m-00", "test.ping", "{}")).await;
    println!("another's schedule replaced by one that she may have: {taken:?}");
    trail.is_whole();
    serves_on(&mut fabric).await;
}
