//! The simulated fabric: processes, their network and disks, one clock, one agenda.
//!
//! Owns the main loop and what all processes have in common (lives, pauses, timers, links). What a role does with an
//! event is in [`crate::top`], [`crate::syndic`] and [`crate::minion`]; what goes wrong is in [`crate::faults`].

use std::collections::{BTreeMap, BTreeSet};

use relay_core::{
    ids::{Epoch, Jid, MinionId, RegionName},
    invariants::{Observation, Trace, Violation},
    message::{Down, Up},
    owner::{Batches, HOPS, Write},
    seat::HeartbeatRule,
    time::{Millis, WallMicros},
};

use crate::{
    client::Request,
    coverage::Coverage,
    event::{Agenda, End, Event, Happening, Place},
    faults::Faults,
    leadership::Registry,
    minion::MinionProcess,
    network::{Message, Network},
    random::Random,
    red_team::Loot,
    sabotage::Sabotage,
    store::Store,
    syndic::SyndicProcess,
    top::TopProcess,
    watchers::Watcher,
};

/// Shorter than in production, so that a run finds half-open links in seconds of simulated time.
pub const HEARTBEAT: HeartbeatRule = HeartbeatRule { interval: 2_000, dead_after: 5_000 };
/// The wall clock when the simulation begins.
const WALL: WallMicros = 1_800_000_000_000_000;

/// What every process has.
#[derive(Debug, Default)]
pub struct Process {
    /// It runs (or is paused).
    pub up: bool,
    /// Rises with each crash; what was meant for an earlier life is void.
    pub life: u32,
    /// Stopped, as by SIGSTOP: everything waits.
    pub paused: bool,
    /// What waits.
    pub held: Vec<Happening>,
    timer: Option<Millis>,
}

impl Process {
    /// Ends this life; returns the next one's number.
    pub fn die(&mut self) -> u32 {
        *self = Process { life: self.life + 1, ..Process::default() };
        self.life
    }
}

/// The fabric.
pub struct World {
    /// Simulated time.
    pub now: Millis,
    /// What is going to happen.
    pub agenda: Agenda,
    /// The source of chance.
    pub random: Random,
    /// Links and cuts.
    pub net: Network,
    /// The top masters.
    pub tops: Vec<TopProcess>,
    /// The store that they share: it outlives everything.
    pub store: Store,
    /// What decides who owns the fabric.
    pub registry: Registry,
    /// Who owned it last.
    pub last_owner: Option<usize>,
    /// Writes of former owners that have not reached the store, and their epochs.
    pub late: Vec<(Epoch, Vec<Write>)>,
    /// What the topology says of batches.
    pub batches: Batches,
    /// Links between the owner and a minion, at most.
    pub hops: u64,
    /// By when each job must be closed.
    pub due: BTreeMap<Jid, Millis>,
    /// When each job was accepted.
    pub accepted: BTreeMap<Jid, Millis>,
    /// Returns that were in spools that were lost.
    pub lost_spooled: BTreeSet<(Jid, MinionId)>,
    /// What syndics have heard that the red team has got hold of.
    pub loot: Vec<Loot>,
    /// Who watches jobs.
    pub watchers: Vec<Watcher>,
    /// The syndics.
    pub syndics: Vec<SyndicProcess>,
    /// The minions.
    pub minions: Vec<MinionProcess>,
    /// What operators want.
    pub requests: Vec<Request>,
    /// What goes wrong.
    pub faults: Faults,
    /// What was seen.
    pub trace: Trace,
    /// Breaches of what is not an invariant of its own, but must hold in a simulation (a retry's jid, coming to rest).
    pub breaches: Vec<Violation>,
    /// A rule that is broken on purpose.
    pub sabotage: Sabotage,
    /// The top masters' wall clocks are wrong by this.
    pub skew: [i64; 2],
    /// Lines, if they are kept.
    pub log: Option<Vec<String>>,
    /// Events so far.
    pub steps: u64,
    /// What was tried.
    pub coverage: Coverage,
    observed: bool,
}

impl World {
    /// An empty fabric; see [`crate::build`].
    pub fn new(random: Random, faults: Faults, sabotage: Sabotage, log: bool) -> World {
        World {
            now: 0,
            agenda: Agenda::default(),
            random,
            net: Network::default(),
            tops: vec![TopProcess::default(), TopProcess::default()],
            store: Store::new(sabotage),
            registry: Registry::default(),
            last_owner: None,
            late: Vec::new(),
            batches: Batches::default(),
            hops: HOPS,
            due: BTreeMap::new(),
            accepted: BTreeMap::new(),
            lost_spooled: BTreeSet::new(),
            loot: Vec::new(),
            watchers: Vec::new(),
            syndics: Vec::new(),
            minions: Vec::new(),
            requests: Vec::new(),
            faults,
            trace: Trace::default(),
            breaches: Vec::new(),
            sabotage,
            skew: [0; 2],
            log: log.then(Vec::new),
            steps: 0,
            coverage: Coverage::default(),
            observed: false,
        }
    }

