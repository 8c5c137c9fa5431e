//! a17: bytes that are no protocol of ours, from many at once, on each port, while everybody else is served and `/healthz`
//! answers (CVE-2023-20897: each such frame took a worker of Salt's).

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use abuse_tests::region::{Pulse, ports, region, serves_on};

/// Connections at once on each port, each one again and again.
const HANDS: usize = 12;
const ROUNDS: usize = 8;
/// Connections that are opened on each port and say nothing: more than handshakes may be in flight.
const SILENT: usize = 80;
const HANG_UP: Duration = Duration::from_secs(10);

fn throw(at: SocketAddr, bytes: &[u8]) {
    let Ok(mut stream) = TcpStream::connect(at) else { return };
    let _ = stream.set_read_timeout(Some(HANG_UP));
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

#[tokio::test]
async fn garbage_by_many_hands_takes_nobody_s_place() {
    let mut fabric = region().await;
    let mut targets: Vec<SocketAddr> = ports(&fabric).iter().map(|(_, at, _)| *at).collect();
    targets.extend(fabric.daemons().map(|d| d.admin()));
    let noise: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let mut pieces = vec![
        noise.clone(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".repeat(100),
        b"\x16\x03\x01\xff\xff".repeat(1_000),
        vec![0; 20_000],
        b"GET /metrics HTTP/1.1\r\n".to_vec(),
    ];
    // Salt's own: a msgpack map that begins, and a length of 4 GiB.
    pieces.push(b"\x82\xa4head\x80\xa4body\xc6\xff\xff\xff\xff".to_vec());
    let pulse = Pulse::of(&fabric);
    let hands: Vec<_> = targets
        .iter()
        .flat_map(|at| (0..HANDS).map(move |hand| (*at, hand)))
        .map(|(at, hand)| {
            let piece = pieces[hand % pieces.len()].clone();
            thread::spawn(move || (0..ROUNDS).for_each(|_| throw(at, &piece)))
        })
        .collect();
    // Jobs run meanwhile.
    for _ in 0..3 {
        let mut ping = fabric.run("*", "test.ping", &[]).await;
        assert_eq!(ping.counts(), [("ok", 2)].into());
        fabric.check(&mut [&mut ping]).await;
    }
    hands.into_iter().for_each(|hand| hand.join().unwrap());
    pulse.unbroken();
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn connections_that_say_nothing_are_closed_and_let_others_in() {
    let mut fabric = region().await;
    // On the admin addresses a few dozen fill the places for as long as a head may take; nobody but this machine can do that.
    let at: Vec<SocketAddr> = ports(&fabric).iter().map(|(_, at, _)| *at).collect();
    let mut silent: Vec<TcpStream> =
        at.iter().flat_map(|at| (0..SILENT).map(|_| TcpStream::connect(*at).unwrap())).collect();
    let pulse = Pulse::of(&fabric);
    // Newcomers wait in the backlog, and then are let in: each call is a new connection.
    let mut ping = fabric.run("*", "test.ping", &[]).await;
    assert_eq!(ping.counts(), [("ok", 2)].into());
    fabric.check(&mut [&mut ping]).await;
    for stream in &mut silent {
        stream.set_read_timeout(Some(2 * HANG_UP)).unwrap();
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        assert!(
            !matches!(&end, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock),
            "kept open: {stream:?}"
        );
    }
    pulse.unbroken();
    serves_on(&mut fabric).await;
}
