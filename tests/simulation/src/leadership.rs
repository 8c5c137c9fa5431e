//! The registry as far as it decides who owns the fabric, and what a top master makes of it.
//!
//! Leases, a key under one of them, and a watch of it, as etcd keeps them. They stand outside of all processes: what reaches
//! them is done, whether the one who asked is stopped meanwhile or not. What a top master does next is
//! [`relay_core::tenure`]'s. Exactness is the store's: see [`crate::store::Store::begin`].

use std::collections::BTreeMap;

use relay_core::{
    invariants::Observation,
    tenure::{Leader, Step, Tenure, TenureRule},
    time::Millis,
};

use crate::{
    event::{Event, Happening, Place},
    world::World,
};

/// How long a lease outlives its last keepalive.
pub const TTL: Millis = 4_000;
/// How long a standby waits after the key vanished, unless it was handed over: the owner itself may come back first.
pub const GRACE: Millis = 1_500;
/// A call that is not answered by then has failed.
const CALL_TIME: Millis = TTL / 3;

/// What a top master asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A lease.
    Grant,
    /// That this lease is kept.
    Keep(u64),
    /// The key, under this lease.
    Stand(u64),
    /// That the key is given back, if it is under this lease.
    Resign(u64),
}

/// What it learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It has this lease, as of then.
    Leased(u64, Millis),
    /// Its lease is gone.
    LeaseEnded,
    /// The call was done.
    Done,
    /// This call was not answered in time.
    Silence(u64),
}

/// Who has the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    top: usize,
    lease: u64,
    leaving: bool,
}

/// Leases and the key.
#[derive(Debug, Default)]
pub struct Registry {
    leases: BTreeMap<u64, Millis>,
    next: u64,
    holder: Option<Holder>,
    /// Nobody can reach it.
    pub down: bool,
    /// These top masters can't reach it.
    pub cut: [bool; 2],
}

/// A top master's side of it.
#[derive(Debug)]
pub struct Seat {
    /// What it may do.
    pub tenure: Tenure,
    lease: Option<u64>,
    /// The call that is not answered yet.
    calling: Option<u64>,
    calls: u64,
    /// When it looks after both next.
    looks_at: Option<Millis>,
    /// It was elected and gave the key back; until the registry shows another, it sees nobody.
    resigned: bool,
}

impl Seat {
    /// A standby without a lease.
    pub fn new(now: Millis) -> Seat {
        let tenure = Tenure::new(TenureRule { ttl: TTL, grace: GRACE }, now);
        Seat { tenure, lease: None, calling: None, calls: 0, looks_at: None, resigned: false }
    }
}

impl Registry {
    /// Whether this top master reaches it now.
    pub fn reaches(&self, top: usize) -> bool {
        !self.down && !self.cut[top]
    }

    fn expire(&mut self, now: Millis) {
        self.leases.retain(|_, until| *until > now);
        let leases = &self.leases;
        self.holder.take_if(|holder| !leases.contains_key(&holder.lease));
    }

    fn call(&mut self, now: Millis, top: usize, call: Call) -> Heard {
        self.expire(now);
        match call {
            Call::Grant => {
                self.next += 1;
                self.leases.insert(self.next, now + TTL);
                return Heard::Leased(self.next, 0);
            }
            Call::Keep(lease) | Call::Stand(lease) | Call::Resign(lease)
                if !self.leases.contains_key(&lease) =>
            {
                return Heard::LeaseEnded;
            }
            Call::Keep(lease) => {
                self.leases.insert(lease, now + TTL);
                return Heard::Leased(lease, 0);
            }
            Call::Stand(lease) => {
                self.holder.get_or_insert(Holder { top, lease, leaving: false });
            }
            Call::Resign(lease) => drop(self.holder.take_if(|holder| holder.lease == lease)),
        }
        Heard::Done
    }
}

