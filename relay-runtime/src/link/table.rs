//! The links of one process, by number: sending to them, in what order they are woken, and cutting those that do not keep up.

use std::{
    collections::{HashMap, VecDeque},
    task::Waker,
};

use relay_core::{
    identity::{Identity, Role},
    ids::Incarnation,
    message::{Down, LinkId, Up},
    tier::Sending,
};
use relay_proto::{PLACED_SINCE, SIGNED_SINCE, convert, link};
use tracing::warn;

use super::{
    Lane, LinkTx, PeerHello,
    bodies::Said,
    frame::{Encoded, Frame},
};
use crate::telemetry;

/// Links that a message for many wakes at once, where it is not all of them: a millisecond of writing. What has come in
/// meanwhile has its turn before the next ones.
const AT_ONCE: usize = 32;

/// One link.
#[derive(Debug)]
pub struct Entry {
    /// Who is at the other end.
    pub peer: Identity,
    /// What it said of itself.
    pub hello: PeerHello,
    tx: LinkTx,
    /// The bodies that it was sent, if it is told numbers in their place.
    said: Option<Box<Said>>,
    /// What writes what is queued, if it sleeps and is not woken yet.
    sleeping: Option<Waker>,
    /// It has a place in [`LinkTable::turns`].
    in_turn: bool,
}

/// All links of one direction.
#[derive(Debug, Default)]
pub struct LinkTable {
    links: HashMap<LinkId, Entry>,
    shortens: bool,
    paces: bool,
    /// Who is to be woken, in order, each link once.
    turns: VecDeque<LinkId>,
}

impl LinkTable {
    /// For a syndic's links to its parents: an equal body is sent once per link ([`super::bodies`]) to a parent that knows that.
    /// All returns on these links have to go through [`LinkTable::send_up`].
    pub fn shortening() -> LinkTable {
        LinkTable { shortens: true, ..LinkTable::default() }
    }

    /// For a syndic's links to its minions: a message for many is queued at once and written in turns, so that a job for one
    /// minion need not wait until thousands were told of another one. Whoever has it calls [`LinkTable::wake_some`] in each turn while
    /// [`LinkTable::is_waking`].
    pub fn pacing() -> LinkTable {
        LinkTable { paces: true, ..LinkTable::default() }
    }

    /// A link came up.
    pub fn insert(&mut self, link: LinkId, peer: Identity, hello: PeerHello, tx: LinkTx) {
        let said = (self.shortens && hello.knows_bodies()).then(Box::default);
        self.links.insert(link, Entry { peer, hello, tx, said, sleeping: None, in_turn: false });
    }

    /// A link is gone.
    pub fn remove(&mut self, link: LinkId) -> Option<Entry> {
        self.links.remove(&link)
    }

    /// The other end of a link.
    pub fn get(&self, link: LinkId) -> Option<&Entry> {
        self.links.get(&link)
    }

    /// All links.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &Entry)> {
        self.links.iter().map(|(link, entry)| (*link, entry))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Sends to children: encoded once, whatever their number, but for what proves to a minion that it is meant. One that speaks
    /// too old a protocol for it is left out.
    pub fn send(&mut self, sending: &Sending) {
        let LinkTable { links, turns, paces, .. } = self;
        let later = *paces && sending.links.len() > AT_ONCE;
        let encoded = Encoded::new(&convert::down_out(&sending.down));
        let dispatch = matches!(sending.down, Down::Dispatch(_));
        // Trust in the lane of jobs and cancels: it comes before those that are signed with a key that it names. And a cancel that
        // overtook its job would say nothing to a syndic.
        let bulk = dispatch || matches!(sending.down, Down::Placed(_) | Down::Trust(_) | Down::Cancel { .. });
        let lane = if bulk { Lane::Bulk } else { Lane::Control };
        for (at, link) in sending.links.iter().enumerate() {
            let Some(entry) = links.get_mut(link).filter(|entry| entry.knows(&sending.down)) else {
                continue;
            };
            if dispatch && entry.peer.role() == Role::Minion {
                entry.queue(lane, encoded.frames_for(entry.hello.incarnation, sending.proofs.get(at)));
            } else {
                entry.queue(lane, encoded.frames());
            }
            match later {
                true if entry.sleeping.is_some() && !entry.in_turn => {
                    entry.in_turn = true;
                    turns.push_back(*link);
                }
                true => {}
                false => entry.wake(),
            }
        }
    }

