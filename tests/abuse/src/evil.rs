//! A syndic in the attacker's hands: real by its key, at the real one's address, with everything that comes through it open before
//! it. What it makes of that is the test's affair; by itself it only keeps its links alive.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use fabric_tests::{Fabric, TOP, stranger, until, wait::PATIENCE};
use relay_core::{
    identity::{Identity, Role},
    ids::Incarnation,
    message::{Dispatch, Down, LinkId, ReturnGroup, RosterUpdate, Up},
    suspicion::Suspicion,
};
use relay_proto::{
    convert,
    link::{self, down, up::Message},
};
use relay_runtime::{
    config::Parent,
    link::{
        Lane, LinkEvent, LinkIds, LinkLimits, LinkService, LinkTx, Serving, accept::Acceptor, dial::Dialler,
        frame::Encoded,
    },
    tls::{Port, ServerTls, Tls},
};
use tokio::{net::TcpListener, sync::mpsc, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::region::{REGION, identity_of};

/// How often it says that it lives: well within what the fabrics of tests wait for.
const BEAT: Duration = Duration::from_millis(300);
/// Events waiting for it.
const EVENTS: usize = 1_024;

/// A minion below it.
#[derive(Debug, Clone)]
pub struct Below {
    /// Its number in the roster that the top master is shown.
    pub no: u32,
    /// Its journal's.
    pub incarnation: Incarnation,
    link: LinkId,
    tx: LinkTx,
}

/// The syndic.
pub struct Evil {
    from_minions: mpsc::Receiver<LinkEvent<Up>>,
    from_top: mpsc::Receiver<LinkEvent<Down>>,
    token: CancellationToken,
    at: SocketAddr,
    beat: Instant,
    names: BTreeMap<LinkId, (Identity, LinkTx)>,
    top: Option<LinkTx>,
    /// Who is below it, by id.
    pub below: BTreeMap<String, Below>,
    /// What came from the top master to be passed on, and was not.
    pub dispatches: Vec<Dispatch>,
    /// The newest bundle of keys.
    pub trust: Option<Bytes>,
    /// What minions answered, and was not passed on.
    pub answers: Vec<(String, ReturnGroup)>,
    /// What minions said of it, and was not passed on.
    pub told: Vec<Suspicion>,
    /// The number of the next batch of returns.
    seq: u64,
}

fn all(_: &Identity, peer: &Identity) -> Result<LinkLimits, String> {
    match peer.role() {
        Role::Minion => Ok(LinkLimits::MINION),
        _ => Err("not today".into()),
    }
}

impl Evil {
    /// Kills the real one, and stands where it stood, with its key.
    ///
    /// # Panics
    /// Its address cannot be had.
    pub async fn instead_of(fabric: &mut Fabric, syndic: &str) -> Evil {
        let at = fabric.listen(syndic);
        fabric.kill9(syndic);
        let own = fabric.pki().load(syndic, Role::Syndic, REGION);
        let name = own.identity.clone();
        let fabric_name = name.fabric().clone();
        let tls = Tls::alone(own).expect("a TLS configuration");
        let (token, tasks, ids) = (CancellationToken::new(), TaskTracker::new(), LinkIds::default());
        let (events, from_minions) = mpsc::channel(EVENTS);
        let listener = TcpListener::bind(at).await.expect("the real one's address");
        let acceptor = Acceptor {
            tls: ServerTls::Current(tls.clone(), Port::Minions),
            fabric: fabric_name.clone(),
            token: token.clone(),
            tasks: tasks.clone(),
        };
        let links = LinkService {
            own: Arc::new(name),
            admit: all,
            ids: ids.clone(),
            events: Serving::always(events),
            tasks,
            window: LinkLimits::MINION.window,
        };
        tokio::spawn(acceptor.run(listener, links));
        let (events, from_top) = mpsc::channel(EVENTS);
        let above = identity_of(TOP);
        let parent = Parent {
            id: TOP.parse().expect("an id"),
            region: above.region().clone(),
            role: Role::TopMaster,
            address: fabric.listen(TOP).into(),
        };
        let dialler = Dialler {
            parents: vec![parent],
            fabric: fabric_name,
            tls: tls.into(),
            incarnation: Incarnation(rand::random()),
            minion: false,
            limits: LinkLimits::SYNDIC,
            ids,
            events,
            token: token.clone(),
        };
        tokio::spawn(dialler.run());
        Evil {
            from_minions,
            from_top,
            token,
            at,
            beat: Instant::now(),
            names: BTreeMap::new(),
            top: None,
            below: BTreeMap::new(),
            dispatches: Vec::new(),
            trust: None,
            answers: Vec::new(),
            told: Vec::new(),
            seq: 1,
        }
    }

    /// Goes on until this holds.
    ///
    /// # Panics
    /// It does not come to that in time.
    pub async fn until(&mut self, what: &str, holds: impl Fn(&Evil) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
            self.step().await;
        }
    }

    /// Goes on while something else is waited for.
    pub async fn during<T>(&mut self, other: impl Future<Output = T>) -> T {
        tokio::pin!(other);
        loop {
            tokio::select! {
                done = &mut other => return done,
                () = self.step() => {}
            }
        }
    }

    /// Goes on for a while: for what must not come.
    pub async fn a_while(&mut self, time: Duration) {
        self.during(tokio::time::sleep(time)).await;
    }

    /// One event, or a beat.
    async fn step(&mut self) {
        tokio::select! {
            Some(event) = self.from_minions.recv() => self.minion(event),
            Some(event) = self.from_top.recv() => self.above(event),
            () = tokio::time::sleep_until(self.beat) => {
                self.beat = Instant::now() + BEAT;
                self.up(Lane::Control, Message::Heartbeat(link::Heartbeat::default()));
            }
        }
    }

    fn minion(&mut self, event: LinkEvent<Up>) {
        match event {
            LinkEvent::Up { link, peer, tx, .. } => {
                if let Some(bundle) = self.trust.clone() {
                    send(&tx, &convert::down_out(&Down::Trust(bundle)));
                }
                self.names.insert(link, (peer, tx));
            }
            LinkEvent::Down { link, .. } => {
                self.names.remove(&link);
                self.below.retain(|_, below| below.link != link);
            }
            LinkEvent::Message { link, message, .. } => {
                let Some((peer, tx)) = self.names.get(&link).cloned() else { return };
                match message {
                    Up::Heartbeat(_) => send(&tx, &convert::down_out(&Down::Heartbeat)),
                    Up::Roster(update) => self.roster(link, peer.id(), &tx, &update),
                    Up::Returns(batch) => {
                        let groups = batch.groups.into_iter();
                        self.answers.extend(groups.map(|group| (peer.id().to_owned(), group)));
                        send(&tx, &convert::down_out(&Down::ReturnsAck { up_to: batch.seq }));
                    }
                    // What gives it away goes no further.
                    Up::Suspicions(list) => self.told.extend(list),
                }
            }
        }
    }

    fn roster(&mut self, link: LinkId, id: &str, tx: &LinkTx, update: &RosterUpdate) {
        let RosterUpdate::Full { entries, .. } = update else { return };
        let Some(entry) = entries.first() else { return };
        let taken = self.below.get(id).map(|below| below.no);
        let no = taken.unwrap_or_else(|| self.below.values().map(|b| b.no + 1).max().unwrap_or(0));
        self.below.insert(id.to_owned(), Below { no, incarnation: entry.incarnation, link, tx: tx.clone() });
        self.shows();
    }

    fn above(&mut self, event: LinkEvent<Down>) {
        match event {
            LinkEvent::Up { tx, .. } => {
                self.top = Some(tx);
                self.shows();
            }
            LinkEvent::Down { .. } => self.top = None,
            LinkEvent::Message { message, .. } => match message {
                Down::Dispatch(dispatch) => self.dispatches.push(dispatch),
                Down::Trust(bundle) => {
                    self.names
                        .values()
                        .for_each(|(_, tx)| send(tx, &convert::down_out(&Down::Trust(bundle.clone()))));
                    self.trust = Some(bundle);
                }
                Down::RosterResync => self.shows(),
                _ => {}
            },
        }
    }

    /// Shows the top master who is below.
    fn shows(&mut self) {
        let entry = |(id, below): (&String, &Below)| link::Entry {
            no: below.no,
            id: id.clone(),
            incarnation: below.incarnation.0,
            up: true,
            ..Default::default()
        };
        let put = self.below.iter().map(entry).collect();
        let roster = link::Roster { to: 1, full: true, put, grains: vec!["{}".into()], ..Default::default() };
        self.up(Lane::Bulk, Message::Roster(roster));
    }

    /// Says something to the top master.
    pub fn up(&self, lane: Lane, message: Message) {
        if let Some(top) = &self.top {
            let _ = top.send(lane, stranger::up(message));
        }
    }

    /// Says to the top master what became of a job.
    pub fn returns(&mut self, groups: Vec<link::ReturnGroup>) {
        let seq = self.seq;
        self.seq += 1;
        self.up(Lane::Bulk, Message::Returns(link::Returns { seq, groups }));
    }

    /// Says something to a minion.
    ///
    /// # Panics
    /// It is not there.
    pub fn down(&self, id: &str, message: &link::Down) {
        let below = self.below.get(id).unwrap_or_else(|| panic!("{id} is not attached"));
        send(&below.tx, message);
    }

    /// Goes, and waits until its address is free for the real one.
    ///
    /// # Panics
    /// It does not become free.
    pub async fn goes(self) {
        let at = self.at;
        drop(self);
        until("the syndic's address to be free", async || TcpListener::bind(at).await.ok().map(drop)).await;
    }

    /// Whether the top master has it for a syndic, and it has so many minions.
    pub fn stands(&self, minions: usize) -> bool {
        self.top.is_some() && self.below.len() >= minions
    }
}

fn send(tx: &LinkTx, message: &link::Down) {
    let lane = match message.message {
        Some(down::Message::Dispatch(_) | down::Message::Trust(_)) => Lane::Bulk,
        _ => Lane::Control,
    };
    let _ = tx.send(lane, Encoded::new(message).frames());
}

impl Drop for Evil {
    fn drop(&mut self) {
        self.token.cancel();
    }
}