impl World {
    /// A top master will look after its tenure then, if not before.
    pub fn look_at_tenure(&mut self, top: usize, wait: Millis) {
        let at = self.now + wait;
        let seat = &mut self.tops[top].seat;
        if seat.looks_at.is_none_or(|earlier| earlier > at) {
            seat.looks_at = Some(at);
            self.later(Place::Top(top), wait, Happening::Lease);
        }
    }

    /// A top master looks what to do about its lease and the key.
    pub fn keep_tenure(&mut self, top: usize) {
        let (now, life) = (self.now, self.tops[top].process.life);
        let seat = &mut self.tops[top].seat;
        if seat.looks_at.take_if(|at| *at <= now).is_none() || seat.calling.is_some() {
            return;
        }
        let call = match (seat.tenure.next(now), seat.lease) {
            (Step::Wait(until), _) => {
                return self.look_at_tenure(top, until.max(now + 1) - now);
            }
            (Step::Keep, Some(lease)) => Call::Keep(lease),
            (Step::Stand, Some(lease)) => Call::Stand(lease),
            _ => Call::Grant,
        };
        seat.calls += 1;
        seat.calling = Some(seat.calls);
        let no = seat.calls;
        let wait = self.delay();
        self.agenda.at(now + wait, Event::AtRegistry(top, life, no, call, now));
        self.later(Place::Top(top), CALL_TIME, Happening::Registry(no, Heard::Silence(no)));
    }

    /// What was asked reaches the registry; the answer may not get back.
    pub fn at_registry(&mut self, top: usize, life: u32, no: u64, call: Call, asked: Millis) {
        if !self.registry.reaches(top) {
            return;
        }
        let before = self.registry.holder;
        let heard = match self.registry.call(self.now, top, call) {
            Heard::Leased(lease, _) => Heard::Leased(lease, asked),
            other => other,
        };
        self.show(before);
        let lost = self.faults.active && self.random.once_in(30);
        if !lost && self.tops[top].process.life == life {
            let wait = self.delay();
            self.later(Place::Top(top), wait, Happening::Registry(no, heard));
            let wait = wait + self.delay();
            self.later(Place::Top(top), wait, Happening::Leader(self.registry.holder));
        }
    }

    /// The registry looks for leases that are over.
    pub fn expire_leases(&mut self) {
        let before = self.registry.holder;
        self.registry.expire(self.now);
        self.show(before);
        self.agenda.at(self.now + 100, Event::Expire);
    }

    /// Who watches the key is shown what has become of it. A watch that was cut off is told by its next answered call.
    fn show(&mut self, before: Option<Holder>) {
        if self.registry.holder != before {
            for top in 0..self.tops.len() {
                if self.registry.reaches(top) && self.tops[top].process.up {
                    let wait = self.delay();
                    self.later(Place::Top(top), wait, Happening::Leader(self.registry.holder));
                }
            }
        }
    }

    /// A call is answered, or is not in time.
    pub fn answered(&mut self, top: usize, no: u64, heard: Heard) {
        let now = self.now;
        let seat = &mut self.tops[top].seat;
        if seat.calling != Some(no) {
            return; // too late
        }
        seat.calling = None;
        match heard {
            Heard::Leased(lease, asked) => {
                seat.lease = Some(lease);
                seat.tenure.kept(asked);
            }
            Heard::LeaseEnded => {
                seat.lease = None;
                seat.tenure.lease_ended(now);
            }
            Heard::Silence(_) => seat.tenure.unanswered(now),
            Heard::Done => {}
        }
        // The key is shown by the watch a little later: standing again meanwhile changes nothing.
        let wait = if heard == Heard::Done { 50 } else { 1 };
        self.look_at_tenure(top, wait);
        self.follow_tenure(top);
    }