    /// Whether links wait for their turn.
    pub fn is_waking(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Gives the next links their turn.
    pub fn wake_some(&mut self) {
        for link in self.turns.drain(..AT_ONCE.min(self.turns.len())) {
            let Some(entry) = self.links.get_mut(&link) else { continue };
            entry.in_turn = false;
            entry.wake();
        }
    }

    /// Sends to a parent. Returns the bytes that go: none to one that speaks too old a protocol for it.
    pub fn send_up(&mut self, link: LinkId, up: &Up) -> usize {
        let Some(entry) = self.links.get_mut(&link) else { return 0 };
        if matches!(up, Up::Suspicions(_)) && !entry.hello.hears_suspicions() {
            return 0;
        }
        let mut wire = convert::up_out(up);
        if let (Some(link::up::Message::Returns(returns)), Some(said)) = (&mut wire.message, &mut entry.said)
        {
            // What is encoded is sent, in this order, or the link ends.
            said.shorten(returns);
        }
        let encoded = Encoded::new(&wire);
        let lane = if matches!(up, Up::Heartbeat(_)) { Lane::Control } else { Lane::Bulk };
        entry.queue(lane, encoded.frames());
        entry.wake();
        encoded.bytes()
    }

    /// Drops a link; its end is reported like any other.
    pub fn hang_up(&mut self, link: LinkId, why: &'static str) {
        if let Some(entry) = self.links.get_mut(&link) {
            warn!(peer = %entry.peer, why, "hanging up");
            metrics::counter!(telemetry::LINK_DROPPED_TOTAL, "why" => why).increment(1);
            if why == "silent" {
                metrics::counter!(telemetry::HEARTBEATS_MISSED_TOTAL).increment(1);
            }
            entry.cut();
        }
    }
}

impl Entry {
    /// Whether the protocol of the link has this message.
    fn knows(&self, down: &Down) -> bool {
        let since = match down {
            Down::Placed(_) => PLACED_SINCE,
            Down::Trust(_) => SIGNED_SINCE,
            _ => return true,
        };
        self.hello.protocol >= since
    }

    /// Queues frames. What writes them is woken by [`Entry::wake`].
    fn queue(&mut self, lane: Lane, frames: impl IntoIterator<Item = Frame>) {
        match self.tx.queue(lane, frames) {
            Ok(None) => {}
            Ok(sleeping) => self.sleeping = sleeping,
            Err(overflow) => {
                warn!(peer = %self.peer, %overflow, "hanging up");
                metrics::counter!(telemetry::LINK_DROPPED_TOTAL, "why" => "overflow").increment(1);
                self.cut();
            }
        }
    }

    fn wake(&mut self) {
        if let Some(sleeping) = self.sleeping.take() {
            sleeping.wake();
        }
    }

    fn cut(&mut self) {
        self.tx.cut();
        self.wake();
    }
}

/// The incarnation of a peer, for logs.
impl std::fmt::Display for PeerHello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Incarnation(incarnation) = self.incarnation;
        write!(f, "{} {incarnation:016x}", self.software)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    use std::task::{Context, Poll, Wake};

    use relay_core::identity::check_region;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::link::lanes::{Outgoing, lanes};

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Links whose writers sleep.
    struct Bench {
        table: LinkTable,
        writers: Vec<(Outgoing, Arc<Woken>)>,
    }

