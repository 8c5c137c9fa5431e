//! Links inside one process, over real sockets and real TLS: who is let in, what overtakes what, what ends a link.
//!
//! Order is tested, never time: what waits for something waits for an event.

#[path = "links/bodies.rs"]
mod bodies;
#[path = "links/calls.rs"]
mod calls;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use relay_core::{
    identity::{Identity, Role, check_region},
    ids::{Incarnation, Jid},
    message::{Down, Placed, ReturnBatch, ReturnGroup, Up},
    outcome::{Answer, Outcome, Reason},
    tier::Sending,
};
use relay_proto::{PLACED_SINCE, PROTOCOL, convert, link};
use relay_runtime::{
    authority::DevAuthority,
    config::Parent,
    identity::{self, LoadedIdentity},
    link::{
        Admit, Lane, LinkEvent, LinkIds, LinkLimits, LinkService, LinkTx, Serving,
        accept::Acceptor,
        channel,
        codec::FrameCodec,
        dial::{Dialler, Order},
        frame::{Encoded, Frame},
        table::LinkTable,
    },
    tls::{self, Port},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Status, Streaming, client::Grpc};

/// Longest wait for an event that has to come.
const PATIENCE: Duration = Duration::from_secs(30);
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// A syndic's port, and that of one from before links were framed.
const PORTS: [Port; 2] = [Port::Minions, Port::Open];
const FABRIC: &str = "test.example";

fn who(id: &str, role: Role) -> Identity {
    Identity::new(id, role, check_region("aws").unwrap(), FABRIC.parse().unwrap()).unwrap()
}

struct Pki(DevAuthority, tempfile::TempDir);

impl Pki {
    fn new() -> Pki {
        let dir = tempfile::tempdir().unwrap();
        Pki(DevAuthority::create(&dir.path().join("ca"), FABRIC.parse().unwrap()).unwrap(), dir)
    }

    fn load(&self, id: &str, role: Role) -> LoadedIdentity {
        let dir: &Path = self.1.path();
        let files = self.0.issue(&who(id, role), &dir.join(role.word())).unwrap();
        identity::load(&files, &FABRIC.parse().unwrap()).unwrap()
    }
}

fn admit(_: &Identity, peer: &Identity) -> Result<LinkLimits, String> {
    match peer.role() {
        Role::Minion => Ok(LinkLimits::MINION),
        Role::Syndic => Ok(LinkLimits::SYNDIC),
        _ => Err(format!("{peer}: nobody for a syndic")),
    }
}

fn anybody(_: &Identity, _: &Identity) -> Result<LinkLimits, String> {
    Ok(LinkLimits::SYNDIC)
}

fn nobody(_: &Identity, peer: &Identity) -> Result<LinkLimits, String> {
    Err(format!("{peer}: nobody for this syndic"))
}

