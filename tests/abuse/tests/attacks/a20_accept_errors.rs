//! a20: what happens before there is a peer: no descriptors left, resets in the middle, hellos in crumbs.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use abuse_tests::{
    proc,
    region::{SYNDIC, ports, region, serves_on},
};
use fabric_tests::{TOP, until};
use relay_core::identity::Role;

const WAIT: Duration = Duration::from_secs(10);
/// Descriptors that are left to a process.
const LEFT: usize = 12;

#[tokio::test]
async fn a_process_without_descriptors_lives_and_takes_links_again() {
    let mut fabric = region().await;
    for (name, at) in [(TOP, fabric.listen(TOP)), (SYNDIC, fabric.listen(SYNDIC))] {
        let pid = fabric.daemon(name).pid().unwrap();
        proc::limit_descriptors(pid, proc::descriptors(pid) + LEFT);
        let before = fabric.metric(name, "relay_handshakes_refused_total", "why=\"accept\"");
        let crowd: Vec<TcpStream> = (0..4 * LEFT).map(|_| TcpStream::connect(at).unwrap()).collect();
        // Its admin address has no descriptors either, so the log says it.
        let what = format!("{name} to run out of descriptors");
        until(&what, async || fabric.log(name).contains("accept failed").then_some(())).await;
        drop(crowd);
        let after = until("figures again", async || {
            let (_, text) = fabric.daemons().find(|d| d.name() == name)?.get("/metrics").ok()?;
            Some(fabric_tests::http::metric(&text, "relay_handshakes_refused_total", "why=\"accept\""))
        });
        assert!(after.await > before, "{name}: not counted");
        proc::limit_descriptors(pid, 1_024);
    }
    serves_on(&mut fabric).await;
}

/// Closes so that the peer gets a reset instead of an end.
fn reset(stream: &TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::Linger, &linger).unwrap();
}

/// A ClientHello as rustls writes it for this fabric.
fn hello(fabric: &fabric_tests::Fabric, name: &str) -> Vec<u8> {
    let identity = fabric.pki().load("mallory", Role::Minion, "aws");
    let config = relay_runtime::tls::client(&identity).unwrap();
    let mut client = rustls::ClientConnection::new(config, name.to_owned().try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

fn begins_handshake(at: SocketAddr, pieces: impl Iterator<Item = Vec<u8>>) -> bool {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    for piece in pieces {
        if stream.write_all(&piece).is_err() {
            return false;
        }
    }
    let mut kind = [0];
    stream.read_exact(&mut kind).is_ok() && kind[0] == 22
}

#[tokio::test]
async fn resets_and_crumbs_in_the_handshake_hurt_nobody() {
    let mut fabric = region().await;
    for (port, at, who) in ports(&fabric) {
        let hello = hello(&fabric, &who.to_dns());
        for cut in (0..hello.len()).step_by(hello.len() / 40) {
            let mut stream = TcpStream::connect(at).unwrap();
            stream.write_all(&hello[..cut]).unwrap();
            reset(&stream);
        }
        // Byte by byte it is still a hello.
        assert!(begins_handshake(at, hello.iter().map(|byte| vec![*byte])), "{port}: one byte at a time");
        // One byte in each record: allowed by the letter, and a way to panic or to spin (RUSTSEC-2024-0399).
        let records = hello[5..].iter().map(|byte| vec![22, 3, 1, 0, 1, *byte]);
        let _ = begins_handshake(at, records);
        // A hello that claims 16 MiB, and never ends.
        let _ =
            begins_handshake(at, [vec![22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff], vec![0; 16_000]].into_iter());
    }
    serves_on(&mut fabric).await;
}
