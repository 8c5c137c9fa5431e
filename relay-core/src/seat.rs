//! The minion's rules: start a job at most once, keep its end until the parent has it.
//!
//! Owns what becomes of a job at one minion: admission, at most one start, its end. What the journal's records mean is in [`journal`],
//! what goes over the link and is kept for it in [`outbox`], where the minion belongs in [`home`]. Executing functions, writing the journal and the link are the minion crate's: they are told by [`SeatEffect`]s.
//!
//! The order that makes "at most once" true: `Intent` is durable before [`SeatEffect::Start`]; a jid with any record is
//! never started again; an `End` is durable before it is sent; a tombstone is an `End` without an `Intent`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    ids::{Epoch, Jid},
    job::Job,
    message::{Dispatch, Down},
    outcome::{Answer, Outcome, Reason},
    time::Millis,
};

mod effect;
mod home;
mod journal;
mod outbox;
pub use effect::*;
use home::Homing;
pub use home::{Home, PATIENCE};
use outbox::Session;
pub use outbox::{MAX_HOLD, MAX_KEPT_BYTES, MAX_UNACKED_BYTES, TELL_AFTER};

/// Jobs running at once on one minion: more are `refused (busy)`, so that nobody fills a machine with jobs.
pub const MAX_RUNNING: usize = 16;
/// Places beyond [`MAX_RUNNING`] that only [`Place::Control`] calls may take: who must see or end the jobs of a full
/// minion needs one at that very moment. Such calls end at once, so a few are enough for many operators.
pub const CONTROL_PLACES: usize = 4;
/// Journal entries kept at once; beyond it new jobs are `refused (busy)`. At 200 bytes each: a few MiB.
pub const MAX_ENTRIES: usize = 16_384;
/// Longest that a parent may say a job can still be delivered, in milliseconds: far more than an owner of ours ever grants.
pub const MAX_DELIVERY: Millis = 8 * 24 * 3_600 * 1_000;
/// Entries of jobs that were refused because nothing shows that an owner ever accepted them, or that were cancelled unseen. Whoever
/// passes jobs on could make up any number of those, and the journal would be full for hours; beyond it they are not answered.
pub const MAX_UNPROVEN: usize = 1_024;
/// How long an acknowledged entry is kept after its job can no longer be delivered: a copy that comes late is still known then.
pub const RETAIN: Millis = 70 * 60 * 1_000;

/// Which places a dispatched job may take. The edge says so, since the sealed job cannot be read here; what it says
/// decides about admission alone, never about whether a jid may start again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// One of the [`MAX_RUNNING`].
    Common,
    /// One of those, or of the [`CONTROL_PLACES`]: a call that looks after the other jobs.
    Control,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    /// The intent is being written.
    Intending { job: Arc<Job>, cancelled: bool },
    /// It runs since then; `told`: a heartbeat said so.
    Running { since: Millis, told: bool },
    /// The end is being written.
    Ending(Arc<Answer>),
    /// The end is durable.
    Ended { answer: Arc<Answer>, acked: bool },
}

#[derive(Debug, Clone)]
struct Entry {
    digest: Option<[u8; 32]>,
    epoch: Epoch,
    run: u64,
    forget_after: Millis,
    state: State,
}

/// Timing of one link, from the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatRule {
    /// A heartbeat at least this often.
    pub interval: Millis,
    /// A peer silent for this long is gone. Half-open links must be found within 30 s.
    pub dead_after: Millis,
}

impl HeartbeatRule {
    /// Heartbeats are answered at moments so far apart, so that one wake-up of a parent serves many children: a 48th of the
    /// interval, 250 ms. The moments stand still. If they were counted from the first that waits, children that are answered
    /// together would draw others in, until all beat at once.
    pub fn gather(&self) -> Millis {
        (self.interval / 48).max(1)
    }

