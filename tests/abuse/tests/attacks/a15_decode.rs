//! a15, a21: messages that are small on the wire and large, deep or endless once they are read.

use std::time::Duration;

use abuse_tests::{
    h2::{self, Wire, frame, headers},
    proc,
    region::{Pulse, SYNDIC, identity_of, insider, operators, ports, region, serves_on, wire},
    rpc,
    surface::{delimited, varint},
};
use fabric_tests::{Fabric, TOP, stranger};
use relay_core::{Members, identity::Role};
use relay_proto::{
    convert::members_out,
    link::{self, up::Message},
};
use relay_runtime::link::frame::{Encoded, Frame};
use tonic::Code;

/// What an attack may cost a process at most, in bytes: far above what a message may have, far below what it claims.
const MEMORY: u64 = 96 << 20;

/// A parent that hangs up does so by then; one that took it all has done with it.
const HANGS_UP: Duration = Duration::from_millis(200);

fn peak(fabric: &mut Fabric, name: &str) -> u64 {
    let pid = fabric.daemon(name).pid().unwrap();
    let text = proc::status(pid, "VmHWM");
    1024 * text.split(' ').next().unwrap().parse::<u64>().unwrap()
}

/// Says these messages to a parent as a peer with a good certificate, and waits until the parent hangs up or a while is over.
async fn say(fabric: &Fabric, parent: &str, n: usize, messages: Vec<Vec<Frame>>) {
    let (role, id) = match parent {
        TOP => (Role::Syndic, format!("bomb-{n}")),
        _ => (Role::Minion, format!("bomb-{n}")),
    };
    let shown = fabric.pki().load(&id, role, "aws");
    let trusted = fabric.pki().load("x", Role::Minion, "aws");
    let hello = link::Hello { incarnation: 1 + n as u64, ..stranger::hello() };
    let frames = [stranger::up(Message::Hello(hello))].into_iter().chain(messages).flatten().collect();
    let name = identity_of(parent).to_dns();
    let Ok(mut link) = stranger::attach(fabric.listen(parent), &name, shown, &trusted, frames).await else {
        return;
    };
    let ends = async { while let Ok(Some(_)) = link.message().await {} };
    let _ = tokio::time::timeout(HANGS_UP, ends).await;
}

/// A roaring bitmap of runs: so many containers, each one whole run of 65,536 numbers. Ten bytes each on the wire.
fn runs(containers: u32) -> Vec<u8> {
    let mut out = (12_347 | (containers - 1) << 16).to_le_bytes().to_vec();
    out.extend(vec![0xff; containers.div_ceil(8) as usize]);
    for key in 0..containers {
        out.extend((key as u16).to_le_bytes());
        out.extend(0xffff_u16.to_le_bytes());
    }
    if containers >= 4 {
        out.extend(vec![0; 4 * containers as usize]);
    }
    for _ in 0..containers {
        out.extend([1, 0, 0, 0, 0xff, 0xff]);
    }
    out
}

fn returns(groups: Vec<link::ReturnGroup>) -> Vec<Frame> {
    stranger::up(Message::Returns(link::Returns { seq: 1, groups }))
}

fn own_roster(n: usize, grains: String) -> Vec<Frame> {
    let entry =
        link::Entry { id: format!("bomb-{n}"), incarnation: 1 + n as u64, up: true, ..Default::default() };
    let put = vec![entry];
    stranger::up(Message::Roster(link::Roster {
        to: 1,
        full: true,
        put,
        grains: vec![grains],
        ..Default::default()
    }))
}