    /// Runs the next event. False when the agenda is empty.
    pub fn step(&mut self) -> bool {
        let Some((when, event)) = self.agenda.pop() else { return false };
        self.now = self.now.max(when);
        self.steps += 1;
        self.happen(event);
        true
    }

    /// Whether something was observed since this was asked last: only then can an invariant have come to be broken.
    pub fn take_observed(&mut self) -> bool {
        std::mem::take(&mut self.observed)
    }

    /// Notes an observation.
    pub fn note(&mut self, observation: Observation) {
        match &observation {
            Observation::Slot((jid, id), verdict) => self.say(|| format!("  SLOT {jid} {id}: {verdict}")),
            Observation::Ended((jid, id), verdict) => self.say(|| format!("  END {jid} {id}: {verdict}")),
            Observation::Wrote { .. } | Observation::SaidBy { .. } | Observation::Known(..) => {}
            Observation::Ordered(..) | Observation::Executed(..) => {}
            Observation::Changed { .. } => {}
            other => self.say(|| format!("  {other:?}")),
        }
        self.observed = true;
        self.trace.note(observation);
    }

    /// Notes a breach of what the simulation itself demands.
    pub fn breach(&mut self, invariant: &'static str, what: String) {
        self.breaches.push(Violation { invariant, what });
    }

