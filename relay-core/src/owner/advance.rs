//! How a job goes on: who is offered it, who starts next, and when nobody does any more.
//!
//! Owns the order that makes the limits exact. What has failed is looked at before anything is granted, in the same
//! turn; a grant that has not left yet when its batch is stopped is kept back; and what a tier below has not sent yet is
//! recalled.

use super::*;
use crate::{
    tier::Placement,
    window::{BatchState, Times, Window},
};

/// Where an outstanding member of a job is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Held {
    /// At the top master, until the window has a place.
    Window,
    /// At the top master, until an operator approves the next stage.
    Approval,
    /// At the top master, until an earlier job has ended on the minion.
    Serial,
    /// At the top master: the minion is not connected.
    Offline,
    /// Sent: with a syndic, on the wire, or just starting.
    Sent,
    /// Sent, and the minion is not connected (any more).
    Lost,
    /// It runs on the minion.
    Running,
}

impl Held {
    /// The word in JSON and on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Held::Window => "window",
            Held::Approval => "approval",
            Held::Serial => "serial",
            Held::Offline => "offline",
            Held::Sent => "sent",
            Held::Lost => "lost",
            Held::Running => "running",
        }
    }
}

/// A stage that begins by approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approving {
    /// Its number, from 1.
    pub stage: u32,
    /// How many there are.
    pub stages: u32,
    /// The commit that makes the approval last.
    pub ticket: u64,
}

/// Why there is nothing to approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApproveError {
    /// There is no such open job here.
    #[error("the job is not open")]
    NotOpen,
    /// It does not wait for an approval now.
    #[error("the job does not wait for an approval")]
    NotWaiting,
}

impl Owner {
    /// A job's window over its targets by region, `age` after its acceptance.
    pub(super) fn window(&self, now: Millis, age: Millis, head: &JobHead) -> Window {
        let regions = self.inventory.by_region().map(|(name, all)| (name.clone(), all & &head.targets));
        let regions = regions.filter(|(_, members)| !members.is_empty()).collect();
        Window::new(&head.batch, regions, Times { now, age, delivery: head.delivery_limit })
    }

    /// Members came up: open jobs that were sent to them are offered again, and they may have their turn.
    pub(super) fn offer(&mut self, now: Millis, up: &Members) {
        let open: Vec<Jid> = self.jobs.keys().copied().collect();
        for jid in open {
            let (Some(job), Some(work)) = (self.jobs.get(&jid), self.tier.works.get(&jid)) else { continue };
            if job.token.is_none() {
                let sent = work.ledger.in_flight() | work.ledger.unknown();
                self.offer_job(now, jid, &(up & &sent));
                self.ready.insert(jid);
            } // else not durable yet: offered when it is
        }
    }

    /// Offers a job to targets that were `sent` it, or perhaps were. What was sent to one journal is never offered to another:
    /// it is signed for one only.
    pub(super) fn offer_job(&mut self, now: Millis, jid: Jid, among: &Members) {
        let placement = self.place(now, jid, among);
        self.begin(jid, placement, &Members::new());
    }

    /// Marks first, then the messages; and no message before the marks of an earlier placement that are under way.
    /// `granted`: those who are sent the job for the first time.
    pub(super) fn begin(&mut self, jid: Jid, placement: Placement, granted: &Members) {
        if placement.marks.is_empty() {
            let marking = self.waiting.values_mut().rev().find(|w| w.marks == Some(jid));
            match marking {
                Some(waiting) => waiting.sendings.extend(placement.sendings),
                None => self.effects.extend(placement.sendings.into_iter().map(OwnerEffect::Send)),
            }
            return;
        }
        let epoch = self.rule.epoch;
        let writes = placement.marks.into_iter().map(|mark| Write::Sent(mark, epoch)).collect();
        let (marks, granted, sendings) = (Some(jid), granted.clone(), placement.sendings);
        self.persist(writes, Waiting { sendings, marks, granted, ..Waiting::default() }, false);
    }