/// Messages, each in frames, that a peer says after its hello.
fn bombs(n: usize, whole: u32) -> Vec<(&'static str, Vec<Vec<Frame>>)> {
    let group = |members: Vec<u8>| link::ReturnGroup {
        jid: 1,
        outcome: link::Outcome::Ok.into(),
        members,
        ..Default::default()
    };
    let set = |up: Vec<u8>| {
        stranger::up(Message::Roster(link::Roster { from: 1, to: 2, up, ..Default::default() }))
    };
    let many = vec![group(runs(3)); 30_000];
    let whole_body = link::ReturnGroup { body: vec![b'1'; 64 << 10].into(), ..group(Vec::new()) };
    let same_body = link::ReturnGroup { same_body: 1, ..group(Vec::new()) };
    let same = [vec![whole_body], vec![same_body; 30_000]].concat();
    let entries = |count: u32| {
        (0..count)
            .map(|no| link::Entry {
                no,
                id: format!("flood-{n}-{no}"),
                incarnation: 1,
                up: true,
                ..Default::default()
            })
            .collect::<Vec<_>>()
    };
    let roster = |put: Vec<link::Entry>, grains: Vec<String>| {
        stranger::up(Message::Roster(link::Roster { to: 1, full: true, put, grains, ..Default::default() }))
    };
    let fragment = |size: usize| {
        stranger::up(Message::Fragment(link::Fragment { data: vec![8; size].into(), last: false }))
    };
    vec![
        ("a bitmap of 4 billion numbers", vec![set(runs(65_536))]),
        ("a bitmap of all numbers up to the limit", vec![own_roster(n, "{}".into()), set(runs(3))]),
        (
            "a bitmap that promises more than it has",
            vec![set([&12_346_u32.to_le_bytes()[..], &u32::MAX.to_le_bytes()].concat())],
        ),
        ("a bitmap whose containers are not in order", vec![set(runs(2).into_iter().rev().collect())]),
        ("30,000 groups of 200,000 numbers each", vec![own_roster(n, "{}".into()), returns(many)]),
        ("a body of 64 KiB, and its number 30,000 times", vec![own_roster(n, "{}".into()), returns(same)]),
        (
            "a heartbeat of 60,000 jobs",
            vec![stranger::up(Message::Heartbeat(link::Heartbeat {
                running: (0..60_000).map(|jid| link::Running { jid, members: runs(3) }).collect(),
            }))],
        ),
        ("a roster of all numbers", vec![roster(entries(whole), vec!["{}".into()])]),
        ("grains that nest", vec![own_roster(n, "{\"a\":".repeat(50_000))]),
        ("grains of a megabyte", vec![own_roster(n, format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20)))]),
        ("fragments without an end", (0..400).map(|_| fragment(16_000)).collect()),
        ("the last of all numbers", ends(n)),
        ("fragments of nothing", (0..20_000).map(|_| fragment(0)).collect()),
    ]
}

/// Numbers at their ends, wherever a message has one.
fn ends(n: usize) -> Vec<Vec<Frame>> {
    let last = u64::MAX;
    let say = stranger::up;
    let group = |jid: u64| link::ReturnGroup {
        jid,
        outcome: link::Outcome::Ok.into(),
        retcode: i32::MIN,
        by_tier: jid == 0,
        ..Default::default()
    };
    let entry = link::Entry {
        id: format!("bomb-{n}"),
        incarnation: 1 + n as u64,
        up: true,
        since: last,
        ..Default::default()
    };
    let roster =
        |from: u64, to: u64| link::Roster { from, to, grains: vec!["{}".into()], ..Default::default() };
    let full = link::Roster { full: true, put: vec![entry], ..roster(last, last) };
    let gone = members_out(&Members::from_iter([0, 1, 199_999]));
    let returns =
        |seq: u64| Message::Returns(link::Returns { seq, groups: vec![group(last), group(0), group(1)] });
    vec![
        say(Message::Roster(full)),
        say(Message::Roster(link::Roster { drop: gone.clone(), down: gone, ..roster(last, 0) })),
        say(Message::Heartbeat(link::Heartbeat {
            running: vec![link::Running { jid: last, members: Vec::new() }],
        })),
        say(returns(last)),
        say(returns(last)),
        say(returns(0)),
    ]
}

/// A frame of bytes that no message of ours encodes to: sent as a fragment, which is decoded when it is whole.
fn raw(bytes: Vec<u8>) -> Vec<Frame> {
    Encoded::new(&link::Up {
        message: Some(Message::Fragment(link::Fragment { data: bytes.into(), last: true })),
    })
    .frames()
    .collect()
}

