//! A top master's process: a standby, or the owner. Who owns is [`crate::leadership`]'s, its way to the store
//! [`crate::commits`]'s, the beginning and the end of a reign [`crate::reign`]'s.

use std::{collections::BTreeMap, sync::Arc};

use relay_core::{
    Members,
    ids::{Epoch, Incarnation, Jid, RegionName},
    invariants::Observation,
    inventory::Inventory,
    message::{Down, LinkId, Up},
    owner::{Batches, CommitRule, Owner, OwnerEffect, OwnerRule, ROW_BYTES, StoredJob, Write},
};

use crate::{
    disk::Disk,
    event::{End, Happening, Place},
    leadership::Seat,
    network::Message,
    sabotage::Sabotage,
    signing::Sealer,
    world::{HEARTBEAT, Process, World},
};

/// What a top master has while it owns the fabric, or believes so.
pub struct Reign {
    /// Under this epoch.
    pub epoch: Epoch,
    /// Its rules.
    pub owner: Owner,
    /// The commits under way.
    pub commits: Disk<Write>,
    /// How much the owner knew of each job when that was looked at last.
    pub known: BTreeMap<Jid, [u64; 3]>,
    /// The store could not be written when it was tried last.
    pub stalled: bool,
}

/// A top master.
pub struct TopProcess {
    /// Up, paused, lives.
    pub process: Process,
    /// It owns the fabric; otherwise it is a standby.
    pub reign: Option<Reign>,
    /// It has asked the store for a reign.
    pub beginning: bool,
    /// What the store gave it.
    pub begun: Option<(Epoch, Inventory, Vec<StoredJob>)>,
    /// How it stands in the registry.
    pub seat: Seat,
    /// Its way to the store is broken.
    pub store_away: bool,
}

impl Default for TopProcess {
    /// A standby that does not run yet.
    fn default() -> TopProcess {
        TopProcess {
            process: Process::default(),
            reign: None,
            beginning: false,
            begun: None,
            seat: Seat::new(0),
            store_away: false,
        }
    }
}

/// Answers are short here, and must go in several commits nevertheless: four rows in each, two while small jobs come, and who has one
/// goes first.
const COMMITS: CommitRule =
    CommitRule { bytes: 9 * ROW_BYTES / 2, short: 5 * ROW_BYTES / 2, small: 3 * ROW_BYTES / 2 };

pub(crate) fn rule(epoch: Epoch, batches: Batches) -> OwnerRule {
    OwnerRule {
        fabric: "simulated".into(),
        epoch,
        heartbeat: HEARTBEAT,
        seal: Arc::new(Sealer),
        batches,
        commits: COMMITS,
    }
}

impl World {
    /// The top master that owns the fabric by the store's word, if it lives.
    pub fn ruler(&self) -> Option<usize> {
        let rules = |top: &TopProcess| top.reign.as_ref().is_some_and(|r| r.epoch == self.store.epoch);
        self.tops.iter().position(rules)
    }

    /// Its rules.
    pub fn owner(&self) -> Option<&Owner> {
        self.reign(self.ruler()?).map(|reign| &reign.owner)
    }

    /// What a top master has as an owner.
    pub fn reign(&self, top: usize) -> Option<&Reign> {
        self.tops[top].reign.as_ref()
    }

    /// Something happens to a top master.
    pub fn at_top(&mut self, top: usize, happening: Happening) {
        match happening {
            Happening::Lease => self.keep_tenure(top),
            Happening::Registry(no, heard) => self.answered(top, no, heard),
            Happening::Leader(holder) => self.shown_leader(top, holder),
            Happening::Begun(epoch) => self.begun(top, epoch),
            Happening::Opened(link, End::Parent) if self.tops[top].reign.is_none() => self.refuse(link),
            Happening::Arrived(link, end) if self.tops[top].reign.is_none() => self.nod(link, end),
            Happening::Request(no) if !self.may_accept(top) => self.not_owner(no),
            Happening::Broken(link, end) if self.tops[top].reign.is_none() => {
                self.net.close(link, end);
            }
            other => self.at_owner(top, other),
        }
        self.turn_top(top);
    }

