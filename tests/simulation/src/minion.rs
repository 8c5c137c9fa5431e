//! A minion process: the seat, its journal, its link, and the executions on its machine.
//!
//! Executions with a runner outlive the process; the others die with it. The witness counts each start.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use relay_core::{
    ids::{Incarnation, Jid, MinionId, RegionName},
    invariants::{Execution, Observation, Verdict},
    job::Job,
    message::{Down, Up},
    outcome::{Answer, Outcome, Reason},
    roster::roster_of_one,
    seat::{JournalRecord, Seat, SeatEffect},
    suspicion::{Book, Forgery, Witness},
    time::{Millis, WallMicros},
    warrant::Bearer,
};

use crate::{
    batches::Mood,
    disk::{Disk, Done, Pending},
    event::{End, Event, Happening, Place},
    network::Message,
    sabotage::Sabotage,
    world::{HEARTBEAT, Process, World},
};

/// By how much clocks may differ here: more than those that are a little wrong, and little enough that a run sees the end of it.
pub const TOLERANCE: Millis = 4_000;

fn bearer(id: &MinionId, incarnation: u64) -> Bearer {
    Bearer::with_tolerance("simulated", id.clone(), Incarnation(incarnation), TOLERANCE)
}

/// One execution, as its machine knows it.
#[derive(Debug)]
pub struct Run {
    jid: Jid,
    runner: bool,
    state: RunState,
}

#[derive(Debug, Clone, PartialEq)]
enum RunState {
    Running,
    Ended(Answer),
    Died(Reason),
}

/// A minion and its machine.
pub struct MinionProcess {
    /// Up, paused, lives.
    pub process: Process,
    /// Its id.
    pub id: MinionId,
    /// Its region.
    pub region: RegionName,
    /// The syndics it may dial.
    pub parents: Vec<usize>,
    /// Its rules.
    pub seat: Seat,
    /// Its journal.
    pub journal: Disk<JournalRecord>,
    /// The journal's name.
    pub incarnation: u64,
    /// What it asks of a job before its journal is asked.
    pub bearer: Bearer,
    /// When it took each job, by a clock that is right: its disk may be slow to write that down.
    pub taken: BTreeMap<Jid, WallMicros>,
    /// What it has refused as forged. Its file is as good as written at once.
    pub book: Book,
    /// The journal was lost once.
    pub lost_journal: bool,
    /// Its link, dialled or open.
    pub link: Option<u64>,
    /// The syndic it dials next, if that is not left to chance.
    pub next: Option<usize>,
    /// The syndic it was attached to last.
    pub attached: Option<Place>,
    /// What its machine runs, by run number.
    pub runs: BTreeMap<u64, Run>,
    witnessed: BTreeSet<Jid>,
}

impl MinionProcess {
    /// A machine with an empty journal, not running yet.
    pub fn new(id: MinionId, region: RegionName, parents: Vec<usize>, incarnation: u64) -> MinionProcess {
        MinionProcess {
            process: Process::default(),
            bearer: bearer(&id, incarnation),
            taken: BTreeMap::new(),
            id,
            region,
            parents,
            seat: Seat::recover(HEARTBEAT, 0, Vec::new()).0,
            journal: Disk::default(),
            incarnation,
            book: Book::default(),
            lost_journal: false,
            link: None,
            next: None,
            attached: None,
            runs: BTreeMap::new(),
            witnessed: BTreeSet::new(),
        }
    }

    /// Whether it runs anything.
    pub fn is_running(&self) -> bool {
        self.runs.values().any(|run| run.state == RunState::Running)
    }

    /// Everything in the journal is gone.
    pub fn lose_journal(&mut self, incarnation: u64) {
        self.journal.wipe();
        (self.incarnation, self.lost_journal) = (incarnation, true);
        self.bearer = bearer(&self.id, incarnation);
        self.taken.clear();
        self.witnessed.clear();
    }

    /// Whether the journal holds an END of this job.
    pub fn holds(&self, jid: Jid) -> bool {
        self.witnessed.contains(&jid)
    }

    /// The process dies, and with it what has no runner; on a reboot everything. Says which jobs those were.
    pub fn kill_runs(&mut self, reboot: bool) -> Vec<Jid> {
        let running = self.runs.values_mut().filter(|run| run.state == RunState::Running);
        let why = if reboot { Reason::Rebooted } else { Reason::ProcessDied };
        let dying = running.filter(|run| reboot || !run.runner);
        dying
            .map(|run| {
                run.state = RunState::Died(why);
                run.jid
            })
            .collect()
    }
}

