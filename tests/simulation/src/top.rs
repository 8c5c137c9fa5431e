//! The top master's process: the owner, and its way to the store.

use std::collections::BTreeMap;

use relay_core::{
    Members,
    ids::{Epoch, Incarnation, Jid, RegionName},
    invariants::Observation,
    inventory::Inventory,
    job::{Job, JobSpec},
    message::{LinkId, Up},
    owner::{Batches, Owner, OwnerEffect, OwnerRule, Write, WriteError},
    time::Millis,
};

use crate::{
    disk::{Disk, Done, Pending},
    event::{End, Event, Happening, Place},
    network::Message,
    sabotage::Sabotage,
    store::Store,
    world::{HEARTBEAT, Process, World},
};

/// Over the bound of I6: the owner looks at its deadlines once a second, and a commit takes its time.
const SLACK: Millis = 4_000;

/// The top master and the store.
pub struct TopProcess {
    /// Up, paused, lives.
    pub process: Process,
    /// Its rules.
    pub owner: Owner,
    /// The commits under way.
    pub commits: Disk<Write>,
    /// The store: it outlives everything.
    pub store: Store,
    /// Writes of dead owners that have not reached the store.
    pub late: Vec<Vec<Write>>,
    /// What the topology says of batches.
    pub batches: Batches,
    due: BTreeMap<Jid, Millis>,
    stalled: bool,
    /// When each job was accepted.
    pub accepted: BTreeMap<Jid, Millis>,
    /// How much the owner knew of each job when that was looked at last.
    pub known: BTreeMap<Jid, [u64; 3]>,
}

fn seal(spec: &JobSpec) -> Job {
    Job { jid: spec.jid, digest: [1; 32], envelope: spec.args.clone() }
}

fn rule(epoch: Epoch, batches: Batches) -> OwnerRule {
    OwnerRule { fabric: "simulated".into(), epoch, heartbeat: HEARTBEAT, seal, batches }
}

impl TopProcess {
    /// A top master with an empty store, not running yet.
    pub fn new(sabotage: Sabotage) -> TopProcess {
        TopProcess {
            process: Process::default(),
            owner: Owner::recover(rule(Epoch(0), Batches::default()), 0, 0, Inventory::new(), Vec::new()),
            commits: Disk::default(),
            store: Store::new(sabotage),
            late: Vec::new(),
            batches: Batches::default(),
            due: BTreeMap::new(),
            stalled: false,
            accepted: BTreeMap::new(),
            known: BTreeMap::new(),
        }
    }
}

impl World {
    /// Something happens to the top master.
    pub fn at_top(&mut self, happening: Happening) {
        let (now, wall) = (self.now, self.wall());
        match happening {
            Happening::Opened(link, End::Parent) => self.syndic_attached(link),
            Happening::Arrived(link, end) => {
                if let Some(Message::Up(up)) = self.net.receive(link, end, now) {
                    self.heard_from(LinkId(link), up);
                }
            }
            Happening::Broken(link, end) => {
                self.net.close(link, end);
                self.top.owner.syndic_down(wall, LinkId(link));
            }
            Happening::Timer if self.sabotage == Sabotage::NeverDeclare => {}
            Happening::Timer => self.top.owner.tick(now),
            Happening::Written => self.committed(),
            Happening::Request(no) => self.submit(no),
            Happening::Cancel(no) => self.cancel(no),
            Happening::Approve(no) => self.approve(no),
            Happening::Opened(..) | Happening::Dial | Happening::Finished(_) => {}
        }
        self.turn_top();
    }

    fn syndic_attached(&mut self, link: u64) {
        if !self.net.open(link, End::Parent) {
            return;
        }
        let Some((Place::Syndic(no), _)) = self.net.get(link).map(|l| l.child) else { return };
        let Some(spool) = self.net.get(link).map(|l| Incarnation(l.incarnation)) else { return };
        let (id, region) = (self.syndics[no].id.clone(), self.syndics[no].region.clone());
        self.top.owner.syndic_up(self.now, LinkId(link), id, region, spool);
    }

