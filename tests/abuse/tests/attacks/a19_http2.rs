//! a19: floods that HTTP/2 allows by its letter: resets, continuations, settings, pings, empty data, windows, headers that grow
//! when they are read (CVE-2023-44487, RUSTSEC-2024-0003, RUSTSEC-2024-0332). Each is either cut off or held back, costs little
//! memory, and the connection's neighbours are served.

use std::{io, time::Duration};

use abuse_tests::{
    h2::{self, Wire, frame},
    proc,
    region::{Pulse, SYNDIC, ports, region, serves_on, wire},
};
use fabric_tests::TOP;

/// What a flood may cost a process, in bytes.
const MEMORY: u64 = 64 << 20;
/// A server that reads no more holds the attacker back, which is an answer, too.
const HELD: Duration = Duration::from_millis(700);
/// Bytes of a flood at most.
const FLOOD: usize = 8 << 20;

/// How a server dealt with a flood.
#[derive(Debug, PartialEq)]
enum Dealt {
    /// It hung up, with this code if it said one.
    Cut(Option<u32>),
    /// It read no more.
    HeldBack,
    /// It took everything.
    Swallowed,
}

/// Sends pieces without end until the server does something about it.
async fn flood(wire: &mut Wire, mut piece: impl FnMut(u32) -> Vec<u8>) -> Dealt {
    let (mut sent, mut n) = (0, 0);
    while sent < FLOOD {
        let mut bytes = Vec::new();
        while bytes.len() < 64 << 10 {
            bytes.extend(piece(n));
            n += 1;
        }
        sent += bytes.len();
        match tokio::time::timeout(HELD, wire.send(&bytes)).await {
            Err(_) => return Dealt::HeldBack,
            Ok(Err(_)) => return Dealt::Cut(said(wire).await),
            Ok(Ok(())) => {}
        }
    }
    match tokio::time::timeout(HELD, wire.end()).await {
        Ok(Ok(code)) => Dealt::Cut(code),
        _ => Dealt::Swallowed,
    }
}

async fn said(wire: &mut Wire) -> Option<u32> {
    tokio::time::timeout(HELD, wire.end()).await.ok()?.ok().flatten()
}

fn open(stream: u32, path: &str) -> Vec<u8> {
    frame(h2::HEADERS, h2::END_HEADERS, stream, &h2::call(path.as_bytes()))
}

