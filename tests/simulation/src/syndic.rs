//! A syndic process: the relay, its spool, its link to the top master.

use std::collections::BTreeMap;

use relay_core::{
    fold::FlushRule,
    ids::{Incarnation, Jid, MinionId, RegionName, TierId},
    message::{Down, LinkId, Up},
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
    /// Its link upward, dialled or open.
    pub link: Option<u64>,
    stalled: bool,
}

impl SyndicProcess {
    /// A machine with an empty spool, not running yet.
    pub fn new(id: TierId, region: RegionName, incarnation: u64) -> SyndicProcess {
        SyndicProcess {
            process: Process::default(),
            id,
            region,
            relay: Relay::recover(RULE, 0, Vec::new()),
            spool: Disk::default(),
            incarnation,
            link: None,
            stalled: false,
        }
    }

    /// Everything in the spool is gone.
    pub fn lose_spool(&mut self, incarnation: u64) {
        self.spool.wipe();
        self.incarnation = incarnation;
    }

    /// The returns of minions that the spool holds durably and the top master has not acknowledged, in batches up to
    /// this one.
    pub fn holds(&self, last: u64) -> Vec<(Jid, MinionId)> {
        let mut names = BTreeMap::new();
        let mut batches = BTreeMap::new();
        for record in &self.spool.durable {
            match record {
                SpoolRecord::Member { no, id, .. } => drop(names.insert(*no, id.clone())),
                SpoolRecord::Batch { batch, .. } => drop(batches.insert(batch.seq, batch)),
                SpoolRecord::Acked { up_to, .. } => batches.retain(|seq, _| seq > up_to),
                SpoolRecord::Sent(_) | SpoolRecord::Forget { .. } => {}
            }
        }
        let groups =
            batches.range(..=last).flat_map(|(_, batch)| &batch.groups).filter(|group| !group.answer.by_tier);
        let slots = groups.flat_map(|group| group.members.iter().map(|no| (group.jid, no)));
        slots.filter_map(|(jid, no)| names.get(&no).map(|id| (jid, id.clone()))).collect()
    }
}

impl World {
    /// Something happens to a syndic.
    pub fn at_syndic(&mut self, no: usize, happening: Happening) {
        let (now, wall) = (self.now, self.wall());
        match happening {
            Happening::Dial => self.dial_top(no),
            Happening::Opened(link, End::Child) => self.syndic_opened(no, link),
            Happening::Opened(link, End::Parent) => self.minion_attached(no, link),
            Happening::Arrived(link, end) => match self.net.receive(link, end, now) {
                Some(Message::Up(up)) => self.syndics[no].relay.from_child(now, wall, LinkId(link), up),
                Some(Message::Down(down)) => {
                    if let Down::ReturnsAck { up_to } = down {
                        self.acked_by_top(no, up_to);
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
            Happening::Request(_) | Happening::Cancel(_) | Happening::Approve(_) | Happening::Finished(_) => {
            }
        }
        self.turn_syndic(no);
    }

    fn dial_top(&mut self, no: usize) {
        if self.syndics[no].link.is_some() {
            return;
        }
        let incarnation = self.syndics[no].incarnation;
        match self.connect(Place::Syndic(no), Place::Top, incarnation) {
            Some(link) => self.syndics[no].link = Some(link),
            None => self.redial(Place::Syndic(no)),
        }
    }

    fn syndic_opened(&mut self, no: usize, link: u64) {
        if self.syndics[no].link != Some(link) {
            return;
        }
        if !self.net.open(link, End::Child) {
            self.syndic_unlinked(no, link, End::Child);
            return;
        }
        self.syndics[no].relay.parent_up(self.now, 0, LinkId(link));
    }

    fn minion_attached(&mut self, no: usize, link: u64) {
        if !self.net.open(link, End::Parent) {
            return;
        }
        let Some(Place::Minion(minion)) = self.net.get(link).map(|l| l.child.0) else { return };
        let Some(incarnation) = self.net.get(link).map(|l| Incarnation(l.incarnation)) else { return };
        let id = self.minions[minion].id.clone();
        self.syndics[no].relay.child_up(self.now, LinkId(link), Some(&id), incarnation);
    }

    fn syndic_unlinked(&mut self, no: usize, link: u64, end: End) {
        let (now, wall) = (self.now, self.wall());
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

    /// An acknowledgement by the top master means that the store has it (I3: a hop may forget what the next holds).
    fn acked_by_top(&mut self, no: usize, up_to: u64) {
        for (jid, id) in self.syndics[no].holds(up_to) {
            let store = &self.top.store;
            let target = store.jobs().get(&jid).is_some_and(|targets| targets.contains(&id));
            if target && !store.has_final(jid, &id) {
                self.breach(
                    "I3",
                    format!("job {jid}: the return of {id} was acknowledged to s{no} and is not stored"),
                );
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
                for link in sending.links {
                    self.send(link.0, End::Child, Message::Down(sending.down.clone()));
                }
            }
            RelayEffect::SendUp { link, up: Up::Returns(batch) }
                if self.sabotage == Sabotage::DropReturns =>
            {
                let ack = Down::ReturnsAck { up_to: batch.seq };
                self.syndics[no].relay.from_parent(self.now, link, ack);
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
            RelayEffect::Duplicates(_) => {}
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
        self.later(Place::Syndic(no), 1, Happening::Dial);
        self.turn_syndic(no);
    }
}
