//! A syndic process: the relay, its spool, its link to the top master.

use std::collections::{BTreeMap, BTreeSet};

use relay_core::{
    fold::FlushRule,
    ids::{Incarnation, Jid, MinionId, RegionName, TierId},
    ledger::Ledger,
    message::{Down, LinkId, ReturnBatch, Up},
    relay::{Relay, RelayEffect, RelayRule, SpoolRecord},
    time::Millis,
};

use crate::{
    disk::{Disk, Done, Pending},
    event::{End, Happening, Place},
    network::Message,
    sabotage::Sabotage,
    world::{HEARTBEAT, Process, World},
};

/// Small batches, so that a run has many.
const RULE: RelayRule = RelayRule {
    parents: 1,
    flush: FlushRule { count: 4, bytes: 4_096, age: 25 },
    heartbeat: HEARTBEAT,
    uplink: HEARTBEAT,
    spool_max_bytes: 1 << 20,
};

/// A syndic and its machine.
pub struct SyndicProcess {
    /// Up, paused, lives.
    pub process: Process,
    /// Its id.
    pub id: TierId,
    /// Its region.
    pub region: RegionName,
    /// Its rules.
    pub relay: Relay,
    /// Its spool.
    pub spool: Disk<SpoolRecord>,
    /// The spool's name.
    pub incarnation: u64,
    /// Its parents, in the order in which it tries them: top masters, or syndics of its region.
    pub parents: Vec<Place>,
    /// Which it tries next.
    pub turn: usize,
    /// Its link upward, dialled or open.
    pub link: Option<u64>,
    /// To whom it was attached last.
    pub attached: Option<Place>,
    /// What went over which link under which number, and was not acknowledged.
    flights: BTreeMap<(u64, u64), ReturnBatch>,
    stalled: bool,
}

impl SyndicProcess {
    /// A machine with an empty spool, not running yet.
    pub fn new(id: TierId, region: RegionName, parents: Vec<Place>, incarnation: u64) -> SyndicProcess {
        SyndicProcess {
            process: Process::default(),
            id,
            region,
            relay: Relay::recover(RULE, 0, Vec::new()),
            spool: Disk::default(),
            incarnation,
            parents,
            turn: 0,
            link: None,
            attached: None,
            flights: BTreeMap::new(),
            stalled: false,
        }
    }

    /// It has work that its parent has not all heard of.
    pub fn is_busy(&self) -> bool {
        let open =
            |(_, ledger): (Jid, &Ledger)| !ledger.in_flight().is_empty() || !ledger.unsent().is_empty();
        self.relay.spooled_batches() > 0 || self.relay.ledgers().any(open)
    }

    /// Everything in the spool is gone.
    pub fn lose_spool(&mut self, incarnation: u64) {
        self.spool.wipe();
        self.incarnation = incarnation;
    }

    /// The returns of minions that the spool holds durably and the top master has not acknowledged.
    pub fn holds(&self) -> Vec<(Jid, MinionId)> {
        let mut batches = BTreeMap::new();
        for record in &self.spool.durable {
            match record {
                SpoolRecord::Batch { batch, .. } => drop(batches.insert(batch.seq, batch)),
                SpoolRecord::Acked { up_to, .. } => batches.retain(|seq, _| seq > up_to),
                SpoolRecord::Member { .. } | SpoolRecord::Sent(_) | SpoolRecord::Forget { .. } => {}
            }
        }
        self.named(batches.into_values()).into_iter().map(|(jid, id, _)| (jid, id)).collect()
    }

    /// The returns of minions in batches, with the journals that said so.
    fn named<'a>(&self, batches: impl Iterator<Item = &'a ReturnBatch>) -> Vec<(Jid, MinionId, Incarnation)> {
        let name = |record: &SpoolRecord| match record {
            SpoolRecord::Member { no, id, incarnation } => Some((*no, (id.clone(), *incarnation))),
            _ => None,
        };
        let names: BTreeMap<u32, _> = self.spool.durable.iter().filter_map(name).collect();
        let groups = batches.flat_map(|batch| &batch.groups).filter(|group| !group.answer.by_tier);
        let slots = groups.flat_map(|group| group.members.iter().map(|no| (group.jid, no)));
        slots
            .filter_map(|(jid, no)| names.get(&no).map(|(id, journal)| (jid, id.clone(), *journal)))
            .collect()
    }
}