impl World {
    /// Something happens to a minion.
    pub fn at_minion(&mut self, no: usize, happening: Happening) {
        let now = self.now;
        match happening {
            Happening::Dial => self.dial_syndic(no),
            Happening::Move => self.move_minion(no),
            Happening::Opened(link, End::Child) => self.minion_opened(no, link),
            Happening::Arrived(link, end) => {
                let random = self.random.bits();
                if let Some(Message::Down(mut down)) = self.net.receive(link, end, now) {
                    if let Down::Dispatch(dispatch) = &mut down {
                        dispatch.flaw = self.examine(no, dispatch).err();
                        if let Some(kind) = dispatch.flaw.and_then(Forgery::of) {
                            let wall = self.true_wall();
                            self.minions[no].book.note(kind, Some(dispatch.job.jid), wall);
                        }
                        if dispatch.flaw.is_none() {
                            let wall = self.true_wall();
                            self.minions[no].taken.entry(dispatch.job.jid).or_insert(wall);
                        }
                        self.coverage.flaw(dispatch.flaw);
                    }
                    if let Down::Cancel { jid, seal, .. } = &down
                        && let Err(why) = self.examine_cancel(no, *jid, seal)
                    {
                        if why.is_alarming() && why != Reason::StaleEpoch {
                            let (jid, wall) = (*jid, self.true_wall());
                            self.minions[no].book.note(Forgery::Cancel, Some(jid), wall);
                        }
                        self.coverage.add("cancel not heeded", 1);
                        // It lives, and that is all.
                        down = Down::Heartbeat;
                    } else if down == Down::Heartbeat {
                        self.minions[no].book.answered();
                    }
                    self.minions[no].seat.received(now, down, random);
                }
            }
            Happening::Broken(link, end) => {
                self.net.close(link, end);
                self.minion_unlinked(no, link);
            }
            Happening::Timer => self.minions[no].seat.tick(now),
            Happening::Written => self.journal_written(no),
            Happening::Finished(run) => self.finished(no, run),
            _ => {}
        }
        self.turn_minion(no);
    }

    fn dial_syndic(&mut self, no: usize) {
        if self.minions[no].link.is_some() {
            return;
        }
        let parents = self.minions[no].parents.clone();
        let by_chance = self.random.pick(&parents);
        let parent = Place::Syndic(self.minions[no].next.take().unwrap_or(by_chance));
        let incarnation = self.minions[no].incarnation;
        match self.connect(Place::Minion(no), parent, incarnation) {
            Some(link) => self.minions[no].link = Some(link),
            None => self.redial(Place::Minion(no)),
        }
    }

    /// It is told to change its parent.
    fn move_minion(&mut self, no: usize) {
        let minion = &mut self.minions[no];
        let others: Vec<usize> =
            minion.parents.iter().copied().filter(|s| Some(Place::Syndic(*s)) != minion.attached).collect();
        let Some(link) = minion.link.filter(|_| !others.is_empty()) else { return };
        let next = self.random.pick(&others);
        self.minions[no].next = Some(next);
        self.say(|| format!("m{no} changes its parent"));
        self.hang_up(link, End::Child);
        self.minion_unlinked(no, link);
    }

    /// Dials again after a while.
    pub fn redial(&mut self, place: Place) {
        let wait = self.random.between(50, 1_000);
        self.later(place, wait, Happening::Dial);
    }

    fn minion_opened(&mut self, no: usize, link: u64) {
        if self.minions[no].link != Some(link) {
            return;
        }
        if !self.net.open(link, End::Child) {
            self.minion_unlinked(no, link);
            return;
        }
        let parent = self.net.get(link).map(|l| l.parent.0);
        let minion = &mut self.minions[no];
        let moved = minion.attached.is_some_and(|before| Some(before) != parent);
        minion.attached = parent;
        let busy = moved && (minion.seat.running().next().is_some() || minion.seat.unacked_count() > 0);
        self.coverage.add("minion at another syndic in mid-job", u64::from(busy));
        let minion = &self.minions[no];
        let roster = roster_of_one(&minion.id, Incarnation(minion.incarnation), "{}".into());
        self.send(link, End::Parent, Message::Up(Up::Roster(roster)));
        if let Some(Place::Syndic(parent)) = parent {
            self.minions[no].book.attached(self.syndics[parent].id.clone(), true);
        }
        self.minions[no].seat.attached(self.now);
    }

    fn minion_unlinked(&mut self, no: usize, link: u64) {
        if self.minions[no].link == Some(link) {
            self.minions[no].link = None;
            self.minions[no].book.detached();
            self.minions[no].seat.detached();
            self.redial(Place::Minion(no));
        }
    }