    impl Bench {
        fn new(mut table: LinkTable, links: usize) -> Bench {
            let (region, fabric) = (check_region("aws").unwrap(), "fabric".parse().unwrap());
            let peer = Identity::new("web01", Role::Minion, region, fabric).unwrap();
            let hello = PeerHello { incarnation: Incarnation(1), software: String::new(), protocol: 1 };
            let mut writers = Vec::new();
            for link in 0..links {
                let (tx, out) = lanes(1 << 20, CancellationToken::new());
                table.insert(LinkId(link as u64), peer.clone(), hello.clone(), tx);
                writers.push((out, Arc::default()));
            }
            let mut bench = Bench { table, writers };
            (0..links).for_each(|at| assert_eq!(bench.written(at), 0));
            bench
        }

        fn tell(&mut self, links: std::ops::Range<u64>) {
            self.table.send(&Sending::new(links.map(LinkId).collect(), Down::Heartbeat));
        }

        /// How many were woken, each at most once.
        fn woken(&self) -> usize {
            let times = self.writers.iter().map(|(_, woken)| woken.0.load(Ordering::Relaxed));
            times.inspect(|n| assert!(*n <= 1)).sum()
        }

        /// Lets one writer write, until it sleeps.
        fn written(&mut self, at: usize) -> usize {
            let (out, woken) = &mut self.writers[at];
            woken.0.store(0, Ordering::Relaxed);
            let waker = woken.clone().into();
            let frames = std::iter::from_fn(|| match out.poll_frame(&mut Context::from_waker(&waker)) {
                Poll::Ready(frame) => frame,
                Poll::Pending => None,
            });
            frames.count()
        }
    }

    const MANY: usize = 2 * AT_ONCE + 1;

    #[test]
    fn a_message_for_many_is_written_in_turns() {
        let mut bench = Bench::new(LinkTable::pacing(), MANY);
        bench.tell(0..MANY as u64);
        let mut seen = vec![bench.woken()];
        while bench.table.is_waking() {
            bench.table.wake_some();
            seen.push(bench.woken());
        }
        assert_eq!(seen, [0, AT_ONCE, 2 * AT_ONCE, MANY]);
        assert!((0..MANY).all(|at| bench.written(at) == 1));
    }

    #[test]
    fn a_message_for_one_waits_for_nobody_s_turn_and_takes_along_what_waited() {
        let mut bench = Bench::new(LinkTable::pacing(), MANY);
        bench.tell(0..MANY as u64);
        let last = MANY - 1;
        bench.tell(last as u64..MANY as u64);
        assert_eq!((bench.woken(), bench.written(last)), (1, 2));
        // Its place among the turns is still there, and wakes it if there is something again.
        bench.tell(0..MANY as u64);
        while bench.table.is_waking() {
            bench.table.wake_some();
        }
        assert_eq!(bench.woken(), MANY);
        assert_eq!((bench.written(0), bench.written(last)), (2, 1));
    }

    #[test]
    fn who_is_cut_or_gone_meanwhile_holds_nobody_up() {
        let mut bench = Bench::new(LinkTable::pacing(), MANY);
        bench.tell(0..MANY as u64);
        bench.table.hang_up(LinkId(1), "a test");
        assert_eq!(bench.woken(), 1, "it sees its end at once");
        bench.table.remove(LinkId(0));
        while bench.table.is_waking() {
            bench.table.wake_some();
        }
        assert_eq!(bench.woken(), MANY - 1);
    }

    #[test]
    fn without_pacing_and_for_a_few_everybody_is_woken_at_once() {
        for (table, links) in [(LinkTable::default(), MANY), (LinkTable::pacing(), AT_ONCE)] {
            let mut bench = Bench::new(table, links);
            bench.tell(0..links as u64);
            assert_eq!((bench.woken(), bench.table.is_waking()), (links, false));
        }
    }
}