/// A syndic's accepting side.
struct Accepting {
    address: SocketAddr,
    events: mpsc::Receiver<LinkEvent<Up>>,
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Accepting {
    /// Links of minions are framed where the port is one for minions, and gRPC where the syndic is an older one.
    async fn on(port: Port, address: SocketAddr, pki: &Pki) -> Accepting {
        Accepting::with(port, address, pki, admit).await
    }

    async fn with(port: Port, address: SocketAddr, pki: &Pki, admit: Admit) -> Accepting {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (token, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (tx, events) = mpsc::channel(1_024);
        let own = Arc::new(who("s", Role::Syndic));
        let window = LinkLimits::SYNDIC.window;
        let service = LinkService {
            own,
            admit,
            ids: LinkIds::default(),
            events: Serving::always(tx),
            tasks: tasks.clone(),
            window,
        };
        let acceptor = Acceptor {
            tls: tls::server_at(&pki.load("s", Role::Syndic), port).unwrap().into(),
            fabric: FABRIC.parse().unwrap(),
            token: token.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(acceptor.run(listener, service));
        Accepting { address, events, token, tasks }
    }

    async fn new(pki: &Pki) -> Accepting {
        Accepting::on(Port::Minions, ANYWHERE, pki).await
    }

    async fn event(&mut self) -> LinkEvent<Up> {
        timeout(PATIENCE, self.events.recv()).await.expect("an event").expect("an open channel")
    }

    async fn up(&mut self) -> (Identity, LinkTx) {
        match self.event().await {
            LinkEvent::Up { peer, tx, .. } => (peer, tx),
            other => panic!("{other:?} instead of a link"),
        }
    }

    async fn message(&mut self) -> Up {
        match self.event().await {
            LinkEvent::Message { message, .. } => message,
            other => panic!("{other:?} instead of a message"),
        }
    }

    async fn stop(mut self) {
        self.token.cancel();
        self.tasks.close();
        // Readers that wait for room in the channel must find it closed.
        self.events.close();
        timeout(PATIENCE, self.tasks.wait()).await.expect("every task ends");
    }
}

/// A child's dialling side.
struct Dialling {
    events: mpsc::Receiver<LinkEvent<Down>>,
    token: CancellationToken,
}

impl Dialling {
    fn new(pki: &Pki, id: &str, role: Role, limits: LinkLimits, parent: SocketAddr) -> Dialling {
        let (dialling, dialler) = Dialling::prepared(pki, id, role, limits, parent);
        tokio::spawn(dialler.run());
        dialling
    }

    fn prepared(
        pki: &Pki,
        id: &str,
        role: Role,
        limits: LinkLimits,
        parent: SocketAddr,
    ) -> (Dialling, Dialler) {
        let (tx, events) = mpsc::channel(1_024);
        let token = CancellationToken::new();
        let parent = Parent {
            id: "s".parse().unwrap(),
            region: check_region("aws").unwrap(),
            role: Role::Syndic,
            address: parent.to_string().parse().unwrap(),
        };
        let dialler = Dialler {
            parents: vec![parent],
            fabric: FABRIC.parse().unwrap(),
            tls: tls::client(&pki.load(id, role)).unwrap().into(),
            incarnation: Incarnation(1),
            minion: role == Role::Minion,
            limits,
            ids: LinkIds::default(),
            events: tx,
            token: token.clone(),
        };
        (Dialling { events, token }, dialler)
    }

    async fn event(&mut self) -> LinkEvent<Down> {
        timeout(PATIENCE, self.events.recv()).await.expect("an event").expect("an open channel")
    }

    async fn up(&mut self) -> LinkTx {
        match self.event().await {
            LinkEvent::Up { tx, .. } => tx,
            other => panic!("{other:?} instead of a link"),
        }
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

/// A batch of this many returns of 1 MiB each.
fn returns(seq: u64, mebibytes: u64) -> Up {
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    let answer = Arc::new(Answer { body, ..Answer::bare(Outcome::Ok, Reason::None) });
    let group = |n| {
        let (answer, members) = (answer.clone(), [0].into_iter().collect());
        ReturnGroup { jid: Jid::from_micros(n), answer, members }
    };
    Up::Returns(ReturnBatch { seq, groups: (1..=mebibytes).map(group).collect() })
}

fn send(tx: &LinkTx, lane: Lane, up: &Up) {
    tx.send(lane, Encoded::new(&convert::up_out(up)).frames()).unwrap();
}

/// Attaches by hand, and says this first. The link lives as long as what is returned.
async fn say(
    pki: &Pki,
    role: Role,
    parent: SocketAddr,
    first: link::up::Message,
) -> Result<(mpsc::Sender<Frame>, Streaming<Bytes>), Status> {
    let name = who("s", Role::Syndic).to_dns();
    let tls = tls::client(&pki.load("x", role)).unwrap();
    let channel =
        channel(&parent.to_string(), &name, tls).await.map_err(|e| Status::unavailable(e.to_string()))?;
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
    let (tx, frames) = mpsc::channel(8);
    for frame in Encoded::new(&link::Up { message: Some(first) }).frames() {
        tx.send(frame).await.unwrap();
    }
    let path = "/relay.link.v1.Link/Attach".parse().unwrap();
    let answer = grpc.streaming(Request::new(ReceiverStream::new(frames)), path, FrameCodec).await;
    answer.map(|answer| (tx, answer.into_inner()))
}

fn hello(oldest: u32, newest: u32) -> link::up::Message {
    link::up::Message::Hello(link::Hello { oldest, newest, incarnation: 1, software: "relay/9.9".into() })
}

#[tokio::test]
async fn a_child_of_another_protocol_version_is_refused_in_clear_words() {
    let pki = Pki::new();
    let mut parent = Accepting::new(&pki).await;
    let newest = *PROTOCOL.end();
    let refused = say(&pki, Role::Minion, parent.address, hello(newest + 1, newest + 3)).await.unwrap_err();
    let said = refused.message();
    for words in ["refused (version)", "relay/9.9", &format!("{} to {}", newest + 1, newest + 3), "upgrade"] {
        assert!(said.contains(words), "{words:?} is not in {said:?}");
    }
    // One that knows an older version too is welcome.
    let _link = say(&pki, Role::Minion, parent.address, hello(newest, newest + 3)).await.unwrap();
    parent.up().await;
    parent.stop().await;
}

#[tokio::test]
async fn a_wrong_role_and_a_missing_hello_are_refused() {
    let pki = Pki::new();
    let mut parent = Accepting::new(&pki).await;
    let ours = hello(*PROTOCOL.start(), *PROTOCOL.end());
    let refused = say(&pki, Role::Operator, parent.address, ours.clone()).await.unwrap_err();
    assert!(refused.message().contains("x.operator.aws.test.example"), "{refused}");
    let beat = link::up::Message::Heartbeat(link::Heartbeat::default());
    let refused = say(&pki, Role::Minion, parent.address, beat).await.unwrap_err();
    assert!(refused.message().contains("the first message must be a hello"), "{refused}");
    assert!(parent.events.try_recv().is_err(), "no link came of it");
    let _link = say(&pki, Role::Minion, parent.address, ours).await.unwrap();
    assert_eq!(parent.up().await.0, who("x", Role::Minion));
    parent.stop().await;
}

#[tokio::test]
async fn a_child_takes_nobody_for_its_parent_but_who_is_named() {
    let pki = Pki::new();
    let mut parent = Accepting::new(&pki).await;
    let tls = tls::client(&pki.load("x", Role::Minion)).unwrap();
    for name in
        ["other.syndic.aws.test.example", "s.top-master.aws.test.example", "s.syndic.azure.test.example"]
    {
        let error = channel(&parent.address.to_string(), name, tls.clone()).await.expect_err(name);
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(parent.events.try_recv().is_err());
    parent.stop().await;
}

#[tokio::test]
async fn control_overtakes_bulk_that_was_queued_before_it() {
    for role in [Role::Syndic, Role::Minion] {
        overtakes(role).await;
    }
}

async fn overtakes(role: Role) {
    let pki = Pki::new();
    let mut parent = Accepting::with(Port::Minions, ANYWHERE, &pki, anybody).await;
    let mut child = Dialling::new(&pki, "below", role, LinkLimits::SYNDIC, parent.address);
    let tx = child.up().await;
    parent.up().await;
    // Ten MiB in fragments, then a heartbeat: it is there first, since no fragment waits for the one before it.
    send(&tx, Lane::Bulk, &returns(1, 10));
    send(&tx, Lane::Control, &Up::Heartbeat(Vec::new()));
    assert!(matches!(parent.message().await, Up::Heartbeat(_)), "the heartbeat waited for the bulk");
    match parent.message().await {
        Up::Returns(batch) => assert_eq!(batch.groups.len(), 10),
        other => panic!("{other:?}"),
    }
    parent.stop().await;
}

#[tokio::test]
async fn a_message_over_the_limit_ends_this_link_and_no_other() {
    for port in PORTS {
        over_the_limit(port).await;
    }
}

async fn over_the_limit(port: Port) {
    let pki = Pki::new();
    let mut parent = Accepting::on(port, ANYWHERE, &pki).await;
    let mut good = Dialling::new(&pki, "good", Role::Minion, LinkLimits::MINION, parent.address);
    let good_tx = good.up().await;
    parent.up().await;
    // The child's own bound is larger here, as that of a child gone wrong would be.
    let mut bad = Dialling::new(&pki, "bad", Role::Minion, LinkLimits::SYNDIC, parent.address);
    let bad_tx = bad.up().await;
    parent.up().await;
    send(&bad_tx, Lane::Bulk, &returns(1, 3));
    match parent.event().await {
        LinkEvent::Down { why, .. } => assert!(why.contains("more than"), "{why}"),
        other => panic!("{other:?} instead of the end of the link"),
    }
    send(&good_tx, Lane::Bulk, &returns(7, 1));
    loop {
        // The bad one may be back in between: it dials again.
        match parent.event().await {
            LinkEvent::Message { message: Up::Returns(batch), .. } => break assert_eq!(batch.seq, 7),
            LinkEvent::Up { peer, .. } => assert_eq!(peer, who("bad", Role::Minion)),
            other => panic!("{other:?}"),
        }
    }
    parent.stop().await;
}

#[tokio::test]
async fn a_child_comes_back_when_its_parent_does_though_that_is_an_older_one_now() {
    let pki = Pki::new();
    let mut parent = Accepting::new(&pki).await;
    let address = parent.address;
    let mut child = Dialling::new(&pki, "m", Role::Minion, LinkLimits::MINION, address);
    child.up().await;
    for port in PORTS {
        parent.up().await;
        parent.stop().await;
        assert!(matches!(child.event().await, LinkEvent::Down { .. }));
        parent = Accepting::on(port, address, &pki).await;
        child.up().await;
    }
    assert_eq!(parent.up().await.0, who("m", Role::Minion));
    parent.stop().await;
}

#[tokio::test]
async fn whoever_shows_no_certificate_or_says_nothing_does_not_hold_up_the_others() {
    let pki = Pki::new();
    let mut parent = Accepting::new(&pki).await;
    // Fewer than the handshakes in flight that are allowed: they time out by themselves.
    let mut silent = Vec::new();
    for _ in 0..32 {
        silent.push(tokio::net::TcpStream::connect(parent.address).await.unwrap());
    }
    let mut child = Dialling::new(&pki, "m", Role::Minion, LinkLimits::MINION, parent.address);
    child.up().await;
    assert_eq!(parent.up().await.0, who("m", Role::Minion));
    parent.stop().await;
}

/// The first messages that a parent sends over a link, its welcome the first.
async fn said(stream: &mut Streaming<Bytes>, count: usize) -> Vec<link::down::Message> {
    let mut said = Vec::new();
    while said.len() < count {
        let frame = timeout(PATIENCE, stream.message()).await.expect("a message").unwrap().expect("a link");
        let down = <link::Down as prost::Message>::decode(frame).unwrap();
        said.push(down.message.expect("a message of this version"));
    }
    said
}

#[tokio::test]
async fn a_child_of_an_older_protocol_is_sent_only_what_it_knows() {
    let pki = Pki::new();
    let mut parent = Accepting::new(&pki).await;
    let placed = Placed { revision: 1, groups: Vec::new(), spread: 5 };
    for (newest, version) in [(1, 1), (PLACED_SINCE, PLACED_SINCE), (PLACED_SINCE + 7, *PROTOCOL.end())] {
        let (tx_up, mut stream) = say(&pki, Role::Minion, parent.address, hello(1, newest)).await.unwrap();
        let LinkEvent::Up { link, peer, hello, tx } = parent.event().await else { panic!("a link") };
        assert_eq!(hello.protocol, version);
        let mut table = LinkTable::default();
        table.insert(link, peer, hello, tx);
        for down in [Down::Placed(placed.clone()), Down::Heartbeat] {
            table.send(&Sending::new(vec![link], down));
        }
        let said = said(&mut stream, if version < PLACED_SINCE { 2 } else { 3 }).await;
        assert!(matches!(&said[0], link::down::Message::Welcome(w) if w.version == version), "{said:?}");
        let placed = said.iter().any(|m| matches!(m, link::down::Message::Placed(_)));
        assert_eq!(placed, version >= PLACED_SINCE, "{said:?}");
        drop((tx_up, stream, table));
        assert!(matches!(parent.event().await, LinkEvent::Down { .. }));
    }
    parent.stop().await;
}

#[tokio::test]
async fn an_order_to_move_ends_the_link_and_begins_with_the_first() {
    let pki = Pki::new();
    let (mut old, mut new) = (Accepting::new(&pki).await, Accepting::new(&pki).await);
    let (mut child, dialler) = Dialling::prepared(&pki, "m", Role::Minion, LinkLimits::MINION, old.address);
    let at = |address: SocketAddr| Parent {
        address: address.to_string().parse().unwrap(),
        ..dialler.parents[0].clone()
    };
    let (order, ordered) = watch::channel(Order { parents: vec![at(old.address)], moves: 0 });
    tokio::spawn(dialler.clone().run_with(ordered));
    child.up().await;
    old.up().await;
    // Another order alone changes nothing: the link is good.
    order.send_modify(|order| order.parents = vec![at(new.address), at(old.address)]);
    order.send_modify(|order| order.moves += 1);
    assert!(matches!(child.event().await, LinkEvent::Down { why, .. } if why == "moved"));
    assert!(matches!(old.event().await, LinkEvent::Down { .. }));
    child.up().await;
    new.up().await;
    // The first one refuses: the next in the list, at once.
    new.stop().await;
    assert!(matches!(child.event().await, LinkEvent::Down { .. }));
    child.up().await;
    old.up().await;
    old.stop().await;
}

#[tokio::test]
async fn a_minion_that_is_refused_goes_to_its_next_parent_in_either_framing() {
    for port in PORTS {
        let pki = Pki::new();
        let refusing = Accepting::with(port, ANYWHERE, &pki, nobody).await;
        let mut taking = Accepting::new(&pki).await;
        let (mut child, mut dialler) =
            Dialling::prepared(&pki, "m", Role::Minion, LinkLimits::MINION, refusing.address);
        let next =
            Parent { address: taking.address.to_string().parse().unwrap(), ..dialler.parents[0].clone() };
        dialler.parents.push(next);
        tokio::spawn(dialler.run());
        child.up().await;
        assert_eq!(taking.up().await.0, who("m", Role::Minion));
        refusing.stop().await;
        taking.stop().await;
    }
}

#[tokio::test]
async fn the_end_of_a_link_is_told_whoever_cuts_it() {
    for port in PORTS {
        let pki = Pki::new();
        let mut parent = Accepting::on(port, ANYWHERE, &pki).await;
        let mut child = Dialling::new(&pki, "m", Role::Minion, LinkLimits::MINION, parent.address);
        child.up().await;
        let (_, tx) = parent.up().await;
        tx.cut();
        assert!(matches!(parent.event().await, LinkEvent::Down { .. }), "told to the parent's loop");
        assert!(matches!(child.event().await, LinkEvent::Down { .. }), "and to the child's");
        // It comes again, and goes by itself.
        child.up().await;
        parent.up().await;
        drop(child);
        assert!(matches!(parent.event().await, LinkEvent::Down { .. }));
        parent.stop().await;
    }
}