impl World {
    /// Something happens to a syndic.
    pub fn at_syndic(&mut self, no: usize, happening: Happening) {
        let (now, wall) = (self.now, self.wall(0));
        match happening {
            Happening::Dial => self.dial_parent(no),
            Happening::Move => self.move_syndic(no),
            Happening::Opened(link, End::Child) => self.syndic_opened(no, link),
            Happening::Opened(link, End::Parent) => self.child_attached(no, link),
            Happening::Arrived(link, end) => match self.net.receive(link, end, now) {
                Some(Message::Up(up)) => self.syndics[no].relay.from_child(now, wall, LinkId(link), up),
                Some(Message::Down(down)) => {
                    if let Down::ReturnsAck { up_to } = down {
                        self.acked_by_parent(no, link, up_to);
                    }
                    if let Down::Dispatch(dispatch) = &down {
                        self.steal(no, dispatch);
                    }
                    self.syndics[no].relay.from_parent(now, LinkId(link), down);
                }
                None => {}
            },
            Happening::Broken(link, end) => {
                self.net.close(link, end);
                self.syndic_unlinked(no, link, end);
            }
            Happening::Timer => self.syndics[no].relay.tick(now),
            Happening::Written => self.spool_written(no),
            _ => {}
        }
        self.turn_syndic(no);
    }

    /// Tries the next parent. There is one link upward, whoever accepts it.
    fn dial_parent(&mut self, no: usize) {
        let syndic = &mut self.syndics[no];
        if syndic.link.is_some() {
            return;
        }
        let parent = syndic.parents[syndic.turn % syndic.parents.len()];
        syndic.turn += 1;
        let incarnation = syndic.incarnation;
        match self.connect(Place::Syndic(no), parent, incarnation) {
            Some(link) => self.syndics[no].link = Some(link),
            None => self.redial(Place::Syndic(no)),
        }
    }

    /// It is told to change its parent; what it holds goes along.
    fn move_syndic(&mut self, no: usize) {
        let Some(link) = self.syndics[no].link else { return };
        let syndic = &mut self.syndics[no];
        let at = syndic.parents.iter().position(|parent| Some(*parent) == syndic.attached);
        syndic.turn = at.map_or(0, |at| at + 1);
        self.say(|| format!("s{no} changes its parent"));
        if self.sabotage == Sabotage::DropAtMove {
            self.syndics[no].relay.from_parent(self.now, LinkId(link), Down::ReturnsAck { up_to: u64::MAX });
        }
        self.hang_up(link, End::Child);
        self.syndic_unlinked(no, link, End::Child);
    }

    fn syndic_opened(&mut self, no: usize, link: u64) {
        if self.syndics[no].link != Some(link) {
            return;
        }
        if !self.net.open(link, End::Child) {
            self.syndic_unlinked(no, link, End::Child);
            return;
        }
        let Some(parent) = self.net.get(link).map(|l| l.parent.0) else { return };
        let syndic = &mut self.syndics[no];
        syndic.turn = syndic.parents.iter().position(|p| *p == parent).unwrap_or(0);
        let moved = syndic.attached.replace(parent).is_some_and(|before| before != parent);
        let what = match parent {
            Place::Top(_) => "syndic at another top master in mid-job",
            _ => "syndic at another syndic in mid-job",
        };
        let busy = moved && syndic.is_busy();
        self.coverage.add(what, u64::from(busy));
        self.syndics[no].relay.parent_up(self.now, 0, LinkId(link));
    }

    fn child_attached(&mut self, no: usize, link: u64) {
        if !self.net.open(link, End::Parent) {
            return;
        }
        let Some(child) = self.net.get(link).map(|l| l.child.0) else { return };
        let Some(incarnation) = self.net.get(link).map(|l| Incarnation(l.incarnation)) else { return };
        let id = match child {
            Place::Minion(minion) => Some(self.minions[minion].id.clone()),
            _ => None,
        };
        self.syndics[no].relay.child_up(self.now, LinkId(link), id.as_ref(), incarnation);
    }

    fn syndic_unlinked(&mut self, no: usize, link: u64, end: End) {
        let (now, wall) = (self.now, self.wall(0));
        let syndic = &mut self.syndics[no];
        if end == End::Parent {
            syndic.relay.child_down(now, wall, LinkId(link));
        } else if syndic.link == Some(link) {
            syndic.relay.parent_down(LinkId(link));
            syndic.link = None;
            self.redial(Place::Syndic(no));
        }
    }

    fn spool_written(&mut self, no: usize) {
        let now = self.now;
        let syndic = &mut self.syndics[no];
        match syndic.spool.written() {
            Done::Durable(ticket, _) => {
                if std::mem::take(&mut syndic.stalled) {
                    syndic.relay.set_stalled(false);
                }
                // Sabotaged, it was told long ago.
                if self.sabotage != Sabotage::AckUndurable {
                    syndic.relay.persisted(now, ticket);
                }
            }
            Done::Retry => {
                syndic.stalled = true;
                syndic.relay.set_stalled(true);
                self.later(Place::Syndic(no), 300, Happening::Written);
            }
            Done::Failed(_) | Done::Nothing => {}
        }
    }

    fn turn_syndic(&mut self, no: usize) {
        let mut active = false;
        loop {
            self.syndics[no].relay.end_turn(self.now);
            let effects = self.syndics[no].relay.effects();
            if effects.is_empty() {
                break;
            }
            active = true;
            for effect in effects {
                if self.crashes_now(Place::Syndic(no)) {
                    return;
                }
                self.syndic_does(no, effect);
            }
        }
        if active {
            self.check_spool(no);
        }
        let at = self.syndics[no].relay.next_deadline(self.now);
        self.wake(Place::Syndic(no), at);
    }

