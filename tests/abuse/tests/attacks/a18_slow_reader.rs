//! a18: who asks for much and reads nothing. What waits for such a peer is bounded, and nobody else waits (Salt #69988).

use std::time::Duration;

use abuse_tests::{
    h2::{self, Wire, frame},
    proc,
    region::{Pulse, SYNDIC, identity_of, operators, region, serves_on},
};
use fabric_tests::{TOP, stranger};
use relay_core::identity::Role;
use relay_proto::{
    link::{self, up::Message},
    operator::WatchRequest,
};

/// Watchers that never read: as many as one connection may have streams, on some connections.
const CONNECTIONS: usize = 4;
const WATCHES: u32 = 30;
/// Bytes that each minion returns in each job, and how many such jobs there are.
const BODY: usize = 600_000;
const JOBS: usize = 6;
/// What all of it may cost the top master, in bytes. The bodies that were not read are over a gigabyte.
const MEMORY: u64 = 160 << 20;

/// A connection on which the peer sends nothing of a body: its streams have no window.
async fn deaf(fabric: &fabric_tests::Fabric) -> Wire {
    let shown = fabric.pki().load("mallory", Role::Operator, "core");
    let mut wire = Wire::silent(operators(fabric), &identity_of(TOP).to_dns(), &shown).await.unwrap();
    // SETTINGS_INITIAL_WINDOW_SIZE = 0.
    let settings = frame(h2::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    wire.send(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat()).await.unwrap();
    wire
}

fn watch(stream: u32, jid: u64) -> Vec<u8> {
    use prost::Message as _;
    let body = h2::message(&WatchRequest { jid, after: 0 }.encode_to_vec());
    let path = b"/relay.operator.v1.Operator/Watch";
    [
        frame(h2::HEADERS, h2::END_HEADERS, stream, &h2::call(path)),
        frame(h2::DATA, h2::END_STREAM, stream, &body),
    ]
    .concat()
}

#[tokio::test]
async fn watchers_and_links_that_never_read_cost_nobody_anything() {
    let mut fabric = region().await;
    // A minion that attaches, says that it is up, and never reads a byte of what comes.
    let (shown, trusted) =
        (fabric.pki().load("deaf", Role::Minion, "aws"), fabric.pki().load("x", Role::Minion, "aws"));
    let hello = link::Hello { incarnation: 5, ..stranger::hello() };
    let entry = link::Entry { id: "deaf".into(), incarnation: 5, up: true, ..Default::default() };
    let roster =
        link::Roster { to: 1, full: true, put: vec![entry], grains: vec!["{}".into()], ..Default::default() };
    let frames = [stranger::up(Message::Hello(hello)), stranger::up(Message::Roster(roster))].concat();
    let name = identity_of(SYNDIC).to_dns();
    let _deaf = stranger::attach(fabric.listen(SYNDIC), &name, shown, &trusted, frames).await.unwrap();

    let gated = fabric.witnessed("aws-1-m-00").await;
    fabric.started(&gated, 1).await;
    let pid = fabric.daemon(TOP).pid().unwrap();
    let before = proc::resident(pid);
    let pulse = Pulse::of(&fabric);
    let command = format!("head -c {BODY} /dev/zero | tr '\\0' x; echo");
    let mut watchers = Vec::new();
    for _ in 0..JOBS {
        let request = fabric.job("aws-1-m-*", "cmd.run").args([command.as_str()]);
        let mut job = request.submit().await.unwrap();
        let mut wire = deaf(&fabric).await;
        for stream in 0..WATCHES {
            wire.send(&watch(1 + 2 * stream, job.jid().micros())).await.unwrap();
        }
        watchers.push(wire);
        job.closed(&fabric).await;
        assert_eq!(job.counts(), [("ok", 2)].into());
        fabric.check(&mut [&mut job]).await;
    }
    for _ in 0..CONNECTIONS {
        let mut wire = deaf(&fabric).await;
        for stream in 0..WATCHES {
            wire.send(&watch(1 + 2 * stream, gated.jid().micros())).await.unwrap();
        }
        watchers.push(wire);
    }
    // Somebody who reads is told everything, beside them.
    fabric.witness().open_all();
    let mut gated = gated;
    gated.closed(&fabric).await;
    fabric.check(&mut [&mut gated]).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let grown = proc::resident(pid).saturating_sub(before);
    assert!(grown < MEMORY, "the top master grew by {} MiB for watchers that read nothing", grown >> 20);
    pulse.unbroken();
    drop(watchers);
    serves_on(&mut fabric).await;
}