    /// Lets every job go on that something has happened to.
    pub(super) fn advance(&mut self, now: Millis) {
        // The older first: of jobs that wait for each other's minions, the older one has its turn.
        while let Some(jid) = self.ready.pop_first() {
            self.advance_job(now, jid);
        }
    }

    fn advance_job(&mut self, now: Millis, jid: Jid) {
        if self.jobs.get(&jid).is_none_or(|job| job.closed || job.token.is_some()) {
            return;
        }
        self.declare(now, jid);
        if let Some(granted) = self.grant(now, jid).filter(|granted| !granted.is_empty()) {
            self.note(jid, "granted", granted.len());
            let signed = self.signed_for(jid, &granted);
            let placement = self.place_signed(now, jid, &signed);
            self.begin(jid, placement, &granted);
            self.turn_away(jid, &(granted - signed));
        }
    }

    /// What the job's window and its deadlines say by now.
    fn declare(&mut self, now: Millis, jid: Jid) {
        let Owner { jobs, tier, .. } = self;
        let (Some(job), Some(work)) = (jobs.get_mut(&jid), tier.works.get(&jid)) else { return };
        let stopped = job.window.stopped_members(now, &work.ledger);
        let stopping = &stopped - &work.stopped;
        if !stopping.is_empty() {
            let why = job.window.stop_reason(now, &work.ledger);
            self.stop(now, jid, &stopping, why);
        }
        let Owner { jobs, tier, .. } = self;
        let (Some(job), Some(work)) = (jobs.get_mut(&jid), tier.works.get(&jid)) else { return };
        let mut declared = job.window.declare(now, &work.ledger);
        let due = job.timing.declare(now, &work.ledger, tier.up());
        declared.extend(due.declared);
        if now >= job.grant_until {
            let outdated = Answer::by_tier(Outcome::NotStarted, Reason::Outdated);
            declared.push((outdated, work.ledger.unsent().clone()));
            declared.retain(|(_, members)| !members.is_empty());
        }
        for (answer, members) in declared {
            self.note(jid, answer.reason.explain(), members.len());
            self.record(jid, Arc::new(answer), &members);
        }
        if let Some(job) = self.jobs.get_mut(&jid) {
            job.window.over(now, &due.over);
        }
    }

    /// Nothing more may start among these: what has not left is kept back, and what a tier below has not sent is
    /// recalled, by offering it again with no time left to start.
    fn stop(&mut self, now: Millis, jid: Jid, members: &Members, why: Reason) {
        let Some(work) = self.tier.works.get_mut(&jid) else { return };
        work.stopped |= members;
        let (in_flight, unknown) = (work.ledger.in_flight().clone(), work.ledger.unknown().clone());
        let mut kept_back = Members::new();
        for waiting in self.waiting.values_mut().filter(|w| w.marks == Some(jid)) {
            let back = &waiting.granted & members;
            waiting.granted -= &back;
            kept_back |= back;
            let is_of = |s: &Sending| matches!(&s.down, Down::Dispatch(d) if d.job.jid == jid);
            waiting.sendings.retain(|s| !is_of(s));
        }
        kept_back &= &in_flight;
        self.note(jid, "stopped", kept_back.len());
        self.record(jid, Arc::new(Answer::by_tier(Outcome::NotStarted, why)), &kept_back);
        // Also those whose message was dropped together with one that was kept back, and those offered again by another
        // path, who had time left to start when that was put together.
        let sent = (in_flight | unknown) - &kept_back;
        let up = self.tier.up().clone();
        self.offer_job(now, jid, &(&up & &sent));
    }