    /// An acknowledgement means that the parent has it durably (I3: a hop may forget what the next holds): a syndic in
    /// its spool or beyond, a top master in the store.
    fn acked_by_parent(&mut self, no: usize, link: u64, up_to: u64) {
        let Some(parent) = self.net.get(link).map(|l| l.parent.0) else { return };
        // Of what another journal said of a job than the one for which it was signed, nothing is kept.
        let after = self.syndics[no].flights.split_off(&(link, up_to.saturating_add(1)));
        let covered = std::mem::replace(&mut self.syndics[no].flights, after);
        let mut held = self.syndics[no].named(covered.range((link, 0)..).map(|(_, batch)| batch));
        held.retain(|(jid, id, journal)| self.store.is_signed_for(*jid, id, *journal));
        if held.is_empty() {
            return;
        }
        let others =
            (0..self.syndics.len()).filter(|other| *other != no && matches!(parent, Place::Syndic(_)));
        let spooled: BTreeSet<(Jid, MinionId)> =
            others.flat_map(|other| self.syndics[other].holds()).collect();
        for (jid, id, _) in held {
            let target = self.store.is_target(jid, &id);
            let slot = (jid, id.clone());
            let durable = self.store.has_final(jid, &id) || spooled.contains(&slot);
            if target && !durable && !self.lost_on_the_way(&slot) {
                let what =
                    format!("job {jid}: the return of {id} was acknowledged to s{no} and is durable nowhere");
                self.breach("I3", what);
            }
        }
    }

    fn check_spool(&mut self, no: usize) {
        for (jid, ledger) in self.syndics[no].relay.ledgers() {
            self.trace.ledger(self.syndics[no].id.as_str(), jid, ledger);
        }
    }

    fn syndic_does(&mut self, no: usize, effect: RelayEffect) {
        match effect {
            RelayEffect::Persist { ticket, records } => {
                let at = self.now + self.disk_delay();
                let pending = Pending { ticket, records, may_fail: false };
                let at = self.syndics[no].spool.write(pending, at);
                self.later(Place::Syndic(no), at - self.now, Happening::Written);
                if self.sabotage == Sabotage::AckUndurable {
                    self.syndics[no].relay.persisted(self.now, ticket);
                }
            }
            RelayEffect::Send(mut sending) => {
                if self.sabotage == Sabotage::SendToAll && matches!(sending.down, Down::Dispatch(_)) {
                    let below = self.net.open_links().filter(|(_, l)| l.parent.0 == Place::Syndic(no));
                    sending.links = below.map(|(link, _)| LinkId(link)).collect();
                }
                for (link, down) in sending.each() {
                    self.send(link.0, End::Child, Message::Down(down));
                }
            }
            RelayEffect::SendUp { link, up: Up::Returns(batch) }
                if self.sabotage == Sabotage::DropReturns =>
            {
                let ack = Down::ReturnsAck { up_to: batch.seq };
                self.syndics[no].relay.from_parent(self.now, link, ack);
            }
            RelayEffect::SendUp { link, up: Up::Returns(batch) } => {
                self.syndics[no].flights.insert((link.0, batch.seq), batch.clone());
                self.send(link.0, End::Parent, Message::Up(Up::Returns(batch)));
            }
            RelayEffect::SendUp { link, up } => self.send(link.0, End::Parent, Message::Up(up)),
            RelayEffect::Hangup { link, why } => {
                self.say(|| format!("s{no} hangs up on link {}: {why}", link.0));
                let end = if self.syndics[no].link == Some(link.0) { End::Child } else { End::Parent };
                self.hang_up(link.0, end);
                self.syndic_unlinked(no, link.0, end);
            }
            RelayEffect::Note { jid, what, members } => {
                self.say(|| format!("s{no} job {jid}: {what} ({members})"))
            }
            RelayEffect::Alarm { jid, why, members, .. } => {
                self.coverage.add("red team: a syndic refused", 1);
                self.say(|| format!("s{no} refuses a dispatch of job {jid}: {why} ({members})"));
            }
            RelayEffect::Duplicates(_) | RelayEffect::ReportsDropped(_) => {}
        }
    }

    /// How long a disk takes.
    pub fn disk_delay(&mut self) -> Millis {
        let (usual, slow) = (self.random.between(1, 30), self.random.once_in(15));
        if slow { usual * 30 } else { usual }
    }

    /// A syndic is started: the spool is read.
    pub fn start_syndic(&mut self, no: usize) {
        let syndic = &mut self.syndics[no];
        syndic.relay = Relay::recover(RULE, self.now, syndic.spool.durable.clone());
        (syndic.link, syndic.stalled) = (None, false);
        syndic.flights.clear();
        self.later(Place::Syndic(no), 1, Happening::Dial);
        self.turn_syndic(no);
    }
}