    /// When a heartbeat that came `now` is answered.
    pub fn answered_at(&self, now: Millis) -> Millis {
        now - now % self.gather() + self.gather()
    }

    /// The next heartbeat is counted from the answer to the one before, so that those who were answered together beat
    /// together. From one that takes longer than this it is not: two intervals must fit into `dead_after`, however it is configured.
    fn longest_answer(&self) -> Millis {
        let spare = (self.dead_after / 2).saturating_sub(self.interval);
        spare.min(self.gather() * 8 / 5)
    }
}

impl Default for HeartbeatRule {
    /// Every 12 s, dead after 25 s: one that is lost cuts no link.
    fn default() -> Self {
        HeartbeatRule { interval: 12_000, dead_after: 25_000 }
    }
}

/// One minion.
#[derive(Debug)]
pub struct Seat {
    rule: HeartbeatRule,
    entries: BTreeMap<Jid, Entry>,
    outbox: BTreeSet<Jid>,
    /// Acknowledged entries that still have their body, and its size.
    kept: BTreeMap<Jid, usize>,
    kept_bytes: usize,
    /// The newest job of which the entry was forgotten: of no older one can the journal prove that it never started.
    forgotten: Option<Jid>,
    session: Option<Session>,
    /// The link was given up: what still comes over it is not taken.
    dropped: bool,
    tickets: HashMap<u64, Vec<Jid>>,
    next_ticket: u64,
    /// Where it belongs, if it follows what it is told.
    homing: Option<Homing>,
    effects: Vec<SeatEffect>,
}

impl Seat {
    /// A minion as its journal remembers it, and the executions whose end must be found out: each is to be reported
    /// with [`Seat::finished`].
    pub fn recover(rule: HeartbeatRule, now: Millis, records: Vec<JournalRecord>) -> (Seat, Vec<(Jid, u64)>) {
        let mut seat = Seat {
            rule,
            entries: BTreeMap::new(),
            outbox: BTreeSet::new(),
            kept: BTreeMap::new(),
            kept_bytes: 0,
            forgotten: None,
            session: None,
            dropped: false,
            tickets: HashMap::new(),
            next_ticket: 0,
            homing: None,
            effects: Vec::new(),
        };
        records.into_iter().for_each(|record| seat.replay(now, record));
        let running = seat.entries.iter().filter(|(_, e)| matches!(e.state, State::Running { .. }));
        let probes = running.map(|(jid, e)| (*jid, e.run)).collect();
        (seat, probes)
    }

    /// Takes what must be done.
    pub fn effects(&mut self) -> Vec<SeatEffect> {
        std::mem::take(&mut self.effects)
    }

    /// A message came from the parent. `random` names a possible execution's runner directory.
    pub fn received(&mut self, now: Millis, down: Down, random: u64) {
        self.received_for(now, down, random, Place::Common);
    }

    /// The same, where the edge knows which places a dispatch may take.
    pub fn received_for(&mut self, now: Millis, down: Down, random: u64, place: Place) {
        // It may have waited here for as long as nothing was heard (this process was stopped): too old to be believed about
        // time. The parent offers again over the next link.
        if self.dropped || self.is_silent(now) {
            return self.drop_link();
        }
        if let Some(session) = &mut self.session {
            session.heard = now;
        }
        match down {
            Down::Heartbeat => self.beat_answered(now),
            Down::RosterResync => {}
            Down::Placed(placed) => self.placed(now, &placed, random),
            Down::Trust(_) => {}
            Down::Dispatch(dispatch) => self.dispatch(now, dispatch, random, place),
            Down::Cancel { jid, .. } => self.cancel(now, jid),
            Down::ReturnsAck { up_to } => self.acked(up_to),
            Down::ReturnsBusy { retry_after } => self.hold(now, retry_after),
        }
        self.pump(now);
        self.go_home(now);
    }