    /// New jobs are accepted only while the registry's word is fresh.
    fn may_accept(&mut self, top: usize) -> bool {
        let fresh = self.tops[top].seat.tenure.certain(self.now).is_ok();
        let owns = self.tops[top].reign.is_some();
        self.coverage.add("refused: the registry is away", u64::from(owns && !fresh));
        owns && fresh
    }

    /// A standby takes no links.
    fn refuse(&mut self, link: u64) {
        if self.net.open(link, End::Parent) && self.sabotage != Sabotage::StandbyAccepts {
            self.hang_up(link, End::Parent);
        }
    }

    /// What a standby hears, because the link was not yet known to be gone, it does not take.
    fn nod(&mut self, link: u64, end: End) {
        let message = self.net.receive(link, end, self.now);
        if let (Some(Message::Up(Up::Returns(batch))), Sabotage::StandbyAccepts) = (message, self.sabotage) {
            self.send(link, End::Child, Message::Down(Down::ReturnsAck { up_to: batch.seq }));
        }
    }

    fn at_owner(&mut self, top: usize, happening: Happening) {
        let (now, wall) = (self.now, self.wall(top));
        let declares = self.sabotage != Sabotage::NeverDeclare;
        let Some(reign) = self.tops[top].reign.as_mut() else { return };
        match happening {
            Happening::Opened(link, End::Parent) => self.syndic_attached(top, link),
            Happening::Arrived(link, end) => {
                if let Some(Message::Up(up)) = self.net.receive(link, end, now) {
                    self.heard_from(top, LinkId(link), up);
                }
            }
            Happening::Broken(link, end) => {
                self.net.close(link, end);
                reign.owner.syndic_down(wall, LinkId(link));
            }
            Happening::Timer if !declares => {}
            Happening::Timer => reign.owner.tick(now),
            Happening::Committed(epoch, ticket, result) => self.committed(top, epoch, ticket, result),
            Happening::Stalled(epoch) if epoch == reign.epoch => {
                reign.stalled = true;
                reign.owner.set_stalled(Some("simulated".into()));
            }
            Happening::Request(no) => self.submit(top, no),
            Happening::Cancel(no) => self.cancel(top, no),
            Happening::Approve(no) => self.approve(top, no),
            _ => {}
        }
    }

    fn syndic_attached(&mut self, top: usize, link: u64) {
        let now = self.now;
        if !self.net.open(link, End::Parent) {
            return;
        }
        let Some((Place::Syndic(no), _)) = self.net.get(link).map(|l| l.child) else { return };
        let Some(spool) = self.net.get(link).map(|l| Incarnation(l.incarnation)) else { return };
        let (id, region) = (self.syndics[no].id.clone(), self.syndics[no].region.clone());
        if let Some(reign) = &mut self.tops[top].reign {
            reign.owner.syndic_up(now, LinkId(link), id, region, spool);
        }
    }

    /// The owner hears from a link; whose slots that changed is noted with the link's own region (I8).
    pub fn heard_from(&mut self, top: usize, link: LinkId, up: Up) {
        let (now, wall) = (self.now, self.wall(top));
        let jids: Vec<Jid> = match &up {
            Up::Returns(batch) => batch.groups.iter().map(|group| group.jid).collect(),
            _ => Vec::new(),
        };
        let before: Vec<(Jid, Members)> =
            jids.into_iter().map(|jid| (jid, self.undecided(top, jid))).collect();
        if let Some(reign) = &mut self.tops[top].reign {
            reign.owner.from_syndic(now, wall, link, up);
        }
        for (jid, undecided) in before {
            let decided = undecided - self.undecided(top, jid);
            decided.iter().for_each(|no| self.decided(top, link, jid, no));
        }
    }

    fn undecided(&self, top: usize, jid: Jid) -> Members {
        let ledger = self.reign(top).and_then(|reign| reign.owner.ledger(jid));
        ledger.map(|l| &(l.unsent() | l.in_flight()) | l.unknown()).unwrap_or_default()
    }

