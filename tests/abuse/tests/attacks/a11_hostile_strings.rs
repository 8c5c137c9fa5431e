//! a11, a13, a34: traversal, injection and SQL in every text and every run of bytes of every call, alone and in a request that
//! is good otherwise. The calls and their fields are read from the `.proto` files: what is added is attacked, too.

use abuse_tests::{
    hostile,
    region::{channel, identity_of, insider, operators, region, serves_on},
    rpc,
    surface::{self, Method, delimited},
    trail::Trail,
};
use fabric_tests::{Fabric, TOP};
use prost::Message as _;
use relay_proto::operator::{PutScheduleRequest, Schedule, SubmitRequest};
use relay_runtime::link::Channel;
use tonic::{Code, Status};

/// A request that would be accepted, so that a text in one field gets past the checks of the others.
fn good(method: &Method) -> Vec<u8> {
    let job = SubmitRequest {
        request_id: rand::random::<[u8; 16]>().to_vec(),
        target: "*".into(),
        function: "test.ping".into(),
        args: br#"{"args":[],"kwargs":{}}"#.to_vec(),
        ..Default::default()
    };
    match method.path.rsplit('/').next().unwrap_or_default() {
        "Submit" | "Plan" => job.encode_to_vec(),
        "PutSchedule" => {
            let (name, cron) = ("abuse".into(), "0 0 1 1 *".into());
            let schedule = Schedule { name, cron, job: Some(job), ..Default::default() };
            PutScheduleRequest { schedule: Some(schedule), replace: true }.encode_to_vec()
        }
        _ => Vec::new(),
    }
}

/// A refusal that says that the server did not know what it was doing.
fn is_crash(status: &Status) -> bool {
    use Code::{Cancelled, DataLoss, DeadlineExceeded, Internal, Unknown};
    // A connection that was ended, unless it is one of ours that says so.
    let ended = status.code() == Code::Unavailable && relay_proto::Code::of(status).is_none();
    ended || matches!(status.code(), Internal | Unknown | DataLoss | Cancelled | DeadlineExceeded)
}

/// One connection for all of it: that it lives to the end is a part of what is tested.
struct Attacker {
    channel: Channel,
    told: Vec<String>,
    sent: usize,
}

impl Attacker {
    async fn new(fabric: &Fabric) -> Attacker {
        let channel = channel(operators(fabric), &identity_of(TOP), &insider(fabric, "operators")).await;
        Attacker { channel, told: Vec::new(), sent: 0 }
    }

    async fn attack(&mut self, method: &Method) {
        for field in &method.fields {
            let values = if field.is_bytes {
                hostile::bytes()
            } else {
                hostile::strings().into_iter().map(String::into_bytes).collect()
            };
            for value in values {
                // Merged into the good request: in protobuf what comes last counts.
                let request = [good(method), field.request(&value)].concat();
                self.sent += 1;
                if let Err(status) = rpc::call(&self.channel, &method.path, request).await
                    && is_crash(&status)
                {
                    let shown = String::from_utf8_lossy(&value).chars().take(40).collect::<String>();
                    self.told.push(format!("{} {} = {shown:?}: {status}", method.path, field.name));
                }
            }
            // Bytes that are no request at all, and text that is none.
            for bytes in [vec![0xff; 40], field.request(&[0xc3, 0x28]), delimited(1, &[0x08; 100])] {
                let _ = rpc::call(&self.channel, &method.path, bytes).await;
            }
        }
    }
}

#[tokio::test]
async fn no_text_in_any_field_of_any_call_is_more_than_a_text() {
    let mut fabric = region().await;
    let calls: Vec<Method> = surface::methods()
        .into_iter()
        .filter(|m| !m.takes_stream && !m.path.starts_with("/relay.link."))
        .collect();
    let mut attacker = Attacker::new(&fabric).await;
    for method in &calls {
        attacker.attack(method).await;
    }
    let Attacker { told, sent, .. } = attacker;
    println!("{sent} hostile requests to {} calls", calls.len());
    assert!(sent > 1_000, "only {sent} requests: were the fields found?");
    assert!(told.is_empty(), "not refused in words of ours: {told:#?}");
    serves_on(&mut fabric).await;
    // Whatever of it went into the audit log is text there, too, in records that are whole.
    let log = Trail::of(&fabric).is_whole();
    assert!(log.lines().all(|line| line.starts_with('{') && !line.contains(|c: char| c.is_control())));
    assert!(!log.lines().any(|line| line.starts_with(hostile::FORGED)));
    // What was accepted is shown to people, later: nothing of it may be more than text to a terminal either.
    let status = fabric.operator().jobs().await.unwrap();
    assert!(!status.is_empty());
}