    fn journal_written(&mut self, no: usize) {
        let now = self.now;
        match self.minions[no].journal.written() {
            Done::Durable(ticket, records) => {
                self.witness_ends(no, &records);
                self.minions[no].seat.persisted(now, ticket);
            }
            Done::Failed(ticket) => self.minions[no].seat.persist_failed(now, ticket),
            Done::Retry => self.later(Place::Minion(no), 300, Happening::Written),
            Done::Nothing => {}
        }
    }

    /// These records are durable: the ENDs among them must reach the owner.
    pub fn witness_ends(&mut self, no: usize, records: &[JournalRecord]) {
        for record in records {
            if let JournalRecord::End { jid, answer } = record
                && self.minions[no].witnessed.insert(*jid)
                && self.counts_of(no, *jid)
            {
                let slot = (*jid, self.minions[no].id.clone());
                self.note(Observation::Ended(slot, Verdict::of(answer)));
            }
        }
    }

    /// Whether what a minion says of a job counts: under a journal that is not the one for which it was signed, a minion knows
    /// nothing of it, whatever somebody made it refuse.
    fn counts_of(&self, no: usize, jid: Jid) -> bool {
        let minion = &self.minions[no];
        self.store.is_signed_for(jid, &minion.id, Incarnation(minion.incarnation))
    }