#[tokio::test]
async fn what_is_small_on_a_link_stays_small_in_memory() {
    let mut fabric = region().await;
    let mut n = 0;
    let pulse = Pulse::of(&fabric);
    for parent in [SYNDIC, TOP] {
        let before = peak(&mut fabric, parent);
        // 20,000 entries are a little over what a minion's message may have, and well within a syndic's.
        for (what, messages) in bombs(n, 20_000) {
            say(&fabric, parent, n, messages).await;
            n += 1;
            let grown = peak(&mut fabric, parent).saturating_sub(before);
            assert!(grown < MEMORY, "{parent}: {what}: {} MiB more", grown >> 20);
        }
        let bytes = [
            ("groups within groups", vec![0x0b; 200_000]),
            ("messages within messages", (0..1_500).fold(Vec::new(), |inner, _| delimited(1, &inner))),
            ("a length of 16 EiB", [vec![0x0a], varint(u64::MAX)].concat()),
            ("a length of 4 GiB", [vec![0x0a], varint(u64::from(u32::MAX))].concat()),
            ("a number without an end", vec![0xff; 10_000]),
            ("field 0", vec![0x00; 64]),
            ("wire types that there are not", vec![0x0e, 0x0f, 0x16, 0x17]),
        ];
        for (what, bytes) in bytes {
            for frames in [raw(bytes.clone()), raw(delimited(2, &bytes)), raw(delimited(4, &bytes))] {
                say(&fabric, parent, n, vec![frames]).await;
                n += 1;
            }
            let grown = peak(&mut fabric, parent).saturating_sub(before);
            assert!(grown < MEMORY, "{parent}: {what}: {} MiB more", grown >> 20);
        }
    }
    pulse.unbroken();
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn lengths_and_compression_that_were_not_agreed_are_refused_before_they_cost() {
    let mut fabric = region().await;
    for port in ports(&fabric) {
        let name = if port.0.ends_with("syndic") { SYNDIC } else { TOP };
        let path = match port.0 {
            "operators" => "/relay.operator.v1.Operator/Submit",
            _ => "/relay.link.v1.Link/Attach",
        };
        let before = peak(&mut fabric, name);
        // A message of 4 GiB is announced; a compressed one, where nothing was said of compression.
        for prefix in [[0, 0xff, 0xff, 0xff, 0xff], [1, 0, 0, 0, 9], [7, 0, 0, 0, 0]] {
            let mut wire = wire(&fabric, &port).await;
            let call = frame(h2::HEADERS, h2::END_HEADERS, 1, &h2::call(path.as_bytes()));
            let body = [&prefix[..], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b]].concat();
            wire.send(&[call, frame(h2::DATA, 0, 1, &body)].concat()).await.unwrap();
            let ended = async {
                while let Ok(Some(frame)) = wire.next().await {
                    let done = frame.flags & h2::END_STREAM != 0 || frame.kind == h2::RST_STREAM;
                    if frame.stream == 1 && done {
                        return;
                    }
                    assert!(
                        frame.kind != h2::DATA || frame.payload.is_empty() || frame.stream != 1,
                        "served"
                    );
                }
            };
            tokio::time::timeout(Duration::from_secs(20), ended).await.expect("an end of the call");
        }
        let grown = peak(&mut fabric, name).saturating_sub(before);
        assert!(grown < MEMORY / 4, "{}: {} MiB more", port.0, grown >> 20);
    }
    // A body of any size that is a message: at most 4 MiB are taken.
    let shown = insider(&fabric, "operators");
    let channel = abuse_tests::region::channel(operators(&fabric), &identity_of(TOP), &shown).await;
    let before = peak(&mut fabric, TOP);
    for _ in 0..3 {
        let refused =
            rpc::call(&channel, "/relay.operator.v1.Operator/Submit", delimited(99, &vec![0; 24 << 20]))
                .await;
        let refused = refused.expect_err("a request of 24 MiB");
        assert!(matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted), "{refused}");
    }
    let grown = peak(&mut fabric, TOP).saturating_sub(before);
    assert!(grown < MEMORY / 2, "{} MiB more", grown >> 20);
    // Gzip in the headers of HTTP, too: not taken for anything.
    let mut wire = Wire::connect(operators(&fabric), &identity_of(TOP).to_dns(), &shown).await.unwrap();
    let fields = headers(&[
        (":method", b"POST"),
        (":scheme", b"https"),
        (":path", b"/relay.operator.v1.Operator/Status"),
        (":authority", b"relay"),
        ("content-type", b"application/grpc"),
        ("grpc-encoding", b"gzip"),
        ("content-encoding", b"gzip"),
        ("te", b"trailers"),
    ]);
    let body = [&[1, 0, 0, 0, 2][..], &[0x1f, 0x8b]].concat();
    wire.send(
        &[frame(h2::HEADERS, h2::END_HEADERS, 1, &fields), frame(h2::DATA, h2::END_STREAM, 1, &body)]
            .concat(),
    )
    .await
    .unwrap();
    while let Some(frame) = wire.next().await.unwrap() {
        assert!(frame.kind != h2::DATA || frame.payload.is_empty(), "a compressed request was served");
        if frame.stream == 1 && (frame.flags & h2::END_STREAM != 0 || frame.kind == h2::RST_STREAM) {
            break;
        }
    }
    serves_on(&mut fabric).await;
}