    fn dispatch(&mut self, now: Millis, dispatch: Dispatch, random: u64, place: Place) {
        let jid = dispatch.job.jid;
        if let Some(entry) = self.entries.get_mut(&jid) {
            let strange = entry.digest.is_some_and(|d| d != dispatch.job.digest);
            if strange || dispatch.epoch < entry.epoch {
                let why = if strange { Reason::DigestMismatch } else { Reason::StaleEpoch };
                self.effects.push(SeatEffect::Alarm { jid, why });
                return;
            }
            entry.epoch = dispatch.epoch;
            match &mut entry.state {
                State::Ended { acked, .. } => {
                    *acked = false;
                    self.outbox.insert(jid);
                }
                State::Running { told, .. } => *told = false,
                _ => {}
            }
            return;
        }
        if dispatch.deliver_within == 0 && self.may_have_forgotten(jid) {
            return;
        }
        let objection = self.objection(&dispatch, place);
        if let Some(why) = objection.filter(|why| why.is_alarming()) {
            self.effects.push(SeatEffect::Alarm { jid, why });
        }
        match objection {
            // Another of that name may be the right one; or it was for the journal before this, and has run there.
            Some(Reason::DigestMismatch | Reason::StaleEpoch | Reason::NotTarget) => {}
            Some(why) if why.is_unproven() && self.is_full_of_unproven() => {}
            Some(why) => self.tombstone(now, jid, Answer::bare(Outcome::Refused, why)),
            None => self.intend(now, dispatch, random),
        }
    }

    fn is_full_of_unproven(&self) -> bool {
        let unproven = |entry: &&Entry| match &entry.state {
            State::Ending(answer) | State::Ended { answer, .. } => {
                entry.digest.is_none()
                    && (answer.reason.is_unproven() || answer.reason == Reason::BeforeStart)
            }
            _ => false,
        };
        self.entries.values().filter(unproven).count() >= MAX_UNPROVEN
    }

    fn objection(&self, dispatch: &Dispatch, place: Place) -> Option<Reason> {
        let places = match place {
            Place::Common => MAX_RUNNING,
            Place::Control => MAX_RUNNING + CONTROL_PLACES,
        };
        let busy = self.active().count() >= places || self.entries.len() >= MAX_ENTRIES;
        let expired = (dispatch.deliver_within == 0).then_some(Reason::Expired);
        dispatch.flaw.or(expired).or(busy.then_some(Reason::Busy))
    }

    fn active(&self) -> impl Iterator<Item = (&Jid, &Entry)> {
        self.entries
            .iter()
            .filter(|(_, e)| matches!(e.state, State::Intending { .. } | State::Running { .. }))
    }

    fn intend(&mut self, now: Millis, dispatch: Dispatch, run: u64) {
        let (jid, digest) = (dispatch.job.jid, dispatch.job.digest);
        let state = State::Intending { job: dispatch.job, cancelled: false };
        let forget_after = now.saturating_add(dispatch.deliver_within.min(MAX_DELIVERY)) + RETAIN;
        self.entries
            .insert(jid, Entry { digest: Some(digest), epoch: dispatch.epoch, run, forget_after, state });
        self.persist(vec![JournalRecord::Intent { jid, digest, run }], vec![jid], true);
    }

    fn tombstone(&mut self, now: Millis, jid: Jid, answer: Answer) {
        let answer = Arc::new(answer);
        let state = State::Ending(answer.clone());
        let forget_after = now + RETAIN;
        self.entries.insert(jid, Entry { digest: None, epoch: Epoch(0), run: 0, forget_after, state });
        self.persist(vec![JournalRecord::End { jid, answer }], vec![jid], false);
    }