    fn turn_minion(&mut self, no: usize) {
        loop {
            let effects = self.minions[no].seat.effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                if self.crashes_now(Place::Minion(no)) {
                    return;
                }
                self.minion_does(no, effect);
            }
        }
        self.tell_suspicions(no);
        let at = self.minions[no].seat.next_deadline(self.now);
        self.wake(Place::Minion(no), at);
    }

    fn tell_suspicions(&mut self, no: usize) {
        let Some(link) = self.minions[no].link else { return };
        let list = self.minions[no].book.tell(self.now, &Witness::Minions([0].into_iter().collect()));
        if !list.is_empty() {
            self.send(link, End::Parent, Message::Up(Up::Suspicions(list)));
        }
    }

    fn minion_does(&mut self, no: usize, effect: SeatEffect) {
        match effect {
            SeatEffect::Persist { ticket, records, may_fail } => self.journal(no, ticket, records, may_fail),
            SeatEffect::Start { job, run } => self.start(no, &job, run),
            SeatEffect::Kill { jid } => {
                let wait = self.random.between(1, 200);
                let runs = self.minions[no].runs.iter();
                let run = runs.filter(|(_, r)| r.jid == jid && r.state == RunState::Running).map(|(n, _)| *n);
                for run in run.collect::<Vec<_>>() {
                    self.agenda.at(self.now + wait, Event::RunOver(no, run, true));
                }
            }
            SeatEffect::Release { run, .. } => {
                self.minions[no].runs.remove(&run);
            }
            SeatEffect::Send(up) => {
                if let Some(link) = self.minions[no].link {
                    self.send(link, End::Parent, Message::Up(up));
                }
            }
            SeatEffect::Hangup => {
                self.say(|| format!("m{no} hangs up: silent"));
                if let Some(link) = self.minions[no].link {
                    self.hang_up(link, End::Child);
                    self.minion_unlinked(no, link);
                }
            }
            SeatEffect::Keep(_) | SeatEffect::Seek(_) | SeatEffect::Leave => {}
            SeatEffect::Alarm { jid, why } => self.say(|| format!("m{no} alarm: job {jid}, {why:?}")),
        }
    }

    fn journal(&mut self, no: usize, ticket: u64, records: Vec<JournalRecord>, may_fail: bool) {
        let now = self.now;
        self.acked_by_syndic(no, &records);
        let intents = records.iter().all(|r| matches!(r, JournalRecord::Intent { .. }));
        if self.sabotage == Sabotage::StartUnjournaled && intents {
            self.minions[no].seat.persisted(now, ticket);
            return;
        }
        let at = now + self.disk_delay();
        let at = self.minions[no].journal.write(Pending { ticket, records, may_fail }, at);
        self.later(Place::Minion(no), at - now, Happening::Written);
    }

    /// An acknowledgement by a syndic means that its spool, or the store, has it (I3: a hop may forget what the next
    /// holds).
    fn acked_by_syndic(&mut self, no: usize, records: &[JournalRecord]) {
        for record in records {
            let JournalRecord::Acked { jid } = record else { continue };
            let slot = (*jid, self.minions[no].id.clone());
            let spooled = |s: &crate::syndic::SyndicProcess| s.holds().contains(&slot);
            if self.counts_of(no, slot.0)
                && !self.store.has_final(slot.0, &slot.1)
                && !self.syndics.iter().any(spooled)
                && !self.lost_on_the_way(&slot)
            {
                self.breach(
                    "I3",
                    format!("job {jid}: its return was acknowledged to m{no} and is durable nowhere"),
                );
            }
        }
    }

    fn start(&mut self, no: usize, job: &Job, run: u64) {
        let jid = job.jid;
        let slot = (jid, self.minions[no].id.clone());
        let (digest, incarnation) = (job.digest, Incarnation(self.minions[no].incarnation));
        let at = self.minions[no].taken.get(&jid).copied().unwrap_or_else(|| self.true_wall());
        let execution = Execution { digest, incarnation, at };
        self.note(Observation::Executed(slot.clone(), execution));
        self.note(Observation::Started(slot.clone()));
        self.note(Observation::Running(slot, self.now));
        let runner = self.random.once_in(2);
        self.minions[no].runs.insert(run, Run { jid, runner, state: RunState::Running });
        let slow = self.wanted(jid).is_some_and(|request| request.mood == Mood::Slow);
        let takes = match self.random.below(10) {
            _ if slow => self.random.between(1_000, 12_000),
            0..6 => self.random.between(1, 300),
            6..9 => self.random.between(300, 4_000),
            _ => self.random.between(4_000, 30_000),
        };
        let limit = self.store.head(jid).map_or(takes, |head| head.spec.run_limit);
        self.agenda.at(self.now + takes.min(limit + 100), Event::RunOver(no, run, false));
        if self.sabotage == Sabotage::EndEarly {
            self.minions[no].seat.finished(self.now, jid, Answer::bare(Outcome::Ok, Reason::None));
        }
    }

    /// An execution is over on its machine, whether its minion lives or not.
    pub fn run_over(&mut self, no: usize, run: u64, killed: bool) {
        let limit = |jid| self.store.head(jid).map(|head| head.spec.run_limit);
        let Some(entry) = self.minions[no].runs.get(&run) else { return };
        if entry.state != RunState::Running {
            return;
        }
        let jid = entry.jid;
        let kind = match self.wanted(jid).map(|request| request.mood) {
            Some(Mood::Bad) => self.random.below(2),
            Some(Mood::Good | Mood::Slow) => 7,
            Some(Mood::Mixed) | None => self.random.below(8),
        };
        // Kinds of answers, few enough that some fold.
        let answer = match (killed, kind) {
            (true, _) => Answer::bare(Outcome::Cancelled, Reason::WhileRunning),
            (_, 0) => Answer { retcode: 1, ..Answer::bare(Outcome::Failed, Reason::None) },
            (_, 1) if limit(jid).is_some() => Answer::bare(Outcome::TimedOut, Reason::None),
            (_, 2) => self.own_answer(no),
            _ => Answer { body: Bytes::from_static(b"true"), ..Answer::bare(Outcome::Ok, Reason::None) },
        };
        if let Some(entry) = self.minions[no].runs.get_mut(&run) {
            entry.state = RunState::Ended(answer);
        }
        self.note(Observation::Over((jid, self.minions[no].id.clone())));
        self.later(Place::Minion(no), 0, Happening::Finished(run));
    }

    fn own_answer(&self, no: usize) -> Answer {
        let body = Bytes::from(format!("\"{}\"", self.minions[no].id));
        Answer { body, ..Answer::bare(Outcome::Ok, Reason::None) }
    }

    fn finished(&mut self, no: usize, run: u64) {
        let found = self.minions[no].runs.get(&run).map(|r| (r.jid, r.state.clone()));
        let Some((jid, RunState::Ended(mut answer))) = found else { return };
        if self.sabotage == Sabotage::DenyStart {
            answer = Answer::bare(Outcome::Refused, Reason::Busy);
        }
        self.minions[no].seat.finished(self.now, jid, answer);
    }

    /// A minion is started: the journal is read, the executions it does not know the end of are looked at.
    pub fn start_minion(&mut self, no: usize) {
        let now = self.now;
        let (seat, probes) = Seat::recover(HEARTBEAT, now, self.minions[no].journal.durable.clone());
        self.minions[no].seat = seat;
        self.minions[no].link = None;
        self.minions[no].book.detached();
        for (jid, run) in probes {
            let answer = match self.minions[no].runs.get(&run).map(|r| r.state.clone()) {
                Some(RunState::Running) => continue,
                Some(RunState::Ended(answer)) => answer,
                Some(RunState::Died(why)) => Answer::bare(Outcome::Interrupted, why),
                None => Answer::bare(Outcome::Interrupted, Reason::ProcessDied),
            };
            self.say(|| format!("m{no} probe: job {jid} {answer:?}"));
            self.minions[no].seat.finished(now, jid, answer);
        }
        self.later(Place::Minion(no), 1, Happening::Dial);
        self.turn_minion(no);
    }
}