    /// The watch shows who leads.
    pub fn shown_leader(&mut self, top: usize, holder: Option<Holder>) {
        let now = self.now;
        let seat = &mut self.tops[top].seat;
        let ours = holder.is_some_and(|h| Some(h.lease) == seat.lease);
        seat.resigned &= ours;
        let leader = match holder {
            None => Leader::Nobody,
            Some(_) if seat.resigned => Leader::Nobody,
            Some(_) if ours => Leader::Ours,
            Some(holder) => Leader::Other { ourselves: holder.top == top, leaving: holder.leaving },
        };
        seat.tenure.heard(now, leader);
        self.look_at_tenure(top, 1);
        self.follow_tenure(top);
    }

    /// An owner's work begins or ends here.
    fn follow_tenure(&mut self, top: usize) {
        let process = &mut self.tops[top];
        let owns = process.seat.tenure.owns();
        if !owns && process.reign.is_some() {
            self.step_down(top, "another owns the fabric");
        } else if owns && process.reign.is_none() && !process.beginning {
            process.beginning = true;
            let life = process.process.life;
            let wait = self.disk_delay();
            self.agenda.at(self.now + wait, Event::Begin(top, life));
        }
    }

    /// The store was taken over by another: others come first.
    pub fn term_ended(&mut self, top: usize) {
        let (now, life) = (self.now, self.tops[top].process.life);
        let seat = &mut self.tops[top].seat;
        if !seat.tenure.term_ended(now) {
            return;
        }
        seat.resigned = true;
        if let Some(lease) = seat.lease {
            let wait = self.delay();
            self.agenda.at(now + wait, Event::AtRegistry(top, life, 0, Call::Resign(lease), now));
        }
    }

    /// The store is taken over for a top master: from here on no earlier owner's write lands.
    pub fn begin(&mut self, top: usize, life: u32) {
        if self.tops[top].process.life != life {
            return;
        }
        let begun = self.store.begin();
        let epoch = begun.0;
        self.tops[top].begun = Some(begun);
        self.say(|| format!("top{top} takes the store over: epoch {}", epoch.0));
        let open: Vec<_> = self.store.open().map(|head| head.job.jid).collect();
        let another = self.last_owner.is_some_and(|last| last != top);
        self.coverage.add("takeover", u64::from(another));
        self.coverage.add("takeover of open jobs", u64::from(another && !open.is_empty()));
        self.last_owner = Some(top);
        open.into_iter().for_each(|jid| self.due(jid));
        let jobs = self.store.jobs();
        self.note(Observation::Looked { jobs });
        let wait = self.delay();
        self.later(Place::Top(top), wait, Happening::Begun(epoch));
    }

    /// The registry is cut off, or gone, for a while.
    pub fn lose_registry(&mut self, whom: Option<usize>, lasts: Millis) {
        match whom {
            Some(top) => self.registry.cut[top] = true,
            None => self.registry.down = true,
        }
        self.say(|| format!("the registry is away for {lasts}: {whom:?}"));
        self.agenda.at(self.now + lasts, Event::RegistryMended(whom));
    }

    /// The registry is back.
    pub fn mend_registry(&mut self, whom: Option<usize>) {
        match whom {
            Some(top) => self.registry.cut[top] = false,
            None => self.registry.down = false,
        }
    }

    /// A top master is stopped in order: it says that it goes, gives the key back, and its lease.
    pub fn stop_top(&mut self, top: usize) {
        let process = &self.tops[top];
        if !process.process.up || process.process.paused {
            return;
        }
        let (lease, owned) = (process.seat.lease, process.reign.is_some());
        if let Some(lease) = lease.filter(|_| self.registry.reaches(top)) {
            for leaving in [true, false] {
                let before = self.registry.holder;
                let mine = self.registry.holder.as_mut().filter(|holder| holder.lease == lease);
                match mine {
                    Some(holder) if leaving => holder.leaving = true,
                    _ => self.registry.holder = self.registry.holder.filter(|holder| holder.lease != lease),
                }
                self.show(before);
            }
            self.registry.leases.remove(&lease);
        }
        self.coverage.add("handover", u64::from(owned));
        self.crash(Place::Top(top), false);
    }
}
