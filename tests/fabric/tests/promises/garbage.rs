//! Bytes that are no protocol of ours, on every port: refused, counted, and nobody else disturbed.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use fabric_tests::{Fabric, TOP, stranger};
use relay_core::identity::Role;
use relay_proto::link;

/// How long a port may take to hang up on who says nothing sensible: twice what a handshake is given.
const HANG_UP: Duration = Duration::from_secs(10);

fn send(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(HANG_UP)).unwrap();
    // It may hang up while we still write.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("{address} kept the connection"),
        _ => assert!(answer.len() < 16 << 10, "{address} answered garbage with {} bytes", answer.len()),
    }
}

#[tokio::test]
async fn garbage_on_any_port_disturbs_nobody() {
    let fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2).start().await;
    let operators: SocketAddr = fabric.operator().address().parse().unwrap();
    let links = [(TOP, fabric.listen(TOP)), ("aws-1", fabric.listen("aws-1")), (TOP, operators)];
    let admins: Vec<SocketAddr> = fabric.daemons().map(|d| d.admin()).collect();
    let noise: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let pieces: [&[u8]; 5] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03",
        &noise,
    ];
    for bytes in pieces {
        links.iter().for_each(|(_, address)| send(*address, bytes));
        admins.iter().for_each(|address| send(*address, bytes));
    }
    for name in ["aws-1", TOP] {
        fabric.metric_reaches(name, "relay_handshakes_refused_total", "why=\"handshake\"", 4.0).await;
    }
    let mut ping = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(ping.counts(), [("ok", 2)].into());
    fabric.check(&mut [&mut ping]).await;
}

#[tokio::test]
async fn a_known_peer_that_talks_nonsense_loses_its_own_link_only() {
    let fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2).start().await;
    let name = "aws-1.syndic.aws.test.example";
    let hello = || stranger::up(link::up::Message::Hello(stranger::hello()));
    let group = link::ReturnGroup { jid: 1, outcome: 99, ..Default::default() };
    let nonsense = [
        link::up::Message::Returns(link::Returns { seq: 1, groups: vec![group] }),
        link::up::Message::Roster(link::Roster { to: 1, up: vec![1, 2, 3], ..Default::default() }),
        link::up::Message::Fragment(link::Fragment { data: vec![0xff; 64].into(), last: true }),
    ];
    // Whether the parent still says welcome before it hangs up is a matter of moments.
    for (n, message) in nonsense.into_iter().enumerate() {
        let (own, trusted) = (format!("odd-{n}"), fabric.pki().load("x", Role::Minion, "aws"));
        let shown = fabric.pki().load(&own, Role::Minion, "aws");
        let frames = [hello(), stranger::up(message)].concat();
        let _link = stranger::attach(fabric.listen("aws-1"), name, shown, &trusted, frames).await;
        let refused = n as f64 + 1.0;
        fabric.metric_reaches("aws-1", "relay_frames_refused_total", "why=\"invalid\"", refused).await;
    }
    // Another id than the certificate's is a lie, not nonsense: the link is cut, and the real minion stays.
    let entry = link::Entry { id: "aws-1-m-00".into(), incarnation: 1, up: true, ..Default::default() };
    let roster =
        link::Roster { to: 1, full: true, put: vec![entry], grains: vec!["{}".into()], ..Default::default() };
    let (shown, trusted) =
        (fabric.pki().load("liar", Role::Minion, "aws"), fabric.pki().load("x", Role::Minion, "aws"));
    let frames = [hello(), stranger::up(link::up::Message::Roster(roster))].concat();
    let _link = stranger::attach(fabric.listen("aws-1"), name, shown, &trusted, frames).await;
    fabric.metric_reaches("aws-1", "relay_link_dropped_total", "why=\"claims another id\"", 1.0).await;
    let mut ping = fabric.run("aws-1-m-*", "test.ping", &[]).await;
    assert_eq!(ping.counts(), [("ok", 2)].into());
    fabric.check(&mut [&mut ping]).await;
}