    /// Who has their turn now; their deadlines are set.
    pub(super) fn grant(&mut self, now: Millis, jid: Jid) -> Option<Members> {
        let blocked = self.blocked(jid);
        let Owner { jobs, tier, .. } = self;
        let job = jobs.get_mut(&jid).filter(|job| now < job.grant_until)?;
        let work = tier.works.get(&jid).filter(|work| !work.cancelled)?;
        let link_of = |member: u32| tier.link_of(member);
        let granted = job.window.grant(now, &work.ledger, tier.up(), &blocked, &link_of);
        let deliver_by = job.window.deliver_by(now);
        job.timing.sending(now, deliver_by, &granted);
        tier.works.get_mut(&jid)?.deadlines.set(now, deliver_by, &granted);
        Some(granted)
    }

    /// For a job that waits its turn on each minion: where another is on its way or runs, or perhaps runs although its
    /// outcome is `unknown`, or an older one is to come.
    fn blocked(&self, jid: Jid) -> Members {
        let mut blocked = Members::new();
        if !self.jobs.get(&jid).is_some_and(|job| job.head.batch.serial) {
            return blocked;
        }
        for (other, job) in self.jobs.iter().filter(|(other, _)| **other != jid) {
            let Some(work) = self.tier.works.get(other) else { continue };
            blocked |= work.ledger.in_flight();
            if !work.ledger.unknown().is_empty() {
                blocked |= work.ledger.unknown() & &job.timing.may_run(self.now);
            }
            if *other < jid && job.head.batch.serial && !job.closed {
                blocked |= work.ledger.unsent();
            }
        }
        blocked
    }

    /// Answers were written: the job may go on, and those that wait for its minions.
    pub(super) fn answered(&mut self, jid: Jid, answer: &Answer, members: &Members) {
        self.ready.insert(jid);
        if let Some(job) = self.jobs.get_mut(&jid) {
            let since = job.timing.since(members);
            job.window.answered(self.now, answer, members, since);
        }
        self.ready.extend(&self.serial);
    }

    // ---- operators ----

    /// An operator lets a canary's next stage begin. Durable when the commit of its ticket is.
    ///
    /// # Errors
    /// There is nothing to approve.
    pub fn approve(&mut self, jid: Jid) -> Result<Approving, ApproveError> {
        let Owner { jobs, tier, .. } = self;
        let job = jobs.get_mut(&jid).filter(|job| !job.closed && job.token.is_none());
        let (job, work) = job.zip(tier.works.get(&jid)).ok_or(ApproveError::NotOpen)?;
        let (stage, stages) = job.window.approve(&work.ledger).ok_or(ApproveError::NotWaiting)?;
        let ticket = self.next_ticket;
        let write = Write::Approve(jid, self.rule.epoch, stage - 1);
        self.persist(vec![write], Waiting::default(), false);
        self.ready.insert(jid);
        self.note(jid, "approved", u64::from(stage));
        Ok(Approving { stage, stages, ticket })
    }

    /// How an open job's batch stands.
    pub fn batch_state(&self, jid: Jid) -> Option<BatchState> {
        let (job, work) = self.jobs.get(&jid).zip(self.tier.works.get(&jid))?;
        Some(job.window.state(self.now, &work.ledger))
    }

    /// Where each member is held that has no outcome yet. Empty for a job that is not open.
    pub fn held(&self, jid: Jid) -> Vec<(Held, Members)> {
        let Some((job, work)) = self.jobs.get(&jid).zip(self.tier.works.get(&jid)) else { return Vec::new() };
        let (ledger, up) = (&work.ledger, self.tier.up());
        let waiting = ledger.unsent() & up;
        let serial = &waiting & &self.blocked(jid);
        let asks = job.window.state(self.now, ledger).awaits_approval;
        let never_seen = ledger.in_flight() - ledger.started();
        let held = [
            (if asks { Held::Approval } else { Held::Window }, &waiting - &serial),
            (Held::Serial, serial),
            (Held::Offline, ledger.unsent() - up),
            (Held::Sent, &never_seen & up),
            (Held::Lost, never_seen - up),
            (Held::Running, ledger.started().clone()),
        ];
        held.into_iter().filter(|(_, members)| !members.is_empty()).collect()
    }
}