    /// The owner hears from a link; whose slots that changed is noted with the link's own region (I8).
    pub fn heard_from(&mut self, link: LinkId, up: Up) {
        let (now, wall) = (self.now, self.wall());
        let jids: Vec<Jid> = match &up {
            Up::Returns(batch) => batch.groups.iter().map(|group| group.jid).collect(),
            _ => Vec::new(),
        };
        let before: Vec<(Jid, Members)> = jids.into_iter().map(|jid| (jid, self.undecided(jid))).collect();
        self.top.owner.from_syndic(now, wall, link, up);
        for (jid, undecided) in before {
            let decided = undecided - self.undecided(jid);
            decided.iter().for_each(|no| self.decided(link, jid, no));
        }
    }

    fn undecided(&self, jid: Jid) -> Members {
        let ledger = self.top.owner.ledger(jid);
        ledger.map(|l| &(l.unsent() | l.in_flight()) | l.unknown()).unwrap_or_default()
    }

    fn decided(&mut self, link: LinkId, jid: Jid, no: u32) {
        let by: Option<RegionName> = match self.net.get(link.0).map(|l| l.child.0) {
            Some(place) => self.region(place).cloned(),
            None => self.faults.impostor_region.clone(),
        };
        let id = self.top.owner.inventory().get(no).map(|minion| minion.id.clone());
        let home = self.minions.iter().find(|m| Some(&m.id) == id.as_ref()).map(|m| m.region.clone());
        if let (Some(by), Some(home), Some(id)) = (by, home, id) {
            self.note(Observation::SaidBy { slot: (jid, id), home, by });
        }
    }

    fn committed(&mut self) {
        let now = self.now;
        let (ticket, result) = match self.top.commits.written() {
            Done::Durable(ticket, writes) => (ticket, self.commit(&writes)),
            Done::Failed(ticket) => (ticket, Err(WriteError::Failed("simulated".into()))),
            Done::Retry => {
                self.top.stalled = true;
                self.top.owner.set_stalled(Some("simulated".into()));
                self.later(Place::Top, 300, Happening::Written);
                return;
            }
            Done::Nothing => return,
        };
        self.top.commits.durable.clear();
        let works = !matches!(result, Err(WriteError::Failed(_)));
        if works && std::mem::take(&mut self.top.stalled) {
            self.top.owner.set_stalled(None);
        }
        // Sabotaged, it was told long ago; of what it was not told it knows no ticket any more.
        if self.sabotage != Sabotage::ShowUncommitted {
            self.top.owner.persisted(now, ticket, result);
        }
    }

    /// A transaction at the store.
    pub fn commit(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        let seen = self.top.store.commit(self.now, writes)?;
        for observation in seen {
            if let Observation::Recorded { jid, .. } = &observation {
                let jid = *jid;
                self.note(observation);
                self.limit(jid);
                self.due(jid);
            } else {
                self.note(observation);
            }
        }
        Ok(())
    }

    /// Sets the bound of I6 for a job that was accepted, or taken over, now.
    fn due(&mut self, jid: Jid) {
        if let Some(bound) = self.bound(jid) {
            let due = self.now + bound + SLACK;
            self.top.due.insert(jid, due);
            self.trace.note(Observation::Due(jid, due));
        }
    }

    /// Until when the last of the open jobs may be; `None` if none is.
    pub fn last_due(&self) -> Option<Millis> {
        let open = self.top.store.open().filter_map(|head| self.top.due.get(&head.job.jid));
        open.copied().max()
    }

    /// The owner can't act, or the store can't be written, for so long: its jobs may close that much later.
    pub fn postpone(&mut self, by: Millis) {
        let open: Vec<Jid> = self.top.store.open().map(|head| head.job.jid).collect();
        for jid in open {
            if let Some(due) = self.top.due.get_mut(&jid) {
                *due += by;
                self.trace.note(Observation::Due(jid, *due));
            }
        }
    }

    fn turn_top(&mut self) {
        // What it asks for before it lets jobs go on, and after: what it knows differs.
        let Some(mut active) = self.top_acts() else { return };
        loop {
            let wall = self.wall();
            self.top.owner.end_turn(self.now, wall);
            match self.top_acts() {
                Some(true) => active = true,
                Some(false) => break,
                None => return,
            }
        }
        if active {
            for (jid, ledger) in self.top.owner.ledgers() {
                self.trace.ledger("top", jid, ledger);
            }
        }
        let at = self.top.owner.next_deadline(self.now);
        self.wake(Place::Top, at);
    }