    fn decided(&mut self, top: usize, link: LinkId, jid: Jid, no: u32) {
        let by: Option<RegionName> = match self.net.get(link.0).map(|l| l.child.0) {
            Some(place) => self.region(place).cloned(),
            None => self.faults.impostor_region.clone(),
        };
        let minion = self.reign(top).and_then(|reign| reign.owner.inventory().get(no));
        let id = minion.map(|minion| minion.id.clone());
        let home = self.minions.iter().find(|m| Some(&m.id) == id.as_ref()).map(|m| m.region.clone());
        if let (Some(by), Some(home), Some(id)) = (by, home, id) {
            self.note(Observation::SaidBy { slot: (jid, id), home, by });
        }
    }

    // ---- a turn ----

    pub(crate) fn turn_top(&mut self, top: usize) {
        // What it asks for before it lets jobs go on, and after: what it knows differs.
        let Some(mut active) = self.top_acts(top) else { return };
        loop {
            let (now, wall) = (self.now, self.wall(top));
            let Some(reign) = &mut self.tops[top].reign else { return };
            reign.owner.end_turn(now, wall);
            match self.top_acts(top) {
                Some(true) => active = true,
                Some(false) => break,
                None => return,
            }
        }
        let Some(reign) = &self.tops[top].reign else { return };
        if active {
            for (jid, ledger) in reign.owner.ledgers() {
                self.trace.ledger("top", jid, ledger);
            }
        }
        let at = reign.owner.next_deadline(self.now);
        self.wake(Place::Top(top), at);
    }

    /// Does what the owner asks for, and says whether that was anything; `None` if the process died over it.
    fn top_acts(&mut self, top: usize) -> Option<bool> {
        self.know(top);
        let effects = self.tops[top].reign.as_mut()?.owner.effects();
        let any = !effects.is_empty();
        for effect in effects {
            if self.crashes_now(Place::Top(top)) {
                return None;
            }
            self.top_does(top, effect);
        }
        Some(any)
    }

    fn top_does(&mut self, top: usize, effect: OwnerEffect) {
        match effect {
            OwnerEffect::Persist { ticket, writes, may_fail } => self.persist(top, ticket, writes, may_fail),
            OwnerEffect::Send(sending) => {
                for (link, down) in sending.each() {
                    self.leaves(top, link, &down);
                    self.send(link.0, End::Child, Message::Down(down));
                }
            }
            OwnerEffect::Hangup { link, why } => {
                self.say(|| format!("top{top} hangs up on link {}: {why}", link.0));
                self.hang_up(link.0, End::Parent);
                let wall = self.wall(top);
                if let Some(reign) = &mut self.tops[top].reign {
                    reign.owner.syndic_down(wall, link);
                }
            }
            OwnerEffect::Reply { token, result } => self.replied(token as usize, result),
            OwnerEffect::Note { jid, what, members } => {
                self.say(|| format!("top{top} job {jid}: {what} ({members})"))
            }
            OwnerEffect::ForeignMinion { syndic, id } => {
                self.say(|| format!("top{top}: {syndic} names {id}"));
            }
            OwnerEffect::RegionFull { syndic, first, refused, .. } => {
                self.say(|| {
                    format!("top{top}: {syndic} names {refused} minions too many, {first} among them")
                });
            }
            OwnerEffect::Suspect { syndic, jid, why, .. } => {
                self.coverage.add("red team: seen by the owner", 1);
                self.say(|| format!("top{top}: below {syndic}, job {jid}: {why}"));
            }
            OwnerEffect::Changed { changes, .. } => self.changed(top, &changes),
            OwnerEffect::Reported(found) => {
                self.coverage.add("red team: found out", 1);
                self.say(|| {
                    format!("top{top}: {:?} say that {} forges: {:?}", found.by, found.accused, found.kind)
                });
            }
            OwnerEffect::Duplicates(_)
            | OwnerEffect::GrainsRefused { .. }
            | OwnerEffect::ReportsDropped { .. } => {}
        }
    }
}