    /// Adds a line to the log, if there is one.
    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>7} {}", self.now, line()));
        }
    }

    /// What a wall clock shows that is right.
    pub fn true_wall(&self) -> WallMicros {
        WALL + self.now * 1_000
    }

    /// The wall clock of a top master.
    pub fn wall(&self, top: usize) -> WallMicros {
        (WALL + self.now * 1_000).saturating_add_signed(self.skew[top])
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::To(place, life, happening) => self.to(place, life, happening),
            Event::RunOver(minion, run, killed) => self.run_over(minion, run, killed),
            Event::Client(no) => self.client(no),
            Event::Look(no) => self.look(no),
            Event::Fault => self.fault(),
            Event::Mend(cut) => self.mend(cut),
            Event::Resume(place, life) => self.resume(place, life),
            Event::Restart(place, life) => self.restart(place, life),
            Event::DiskMended(place) => self.mend_disk(place),
            Event::LateWrite(no) => self.late_write(no),
            Event::Poll => self.poll(),
            Event::Begin(top, life) => self.begin(top, life),
            Event::Commit(top, epoch) => self.reach_store(top, epoch),
            Event::AtRegistry(top, life, no, call, asked) => self.at_registry(top, life, no, call, asked),
            Event::Expire => self.expire_leases(),
            Event::RegistryMended(whom) => self.mend_registry(whom),
            Event::Roll(top) => self.stop_top(top),
            Event::Watch(no) => self.watch(no),
            Event::WatchRead(no, session) => self.watch_read(no, session),
            Event::Told(no, session, told) => self.told(no, session, told),
        }
    }

    fn to(&mut self, place: Place, life: u32, happening: Happening) {
        let process = self.process(place);
        if !process.up || process.life != life {
            return;
        }
        if process.paused {
            process.held.push(happening);
            return;
        }
        if let Happening::Timer = happening {
            if process.timer.is_none_or(|at| at > self.now) {
                return;
            }
            self.process(place).timer = None;
        }
        match place {
            Place::Top(no) => self.at_top(no, happening),
            Place::Syndic(no) => self.at_syndic(no, happening),
            Place::Minion(no) => self.at_minion(no, happening),
        }
    }

    // ---- processes ----

    /// What a process has in common with all.
    pub fn process(&mut self, place: Place) -> &mut Process {
        match place {
            Place::Top(no) => &mut self.tops[no].process,
            Place::Syndic(no) => &mut self.syndics[no].process,
            Place::Minion(no) => &mut self.minions[no].process,
        }
    }

    /// The region of a place; a top master has none.
    pub fn region(&self, place: Place) -> Option<&RegionName> {
        match place {
            Place::Top(_) => None,
            Place::Syndic(no) => Some(&self.syndics[no].region),
            Place::Minion(no) => Some(&self.minions[no].region),
        }
    }

    /// Puts something on the agenda of a process as it lives now.
    pub fn later(&mut self, place: Place, wait: Millis, happening: Happening) {
        let life = self.process(place).life;
        self.agenda.at(self.now + wait, Event::To(place, life, happening));
    }

    /// Sees to it that `tick` is called by then.
    pub fn wake(&mut self, place: Place, at: Millis) {
        let at = at.max(self.now + 1);
        let process = self.process(place);
        if process.up && process.timer.is_none_or(|timer| timer > at) {
            process.timer = Some(at);
            let life = process.life;
            self.agenda.at(at, Event::To(place, life, Happening::Timer));
        }
    }

    /// A paused process goes on, with all that waited.
    pub fn resume(&mut self, place: Place, life: u32) {
        let process = self.process(place);
        if !process.paused || process.life != life {
            return;
        }
        process.paused = false;
        let held = std::mem::take(&mut process.held);
        self.say(|| format!("{place} goes on, {} events waited", held.len()));
        held.into_iter().for_each(|happening| self.to(place, life, happening));
    }

    // ---- links ----

    /// A child dials a parent. The link's number, if somebody is there.
    pub fn connect(&mut self, child: Place, parent: Place, incarnation: u64) -> Option<u64> {
        let cut = [End::Child, End::Parent].iter().any(|to| self.net.is_cut(child, parent, *to));
        if cut || !self.process(parent).up {
            return None;
        }
        let ends = (self.process(child).life, self.process(parent).life);
        let link = self.net.connect((child, ends.0), (parent, ends.1), incarnation);
        let there = self.delay();
        let back = there + self.delay();
        self.say(|| format!("{child} dials {parent}: link {link}"));
        self.later(parent, there, Happening::Opened(link, End::Parent));
        self.later(child, back, Happening::Opened(link, End::Child));
        Some(link)
    }

    /// One network delay.
    pub fn delay(&mut self) -> Millis {
        let (usual, slow) = (self.random.between(1, 20), self.random.once_in(20));
        if slow { usual * 20 } else { usual }
    }

    /// Sends over a link, to an end.
    pub fn send(&mut self, link: u64, to: End, message: Message) {
        let at = self.now + self.delay();
        self.say(|| format!("link {link} to {to:?}: {}", brief(&message)));
        let Some(at) = self.net.send(link, to, at, message) else { return };
        self.arrival(link, to, at);
    }

    fn arrival(&mut self, link: u64, to: End, at: Millis) {
        if let Some((place, life)) = self.net.get(link).map(|l| l.at(to)) {
            self.agenda.at(at, Event::To(place, life, Happening::Arrived(link, to)));
        }
    }

    /// A link breaks; the ends named learn of it soon, the others by silence.
    pub fn sever(&mut self, link: u64, told: &[End]) {
        self.net.kill(link);
        for end in told {
            let wait = self.delay();
            let Some((place, life)) = self.net.get(link).map(|l| l.at(*end)) else { continue };
            self.agenda.at(self.now + wait, Event::To(place, life, Happening::Broken(link, *end)));
        }
    }

    /// An end lets go of a link; the other learns of it unless a cut is between. True if it had it.
    pub fn hang_up(&mut self, link: u64, end: End) -> bool {
        let other = end.other();
        let ends = self.net.get(link).map(|l| (l.child.0, l.parent.0));
        let reaches = ends.is_some_and(|(child, parent)| !self.net.is_cut(child, parent, other));
        if reaches {
            self.sever(link, &[other]);
        }
        self.net.close(link, end)
    }

    /// A cut is mended: what waited arrives.
    pub fn mend(&mut self, cut: usize) {
        for (link, end, waiting) in self.net.mend(cut) {
            for _ in 0..waiting {
                let at = self.now + 1;
                self.arrival(link, end, at);
            }
        }
    }
}

/// A message in a few words.
fn brief(message: &Message) -> String {
    match message {
        Message::Up(Up::Heartbeat(running)) => format!("heartbeat, {} running", running.len()),
        Message::Up(Up::Roster(update)) => {
            let text = format!("{update:?}");
            text.replace("since: 0, ", "").replace("grains: \"{}\"", "")
        }
        Message::Up(Up::Suspicions(list)) => format!("{} suspicions", list.len()),
        Message::Up(Up::Returns(batch)) => {
            let group = |g: &relay_core::message::ReturnGroup| {
                format!("{} {:?}/{:?} {:?}", g.jid, g.answer.outcome, g.answer.reason, g.members)
            };
            let groups: Vec<String> = batch.groups.iter().map(group).collect();
            format!("returns {}: {}", batch.seq, groups.join(", "))
        }
        Message::Down(Down::Dispatch(d)) => {
            let (jid, within, again) = (d.job.jid, d.deliver_within, if d.reoffer { " again" } else { "" });
            format!("dispatch{again} {jid} to {:?}, within {within}, epoch {}", d.members, d.epoch.0)
        }
        Message::Down(down) => format!("{down:?}"),
    }
}