    /// Does what the owner asks for, and says whether that was anything; `None` if the process died over it.
    fn top_acts(&mut self) -> Option<bool> {
        self.know();
        let effects = self.top.owner.effects();
        let any = !effects.is_empty();
        for effect in effects {
            if self.crashes_now(Place::Top) {
                return None;
            }
            self.top_does(effect);
        }
        Some(any)
    }

    fn top_does(&mut self, effect: OwnerEffect) {
        match effect {
            OwnerEffect::Persist { ticket, writes, may_fail } => {
                let at = self.now + self.disk_delay();
                let at = self.top.commits.write(Pending { ticket, records: writes, may_fail }, at);
                self.later(Place::Top, at - self.now, Happening::Written);
                let outcomes = !may_fail && self.sabotage == Sabotage::AckUncommitted;
                if outcomes || self.sabotage == Sabotage::ShowUncommitted {
                    self.top.owner.persisted(self.now, ticket, Ok(()));
                }
            }
            OwnerEffect::Send(sending) => {
                for link in sending.links {
                    self.leaves(link, &sending.down);
                    self.send(link.0, End::Child, Message::Down(sending.down.clone()));
                }
            }
            OwnerEffect::Hangup { link, why } => {
                self.say(|| format!("top hangs up on link {}: {why}", link.0));
                self.hang_up(link.0, End::Parent);
                let wall = self.wall();
                self.top.owner.syndic_down(wall, link);
            }
            OwnerEffect::Reply { token, result } => self.replied(token as usize, result),
            OwnerEffect::Note { jid, what, members } => {
                self.say(|| format!("top job {jid}: {what} ({members})"))
            }
            OwnerEffect::ForeignMinion { syndic, id } => self.say(|| format!("top: {syndic} names {id}")),
            OwnerEffect::Changed { .. } | OwnerEffect::Duplicates(_) | OwnerEffect::GrainsRefused { .. } => {}
        }
    }

    /// A write of a former owner reaches the store.
    pub fn late_write(&mut self, no: usize) {
        let writes = std::mem::take(&mut self.top.late[no]);
        if !writes.is_empty() {
            let result = self.commit(&writes);
            self.say(|| format!("a late write of a former owner: {result:?}"));
        }
    }

    /// The top master dies; what it was writing makes it, or arrives late, or is lost.
    pub fn top_dies(&mut self) {
        let (made_it, lost) = self.top.commits.crash(&mut self.random);
        self.top.commits.durable.clear();
        for pending in made_it {
            // Nobody is told whether it was taken.
            drop(self.commit(&pending.records));
        }
        if self.random.once_in(2) {
            // Records of minions carry no epoch, so they are not among the late; nor is what was asked for after them.
            let late = lost.into_iter().map(|p| p.records);
            let late: Vec<_> =
                late.take_while(|w| !w.iter().any(|w| matches!(w, Write::Minions(_)))).collect();
            let wait = self.random.between(1, 15_000);
            for writes in late {
                self.agenda.at(self.now + wait, Event::LateWrite(self.top.late.len()));
                self.top.late.push(writes);
            }
        }
    }

    /// The top master is started: it takes over what the store holds, under the next epoch.
    pub fn start_top(&mut self) {
        let (epoch, inventory, stored) = self.top.store.take_over();
        let wall = self.wall();
        self.say(|| format!("top: epoch {}, {} jobs to go on with", epoch.0, stored.len()));
        self.top.owner =
            Owner::recover(rule(epoch, self.top.batches.clone()), self.now, wall, inventory, stored);
        self.top.stalled = false;
        self.top.known.clear();
        let open: Vec<Jid> = self.top.store.open().map(|head| head.job.jid).collect();
        open.into_iter().for_each(|jid| self.due(jid));
        let jobs = self.top.store.jobs();
        self.note(Observation::Looked { jobs });
        self.turn_top();
    }
}