    fn cancel(&mut self, now: Millis, jid: Jid) {
        let unseen = !self.entries.contains_key(&jid);
        if unseen && (self.may_have_forgotten(jid) || self.is_full_of_unproven()) {
            return;
        }
        match self.entries.get_mut(&jid).map(|e| &mut e.state) {
            None => self.tombstone(now, jid, Answer::bare(Outcome::Cancelled, Reason::BeforeStart)),
            Some(State::Intending { cancelled, .. }) => *cancelled = true,
            Some(State::Running { .. }) => self.effects.push(SeatEffect::Kill { jid }),
            Some(State::Ended { acked, .. }) => {
                *acked = false;
                self.outbox.insert(jid);
            }
            Some(State::Ending(_)) => {}
        }
    }

    fn persist(&mut self, records: Vec<JournalRecord>, jids: Vec<Jid>, may_fail: bool) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.tickets.insert(ticket, jids);
        self.effects.push(SeatEffect::Persist { ticket, records, may_fail });
    }

    /// A [`SeatEffect::Persist`] is durable.
    pub fn persisted(&mut self, now: Millis, ticket: u64) {
        for jid in self.tickets.remove(&ticket).unwrap_or_default() {
            let Some(entry) = self.entries.get_mut(&jid) else { continue };
            match entry.state.clone() {
                State::Intending { cancelled: true, .. } => {
                    self.end(jid, Answer::bare(Outcome::Cancelled, Reason::BeforeStart))
                }
                State::Intending { job, .. } => {
                    entry.state = State::Running { since: now, told: false };
                    self.effects.push(SeatEffect::Start { job, run: entry.run });
                }
                State::Ending(answer) => {
                    entry.state = State::Ended { answer, acked: false };
                    self.outbox.insert(jid);
                }
                _ => {}
            }
        }
        self.pump(now);
    }

    /// An intent could not be written: nothing starts, and the minion says so as soon as that is durable. Said earlier,
    /// a crash would forget it, and the job, offered again by another way, would start after all.
    pub fn persist_failed(&mut self, now: Millis, ticket: u64) {
        for jid in self.tickets.remove(&ticket).unwrap_or_default() {
            if self.entries.get(&jid).is_some_and(|e| matches!(e.state, State::Intending { .. })) {
                self.end(jid, Answer::bare(Outcome::Refused, Reason::NoSpace));
            }
        }
        self.pump(now);
    }

    /// An execution ended.
    pub fn finished(&mut self, now: Millis, jid: Jid, answer: Answer) {
        if self.entries.get(&jid).is_some_and(|e| matches!(e.state, State::Running { .. })) {
            self.end(jid, answer);
        }
        self.pump(now);
    }

    fn end(&mut self, jid: Jid, answer: Answer) {
        let answer = Arc::new(answer);
        if let Some(entry) = self.entries.get_mut(&jid) {
            entry.state = State::Ending(answer.clone());
            self.persist(vec![JournalRecord::End { jid, answer }], vec![jid], false);
        }
    }

    /// Time has come to [`Seat::next_deadline`], or simply passed.
    pub fn tick(&mut self, now: Millis) {
        self.forget(now);
        self.beat(now);
        self.pump(now);
        self.go_home(now);
    }

    /// When [`Seat::tick`] must be called next, at the latest.
    pub fn next_deadline(&self, now: Millis) -> Millis {
        let idle = now + RETAIN / 2;
        let Some(session) = &self.session else { return idle };
        let tell = self.active().filter_map(|(_, e)| match e.state {
            State::Running { since, told: false } => Some(since + TELL_AFTER),
            _ => None,
        });
        let held = (session.held_until > now).then_some(session.held_until);
        let own = [session.next_beat, session.heard + self.rule.dead_after, idle];
        let home = self.homing.as_ref().and_then(Homing::next);
        own.into_iter().chain(tell).chain(held).chain(home).min().unwrap_or(idle)
    }

    /// The jobs running now.
    pub fn running(&self) -> impl Iterator<Item = Jid> + '_ {
        self.active().map(|(jid, _)| *jid)
    }

    /// How many returns wait for an acknowledgement.
    pub fn unacked_count(&self) -> usize {
        self.unacked().count()
    }
}

#[cfg(test)]
mod tests;
