//! Who watches jobs: each is told every change of its job once and in order, whichever top master owns it meanwhile (I10).
//!
//! As the top master does it: subscribed first, then the store is read after the watcher's cursor, then changes are told
//! as they are committed. A connection breaks at any moment, and what was under way on it is lost.

use relay_core::{
    ids::{Jid, MinionId},
    invariants::{Observation, Verdict},
    owner::Change,
    time::Millis,
};

use crate::{event::Event, sabotage::Sabotage, store::Telling, world::World};

/// One watcher.
#[derive(Debug)]
pub struct Watcher {
    jid: Jid,
    /// The newest change that it was told.
    cursor: u64,
    /// Rises with each connection.
    session: u32,
    /// The top master it is connected to.
    at: Option<usize>,
    /// Whom it asks next.
    asks: usize,
    /// Up to which change the store was read for this session.
    seen: Option<u64>,
    /// What came before it was read.
    waiting: Vec<Told>,
    /// When the last message of this session arrives.
    last: Millis,
    /// It has been told the end.
    pub over: bool,
}

/// What a watcher is told.
#[derive(Debug, Clone)]
pub struct Told {
    change: Telling,
    closed: bool,
}

impl World {
    /// Somebody begins to watch a job.
    pub fn watch_job(&mut self, jid: Jid) {
        let asks = self.random.below(2);
        self.agenda.at(self.now + 1, Event::Watch(self.watchers.len()));
        self.watchers.push(Watcher {
            jid,
            cursor: 0,
            session: 0,
            at: None,
            asks,
            seen: None,
            waiting: Vec::new(),
            last: 0,
            over: false,
        });
    }

    /// A watcher looks for an owner.
    pub fn watch(&mut self, no: usize) {
        let watcher = &mut self.watchers[no];
        if watcher.over || watcher.at.is_some() {
            return;
        }
        let top = watcher.asks;
        watcher.asks = 1 - top;
        let process = &self.tops[top];
        if !process.process.up || process.process.paused || process.reign.is_none() {
            let wait = self.random.between(100, 1_500);
            self.agenda.at(self.now + wait, Event::Watch(no));
            return;
        }
        let watcher = &mut self.watchers[no];
        watcher.session += 1;
        (watcher.at, watcher.seen, watcher.last) = (Some(top), None, 0);
        watcher.waiting.clear();
        let (session, again) = (watcher.session, watcher.cursor > 0);
        self.coverage.add("watcher came again with a cursor", u64::from(again));
        let wait = self.disk_delay();
        self.agenda.at(self.now + wait, Event::WatchRead(no, session));
    }

    /// The store is read for a watcher.
    pub fn watch_read(&mut self, no: usize, session: u32) {
        let watcher = &mut self.watchers[no];
        if watcher.session != session || watcher.at.is_none() {
            return;
        }
        let after = if self.sabotage == Sabotage::ForgetCursor { 0 } else { watcher.cursor };
        let Some((changes, seen, closed)) = self.store.watched(watcher.jid, after) else { return };
        watcher.seen = Some(seen);
        let waiting = std::mem::take(&mut watcher.waiting);
        changes.into_iter().for_each(|change| self.tell(no, Told { change, closed: false }));
        if closed {
            self.tell(no, Told { change: Telling { seq: seen, told: Vec::new() }, closed });
        }
        waiting.into_iter().for_each(|told| self.tell_live(no, told));
    }

    /// What is committed is told to those who watch it at this top master.
    pub fn changed(&mut self, top: usize, changes: &[Change]) {
        for change in changes {
            let listens = |w: &Watcher| w.jid == change.jid && w.at == Some(top);
            let who: Vec<usize> =
                self.watchers.iter().enumerate().filter(|(_, w)| listens(w)).map(|(no, _)| no).collect();
            if who.is_empty() {
                continue;
            }
            let inventory = self.reign(top).map(|reign| reign.owner.inventory());
            let name = |no: u32| inventory.and_then(|all| all.get(no)).map(|minion| minion.id.clone());
            let answers = change.answers.iter().map(|(_, answer, members)| (Verdict::of(answer), members));
            let told: Vec<(MinionId, Verdict)> = answers
                .flat_map(|(verdict, all)| {
                    all.iter().filter_map(name).map(move |id| (id, verdict.clone())).collect::<Vec<_>>()
                })
                .collect();
            let (seq, closed) = (change.seq, change.closed);
            for no in who {
                let change = Telling { seq, told: told.clone() };
                self.tell_live(no, Told { change, closed: false });
                if closed {
                    let change = Telling { seq, told: Vec::new() };
                    self.tell_live(no, Told { change, closed });
                }
            }
        }
    }

    /// Changes that were read from the store are not told again.
    fn tell_live(&mut self, no: usize, told: Told) {
        let watcher = &mut self.watchers[no];
        match watcher.seen {
            None => watcher.waiting.push(told),
            Some(seen) if told.change.seq <= seen && !told.closed => {}
            Some(_) => self.tell(no, told),
        }
    }

    fn tell(&mut self, no: usize, told: Told) {
        let at = self.now + self.delay();
        let watcher = &mut self.watchers[no];
        watcher.last = watcher.last.max(at);
        let (at, session) = (watcher.last, watcher.session);
        self.agenda.at(at, Event::Told(no, session, told));
    }

    /// A watcher is told something, or its connection breaks just before.
    pub fn told(&mut self, no: usize, session: u32, told: Told) {
        if self.watchers[no].session != session || self.watchers[no].over {
            return;
        }
        if self.faults.active && self.random.once_in(15) {
            return self.leave_watcher(no);
        }
        let Told { change: Telling { seq, told }, closed } = told;
        let watcher = &mut self.watchers[no];
        let (jid, name) = (watcher.jid, no as u64);
        if closed {
            watcher.over = true;
            self.note(Observation::WatchEnded { watcher: name, jid, seq });
        } else if !told.is_empty() {
            watcher.cursor = seq;
            self.note(Observation::Watched { watcher: name, jid, seq, told });
        }
    }

    fn leave_watcher(&mut self, no: usize) {
        let watcher = &mut self.watchers[no];
        watcher.session += 1;
        if watcher.at.take().is_some() {
            let wait = self.random.between(1, 1_000);
            self.agenda.at(self.now + wait, Event::Watch(no));
        }
    }

    /// A top master dies or steps down: its watchers look for another.
    pub fn leave_watchers(&mut self, top: usize) {
        let here = |(_, w): &(usize, &Watcher)| w.at == Some(top);
        let who: Vec<usize> = self.watchers.iter().enumerate().filter(here).map(|(no, _)| no).collect();
        who.into_iter().for_each(|no| self.leave_watcher(no));
    }
}