/// A port as [`ports`] names it.
type Port = (&'static str, std::net::SocketAddr, relay_core::identity::Identity);

/// A piece of a flood by its number.
type Piece = Box<dyn FnMut(u32) -> Vec<u8>>;

fn floods(path: &'static str) -> Vec<(&'static str, Piece)> {
    let call = h2::call(path.as_bytes());
    let (reset, opened) = (call.clone(), call.clone());
    vec![
        (
            "rapid reset",
            Box::new(move |n| {
                let stream = 1 + 2 * n;
                let cancel = frame(h2::RST_STREAM, 0, stream, &8_u32.to_be_bytes());
                [frame(h2::HEADERS, h2::END_HEADERS, stream, &reset), cancel].concat()
            }),
        ),
        ("streams without end", Box::new(move |n| frame(h2::HEADERS, h2::END_HEADERS, 1 + 2 * n, &opened))),
        (
            "CONTINUATION",
            Box::new(move |n| match n {
                0 => frame(h2::HEADERS, 0, 1, &call),
                _ => frame(h2::CONTINUATION, 0, 1, &h2::headers(&[("x", &[b'y'; 4_000])])),
            }),
        ),
        (
            "empty CONTINUATION",
            Box::new(move |n| match n {
                0 => frame(h2::HEADERS, 0, 1, &[]),
                _ => frame(h2::CONTINUATION, 0, 1, &[]),
            }),
        ),
        ("SETTINGS", Box::new(|n| frame(h2::SETTINGS, 0, 0, &[0, 4, 0, 1, (n >> 8) as u8, n as u8]))),
        ("PING", Box::new(|n| frame(h2::PING, 0, 0, &u64::from(n).to_be_bytes()))),
        ("empty DATA", Box::new(move |n| if n == 0 { open(1, path) } else { frame(h2::DATA, 0, 1, &[]) })),
        (
            "padding in DATA",
            Box::new(move |n| if n == 0 { open(1, path) } else { frame(h2::DATA, 8, 1, &[0; 1]) }),
        ),
        ("PRIORITY", Box::new(|n| frame(2, 0, 1 + 2 * (n % 1_000_000), &[0, 0, 0, 3, 9]))),
        ("WINDOW_UPDATE", Box::new(|_| frame(h2::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()))),
        ("frames of no known kind", Box::new(|_| frame(0xbb, 0xff, 0, &[7; 100]))),
    ]
}

/// Connections that are wrong in one frame: the server says good-bye, or ends that stream.
fn breaches(path: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bomb = {
        // An entry of 4,000 bytes in the table of headers, and then 3,000 references to it: 12 MB of headers.
        let name =
            [&[0x40, 1, b'x', 0x7f][..], &abuse_tests::surface::varint(3_900 - 127), &[b'y'; 3_900]].concat();
        let block = [h2::call(path.as_bytes()), name, vec![0xbe; 3_000]].concat();
        frame(h2::HEADERS, h2::END_HEADERS, 1, &block)
    };
    let long = frame(
        h2::HEADERS,
        h2::END_HEADERS,
        1,
        &[
            h2::call(path.as_bytes()),
            h2::headers(&[("x", &[b'y'; 12_000]), ("z", &[b'y'; 3_000]), ("w", &[b'y'; 1_000])]),
        ]
        .concat(),
    );
    vec![
        ("an HPACK bomb", bomb),
        ("headers over the limit", long),
        ("a frame of 16 MiB", [&[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1][..], &vec![0; 100_000]].concat()),
        (
            "a window over its largest",
            frame(h2::WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()).repeat(2),
        ),
        ("a table of headers of 4 GiB", frame(h2::SETTINGS, 0, 0, &[0, 1, 0xff, 0xff, 0xff, 0xff])),
        ("an even stream", open(2, path)),
        ("data on no stream", frame(h2::DATA, 0, 0, b"x")),
        ("a promise of a push", frame(5, 4, 1, &[0, 0, 0, 2, 0x82])),
    ]
}

fn peak(fabric: &mut fabric_tests::Fabric, name: &str) -> u64 {
    let text = proc::status(fabric.daemon(name).pid().unwrap(), "VmHWM");
    1024 * text.split(' ').next().unwrap().parse::<u64>().unwrap()
}

/// All floods and breaches on one port: what went wrong.
async fn attack(fabric: &fabric_tests::Fabric, port: &Port, path: &'static str) -> Vec<String> {
    let mut told = Vec::new();
    for (what, piece) in floods(path) {
        let mut wire = wire(fabric, port).await;
        let dealt = flood(&mut wire, piece).await;
        println!("{}: {what}: {dealt:?}", port.0);
        // Each of these costs the server no more than the attacker, and nothing that is kept.
        let cheap =
            ["SETTINGS", "PING", "PRIORITY", "WINDOW_UPDATE", "frames of no known kind"].contains(&what);
        if dealt == Dealt::Swallowed && !cheap {
            told.push(format!("{}: {what}: {dealt:?}", port.0));
        }
    }
    for (what, bytes) in breaches(path) {
        let mut wire = wire(fabric, port).await;
        let _ = wire.send(&bytes).await;
        let served = tokio::time::timeout(HELD, wire.served(3, path.as_bytes(), b"")).await;
        println!("{}: {what}: {served:?}", port.0);
        if matches!(served, Ok(Ok(true))) {
            told.push(format!("{}: {what}: served", port.0));
        }
    }
    told
}

#[tokio::test]
async fn floods_are_cut_off_or_held_back() {
    let mut fabric = region().await;
    let pulse = Pulse::of(&fabric);
    let before = [TOP, SYNDIC].map(|name| (name, peak(&mut fabric, name)));
    let [top, operators, syndic] = ports(&fabric);
    let attach = "/relay.link.v1.Link/Attach";
    let (a, b, c) = tokio::join!(
        attack(&fabric, &top, attach),
        attack(&fabric, &operators, "/relay.operator.v1.Operator/Submit"),
        attack(&fabric, &syndic, attach),
    );
    let mut told = [a, b, c].concat();
    for (name, before) in before {
        let grown = peak(&mut fabric, name).saturating_sub(before);
        if grown > MEMORY {
            told.push(format!("{name}: {} MiB more", grown >> 20));
        }
    }
    assert!(told.is_empty(), "{told:#?}");
    pulse.unbroken();
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn a_connection_that_stands_still_is_let_go() {
    let mut fabric = region().await;
    let fabric_ref = &fabric;
    let still = |port: Port| async move {
        // It gets through TLS, and does not begin HTTP/2; or begins, and answers no ping.
        let shown = abuse_tests::region::insider(fabric_ref, port.0);
        let mut silent = Wire::silent(port.1, &port.2.to_dns(), &shown).await.unwrap();
        let mut begun = wire(fabric_ref, &port).await;
        let (first, second) = tokio::join!(gone(&mut silent), gone(&mut begun));
        assert!(first && second, "{}: kept: no HTTP/2 {first}, no answers {second}", port.0);
    };
    let [a, b, c] = ports(&fabric);
    tokio::join!(still(a), still(b), still(c));
    serves_on(&mut fabric).await;
}

/// Whether the server hangs up before anybody would notice that it had not.
async fn gone(wire: &mut Wire) -> bool {
    let hung_up = async {
        loop {
            match wire.next().await {
                Ok(None) => return true,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(45), hung_up).await.unwrap_or(false)
}
